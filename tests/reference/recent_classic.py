"""Slow, literal transcriptions of VeSSAL, ICAL, ISAL, DAO, TiDAL, AnchorAL and TAILOR, for the fast ones to match."""

import itertools
import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy, softmax


def gradient(probs, features, *, by_probability):
    """The gradient at the predicted label in the last layer's weights; or blocks by falling probability, scaled."""
    if by_probability:
        order = sorted(range(len(probs)), key=lambda c: -probs[c])
        blocks = [((1 if c == order[0] else 0) - probs[c]) * features for c in order]
        return math.sqrt(probs[order[0]]) * np.concatenate(blocks)
    best = int(np.argmax(probs))
    return np.concatenate([(probs[c] - (c == best)) * features for c in range(len(probs))])


def vessal(rows, k, uniforms):
    """Indices picked in one pass over gradients, with the inverse covariance in full; at most k."""
    inverse, covariance, picks = 100 * np.eye(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1])), []
    for t, (g, uniform) in enumerate(zip(rows, uniforms, strict=True)):
        covariance = (t * covariance + np.outer(g, g)) / (t + 1)
        trace = np.trace(covariance @ inverse)
        chance = (k - len(picks)) / (len(rows) - t) * (g @ inverse @ g) / trace if trace > 0 else 0
        if uniform < chance:
            picks.append(t)
            inverse = np.linalg.inv(np.linalg.inv(inverse) + np.outer(g, g))
    return picks


def rational_quadratic(labels):
    """Mixture of five rational quadratic kernels between one-hot rows of the labels of one sample."""
    kernel = np.empty((len(labels), len(labels)))
    for s, t in itertools.product(range(len(labels)), repeat=2):
        squared = 0 if labels[s] == labels[t] else 2
        kernel[s, t] = np.mean([(1 + squared / (2 * a)) ** -a for a in (0.2, 0.5, 1, 2, 5)])
    return kernel


def hsic(one, other):
    """Biased estimate, by the three terms of a test of total independence of two."""
    n = len(one)
    return (
        (one * other).sum() / n**2
        - 2 / n**3 * sum(one[s].sum() * other[s].sum() for s in range(n))
        + one.sum() * other.sum() / n**4
    )


def ical(kernels, condensed):
    """Indices of a greedy batch: each pick has the highest HSIC of the batch's mean kernel with a set of others."""
    picks = []
    for some in condensed:
        reference = np.mean([kernels[i] for i in some], axis=0)
        left = [i for i in range(len(kernels)) if i not in picks]
        score = [hsic(reference, np.mean([kernels[j] for j in [*picks, i]], axis=0)) for i in left]
        picks.append(left[int(np.argmax(score))])
    return picks


def logits_of(flat, rows, n_outputs):
    made = flat.view(n_outputs, rows.shape[1] + 1)
    return rows @ made[:, :-1].T + made[:, -1]


def influences(weight, bias, labelled, slope, pool):
    """-slope H^-1 G of each row: H from second derivatives, G by automatic differentiation at the predicted label."""
    flat = torch.from_numpy(np.column_stack([weight, bias]).astype(np.float64)).ravel()
    labelled, pool = torch.from_numpy(labelled.astype(np.float64)), torch.from_numpy(pool.astype(np.float64))

    def mean_loss(parameters):
        out = logits_of(parameters, labelled, len(bias))
        return cross_entropy(out, out.argmax(1))  # its curvature is the same for every label

    hessian = torch.autograd.functional.hessian(mean_loss, flat) + 0.01 * torch.eye(len(flat), dtype=torch.float64)
    step = torch.linalg.solve(hessian, torch.from_numpy(slope).ravel())
    found = []
    for row in pool:
        parameters = flat.clone().requires_grad_()
        out = logits_of(parameters, row[None], len(bias))
        (made,) = torch.autograd.grad(cross_entropy(out, out.argmax(1)), parameters)
        found.append(-float(made @ step))
    return found


def bound_step(labelled, probs, target, row, count):
    """Change (C, D + 1) of the last layer for one more label, under Böhning's bound on the Hessian, in full."""
    rows = np.column_stack([labelled, np.ones(len(labelled))])
    mean = sum(np.outer(r, r) for r in rows) / len(rows) + 0.01 * np.eye(rows.shape[1])
    n_outputs = len(probs)
    bound = np.kron((np.eye(n_outputs) - 1 / n_outputs) / 2, mean)
    slope = np.outer(probs - target, [*row, 1]).ravel()
    return -(np.linalg.pinv(bound) @ slope / count).reshape(n_outputs, -1)


def dao(weight, bias, labelled, pool, target, n_picks):
    """Picks by the mean loss on the whole pool after each possible step."""
    layer, extended = np.column_stack([weight, bias]).astype(float), np.column_stack([pool, np.ones(len(pool))])
    picks = []
    for number in range(n_picks):
        losses = {}
        for i in range(len(pool)):
            if i not in picks:
                probs = softmax(torch.from_numpy(layer @ extended[i]), 0).numpy()
                moved = layer + bound_step(labelled, probs, target[i], pool[i], len(labelled) + number + 1)
                losses[i] = float(cross_entropy(torch.from_numpy(extended @ moved.T), torch.from_numpy(target))), moved
        picks.append(min(losses, key=lambda i: losses[i][0]))
        layer = losses[picks[-1]][1]
    return picks


def lure(chances, n):
    """Weights of M draws without replacement from n, m-th with that probability among those left (Farquhar et al.)."""
    size = len(chances)
    return [
        1 + (n - size) / (n - m) * (1 / ((n - m + 1) * chance) - 1) if size < n else 1.0
        for m, chance in enumerate(chances, 1)
    ]


def mean_course(rows, labels, n_outputs, epochs):
    """Mean probabilities over the epochs of gradient descent from zeros, by automatic differentiation."""
    rows, labels = torch.from_numpy(rows.astype(np.float64)), torch.from_numpy(labels)
    flat, total = torch.zeros(n_outputs * (rows.shape[1] + 1), dtype=torch.float64), 0
    for _ in range(epochs):
        parameters = flat.requires_grad_()
        out = logits_of(parameters, rows, n_outputs)
        total = total + softmax(out, 1).detach().numpy()
        (slope,) = torch.autograd.grad(cross_entropy(out, labels), parameters)
        flat = (flat - 2 / (rows.shape[1] + 1) * slope).detach()
    return total / epochs


def near_anchors(anchors, pool, neighbours, size):
    """Indices of the rows most similar, on average, to the anchors that have them among their nearest."""
    found = {}
    for anchor in anchors:
        similar = [float(anchor @ row) for row in pool]
        for i in sorted(range(len(pool)), key=lambda i: -similar[i])[:neighbours]:
            found.setdefault(i, []).append(similar[i])
    return sorted(found, key=lambda i: -np.mean(found[i]))[:size]


def tailor(arms, ask, labelled, n_classes, rng, n_questions):
    """Picks of a bandit that counts its whole history anew for each draw; a label of n_classes is worth nothing."""
    labelled, history, picks = list(labelled), [], []
    while len(picks) < n_questions:
        drawn = []
        for arm in range(len(arms)):
            theta = rng.dirichlet([2 + history.count((arm, c)) for c in range(n_classes + 1)])
            drawn.append(sum(theta[c] / max(1, labelled.count(c)) for c in range(n_classes)))
        best = drawn.index(max(drawn))
        while (position := next(arms[best])) in picks:
            pass
        picks.append(position)
        label = ask(position)
        history.append((best, label))
        labelled.append(label)
    return picks
