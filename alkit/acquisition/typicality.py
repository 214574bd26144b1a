"""Strategies that spread over clusters and take what is typical there: TypiClust, and the cold-start query."""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np

from alkit.acquisition._geometry import CELLS, by_chunks, k_means, rounds, squared_distances, unit_rows
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View
from alkit.options import Range

BLOCK = 1000  # members of a cluster among which neighbours are searched


@strategy(
    "typiclust",
    citation="Hacohen, Dekel and Weinshall 2022 (ICML), arXiv 2202.02794",
    needs=("features",),
    family="classic",
)
def typiclust(
    view: View,
    *,
    neighbours: Annotated[int, Range(1)] = 20,
    max_clusters: Annotated[int, Range(1)] = 500,
    min_size: Annotated[int, Range(0)] = 5,
    variant: Literal["paper", "code"] = "paper",
) -> Iterator[int]:
    """TPC_RP (Hacohen et al. 2022): the most typical sample of each cluster, 1 / (mean distance to its neighbours).

    k-means into min(labelled + quota, `max_clusters`) clusters of the whole pool, features of unit length. Clusters
    with fewest labelled samples come first and the larger of two equal ones, in every round; those of at most
    `min_size` members last of all. Neighbours are the min(`neighbours`, half of them) nearest unlabelled members of the
    same cluster (at least one), found anew when one was picked. `variant`: "paper" takes the mean distance, "code" the
    mean squared distance, which is what the published index returns; the order can differ.

    Cost: k-means, O(n K D) per iteration, then O(m^2 D) time and O(m^2) memory per pick in a cluster of m; larger ones
    than 1,000 are worked through in random blocks of 1,000. Assumes that typical samples teach most while there are few
    labels. OoD samples that form clusters are queried like classes, one per cluster and round; scattered ones are
    atypical or in small clusters, and come late. Ambiguous samples come late unless they form a cluster.
    """
    positions = view.rng.permutation(len(view.answers_N))
    asked_N = view.answers_N[positions] >= 0
    may_N = np.isin(positions, view.unasked)
    if not may_N.any():
        return
    rows_ND = unit_rows(view.features_ND[positions])
    cluster_N, _ = k_means(rows_ND, min(int(asked_N.sum()) + view.quota, max_clusters), view.rng)
    size_K = np.bincount(cluster_N)
    asked_K = np.bincount(cluster_N[asked_N], minlength=len(size_K))
    visits = np.lexsort((-size_K, asked_K))
    for wave in (visits[size_K[visits] > min_size], visits[size_K[visits] <= min_size]):
        queues = [np.flatnonzero((cluster_N == k) & ~asked_N) for k in wave]
        queues = [queue[np.argsort(~may_N[queue], kind="stable")] for queue in queues]  # candidates before the others
        while queues := [queue for queue in queues if len(queue) and may_N[queue[0]]]:
            for i, queue in enumerate(queues):
                block = queue[:BLOCK]
                typical = typicality(rows_ND[block], neighbours, squared=variant == "code")
                pick = int(np.where(may_N[block], typical, -1).argmax())
                yield int(positions[queue[pick]])
                queues[i] = np.delete(queue, pick)


def typicality(rows_ND: np.ndarray, neighbours: int, *, squared: bool) -> np.ndarray:
    """1 / (mean distance + 1e-5) of each row to its min(neighbours, N // 2) nearest others; distances or squares.

    A row that is alone has none, and the value that a distance of 0 would give.
    """
    n = len(rows_ND)
    if n == 1:
        return np.full(1, 1e5)
    k = min(neighbours, n // 2)
    distance_NN = squared_distances(rows_ND, rows_ND)
    np.fill_diagonal(distance_NN, np.inf)
    nearest_Nk = np.partition(distance_NN, k - 1, axis=1)[:, :k]
    return 1 / ((nearest_Nk if squared else np.sqrt(nearest_Nk)).mean(axis=1, dtype=np.float64) + 1e-5)


@strategy(
    "cold_start",
    citation="Chen et al. 2022, Making Your First Choice, arXiv 2210.02442",
    needs=("features",),
    family="classic",
)
def cold_start(
    view: View,
    *,
    temperature: Annotated[float, Range(0, above=True)] = 0.2,
    references: Annotated[int, Range(1)] = 4096,
) -> Iterator[int]:
    """The samples of each cluster in turn that are hardest to contrast with others, after Chen et al. 2022.

    k-means into K + 1 clusters, all queried equally often; labelled members count as turns that a cluster has had. The
    paper has K clusters; here one more is for what is in no class. Within a cluster the lowest c_i comes first, c_i = 1
    / (1 + sum_{j != i} exp((h_i . h_j - 1) / t)) for features h of unit length: a softmax with `temperature` t over the
    sample and `references` others, drawn at random. This is a departure: the paper averages over the epochs of
    contrastive training how well a sample is told from the negatives, and a view shows no training.

    Cost: k-means, O(n K D) per iteration, and O(n m D) time for m references. Assumes that what contrastive features
    crowd is typical, and that clusters stand for classes. OoD samples that form a cluster of their own get that
    cluster's share; scattered ones have few near neighbours and come last, and so do ambiguous ones between clusters.
    """
    positions = view.rng.permutation(len(view.answers_N))
    may_N, asked_N = np.isin(positions, view.unasked), view.answers_N[positions] >= 0
    if not may_N.any():
        return
    rows_ND = unit_rows(view.features_ND[positions])
    cluster_N, _ = k_means(rows_ND, view.n_classes + 1, view.rng)
    asked_K = np.bincount(cluster_N[asked_N], minlength=cluster_N.max() + 1)
    confidence_N = contrast_confidence(rows_ND, temperature, references)[may_N]
    taken_K = asked_K[: cluster_N[may_N].max() + 1]
    yield from positions[may_N][rounds(cluster_N[may_N], confidence_N, view.rng, taken_K)].tolist()


def contrast_confidence(rows_ND: np.ndarray, temperature: float, references: int) -> np.ndarray:
    """c_i of `cold_start` for rows of unit length, held against the first `references` of them."""
    references_MD = rows_ND[:references]

    def confidence(rows):
        competition = references_MD @ rows_ND[rows].T
        competition -= 1
        competition /= temperature
        np.exp(competition, out=competition)
        own = np.arange(rows.start, min(rows.stop, len(references_MD)))
        competition[own, own - rows.start] = 0
        return 1 / (1 + competition.sum(axis=0, dtype=np.float64))

    return by_chunks(confidence, len(rows_ND), chunk=max(1, CELLS // len(references_MD)))
