"""Slow, literal transcriptions of the definitions, one sample at a time; what the fast versions are held against."""

import math
from fractions import Fraction

import numpy as np
from scipy.special import logsumexp


def least_confidence(probs):
    return [max(row) for row in probs.tolist()]


def entropy(probs):
    """Minus the entropy, as the lowest score is asked first."""
    return [sum(p * math.log(p) for p in row if p > 0) for row in probs.tolist()]


def margin(probs):
    return [sorted(row)[-1] - sorted(row)[-2] for row in probs.tolist()]


def gaussian_mixture_log_density(features, labelled, labels, jitter):
    """log sum_k (n_k / n) N(x; mean_k, covariance_k + jitter I), by determinant and inverse."""
    dim = features.shape[1]
    terms = []
    for k in sorted(set(labels.tolist())):
        group = labelled[labels == k].astype(np.float64)
        covariance = np.cov(group.T).reshape(dim, dim) if len(group) > 1 else np.zeros((dim, dim))
        covariance += jitter * np.eye(dim)
        inverse, log_det = np.linalg.inv(covariance), np.linalg.slogdet(covariance)[1]
        offsets = features.astype(np.float64) - group.mean(axis=0)
        squared = np.array([x @ inverse @ x for x in offsets])
        log_weight = math.log(len(group) / len(labels))
        terms.append(log_weight - 0.5 * (squared + log_det + dim * math.log(2 * math.pi)))
    return logsumexp(terms, axis=0)


def largest_remainder(n, weights):
    quotas = [Fraction(n * w, sum(weights)) for w in weights]
    shares = [math.floor(q) for q in quotas]
    by_remainder = sorted(range(len(weights)), key=lambda k: (shares[k] - quotas[k], k))
    for k in by_remainder[: n - sum(shares)]:
        shares[k] += 1
    return shares


def apportion(n, weights, room):
    """Largest remainders; what does not fit goes again to those with room."""
    given = [0] * len(weights)
    while sum(given) < n and any(w and r > g for w, r, g in zip(weights, room, given, strict=True)):
        open_weights = [w if r > g else 0 for w, r, g in zip(weights, room, given, strict=True)]
        shares = largest_remainder(n - sum(given), open_weights)
        given = [min(g + s, r) for g, s, r in zip(given, shares, room, strict=True)]
    return given


def unit_rows(features):
    """Rows of length 1; a row of zeros stays."""
    return np.array([[x / (math.hypot(*row) or 1) for x in row] for row in features.tolist()])


def excluded_cluster(answers, labels, n_clusters, n_classes, exclude):
    best, best_key = None, None
    if exclude == "none" or n_classes not in answers:
        return None
    for k in range(n_clusters):
        members = [a for a, label in zip(answers, labels, strict=True) if label == k and a != -1]
        count = sum(a == n_classes for a in members)
        proportion = Fraction(count, len(members)) if members else Fraction(0)
        key = (count, proportion) if exclude == "count" else (proportion, count)
        if best is None or key > best_key:
            best, best_key = k, key
    return best


def algorithm_1(features, answers, labels, centroids, n_classes, quota, exclude):
    """Algorithm 1 of Kim, Kim and Hwang 2023, its k-means given, for an oracle that never says iD.

    Returns a dictionary: `excluded`, `radius` and `shares` per cluster, and `draws`, a list of (cluster, positions in
    the order of annotation), one per cluster and round.
    """
    features, answers, labels = features.tolist(), answers.tolist(), labels.tolist()
    clusters, positions = range(len(centroids)), range(len(answers))
    distance = [math.dist(features[i], centroids[labels[i]]) for i in positions]
    radius = [min([distance[i] for i in positions if labels[i] == k and answers[i] == n_classes], default=math.inf)
              for k in clusters]  # fmt: skip
    excluded = excluded_cluster(answers, labels, len(centroids), n_classes, exclude)
    weights = [0 if k == excluded else labels.count(k) for k in clusters]
    left = {k: [i for i in positions if labels[i] == k and answers[i] == -1] for k in clusters}

    def draw(k, n):
        taken = []
        while len(taken) < n:
            inside = [i for i in left[k] if distance[i] <= radius[k]]
            pick = max(inside, key=distance.__getitem__) if inside else min(left[k], key=distance.__getitem__)
            left[k].remove(pick)
            taken.append(pick)
        return k, taken

    draws = []
    while any(left[k] for k in clusters if k != excluded):
        takes = apportion(quota, weights, [len(left[k]) for k in clusters])
        draws += [draw(k, takes[k]) for k in clusters if takes[k]]
    if excluded is not None and left[excluded]:
        draws.append(draw(excluded, len(left[excluded])))
    shares = largest_remainder(quota, weights) if any(weights) else weights
    return {"excluded": excluded, "radius": radius, "shares": shares, "draws": draws}
