"""VeSSAL (Saran et al. 2023): volume sampling among gradients of the last layer, in one pass over a stream."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from alkit.acquisition.gradients import gradient_lengths
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

SCALE = 100.0  # of the inverse covariance before the first pick, as published


@strategy(
    "vessal",
    citation="Saran, Yousefi, Krishnamurthy, Langford and Ash 2023 (ICML), arXiv 2303.02535",
    needs=("head", "probs"),
    family="classic",
)
def vessal(view: View, *, variant: Literal["paper", "code"] = "paper") -> Iterator[int]:
    """Draws in one pass, by how much a gradient adds to the volume of the picked ones (Saran et al. 2023).

    The pool streams by in random order. Sample t of n is picked with probability (k - m) / (n - t) times v_t / mean(v),
    with m of k = quota picks made, v = g^T A^-1 g, A = I / 100 + the sum of g g^T over the picks, g = (p - e_y) h^T at
    the predicted class y, and the mean over all samples that went by. A pass that ends short is filled up at random, as
    published; more passes than one in a stage are ours, each with a new A. variant="code": the blocks of g go by
    falling probability instead of by class, and g is scaled by the root of the largest one, as published.

    Cost: O(n (D + C + m)) per pick and O(n (D + C + quota)) memory. Neither A, of (C D)^2 entries, nor g is formed: v
    falls by (g^T A^-1 g_pick)^2 / (1 + v_pick) at each pick, and (a . b) (h . k) is the product of two gradients.
    Assumes that the predicted label is good enough for the gradient's direction. Ambiguous and OoD samples have long
    gradients, and are drawn as often as these are longer; a group of either has one direction, and few are picked.
    """
    group = view.shuffled()
    if not len(group):
        return
    residual_NC = view.probs_NC[group].astype(np.float64)
    features_ND = view.head.features_ND[group].astype(np.float64)
    if variant == "code":
        residual_NC = -np.sort(-residual_NC, axis=1)
        scale_N1 = np.sqrt(residual_NC[:, :1])
        residual_NC[:, 0] -= 1
        residual_NC *= scale_N1
    else:
        residual_NC[np.arange(len(group)), residual_NC.argmax(axis=1)] -= 1
    left = np.arange(len(group))
    while len(left):
        k = min(view.quota, len(left))
        drawn = stream(residual_NC, features_ND, left, k, view.rng.random(len(left)))
        others = np.setdiff1d(np.arange(len(left)), drawn)
        picked = np.array([*drawn, *view.rng.permutation(others)[: k - len(drawn)]])
        yield from group[left[picked]].tolist()
        left = np.delete(left, picked)


def stream(residual_NC, features_ND, rows: np.ndarray, k: int, uniform_B: np.ndarray) -> list[int]:
    """Indices into `rows` of at most `k` picks in one pass over these rows, one uniform number in 0..1 for each."""
    volume_B = SCALE * gradient_lengths(residual_NC, features_ND)[rows]
    count_B = np.arange(1, len(rows) + 1)
    picks: list[int] = []
    factors: list[np.ndarray] = []
    while len(picks) < k:
        start = picks[-1] + 1 if picks else 0
        mean_B = volume_B.cumsum() / count_B
        share_B = np.divide(volume_B, mean_B, out=np.zeros_like(mean_B), where=mean_B > 0)
        chance_B = (k - len(picks)) / (len(rows) - count_B + 1) * share_B
        hits = np.flatnonzero(uniform_B[start:] < chance_B[start:])
        if not len(hits):
            break
        pick = start + int(hits[0])
        product_N = (residual_NC @ residual_NC[rows[pick]]) * (features_ND @ features_ND[rows[pick]])
        factor_B = SCALE * product_N[rows] - sum(one[pick] * one for one in factors)
        factor_B = factor_B / np.sqrt(1 + volume_B[pick])
        volume_B = np.maximum(volume_B - factor_B**2, 0)
        picks.append(pick)
        factors.append(factor_B)
    return picks
