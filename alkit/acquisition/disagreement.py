"""LDM-S, and the point along a ray of last layers at which a prediction changes, which it shares with ALFA-Mix."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np

from alkit.acquisition._geometry import by_chunks, draw, unit_rows
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import Head, View
from alkit.options import Range

CHUNK = 4096  # rows


CLOSEST = 1e-30  # a smaller gap between logits is a tie


Variant = Literal["paper", "code"]


# Cosine distances up to this one count as 0: what rounding alone can make, and what the published code takes.
SAME = {"paper": 1e-12, "code": 1e-5}


@strategy(
    "ldm",
    citation="Cho et al. 2024 (ICLR), arXiv 2401.09787, Algorithms 1 and 2",
    needs=("head", "probs"),
    family="classic",
)
def ldm(view: View, *, directions: Annotated[int, Range(1)] = 100, variant: Variant = "paper") -> Iterator[int]:
    """LDM-S (Cho et al. 2024): draws that favour a small least disagree metric and distance from what was picked.

    The metric L_i of a sample is the smallest share of the unlabelled pool whose prediction changes together with its
    own, over Gaussian perturbations of the last layer. The first pick has the smallest; each next one is drawn in
    proportion to (gamma_i d_i)^2, with d_i the cosine distance of its features to the closest pick, gamma_i =
    exp(-max(L_i - L_q, 0) / L_q) and L_q the q-th smallest, q = quota; the gamma of all but the q smallest are scaled
    to sum to q and held at 1. Once all weights are 0, the rest comes by ascending L. variant="code": L_q is the (q +
    1)-th smallest, as the published code counts from 0, and distances up to 1e-5 count as 0.

    Departure: the paper draws new perturbations for each of 51 standard deviations, until ten in a row lower no
    estimate; here each of `directions` is used at all of them at once. Along a ray a prediction that has changed stays
    changed, so that the share that has changed when sample i does is its rank: the paper's estimator in the limit of a
    fine grid.

    Cost: O(directions n (D C + log n)) time, O(n C) memory, O(n D) per pick. Assumes a last layer that is linear in the
    features. Ambiguous samples near a boundary have the smallest metric and come first; OoD samples only where they lie
    near a boundary, not for being far from everything.
    """
    group = view.shuffled()
    if not len(group):
        return
    positions = np.concatenate([group, np.setdiff1d(view.unlabelled, group)])
    metric_N = np.empty(len(view.answers_N))
    metric_N[positions] = least_disagree_metric(view.head, positions, int(view.rng.integers(2**31)), directions)
    rows_ND = unit_rows(view.head.features_ND[group].astype(np.float64))
    yield from (int(group[i]) for i in _seeding(rows_ND, metric_N[group], view.quota, view.rng, variant))


def inverse_gaps(logits_NC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicted class y (N,), and 1 / (f_y - f_c) (N, C) for its logit f_y and that of each class c."""
    rows, label_N = np.arange(len(logits_NC)), logits_NC.argmax(axis=1)
    return label_N, 1 / np.maximum(logits_NC[rows, label_N][:, None] - logits_NC, CLOSEST)


def flip_rate(label_N: np.ndarray, inverse_NC: np.ndarray, slope_NC: np.ndarray) -> np.ndarray:
    """1 / s for the smallest s > 0 beyond which argmax(logits + s slope) is not the predicted class; 0 for never.

    Class c overtakes the predicted one, y, at s = (f_y - f_c) / (slope_c - slope_y) and stays ahead of it; `label_N`
    and `inverse_NC` are the `inverse_gaps` of the logits.
    """
    rise_NC = slope_NC - slope_NC[np.arange(len(slope_NC)), label_N][:, None]
    rise_NC *= inverse_NC
    return rise_NC.max(axis=1)  # y itself has 0, so that none is negative


def least_disagree_metric(head: Head, positions: np.ndarray, seed: int, directions: int) -> np.ndarray:
    """Estimated metric, one per position, in (0, 1]; 1 where no direction flips the prediction."""
    features_ND = head.features_ND[positions].astype(np.float64)
    label_N, inverse_NC = inverse_gaps(features_ND @ head.weight_CD.T + head.bias_C)
    n = len(positions)
    chunks = [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]

    def smallest_share(some):
        share_N = np.ones(n)
        for j in range(some.start, some.stop):
            noise_CD, noise_C = perturbation(head, seed, j)
            rate_N = np.concatenate(
                [
                    flip_rate(label_N[rows], inverse_NC[rows], features_ND[rows] @ noise_CD.T + noise_C)
                    for rows in chunks
                ]
            )
            flipped_N = n - np.searchsorted(np.sort(rate_N), rate_N)  # by then and itself included; n for never
            share_N = np.minimum(share_N, flipped_N / n)
        return share_N[None]

    return by_chunks(smallest_share, directions, chunk=8).min(axis=0)


def perturbation(head: Head, seed: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal perturbation `j` of the weights (C, D) and biases (C,)."""
    rng = np.random.default_rng([seed, j])
    return rng.standard_normal(head.weight_CD.shape), rng.standard_normal(head.bias_C.shape)


def seeding_weights(metric_N: np.ndarray, quota: int, variant: Variant = "paper") -> np.ndarray:
    """gamma (N,) of LDM-S: 1 for the `quota` smallest metrics, then falling, as heavy in sum as those and at most 1.

    L_q, which the fall is measured by, is the `quota`-th smallest metric, or the next one with the code's variant.
    """
    order = np.argsort(metric_N, kind="stable")
    few, many = order[:quota], order[quota:]
    metric_q = metric_N[many[0] if variant == "code" and len(many) else few[-1]]
    gamma_N = np.exp(-np.maximum(metric_N - metric_q, 0) / metric_q)
    if gamma_N[many].sum() > 0:
        gamma_N[many] = np.minimum(gamma_N[many] * len(few) / gamma_N[many].sum(), 1)
    return gamma_N


def _seeding(
    rows_ND: np.ndarray, metric_N: np.ndarray, quota: int, rng: np.random.Generator, variant: Variant = "paper"
) -> Iterator[int]:
    """Indices 0..N-1, drawn as `ldm` says; rows of unit length, equal metrics by index."""
    gamma_N, closest_N = seeding_weights(metric_N, quota, variant), np.full(len(rows_ND), np.inf)
    left_N = np.ones(len(rows_ND), bool)
    pick = int(metric_N.argmin())
    while True:
        yield pick
        left_N[pick] = False
        distance_N = 1 - rows_ND @ rows_ND[pick]
        np.minimum(closest_N, np.where(distance_N > SAME[variant], distance_N, 0), out=closest_N)
        weight_N = np.where(left_N, (gamma_N * closest_N) ** 2, 0)
        if not weight_N.any():
            break
        pick = draw(weight_N, rng)
    left = np.flatnonzero(left_N)
    yield from left[np.argsort(metric_N[left], kind="stable")].tolist()
