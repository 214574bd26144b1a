"""Slow, literal transcriptions of open-set scores and objectives; what the fast versions are held against."""

import numpy as np
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture


def unit(rows):
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def similarity(a, b):
    return (1 + unit(a) @ unit(b).T) / 2


def flcmi_value(chosen, pool, query, private):
    """FLCMI of a set of pool rows, by its definition."""
    total = 0.0
    for i in range(len(pool)):
        near = max(similarity(pool[i : i + 1], pool[[j]])[0, 0] for j in chosen)
        wanted = similarity(pool[i : i + 1], query).max()
        shunned = similarity(pool[i : i + 1], private).max() if len(private) else 0.0
        total += max(min(near, wanted) - shunned, 0)
    return total


def logdetcmi_value(chosen, pool, query, private):
    """LogDetCMI of a set of pool rows, by its definition, with 1 added to the diagonal."""
    rows = pool[list(chosen)]

    def term(condition):
        everything = np.concatenate([rows, condition])
        full = similarity(everything, everything) + np.eye(len(everything))
        n = len(rows)
        left = full[:n, :n] - full[:n, n:] @ np.linalg.inv(full[n:, n:]) @ full[n:, :n] if len(condition) else full
        return np.linalg.slogdet(left)[1]

    return term(private) - term(np.concatenate([query, private]))


def greedy(value, n, *sets):
    """Picks of plain greedy maximisation: every candidate is tried at every step."""
    chosen = []
    for _ in range(n):
        rest = [j for j in range(len(sets[0])) if j not in chosen]
        chosen.append(max(rest, key=lambda j: value([*chosen, j], *sets)))
    return chosen


def gradient_rows(probs, features):
    """Flattened gradients of the cross-entropy under the predicted label, in weights and bias of the last layer."""
    rows = []
    for p, z in zip(probs.astype(float), features.astype(float)):
        residual = p.copy()
        residual[p.argmax()] -= 1
        rows.append(np.outer(residual, np.append(z, 1)).ravel())
    return np.array(rows)


def lfosa(logits, seed):
    activation, predicted = logits.max(1), logits.argmax(1)
    score = np.zeros(len(logits))
    score[predicted == logits.shape[1] - 1] = -1
    for k in range(logits.shape[1] - 1):
        members = sorted((i for i in range(len(logits)) if predicted[i] == k), key=lambda i: activation[i])
        if len(members) > 1:
            values = activation[members][:, None]
            mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed).fit(values)
            score[members] = mixture.predict_proba(values)[:, mixture.means_[:, 0].argmax()]
    return score


def ccal(semantic, labelled_semantic, fine, labelled_fine, labels, n_classes):
    """The score of each row for its nearest label's class."""
    cosines = unit(semantic) @ unit(labelled_semantic).T
    s, nearest_class = cosines.max(1), labels[cosines.argmax(1)]
    s = (s - s.min()) / np.ptp(s)
    raw = np.zeros((len(semantic), n_classes))
    for k in set(labels.tolist()):
        group = unit(labelled_fine[labels == k])
        for i, row in enumerate(unit(fine)):
            order = sorted(range(len(group)), key=lambda j: -(group[j] @ row))
            first, second = group[order[0]], group[order[min(1, len(group) - 1)]]
            raw[i, k] = (first @ row - second @ row) + first @ second + first @ row
    scaled = (raw - raw.min(0)) / np.where(np.ptp(raw, axis=0) > 0, np.ptp(raw, axis=0), 1)
    semantic_score = (1 - np.exp(-100 * (s - 0.9))) / (1 + np.exp(-100 * (s - 0.9)))
    return semantic_score + 1 - scaled[np.arange(len(s)), nearest_class]


def bual_code(negative_sums, positive, auxiliary, ratio):
    """BUAL as it was published: rows in the order of the query, and those that are taken out of it beforehand.

    `negative_sums` and `positive` are probabilities of K classes, the first summed over negative learning, `auxiliary`
    those of K + 1 classes or None in the first round, whose `ratio` is 0.
    """
    kept = [i for i in range(len(positive)) if auxiliary is None or auxiliary[i].argmax() < auxiliary.shape[1] - 1]

    def scaled(values):
        return [(v - min(values)) / (max(values) - min(values)) for v in values]

    negative = scaled([max(negative_sums[i]) for i in kept])
    known = scaled([max(positive[i]) for i in kept])
    if auxiliary is None:
        score = [n + ratio * p for n, p in zip(negative, known, strict=True)]
    else:
        unknown = scaled([auxiliary[i][-1] for i in kept])
        score = [u * n + ratio * (1 - u) * p for u, n, p in zip(unknown, negative, known, strict=True)]
    return [kept[i] for i in np.argsort(score)], sorted(set(range(len(positive))) - set(kept))


def energy(logits):
    return np.array([-logsumexp(row[:-1]) + np.log(1 + np.exp(row[-1])) for row in logits])


def reverse_counts(pool, labelled, labels, neighbours, n_classes):
    counts = np.zeros((len(pool), n_classes + 1))
    for row, label in zip(unit(labelled), labels):
        for i in np.argsort(-(unit(pool) @ row))[:neighbours]:
            counts[i, label] += 1
    return counts


def count_energy_of_the_code(pool, labelled, labels, neighbours, n_classes):
    """EAOA's energy by reverse neighbours as it was published: counts over class weights."""
    counts = reverse_counts(pool, labelled, labels, neighbours, n_classes)
    per_class = [int((labels == c).sum()) for c in range(n_classes + 1)]
    if per_class[-1]:
        weight = [n / (sum(per_class[:-1]) / n_classes) for n in per_class]
        logits = np.array([[row[c] / weight[c] for c in range(n_classes + 1)] for row in counts])
        return np.array([-np.log(np.exp(row[:-1]).sum()) + np.log(1 + np.exp(row[-1])) for row in logits])
    weight = [n / (sum(per_class) / (n_classes + 1)) for n in per_class]
    logits = np.array([[row[c] / weight[c] for c in range(n_classes)] for row in counts])
    return np.array([-np.log(np.exp(row).sum()) for row in logits])


def aleatoric(logits):
    return np.array([logsumexp(np.delete(row, row.argmax())) - logsumexp(row) for row in logits])


def eoal(known, distances):
    scores = []
    for heads, row in zip(known, distances):
        closed = np.mean([-q * np.log2(q) - (1 - q) * np.log2(1 - q) for q in heads])
        p = np.exp(-row) / np.exp(-row).sum()
        scores.append(closed + (p * np.log(p)).sum() / np.log(len(row)))
    return np.array(scores)
