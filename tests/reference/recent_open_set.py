"""Slow, literal transcriptions of NEAT, POAL, SISOM, Joda, E2OAL and PAL; what the fast versions are held against."""

import itertools
import math

import numpy as np
import torch

JUNK = -1  # label of junk in `f1_of_clusters`


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def neat(pool, labelled, labels, probs, n_classes, neighbours, quota):
    """Pool indices in the order of the query, ties by index; `probs` of K classes."""
    found = []
    for i, row in enumerate(pool.tolist()):
        near = sorted(range(len(labels)), key=lambda j: -cosine(row, labelled[j]))[:neighbours]
        votes = [sum(labels[j] == c for j in near) for c in range(n_classes + 1)]
        total = sum(math.exp(v) for v in votes[:-1])
        score = -sum(p * math.log(math.exp(v) / total) for p, v in zip(probs[i], votes))
        found.append((sum(votes[:-1]), votes[-1], score, i))
    order = []
    for known in (True, False):
        left = sorted((f for f in found if (f[0] > f[1]) == known), key=lambda f: -f[0])
        while left:
            batch = sorted(left[: 2 * quota], key=lambda f: -f[2])[:quota]
            order += [f[3] for f in batch]
            left = [f for f in left if f not in batch]
    return order


def dominates(a, b):
    return all(x >= y for x, y in zip(a, b)) and any(x > y for x, y in zip(a, b))


def fronts(points):
    """Number of the front of each point: those that no point left dominates are taken away together."""
    points, left, number = [tuple(p) for p in points], set(range(len(points))), [None] * len(points)
    for level in itertools.count():
        if not left:
            return number
        best = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in best:
            number[i] = level
        left -= best


def enhanced(rows, weight, bias, steepness):
    """sigmoid(steepness h dKL/dh), by automatic differentiation."""
    h = torch.from_numpy(rows.astype(np.float64)).requires_grad_()
    out = h @ torch.from_numpy(weight.astype(np.float64)).T + torch.from_numpy(bias.astype(np.float64))
    (-out.log_softmax(1).mean(1)).sum().backward()
    return torch.sigmoid(steepness * h.detach() * h.grad).numpy()


def ratio(row, label, labelled, labels):
    """d_in / d_out of a row taken for `label`; None where no sample of it is labelled."""
    own = [i for i in range(len(labels)) if labels[i] == label]
    if not own:
        return None
    near = min(own, key=lambda i: math.dist(row, labelled[i]))
    others = [math.dist(labelled[near], labelled[i]) for i in range(len(labels)) if labels[i] != label]
    return math.dist(row, labelled[near]) / min(others, default=1)


def ratios_of_labelled(labelled, labels):
    found = []
    for i in range(len(labels)):
        rest = [j for j in range(len(labels)) if j != i]
        own = [j for j in rest if labels[j] == labels[i]]
        if own:
            near = min(own, key=lambda j: math.dist(labelled[i], labelled[j]))
            gaps = [math.dist(labelled[near], labelled[j]) for j in rest if labels[j] != labels[i]]
            found.append(math.dist(labelled[i], labelled[near]) / min(gaps, default=1))
    return found


def sisom(rows, labelled, labels, weight, bias):
    """Ratio of each row, the steepness chosen among four by the mean ratio of the labelled samples."""
    product = -np.log(1 / enhanced(labelled, weight, bias, 1.0) - 1)
    tried = [s / math.sqrt((product**2).mean()) for s in (0.1, 1, 10, 100)]
    means = [np.mean(ratios_of_labelled(enhanced(labelled, weight, bias, s), labels)) for s in tried]
    steepness = tried[int(np.argmin(means))]
    space, seen = enhanced(labelled, weight, bias, steepness), enhanced(rows, weight, bias, steepness)
    classes = sorted(set(labels.tolist()))
    predicted = [classes[int(np.argmax([row @ weight[k] + bias[k] for k in classes]))] for row in rows]
    return [ratio(row, label, space, labels) for row, label in zip(seen, predicted)]


