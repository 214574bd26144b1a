"""Strategies on the gradients of the last layer: BADGE and ALFA-Mix."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np

from alkit.acquisition._geometry import CELLS, PART, by_chunks, draw, k_means, rounds, unit_rows
from alkit.acquisition.disagreement import flip_rate, inverse_gaps
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import Head, View
from alkit.options import Range

CHUNK = 1024  # rows


SAME = 1e-12  # squared distances, relative to the squared lengths, that rounding alone can make


@strategy(
    "badge", citation="Ash et al. 2020 (ICLR), Algorithm 1, arXiv 1906.03671", needs=("head", "probs"), family="classic"
)
def badge(view: View, *, variant: Literal["paper", "code"] = "paper") -> Iterator[int]:
    """k-means++ draws among gradients g_i = (p_i - e_y) h_i^T, y the predicted class (Ash et al. 2020, Algorithm 1).

    The probability of a draw is in proportion to the squared distance of g_i to the closest gradient that was picked.
    All C = K + 1 outputs count. `variant`: the first pick is random ("paper"), or the longest gradient ("code"). Where
    all that is left equals what was picked, the order is random.

    Cost: O(n (D + C)) time per pick and O(n (D + C)) memory: |g_i - g_j|^2 = |a_i|^2 |h_i|^2 + |a_j|^2 |h_j|^2 - 2 (a_i
    . a_j) (h_i . h_j) for a = p - e_y, so that gradients of length C D are never formed. Large stages measure many
    picks at a time (see `_k_means_plus_plus`). Assumes that the predicted label is good enough for the gradient's
    direction. Ambiguous and OoD samples both have long gradients and come early; a group of either is queried once
    rather than again and again.
    """
    group = view.shuffled()
    if not len(group):
        return
    residual_NC = view.probs_NC[group].astype(np.float64)
    residual_NC[np.arange(len(group)), residual_NC.argmax(axis=1)] -= 1
    features_ND = view.head.features_ND[group].astype(np.float64)
    at_once = max(1, view.quota // PART)
    yield from (int(group[i]) for i in _k_means_plus_plus(residual_NC, features_ND, variant, view.rng, at_once))


def gradient_distances(residual_NC, features_ND, length_N, picks: np.ndarray, rows=slice(None)) -> np.ndarray:
    """Squared distances (R, P) of the gradients of `rows` to those of `picks` (P,).

    Exactly 0 where only rounding tells two apart.
    """
    both_RP = length_N[rows, None] + length_N[picks]
    squared_RP = (residual_NC[rows] @ residual_NC[picks].T) * (features_ND[rows] @ features_ND[picks].T)
    squared_RP *= -2
    squared_RP += both_RP
    both_RP *= SAME
    squared_RP[squared_RP <= both_RP] = 0
    return squared_RP


def gradient_lengths(residual_NC: np.ndarray, features_ND: np.ndarray) -> np.ndarray:
    """Squared lengths (N,) of the gradients."""
    return np.einsum("nc,nc->n", residual_NC, residual_NC) * np.einsum("nd,nd->n", features_ND, features_ND)


def _k_means_plus_plus(
    residual_NC, features_ND, variant: str, rng: np.random.Generator, at_once: int = 1
) -> Iterator[int]:
    """Indices 0..N-1 in the order of the draws; rows are in random order already.

    Distances to the picks are brought up to date for all rows after every `at_once` picks, by one product of matrices.
    Until then they are upper bounds: a draw by them is accepted with probability true / bound, so that what is accepted
    has the true distances' odds (rejection sampling).
    """
    length_N = gradient_lengths(residual_NC, features_ND)
    bound_N, left_N = np.full(len(length_N), np.inf), np.ones(len(length_N), bool)
    pick, recent = int(length_N.argmax()) if variant == "code" else 0, list[int]()

    def closest(rows, picks: list[int]) -> np.ndarray:
        return gradient_distances(residual_NC, features_ND, length_N, np.array(picks), rows).min(axis=1)

    def bring_up_to_date() -> None:
        chunk = CELLS // len(recent) + 1
        for start in range(0, len(bound_N), chunk):
            rows = slice(start, start + chunk)
            np.minimum(bound_N[rows], closest(rows, recent), out=bound_N[rows])
        recent.clear()

    while True:
        yield pick
        left_N[pick] = False
        recent.append(pick)
        if len(recent) >= at_once or np.isinf(bound_N[pick]):
            bring_up_to_date()
        bound_N[~left_N] = 0
        while bound_N.any():
            pick = draw(bound_N, rng)
            if not recent:
                break
            bound, bound_N[pick] = bound_N[pick], min(bound_N[pick], closest([pick], recent)[0])
            if rng.random() * bound < bound_N[pick]:
                break
        else:
            break
    yield from np.flatnonzero(left_N).tolist()


@strategy(
    "alfa_mix",
    citation="Parvaneh et al. 2022 (CVPR), Eq. 5, arXiv 2203.07034",
    needs=("head", "probs"),
    family="classic",
)
def alfa_mix(
    view: View, *, cap: Annotated[float, Range(0, 1, above=True)] = 0.2, variant: Literal["paper", "code"] = "paper"
) -> Iterator[int]:
    """Samples whose prediction changes when a little of a labelled class is mixed into their features, spread out.

    Parvaneh et al. 2022, Eq. 5. Features z are mixed with each anchor a, the mean features of a class's labelled
    samples (of all labelled ones where a class has none; labelled non-iD samples are a class): z + alpha (a - z), alpha
    = e |a - z| g / |g| / (a - z) elementwise, with g the gradient of the loss at the predicted label and e = epsilon /
    sqrt(D). A sample is a candidate if a mixture is predicted otherwise; epsilon = `cap`, 2 `cap`, ... up to 1, until
    there are more candidates than the quota. k-means makes quota clusters of their features, of unit length: the
    nearest to each centre come first, then the second nearest, and so on; after them the others, at random. `variant`:
    "paper" holds alpha within [0, e], so that features move towards the anchor only; "code" does not, as published, and
    what it computes is z + e |a - z| g / |g|, the same direction for every anchor. The two end half a point apart, so
    that tables show both.

    Cost: O(n D C) per anchor for all epsilons at once, as mixtures lie on a ray; k-means, O(n quota D) per iteration.
    Assumes a linear last layer, and that features of known classes explain the pool. Ambiguous samples change first;
    OoD samples do where they lie near a boundary, and then take as many clusters as they fill.
    """
    anchors_AD = anchors(view)
    group = view.shuffled()
    if not len(group):
        return
    flips = _flips(mixing_rate(view.head, group, anchors_AD, clip=variant == "paper"), cap, view)
    if flips.any():
        rows_ND = unit_rows(view.head.features_ND[group[flips]])
        cluster, squared = k_means(rows_ND, view.quota, view.rng)
        yield from group[flips][rounds(cluster, squared, view.rng)].tolist()
    yield from group[~flips].tolist()


def anchors(view: View) -> np.ndarray:
    """Mean labelled features of each class in head space, and of all labelled ones if a class has none; (A, D)."""
    asked = view.answers_N >= 0
    features_MD, answers_M = view.head.features_ND[asked].astype(np.float64), view.answers_N[asked]
    classes = np.unique(answers_M)
    means = [features_MD[answers_M == c].mean(axis=0) for c in classes]
    if 0 < len(classes) <= view.n_classes:
        means.append(features_MD.mean(axis=0))
    return np.array(means).reshape(len(means), features_MD.shape[1])


def mixing_rate(head: Head, positions: np.ndarray, anchors_AD: np.ndarray, *, clip: bool) -> np.ndarray:
    """1 / e for the smallest e = epsilon / sqrt(D) at which mixing in an anchor flips a prediction; 0 for never."""

    def rate(rows):
        features_BD = head.features_ND[positions[rows]].astype(np.float64)
        logits_BC = features_BD @ head.weight_CD.T + head.bias_C
        ascent_BD = unit_rows(loss_gradient(logits_BC, head.weight_CD))
        label_B, inverse_BC = inverse_gaps(logits_BC)
        rate_B = np.zeros(len(features_BD))
        for anchor_D in anchors_AD:
            step_BD = mixing_step(anchor_D - features_BD, ascent_BD, clip=clip)
            rate_B = np.maximum(rate_B, flip_rate(label_B, inverse_BC, step_BD @ head.weight_CD.T))
        return rate_B

    return by_chunks(rate, len(positions), chunk=CHUNK)


def loss_gradient(logits_BC: np.ndarray, weight_CD: np.ndarray) -> np.ndarray:
    """Gradient (B, D), in the features, of the cross-entropy at the predicted label."""
    probs_BC = np.exp(logits_BC - logits_BC.max(axis=1, keepdims=True))
    probs_BC /= probs_BC.sum(axis=1, keepdims=True)
    probs_BC[np.arange(len(logits_BC)), logits_BC.argmax(axis=1)] -= 1
    return probs_BC @ weight_CD


def mixing_step(towards_BD: np.ndarray, ascent_BD: np.ndarray, *, clip: bool) -> np.ndarray:
    """alpha (a - z) / e for a - z = `towards_BD` and g / |g| = `ascent_BD`; no division, so none by 0."""
    step_BD = np.linalg.norm(towards_BD, axis=1, keepdims=True) * ascent_BD
    if not clip:
        return step_BD
    return np.clip(step_BD, np.minimum(towards_BD, 0), np.maximum(towards_BD, 0))


def _flips(rate_N: np.ndarray, cap: float, view: View) -> np.ndarray:
    """Whether each is a candidate at the first epsilon that gives more than the quota, or else at the last one."""
    for level in range(1, int(np.ceil(1 / cap)) + 1):
        flips_N = level * cap / np.sqrt(view.head.features_ND.shape[1]) * rate_N > 1
        if flips_N.sum() > view.quota:
            break
    return flips_N
