"""Our own strategy, past the paper: cover what the classifier doubts, by asking what is likely to be iD."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from alkit.acquisition._neighbourhood import Purity, graph, nearest_neighbours
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import NOT_ASKED, View
from alkit.options import Range

LEAST_DOUBT = 0.05


NODES_PER_ANSWER, REFRESHES = 5, 20  # of large stages


@strategy("cautious_coverage", citation="ours", needs=("features", "probs"), family="ours")
def cautious_coverage(
    view: View,
    *,
    doubt: Annotated[float, Range(0)] = 3.0,
    caution: Annotated[float, Range(0)] = 1.0,
    neighbours: Annotated[int, Range(1)] = 50,
    candidates: Annotated[int, Range(1)] = 4000,
    gates: Literal["both", "answers", "density"] = "both",
    at_once: bool = True,
) -> Iterator[int]:
    """Our strategy: cover what the classifier doubts, by querying what is likely to be iD.

    score(i) = P_i^caution x sum_j max(w_ij - c_j, 0) P_j d_j over unlabelled j. w_ij = exp((cos(h_i, h_j) - 1) / t),
    w_ii = 1, on a graph of nearest neighbours, t the median of 1 - cos with a node's farthest one. P is the probability
    of being iD (`Purity`: answers spread over the graph, and density). d = max(1 - margin, 0.05)^doubt, margin among
    the K iD probabilities; 1 before a label. c_j = max w_jl over samples l answered iD. It is the doubt-weighted cover
    of Bae et al. 2024 (arXiv 2412.20644), in expectation over who is iD. `doubt` or `caution` 0, `neighbours` 1, or one
    of the `gates` of P leaves an ingredient out.

    Each answer within a stage is used at once (`view.live_N`): an iD one covers its surroundings, a non-iD one lowers P
    there. `at_once=False` uses them when the stage has ended. Listening at once saved 8 of 347 questions on MixDigits;
    accuracy for the same cost has no measured benefit, it was 0.08 points higher without. Above max(`candidates`, 5 x
    quota) unlabelled samples, as many are drawn at random; the others come last. In stages of more than 20 samples, P
    is computed anew after every 1/20 of the quota.

    Cost: O(m^2 D) for m <= 10,000 nodes (or 10 x quota), then O(k^2) per question and O(m k) per refresh. Assumes that
    classes are denser than what lies between them, and that OoD samples gather. OoD samples are avoided after a few
    answers near them; ambiguous ones come late while they are thinner spread than classes, and are queried, as by any
    strategy that looks for doubt, inside a doubtful class.
    """
    nodes = nodes_of(view, max(candidates, NODES_PER_ANSWER * view.quota))
    if len(nodes):
        options = dict(doubt=doubt, caution=caution, neighbours=neighbours, gates=gates, at_once=at_once)
        yield from (int(nodes[moment.asked]) for moment in moments(view, nodes, **options))
        yield from view.only_candidates(view.rng.permutation(np.setdiff1d(view.unlabelled, nodes))).tolist()


@dataclass(frozen=True)
class Moment:
    """What the strategy knows of its M nodes when it puts a question, which is about node `asked`.

    `purity` is the gate behind `purity_M`, P(iD); `doubt_M` the doubt to its power; `gain_M` the doubtful, likely iD
    mass that an answer would cover anew; `is_id_M` and `is_other_M` the answers that are known. The arrays are the
    strategy's own: they change with the next question.
    """

    asked: int
    purity: Purity
    purity_M: np.ndarray
    doubt_M: np.ndarray
    covered_M: np.ndarray
    gain_M: np.ndarray
    is_id_M: np.ndarray
    is_other_M: np.ndarray


def moments(view: View, nodes, *, doubt=3.0, caution=1.0, neighbours=50, gates="both", at_once=True):
    """The algorithm: a `Moment` for each question about one of the `nodes` (pool positions), until all are asked."""
    similarity_Mk, index_Mk = nearest_neighbours(view.features_ND[nodes], neighbours)
    edges_MM = graph(similarity_Mk, index_Mk)
    edges_MM.setdiag(1)
    purity = Purity(similarity_Mk, index_Mk, view.rng, gates=gates)
    answers_M, doubt_M = view.answers_N[nodes].copy(), _doubt(view, nodes) ** doubt
    is_id_M, is_other_M = (answers_M >= 0) & (answers_M < view.n_classes), answers_M == view.n_classes
    purity.calibrate(is_id_M, is_other_M)
    free_M, may_M, covered_M = answers_M == NOT_ASKED, np.isin(nodes, view.unasked), np.zeros(len(nodes))
    for node in np.flatnonzero(is_id_M).tolist():
        _cover(edges_MM, node, covered_M)
    for count in range(int(may_M.sum())):
        if count % max(1, view.quota // REFRESHES) == 0:
            purity_M = purity(is_id_M, is_other_M)
            worth_M = purity_M * doubt_M
            gain_M = _gain(edges_MM, worth_M * free_M, covered_M)
        node = int(np.where(may_M, (gain_M + 1e-12) * purity_M**caution, -1).argmax())
        yield Moment(node, purity, purity_M, doubt_M, covered_M, gain_M, is_id_M, is_other_M)
        free_M[node], may_M[node] = False, False
        answer = (view.live_N if at_once else view.answers_N)[nodes[node]]
        if answer == view.n_classes:
            is_other_M[node] = True
            continue
        is_id_M[node] = answer != NOT_ASKED
        _cover(edges_MM, node, covered_M)
        around = _around(edges_MM, node)
        gain_M[around] = _gain(edges_MM[around], worth_M * free_M, covered_M)


def nodes_of(view: View, most: int) -> np.ndarray:
    """At most `most` unlabelled positions and as many answered ones, at random; none where all is answered."""
    unlabelled, answered = view.unlabelled, np.flatnonzero(view.answers_N != NOT_ASKED)
    if not len(unlabelled):
        return unlabelled
    return np.concatenate([view.rng.permutation(part)[:most] for part in (unlabelled, answered)])


def _doubt(view: View, nodes: np.ndarray) -> np.ndarray:
    """1 - the difference of the two largest iD probabilities, made to sum to 1; at least LEAST_DOUBT, at most 1."""
    id_NK = view.probs_NC[nodes, :-1].astype(np.float64)
    if view.n_classes == 1 or not (view.answers_N != NOT_ASKED).any():
        return np.ones(len(nodes))
    total_N = id_NK.sum(axis=1)
    top_N2 = np.partition(id_NK, -2, axis=1)[:, -2:] / np.where(total_N > 0, total_N, 1)[:, None]
    return np.clip(1 - (top_N2[:, 1] - top_N2[:, 0]), LEAST_DOUBT, 1)


def _row(edges_NN, node: int) -> slice:
    return slice(edges_NN.indptr[node], edges_NN.indptr[node + 1])


def _cover(edges_NN, node: int, covered_N: np.ndarray) -> None:
    """An iD answer at `node` covers it and its neighbours, in place."""
    row = _row(edges_NN, node)
    reached = edges_NN.indices[row]
    covered_N[reached] = np.maximum(covered_N[reached], edges_NN.data[row])


def _around(edges_NN, node: int) -> np.ndarray:
    """The nodes that share a neighbour with `node`: those whose gain changes when it is covered."""
    return np.unique(edges_NN[edges_NN.indices[_row(edges_NN, node)]].indices)


def _gain(edges_MN, worth_N: np.ndarray, covered_N: np.ndarray) -> np.ndarray:
    """sum_j max(w_ij - c_j, 0) worth_j (M,) of these rows."""
    new_E = np.maximum(edges_MN.data - covered_N[edges_MN.indices], 0) * worth_N[edges_MN.indices]
    rows_E = np.repeat(np.arange(edges_MN.shape[0]), np.diff(edges_MN.indptr))
    return np.bincount(rows_E, new_E, minlength=edges_MN.shape[0])
