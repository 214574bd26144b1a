"""Slow, literal transcriptions of the classic strategies' definitions, one sample or one pair at a time."""

import math

import numpy as np


def softmax(logits):
    shifted = [math.exp(x - max(logits)) for x in logits]
    return [x / sum(shifted) for x in shifted]


def inverse_cdf(weights, uniform):
    """The index that a uniform number in [0, 1) draws in proportion to the weights."""
    below = 0.0
    for i, weight in enumerate(weights):
        below += weight
        if uniform * sum(weights) < below:
            return i
    raise AssertionError("weights that sum to nothing")


def k_centre_greedy(features, asked, unasked, first=None):
    """Farthest point first; `first` where nothing is asked."""
    centres, left, picks = list(asked), list(unasked), []
    while left:
        if not centres:
            pick = first
        else:
            pick = max(left, key=lambda i: min(math.dist(features[i], features[j]) for j in centres))
        left.remove(pick)
        centres.append(pick)
        picks.append(pick)
    return picks


def gradients(probs, features):
    """Gradient of the cross-entropy at the predicted label in the last layer's weights, one flat row per sample."""
    rows = []
    for p, z in zip(probs.astype(np.float64), features.astype(np.float64), strict=True):
        residual = p - (np.arange(len(p)) == p.argmax())
        rows.append(np.outer(residual, z).ravel())
    return np.array(rows)


def k_means_plus_plus(rows, first, uniforms):
    """Picks drawn in proportion to the squared distance to the closest pick, one per uniform number."""
    picks = [first]
    for uniform in uniforms:
        weights = [min(((row - rows[j]) ** 2).sum() for j in picks) for row in rows]
        picks.append(inverse_cdf(weights, uniform))
    return picks


def typicality(rows, neighbours, *, squared):
    values = []
    for i, row in enumerate(rows):
        distances = sorted(math.dist(row, other) for j, other in enumerate(rows) if j != i)
        nearest = distances[: max(1, min(neighbours, len(rows) // 2))]
        mean = sum(d**2 if squared else d for d in nearest) / len(nearest) if nearest else 0
        values.append(1 / (mean + 1e-5))
    return values


def ball_graph(rows, radius):
    return [{j for j, other in enumerate(rows) if j == i or math.dist(row, other) < radius}
            for i, row in enumerate(rows)]  # fmt: skip


def purity(rows, clusters, radius):
    """Share of the balls that hold one cluster alone."""
    pure = [all(clusters[j] == clusters[i] for j in ball) for i, ball in enumerate(ball_graph(rows, radius))]
    return sum(pure) / len(pure)


def uncovered_degrees(graph, covered, picks):
    """Degree of each vertex into what is uncovered after `picks`, made in turn; a layer ends when nothing is left."""
    covered = set(covered)
    for n, pick in enumerate(picks):
        if all(graph[v] <= covered for v in range(len(graph)) if v not in picks[:n]):
            covered = set()
        covered |= graph[pick]
    if all(graph[v] <= covered for v in range(len(graph)) if v not in picks):
        covered = set()
    return [len(ball - covered) for ball in graph]


def contrast_confidence(rows, references, temperature):
    values = []
    for i, row in enumerate(rows):
        others = [math.exp(float(row @ rows[j]) / temperature) for j in range(references) if j != i]
        own = math.exp(1 / temperature)
        values.append(own / (own + sum(others)))
    return values


def mutual_information(probs_TNC):
    """H(mean_t p_t) - mean_t H(p_t), 0 log 0 = 0."""

    def entropy(p):
        return -sum(x * math.log(x) for x in p if x > 0)

    n_passes = len(probs_TNC)
    return [
        entropy([sum(probs_TNC[t][i][c] for t in range(n_passes)) / n_passes for c in range(len(probs_TNC[0][i]))])
        - sum(entropy(probs_TNC[t][i]) for t in range(n_passes)) / n_passes
        for i in range(len(probs_TNC[0]))
    ]


def mixture(z, anchor, gradient, e, *, clip):
    """Features with the closed-form share of the anchor mixed in."""
    towards = anchor - z
    if not towards.any():  # a class of one labelled sample, at that sample
        return z
    alpha = e * np.linalg.norm(towards) * gradient / np.linalg.norm(gradient) / towards
    if clip:
        alpha = np.clip(alpha, 0, e)
    return (1 - alpha) * z + alpha * anchor


def mixing_flips(features, weight, bias, anchors, e, *, clip):
    """Whether a mixture with any anchor is predicted otherwise."""
    flips = []
    for z in features.astype(np.float64):
        logits = weight.astype(np.float64) @ z + bias
        residual = np.array(softmax(logits.tolist())) - (np.arange(len(bias)) == logits.argmax())
        gradient = residual @ weight
        mixtures = [mixture(z, anchor, gradient, e, clip=clip) for anchor in anchors]
        flips.append(any((weight @ mixed + bias).argmax() != logits.argmax() for mixed in mixtures))
    return np.array(flips)


def least_disagree_metric(features, weight, bias, noises, sigmas):
    """Smallest share of changed predictions over all perturbations that change the sample's own."""
    features = features.astype(np.float64)
    label = (features @ weight.T + bias).argmax(axis=1)
    metric = [1.0] * len(features)
    for (noise, noise_bias), some in zip(noises, sigmas, strict=True):
        for sigma in some:
            perturbed = features @ (weight + sigma * noise).T + (bias + sigma * noise_bias)
            changed = perturbed.argmax(axis=1) != label
            metric = [min(m, changed.mean()) if own else m for m, own in zip(metric, changed, strict=True)]
    return metric


def seeding_weights(metric, quota, variant="paper"):
    """gamma of LDM-S: samples beyond the `quota` smallest weigh as much in sum as those, each at most 1.

    The published code has them in ascending order and takes number `quota`, counted from 0, for the q-th smallest.
    """
    ranked = sorted(range(len(metric)), key=lambda i: metric[i])
    place = quota if variant == "code" else quota - 1
    at = metric[ranked[min(place, len(metric) - 1)]]
    gamma = [math.exp(-max(m - at, 0) / at) for m in metric]
    few, many = ranked[:quota], ranked[quota:]
    total = sum(gamma[i] for i in many)
    for i in many:
        gamma[i] = min(gamma[i] * len(few) / total, 1)
    return gamma


def ldm_seeding(rows, metric, quota, uniforms, variant="paper"):
    """LDM-S picks, one more per uniform number; rows of any length."""
    unit = [row / np.linalg.norm(row) for row in rows.astype(np.float64)]
    gamma = seeding_weights(metric, quota, variant)
    same = 1e-5 if variant == "code" else 0

    def distance(i, j):
        apart = 1 - unit[i] @ unit[j]
        return apart if apart > same else 0

    picks = [min(range(len(metric)), key=lambda i: metric[i])]
    for uniform in uniforms:
        weights = [0 if i in picks else (gamma[i] * min(distance(i, j) for j in picks)) ** 2
                   for i in range(len(metric))]  # fmt: skip
        picks.append(inverse_cdf(weights, uniform))
    return picks
