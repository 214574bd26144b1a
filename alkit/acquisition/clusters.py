"""Strategies on clusters of the feature space: Random(CL) and Distance(CL) of Kim, Kim and Hwang 2023, Algorithm 1."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.preprocessing import normalize

from alkit.acquisition._geometry import fit_on_one_thread
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View
from alkit.options import Range

PAPER = "Kim, Kim and Hwang 2023, arXiv 2303.14433"


ELKAN_ABOVE = 20_000  # rows: the same clusters in half of the time, for a table of rows x clusters of distances
MINIBATCH_ABOVE = 200_000  # rows


Exclude = Literal["count", "proportion", "none"]


@dataclass(frozen=True)
class Clusters:
    """The clusters of one stage, as Algorithm 1 uses them; arrays ending in _K hold one entry per cluster.

    `labels_N` the cluster of each position; `centroids` one row per cluster; `distances_N` from each position to its
    own centroid; `radius_K` a quantile of the distances of labelled non-iD members, by default the closest's (inf
    without one); `sizes_K` members, labelled and not; `excluded` the cluster taken for that of the non-iD samples, or
    None; `shares_K` samples per round, summing to the quota (all 0 where the only cluster is the excluded one).
    Distances are in the space that was clustered.
    """

    labels_N: np.ndarray
    centroids: np.ndarray
    distances_N: np.ndarray
    radius_K: np.ndarray
    sizes_K: np.ndarray
    excluded: int | None
    shares_K: np.ndarray


@strategy("random_cl", citation=PAPER, needs=("features",), family="paper")
def random_cl(view: View, *, exclude: Exclude = "none", normalise: bool = True) -> Iterator[int]:
    """Random(CL): rounds of N = quota samples, N_k of them uniformly at random from each cluster k (Kim et al. 2023).

    K + 1 clusters of the whole pool by k-means; the N_k follow the cluster sizes. The paper samples "from each
    cluster": no cluster is excluded. `exclude`: leave for last the cluster with most labelled non-iD samples ("count"),
    or with the highest share of them among its labelled members ("proportion"), as Distance(CL) does. `normalise`:
    cluster features of unit length.

    Cost: k-means, O(n K D) per iteration. Assumes that clusters stand for classes. Ambiguous and OoD samples are
    queried in proportion to their number in the pool; an OoD cluster is avoided only with `exclude`.
    """
    found = clusters(view, exclude=exclude, normalise=normalise)
    queues = [view.rng.permutation(members) for members in _unasked_members(view, found)]
    yield from _rounds(found, queues, view.quota)


@strategy(
    "distance_cl", citation=PAPER, needs=("features",), family="paper", extensions=("radius", "clusters_per_class")
)
def distance_cl(
    view: View,
    *,
    exclude: Exclude = "count",
    normalise: bool = True,
    radius: Annotated[float, Range(0, 1)] = 0.0,
    clusters_per_class: Annotated[int, Range(1)] = 1,
) -> Iterator[int]:
    """Distance(CL), Algorithm 1 of Kim et al. 2023: just inside the closest known non-iD sample of each cluster.

    K + 1 clusters of the whole pool by k-means; the one of the labelled non-iD samples is left for last. In each other
    one the distance of the centroid c_k to the closest labelled non-iD member is a radius d_k. Each round takes N =
    quota samples, N_k from cluster k in proportion to its size: those with |h - c_k| <= d_k from the farthest inwards,
    then those outside from the nearest outwards. What an exhausted cluster cannot give, the others give in proportion.

    `exclude`: the cluster with most labelled non-iD samples ("count"), with the highest share of them among its
    labelled members ("proportion"; the paper's text has both), or none. `normalise`: cluster features of unit length.
    Past the paper and off by default: `radius` = q makes d_k the q-quantile of the distances of the labelled non-iD
    members (0, the paper's: their minimum); `clusters_per_class` = m makes m (K + 1) clusters.

    Cost: k-means, O(n K D) per iteration; the order itself O(n log n). Assumes that classes are round clusters, with
    non-iD samples at their rims or in a cluster of their own. Ambiguous samples at a rim are avoided once one nearer to
    the centre is known; a single non-iD sample near a centroid shrinks the circle to the centre. OoD samples over many
    clusters are queried from the outside in as long as none is labelled there.
    """
    n_clusters = clusters_per_class * (view.n_classes + 1)
    found = clusters(view, exclude=exclude, normalise=normalise, radius=radius, n_clusters=n_clusters)
    yield from distance_order(view, found)


def distance_order(view: View, found: Clusters) -> Iterator[int]:
    """Distance(CL)'s order once the clusters are found: lines 8 to 27 of Algorithm 1."""
    queues = [
        _inside_out(members, found.distances_N, found.radius_K[k])
        for k, members in enumerate(_unasked_members(view, found))
    ]
    yield from _rounds(found, queues, view.quota)


def clusters(
    view: View,
    *,
    exclude: Exclude = "count",
    normalise: bool = True,
    radius: float = 0.0,
    n_clusters: int | None = None,
) -> Clusters:
    """Lines 1 to 6 of Algorithm 1: clusters, circles and shares; draws the seed of k-means from `view.rng`.

    There are `n_clusters`, by default K + 1, or as many as there are distinct rows where these are fewer. Circles have
    the `radius`-quantile of the distances of their labelled non-iD members.
    """
    features_ND = normalize(view.features_ND) if normalise else view.features_ND
    n_clusters = view.n_classes + 1 if n_clusters is None else n_clusters
    starts = 4 if n_clusters <= view.n_classes + 1 else 1  # with several clusters per class, a poor start costs little
    labels_N, centroids = _k_means(features_ND, n_clusters, starts, seed=int(view.rng.integers(2**31)))
    n_clusters = len(centroids)
    distances_N = np.empty(len(labels_N))
    for k in range(n_clusters):
        members = labels_N == k
        distances_N[members] = np.linalg.norm(features_ND[members].astype(np.float64) - centroids[k], axis=1)
    non_id = view.answers_N == view.n_classes
    radius_K = np.full(n_clusters, np.inf)
    for k in np.unique(labels_N[non_id]):
        radius_K[k] = np.quantile(distances_N[non_id & (labels_N == k)], radius)
    sizes_K = np.bincount(labels_N, minlength=n_clusters)
    excluded = _excluded(view, labels_N, n_clusters, exclude)
    shares_K = apportion(view.quota, _weights(sizes_K, excluded))
    return Clusters(labels_N, centroids, distances_N, radius_K, sizes_K, excluded, shares_K)


def apportion(n: int, weight_K: np.ndarray, capacity_K: np.ndarray | None = None) -> np.ndarray:
    """`n` things shared out in proportion to whole-number weights by largest remainders, within capacities.

    Equal remainders go to the lower index. What does not fit is shared out again among those with room, by the same
    rule; the result sums to `n`, or to all the room there is where that is less. A weight of 0 gets nothing.
    """
    weight_K = np.asarray(weight_K, np.int64)
    capacity_K = np.full_like(weight_K, n) if capacity_K is None else np.asarray(capacity_K, np.int64)
    given_K = np.zeros_like(weight_K)
    while left := n - int(given_K.sum()):
        open_K = np.where(given_K < capacity_K, weight_K, 0)
        if not open_K.any():
            break
        share_K, remainder_K = np.divmod(left * open_K, open_K.sum())  # whole numbers: no rounding, no lost sample
        share_K[np.argsort(-remainder_K, kind="stable")[: left - share_K.sum()]] += 1
        given_K = np.minimum(given_K + share_K, capacity_K)
    return given_K


def _k_means(features_ND: np.ndarray, n_clusters: int, starts: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) and centroids (K, D) of seeded k-means, the best of `starts`."""
    n_clusters = min(n_clusters, _distinct_rows(features_ND, n_clusters))
    chosen = dict(n_clusters=n_clusters, n_init=starts, random_state=seed)
    if len(features_ND) > MINIBATCH_ABOVE:
        method = MiniBatchKMeans(**chosen)
    else:
        method = KMeans(**chosen, algorithm="elkan" if len(features_ND) > ELKAN_ABOVE else "lloyd")
    fitted = fit_on_one_thread(method, features_ND)
    return fitted.labels_, fitted.cluster_centers_


def _distinct_rows(features_ND: np.ndarray, enough: int) -> int:
    """How many rows differ, or any number from `enough` up; sorting all rows is slow, and the first few mostly tell."""
    distinct = len(np.unique(features_ND[: 20 * enough], axis=0))
    return distinct if distinct >= enough else len(np.unique(features_ND, axis=0))


def _excluded(view: View, labels_N: np.ndarray, n_clusters: int, exclude: Exclude) -> int | None:
    """The cluster with most labelled non-iD samples by count or proportion; the other settles ties, then the index."""
    non_id = view.answers_N == view.n_classes
    if exclude == "none" or not non_id.any():
        return None
    count_K = np.bincount(labels_N[non_id], minlength=n_clusters)
    labelled_K = np.bincount(np.delete(labels_N, view.unlabelled), minlength=n_clusters)
    proportion_K = count_K / np.maximum(labelled_K, 1)
    first, second = (count_K, proportion_K) if exclude == "count" else (proportion_K, count_K)
    return int(np.lexsort((-second, -first))[0])


def _weights(sizes_K: np.ndarray, excluded: int | None) -> np.ndarray:
    return np.where(np.arange(len(sizes_K)) == excluded, 0, sizes_K)


def _unasked_members(view: View, found: Clusters) -> list[np.ndarray]:
    """Unasked positions of each cluster, ascending."""
    unasked = view.unasked
    return [unasked[found.labels_N[unasked] == k] for k in range(len(found.sizes_K))]


def _inside_out(members: np.ndarray, distances_N: np.ndarray, radius: float) -> np.ndarray:
    """Members inside the circle from its rim inwards, then those outside from its rim outwards; ties by position."""
    distances = distances_N[members]
    outside = distances > radius
    return members[np.lexsort((np.where(outside, distances, -distances), outside))]


def _rounds(found: Clusters, queues: list[np.ndarray], quota: int) -> Iterator[int]:
    """Lines 8 to 27 of Algorithm 1: rounds over the clusters until they are empty, then the excluded cluster."""
    weight_K = _weights(found.sizes_K, found.excluded)
    length_K = np.array([len(queue) for queue in queues])
    taken_K = np.zeros_like(length_K)
    while (take_K := apportion(quota, weight_K, length_K - taken_K)).any():
        for k in np.flatnonzero(take_K):
            yield from queues[k][taken_K[k] : taken_K[k] + take_K[k]].tolist()
        taken_K += take_K
    if found.excluded is not None:
        yield from queues[found.excluded].tolist()