def youden(id_energy, junk_energy):
    """The best rate that any bar reaches, and the bars that reach it."""
    rates = {}
    for bar in [*id_energy, *junk_energy, math.inf]:
        rates[bar] = np.mean([e >= bar for e in junk_energy]) - np.mean([e >= bar for e in id_energy])
    best = max(rates.values())
    return best, [bar for bar, rate in rates.items() if math.isclose(rate, best)]


def exposure_loss(logits, labels, n_classes):
    """Mean cross-entropy of iD rows + 0.5 times that of the others to equal probabilities."""
    own, others = [], []
    for row, label in zip(logits, labels):
        log_probs = row - np.log(np.exp(row).sum())
        (others if label == n_classes else own).append(-log_probs.mean() if label == n_classes else -log_probs[label])
    return np.mean(own) + 0.5 * np.mean(others)


def evidence_loss(logits, labels):
    """Mean of log S - log alpha_y + KL(Dirichlet without the label's evidence || flat) / C, alpha = 1 + exp(logit)."""
    from scipy.special import digamma, gammaln

    total = 0.0
    for row, label in zip(logits, labels):
        alpha = np.exp(np.clip(row, -10, 10)) + 1
        total += math.log(alpha.sum()) - math.log(alpha[label])
        alpha[label] = 1
        divergence = gammaln(alpha.sum()) - gammaln(len(alpha)) - gammaln(alpha).sum()
        divergence += ((alpha - 1) * (digamma(alpha) - digamma(alpha.sum()))).sum()
        total += divergence / len(alpha)
    return total / len(labels)


def open_loss(logits, labels):
    """Mean of -log P(yes) of the label and -log P(no) of the likeliest other class."""
    total = 0.0
    for row, label in zip(logits, labels):
        yes = [1 / (1 + math.exp(-a)) for a in row]
        total += -math.log(yes[label]) + max((-math.log(1 - y) for j, y in enumerate(yes) if j != label), default=0)
    return total / len(labels)


def open_entropy(row):
    yes = [1 / (1 + math.exp(-a)) for a in row]
    return np.mean([-y * math.log(y) - (1 - y) * math.log(1 - y) for y in yes])


def f1_of_clusters(clusters, labels):
    """Best match of clusters and classes by trying all, and then the geometric mean of the F1 of classes and junk."""
    clusters, labels = list(clusters), list(labels)
    classes, numbers = sorted(set(labels)), sorted(set(clusters))
    n = max(len(classes), len(numbers))
    names, keys = classes + [None] * (n - len(classes)), numbers + [None] * (n - len(numbers))

    def shared(key, name):
        return sum(c == key and y == name for c, y in zip(clusters, labels))

    best = max(itertools.permutations(keys), key=lambda keys: sum(map(shared, keys, names)))
    matched = {name: key for key, name in zip(best, names) if name not in (None, JUNK)}
    scores = []
    for name, key in matched.items():
        hits = shared(key, name)
        precision, recall = hits / max(clusters.count(key), 1), hits / labels.count(name)
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    outside = [y for c, y in zip(clusters, labels) if c not in matched.values()]
    if JUNK in classes:
        hits = outside.count(JUNK)
        precision, recall = hits / max(len(outside), 1), hits / labels.count(JUNK)
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return math.prod(scores) ** (1 / len(scores))


def divergence(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q))


def information(probs, reverse):
    found = []
    for p in probs:
        one_hot = [float(k == p.argmax()) for k in range(len(p))]
        product = 1.0
        for q in (one_hot, [1 / len(p)] * len(p)):
            a, b = ([x + 1e-8 for x in part] for part in (p, q))
            a, b = [x / sum(a) for x in a], [x / sum(b) for x in b]
            mean = [(x + y) / 2 for x, y in zip(a, b)]
            parts = [(mean, a), (mean, b)] if reverse else [(a, mean), (b, mean)]
            product *= sum(divergence(*part) for part in parts) / 2
        found.append(product)
    return np.array(found)


def admitted(sure, informative, quota, target, whole):
    order = sorted(range(len(sure)), key=lambda i: -sure[i])
    if target <= 0:
        return len(order)
    for count in range(quota, len(order) + 1):
        chosen = sorted(order[:count], key=lambda i: -informative[i])[:quota]
        total = sum(sure[i] for i in chosen)
        if (int(total) if whole else total) <= target:
            return count
    return len(order)
