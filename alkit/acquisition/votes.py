"""NEAT (Mao, Xu and Guo 2024): neighbours' answers vote who is iD, and where they contradict the classifier."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
from scipy.special import log_softmax

from alkit.acquisition._geometry import CELLS, by_chunks, unit_rows
from alkit.acquisition._open_set import closed_probs, id_labelled
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View
from alkit.options import Range

WIDTH = 2  # quotas of candidates that inconsistency chooses from


@strategy(
    "neat", citation="Mao, Xu and Guo 2024 (AAAI), arXiv 2401.04923", needs=("features", "probs"), family="open-set"
)
def neat(view: View, *, neighbours: Annotated[int, Range(1)] = 10) -> Iterator[int]:
    """Of samples with mostly iD neighbours, those first whose votes contradict the classifier (Mao, Xu and Guo 2024).

    n_c is the number of votes for class c: the answers of the `neighbours` nearest labelled samples, by cosine
    similarity. Candidates have more iD than non-iD votes. Each round of quota samples takes, of the 2 x quota
    candidates with most iD votes, those of highest inconsistency -sum_k p_k log softmax(n)_k, the cross-entropy between
    the K iD probabilities p, made to sum to 1, and the softmax of the iD votes. What is no candidate follows by the
    same rule. With no labelled iD sample the order is random.

    Departures: the learner's features stand for CLIP's; the published code drops what is no candidate, and more rounds
    than one in a stage are ours. Nothing is trained.

    Cost: O(n m D) for m labelled samples. Assumes that neighbours share their labels. OoD samples come late once some
    like them are labelled, and pass as the class they are nearest to before. Ambiguous samples have few votes of one
    class and pass where the labels around them are iD; the classifier is unsure there, which n contradicts: they come
    first among candidates.
    """
    positions, labelled = view.shuffled(), view.rng.permutation(np.flatnonzero(view.answers_N >= 0))
    if not len(id_labelled(view)):
        yield from positions.tolist()
        return
    if not len(positions):
        return
    votes_UC = votes(
        view.features_ND[positions], view.features_ND[labelled], view.answers_N[labelled], view.n_classes, neighbours
    )
    inconsistency_U = inconsistency(votes_UC[:, :-1], closed_probs(view.probs_NC[positions]))
    id_votes_U = votes_UC[:, :-1].sum(axis=1)
    by_votes = np.argsort(-id_votes_U, kind="stable")
    candidate = (id_votes_U > votes_UC[:, -1])[by_votes]
    for group in (by_votes[candidate], by_votes[~candidate]):
        yield from positions[_in_rounds(group, inconsistency_U, view.quota)].tolist()


def votes(
    rows_ND: np.ndarray, labelled_MD: np.ndarray, labels_M: np.ndarray, n_classes: int, neighbours: int
) -> np.ndarray:
    """Votes (N, K + 1) of each row's nearest labelled samples, at most `neighbours`; equally near ones by index."""
    rows_ND, labelled_MD = unit_rows(rows_ND), unit_rows(labelled_MD)
    take, one_hot_CC = min(neighbours, len(labels_M)), np.eye(n_classes + 1, dtype=np.int64)

    def counted(rows: slice) -> np.ndarray:
        similarity_BM = torch.from_numpy(rows_ND[rows] @ labelled_MD.T)
        return one_hot_CC[labels_M[similarity_BM.topk(take, dim=1, sorted=False).indices.numpy()]].sum(axis=1)

    return by_chunks(counted, len(rows_ND), chunk=max(1, CELLS // len(labels_M)))


def inconsistency(votes_NK: np.ndarray, probs_NK: np.ndarray) -> np.ndarray:
    """Cross-entropy (N,) between probabilities and the softmax of the votes."""
    return -(probs_NK * log_softmax(votes_NK.astype(np.float64), axis=1)).sum(axis=1)


def _in_rounds(queue: np.ndarray, score_U: np.ndarray, size: int) -> np.ndarray:
    """The queue in rounds of `size`, each the highest scores among the first WIDTH * size that are left."""
    window, order = queue[:0], []
    for start in range(0, len(queue), size):
        end = start + WIDTH * size
        window = np.concatenate([window, queue[start + len(window) : end]])
        window = window[np.argsort(-score_U[window], kind="stable")]
        order.append(window[:size])
        window = window[size:]
    return np.concatenate([queue[:0], *order])
