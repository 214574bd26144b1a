"""EAOA (Zong and Huang 2025): epistemic uncertainty as an energy gates, aleatoric uncertainty chooses."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.preprocessing import normalize
from torch import Tensor
from torch.nn.functional import cross_entropy, relu

from alkit.acquisition import _small_heads
from alkit.acquisition._open_set import id_labelled, min_max, one_thread, seed_of, upper_mode
from alkit.acquisition.clusters import apportion
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View
from alkit.options import Range

ENERGY_WEIGHT, ENERGY_ID, ENERGY_NON_ID = 0.01, -25.0, -7.0


WIDTH, PRECISION, TOLERANCE = 5, 0.6, 0.05


@strategy(
    "eaoa", citation="Zong and Huang 2025 (CVPR), arXiv 2502.19691", needs=("features", "head"), family="open-set"
)
def eaoa(
    view: View, *, variant: Literal["paper", "code"] = "paper", neighbours: Annotated[int, Range(1)] = 250
) -> Iterator[int]:
    """From each predicted class, the most ambiguous of those that two energies take for iD (Zong and Huang 2025).

    E = -log sum_k exp(a_k) + log(1 + exp(a_K+1)) of K + 1 outputs a is low for iD. It is taken (1) of a detector
    trained by cross-entropy + 0.01 (relu(F + 25)^2 over iD + relu(-7 - F)^2 over non-iD labels), F = -log sum_k
    exp(a_k); and (2) of counts: a_c is the number of samples labelled c among whose `neighbours` nearest unlabelled
    ones, by cosine similarity, the sample is. Each gives, scaled to 0..1, the posterior of the lower of two Gaussian
    modes; purity is their product. Informativeness is the posterior of the upper mode of -log sum_k exp(f_k) + log sum
    over k != y of exp(f_k), f the classifier's K iD outputs and y the largest. Each round of quota samples takes, from
    the k1 times as many purest of each predicted class, equally many of the most informative. With none iD labelled the
    order is random.

    variant="code" divides the counts of a class by its number of labels over the mean of the iD classes, as published;
    with no non-iD label the counts' non-iD term is left out and the mean is over K + 1. Departures: the detector is a
    linear head on the learner's features; k1 is one step from 5 by the precision of all answers (0.6 +- 0.05), where
    the paper moves it after each round, which a view does not show.

    Cost: O(m C D) per step of training on m labels, O(n m D) for the neighbours. Assumes that iD samples are near
    labelled ones. Both energies keep OoD samples out; ambiguous samples near labelled iD ones pass and come first.
    """
    positions, labelled = view.rng.permutation(view.unlabelled), id_labelled(view)
    if not len(labelled) or not len(positions):
        yield from view.only_candidates(positions).tolist()
        return
    seed = seed_of(view)
    by_detector_U = energy(_detector_logits(view, positions))
    by_counts_U = energy(_reverse_neighbour_counts(view, positions, neighbours, weighted=variant == "code"))
    purity_U = np.ones(len(positions))
    for energy_U in (by_detector_U, by_counts_U):
        purity_U *= upper_mode(-min_max(energy_U), seed=seed)
    logits_UK = (view.head.features_ND[positions] @ view.head.weight_CD.T + view.head.bias_C)[:, : view.n_classes]
    informative_U = upper_mode(min_max(aleatoric(logits_UK.astype(np.float64))), seed=seed)
    predicted_U = np.where(np.isin(positions, view.unasked), logits_UK.argmax(axis=1), -1)
    classes = [np.flatnonzero(predicted_U == k) for k in view.rng.permutation(view.n_classes)]
    queues = [members[np.argsort(-purity_U[members], kind="stable")] for members in classes if len(members)]
    for place in _rounds(view, queues, informative_U, width=_width(view, labelled)):
        yield int(positions[place])


def energy(logits_NC: np.ndarray) -> np.ndarray:
    """Energy (N,) of K + 1 outputs, low for iD; a last output of -inf leaves the non-iD term out."""
    return -logsumexp(logits_NC[:, :-1], axis=1) + np.logaddexp(0, logits_NC[:, -1])


def aleatoric(logits_NK: np.ndarray) -> np.ndarray:
    """Energy-based aleatoric uncertainty (N,), at most 0 + log(K - 1) and higher where classes compete; 0 for K = 1."""
    if logits_NK.shape[1] == 1:
        return np.zeros(len(logits_NK))
    others_NK = logits_NK.copy()
    np.put_along_axis(others_NK, logits_NK.argmax(axis=1)[:, None], -np.inf, axis=1)
    return logsumexp(others_NK, axis=1) - logsumexp(logits_NK, axis=1)


def _detector_logits(view: View, positions: np.ndarray) -> np.ndarray:
    """Outputs (U, K + 1) of the detector; the last is -inf where no non-iD sample is labelled."""
    answered, rows_ND = view.answers_N >= 0, _small_heads.inputs(view.features_ND)
    labels_M = torch.from_numpy(view.answers_N[answered])
    non_id_M = labels_M == view.n_classes

    def loss(out_MC: Tensor) -> Tensor:
        free_M = -out_MC[:, :-1].logsumexp(1)
        total = cross_entropy(out_MC, labels_M) + ENERGY_WEIGHT * relu(free_M[~non_id_M] - ENERGY_ID).square().mean()
        if non_id_M.any():
            total = total + ENERGY_WEIGHT * relu(ENERGY_NON_ID - free_M[non_id_M]).square().mean()
        return total

    detector = _small_heads.train(loss, rows_ND[torch.from_numpy(answered)], view.n_classes + 1)
    logits_UC = detector.logits(rows_ND[torch.from_numpy(positions)])
    if not non_id_M.any():
        logits_UC[:, -1] = -np.inf
    return logits_UC


@one_thread()
def _reverse_neighbour_counts(
    view: View, positions: np.ndarray, neighbours: int, *, weighted: bool, chunk: int = 256
) -> np.ndarray:
    """Counts (U, K + 1), per class, of the labelled samples that have an unasked one among their nearest such.

    `weighted`: divided by relative label counts, with -inf for non-iD where no such sample is labelled, as published.
    """
    labelled, take = np.flatnonzero(view.answers_N >= 0), min(neighbours, len(positions))
    rows_ND = normalize(view.features_ND)
    pool_UD, counts_UC = rows_ND[positions], np.zeros((len(positions), view.n_classes + 1))
    for start in range(0, len(labelled), chunk):
        part = labelled[start : start + chunk]
        nearest_BT = torch.from_numpy(rows_ND[part] @ pool_UD.T).topk(take, dim=1, sorted=False).indices.numpy()
        np.add.at(counts_UC, (nearest_BT, view.answers_N[part, None]), 1)
    if weighted:
        counts_UC = _weighted(counts_UC, np.bincount(view.answers_N[labelled], minlength=view.n_classes + 1))
    return counts_UC


def _weighted(counts_UC: np.ndarray, labels_C: np.ndarray) -> np.ndarray:
    """Counts divided by the share of labels that their class has, relative to the mean; a class without labels has 0.

    The mean is over the K iD classes, or over all K + 1 where no non-iD sample is labelled.
    """
    mean = labels_C[:-1].mean() if labels_C[-1] else labels_C.mean()
    counts_UC = counts_UC * (mean / np.maximum(labels_C, 1))
    if not labels_C[-1]:
        counts_UC[:, -1] = -np.inf
    return counts_UC


def _width(view: View, labelled: np.ndarray) -> int:
    """k1: how many times the share of a class are looked at; more where precision has room, fewer where it lacks."""
    precision = len(labelled) / (view.answers_N >= 0).sum()
    return WIDTH + int(precision > PRECISION + TOLERANCE) - int(precision < PRECISION - TOLERANCE)


def _rounds(view: View, queues: list[np.ndarray], informative_U: np.ndarray, *, width: int) -> Iterator[int]:
    """Rounds of quota samples: of each queue's `width` shares of purest, a share of the most informative."""
    windows, ends = [np.empty(0, np.int64) for _ in queues], [0] * len(queues)
    left_Q = np.array([len(queue) for queue in queues])
    while left_Q.any():
        share_Q, chosen = apportion(view.quota, (left_Q > 0).astype(np.int64), left_Q), []
        for q, share in enumerate(share_Q):
            end = ends[q] + max(0, width * share - len(windows[q]))
            window = np.concatenate([windows[q], queues[q][ends[q] : end]])
            window = window[np.argsort(-informative_U[window], kind="stable")]
            chosen.append(window[:share])
            windows[q], ends[q] = window[share:], min(end, len(queues[q]))
        left_Q -= share_Q
        yield from view.rng.permutation(np.concatenate(chosen)).tolist()
