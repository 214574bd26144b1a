"""Strategies that cover a space: k-centre greedy (core-set; PCoreSet on probabilities) and ProbCover."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np

from alkit.acquisition._geometry import CELLS, PART, by_chunks, k_means, nearest_squared, squared_distances, unit_rows
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View
from alkit.options import Range

TOP = 5  # ProbCover's paper draws among as many vertices of highest out-degree


BLOCK = 512  # vertices whose out-degree is brought up to date at a time


HAIR = 1 - 1e-9  # keeps a sample at exactly the radius outside the ball, however its distance was rounded


PROBCOVER = "Yehuda, Dekel, Hacohen and Weinshall 2022 (NeurIPS), Algorithm 1, arXiv 2205.11320"


@strategy(
    "coreset",
    citation="Sener and Savarese 2018 (ICLR), Algorithm 1, arXiv 1708.00489",
    needs=("features",),
    family="classic",
)
def coreset(view: View) -> Iterator[int]:
    """k-centre greedy (Sener and Savarese 2018): next the sample farthest from all labelled ones.

    argmax_i min_j |h_i - h_j| over labelled j. Every labelled sample is a centre, non-iD ones too; with none, the first
    pick is random. The paper's second step, a mixed-integer programme that leaves out outliers, is in none of the
    published implementations and not here either.

    Cost: O(n m D) at the start for m labelled samples, O(n D) per pick; O(n D) memory. Assumes that distance in the
    feature space is difference in what there is to learn. What lies far from everything comes first: OoD samples before
    all others, then ambiguous ones, which lie between classes, and clear ones last.
    """
    yield from _farthest_first(view, view.features_ND)


@strategy("pcoreset", citation="Kang et al. 2025, arXiv 2506.00910", needs=("probs",), family="classic")
def pcoreset(view: View) -> Iterator[int]:
    """k-centre greedy among predicted probabilities: next the sample predicted most unlike all labelled ones.

    argmax_i min_j |p_i - p_j| over labelled j, with p the K + 1 probabilities (Kang et al. 2025, PCoreSet). The first
    pick is random where nothing is labelled. Departure: the paper's probabilities are of a student taught by a
    vision-language model, which has never seen a label of the task; here they are the learner's own.

    Cost: O(n m C) at the start for m labelled samples, O(n C) per pick. Assumes that predictions fall into groups that
    stand for kinds of image. Sure predictions of each class lie at the corners and are covered by one answer each;
    ambiguous samples, in the middle between corners, come early. OoD samples do where the classifier mixes classes, and
    an auxiliary class that is sure of them has one corner, covered by one answer.
    """
    yield from _farthest_first(view, view.probs_NC)


def _farthest_first(view: View, rows_ND: np.ndarray) -> Iterator[int]:
    """Unasked positions, each the farthest from all that were asked or came before it; the first random if none.

    After every quota / PART picks, all distances are brought up to date by one product of matrices. Until then they
    are upper bounds: the highest is the farthest once its own distance is up to date and it is still the highest.
    """
    positions = view.rng.permutation(view.unasked)
    if not len(positions):
        return
    # Centred, as distances are differences of inner products: they lose digits to a mean that all rows share.
    rows_ND = rows_ND - rows_ND.mean(axis=0, dtype=np.float64)
    asked_MD, rows_ND = np.delete(rows_ND, view.unlabelled, axis=0), rows_ND[positions]
    bound_N = nearest_squared(rows_ND, asked_MD)  # squared distance to the nearest, or more: never less
    square_N = np.einsum("nd,nd->n", rows_ND, rows_ND)
    at_once, recent = max(1, view.quota // PART), list[int]()

    def closest(rows) -> np.ndarray:
        squared_RP = square_N[rows, None] + square_N[recent] - 2 * (rows_ND[rows] @ rows_ND[recent].T)
        return np.maximum(squared_RP, 0, out=squared_RP).min(axis=1)

    for _ in positions:
        pick = int(bound_N.argmax())
        while recent and (exact := closest([pick])[0]) < bound_N[pick]:
            bound_N[pick] = exact
            pick = int(bound_N.argmax())
        yield int(positions[pick])
        recent.append(pick)
        if len(recent) >= at_once or np.isinf(bound_N[pick]):
            chunk = CELLS // len(recent) + 1
            for start in range(0, len(bound_N), chunk):
                rows = slice(start, start + chunk)
                np.minimum(bound_N[rows], closest(rows), out=bound_N[rows])
            recent.clear()
        bound_N[pick] = -1


@strategy("probcover", citation=PROBCOVER, needs=("features",), family="classic")
def probcover(
    view: View,
    *,
    purity: Annotated[float, Range(0, 1, above=True)] = 0.95,
    delta: Annotated[float, Range(0)] = 0.0,
    candidates: Annotated[int, Range(1)] = 10_000,
    variant: Literal["paper", "code"] = "paper",
) -> Iterator[int]:
    """Greedy coverage (Yehuda et al. 2022): next a sample whose ball {y : |x - y| < delta} holds most uncovered ones.

    Features have unit length, so that delta lies between 0 and 2. `delta` 0 is the paper's choice: the largest radius
    at which the share `purity` of all balls hold one pseudo-label only, by k-means into K + 1 clusters, K classes and
    what is in none; the published code sets it by hand (0.75 for CIFAR-10). `variant`: draw among the five samples of
    highest degree, as the paper randomises the choice, or take the highest ("code"). Labelled samples cover, non-iD
    ones too. Once all is covered, everything counts as uncovered again.

    Cost: O(m^2 D) time and m^2 / 8 bytes for the graph on m = min(n, `candidates`) unlabelled samples, drawn at random;
    the others come after them, in random order. Assumes that classes are dense and apart. Dense places come first: OoD
    samples that are thinly spread come last, a dense group of them early; ambiguous samples are queried where they are
    dense.
    """
    positions = view.rng.permutation(view.unlabelled)
    vertices, others = positions[:candidates], view.only_candidates(positions[candidates:])
    may_V = np.isin(vertices, view.unasked)
    if may_V.any():
        rows_VD = unit_rows(view.features_ND[vertices].astype(np.float64))
        asked_MD = unit_rows(np.delete(view.features_ND, view.unlabelled, axis=0))
        radius = delta or pure_radius(rows_VD, view.n_classes + 1, purity, view.rng)
        covered_V = nearest_squared(rows_VD, asked_MD) < radius**2
        top = TOP if variant == "paper" else 1
        for vertex in greedy_cover(ball_graph(rows_VD, radius), covered_V, top, view.rng, may_V):
            yield int(vertices[vertex])
    yield from others.tolist()


def pure_radius(rows_ND: np.ndarray, n_clusters: int, purity: float, rng: np.random.Generator) -> float:
    """Largest radius at which the share `purity` of the balls hold rows of one k-means cluster alone.

    A ball stays pure up to the distance of the nearest row of another cluster, so the radius is an order statistic of
    those distances, and no grid of radii is needed; inf where there is only one cluster.
    """
    n = len(rows_ND)
    cluster_N, _ = k_means(rows_ND, n_clusters, rng)

    def reach(rows):
        squared = squared_distances(rows_ND[rows], rows_ND)
        squared[cluster_N[rows, None] == cluster_N] = np.inf
        return squared.min(axis=1)

    reach_N = np.sort(by_chunks(reach, n, chunk=max(1, CELLS // n)))
    pure = int(np.ceil(purity * n - 1e-9))  # 0.55 * 100 is 55.00000000000001
    return float(np.sqrt(reach_N[n - pure])) * HAIR


def ball_graph(rows_VD: np.ndarray, radius: float, *, cells: int = CELLS) -> np.ndarray:
    """Row x holds one bit per vertex y: |x - y| < radius, or y is x; uint64 (V, ceil(V / 64)), `cells` at a time."""
    n = len(rows_VD)

    def edges(rows):
        near = np.zeros((rows.stop - rows.start, -(-n // 64) * 64), bool)
        near[:, :n] = squared_distances(rows_VD[rows], rows_VD) < radius**2
        near[np.arange(len(near)), np.arange(rows.start, rows.stop)] = True
        return np.packbits(near, axis=1).view(np.uint64)

    return by_chunks(edges, n, chunk=max(1, cells // n))


def greedy_cover(
    graph_VW: np.ndarray,
    covered_V: np.ndarray,
    top: int,
    rng: np.random.Generator,
    may_V: np.ndarray | None = None,
) -> Iterator[int]:
    """All vertices of a `ball_graph`, each drawn among the `top` of highest degree into what is uncovered yet.

    `may_V` bool: the vertices that may be drawn, all where it is None; the others are there to be covered.
    """
    may_V = np.ones(len(graph_VW), bool) if may_V is None else may_V
    full_V = np.where(may_V, np.bitwise_count(graph_VW).sum(axis=1, dtype=np.int64), 0)
    left_W = ~_packed(covered_V, graph_VW.shape[1])
    bound_V = full_V.copy()  # degrees only fall while covering goes on: an old degree bounds the present one
    taken_V = np.zeros(len(graph_VW), bool)
    for _ in range(int(may_V.sum())):
        best = _highest(graph_VW, left_W, bound_V, top)
        if not len(best):  # everything is covered: a new layer
            left_W = np.full_like(left_W, np.iinfo(np.uint64).max)
            bound_V = np.where(taken_V, 0, full_V)
            best = _highest(graph_VW, left_W, bound_V, top)
        pick = int(best[rng.integers(len(best))])
        yield pick
        taken_V[pick] = True
        left_W = left_W & ~graph_VW[pick]


def _packed(flag_V: np.ndarray, n_words: int) -> np.ndarray:
    bits = np.zeros(n_words * 64, bool)
    bits[: len(flag_V)] = flag_V
    return np.packbits(bits).view(np.uint64)


def _highest(graph_VW: np.ndarray, left_W: np.ndarray, bound_V: np.ndarray, top: int) -> np.ndarray:
    """Up to `top` vertices of highest degree into `left_W`, equal ones by index, none of degree 0.

    `bound_V` holds upper bounds of the degrees, 0 for what may not be picked; those looked at become exact.
    """
    order = np.argsort(-bound_V, kind="stable")
    order = order[: np.count_nonzero(bound_V)]
    seen = 0
    while seen < len(order):
        block = order[seen : seen + BLOCK]
        if seen >= top and np.partition(bound_V[order[:seen]], -top)[-top] > bound_V[block[0]]:
            break
        bound_V[block] = np.bitwise_count(graph_VW[block] & left_W).sum(axis=1, dtype=np.int64)
        seen += len(block)
    order = order[:seen]
    order = order[np.lexsort((order, -bound_V[order]))][:top]
    return order[bound_V[order] > 0]
