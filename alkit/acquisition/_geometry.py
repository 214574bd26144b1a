"""What strategies that cluster, cover or spread their picks share: chunks, distances, k-means, weighted draws.

Positions are put in random order before anything else, so that ties, duplicates and the seeding of k-means never
depend on the order of the pool.
"""

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

CELLS = 2_000_000  # entries of a distance matrix that one thread holds at a time


PART = 32  # of a stage's quota: as many picks are measured at a time where stages are large


MINIBATCH_ABOVE = 2_000_000  # rows x clusters


def by_chunks(function: Callable[[slice], np.ndarray], n: int, *, chunk: int) -> np.ndarray:
    """`function` of consecutive slices of range(n), n >= 1, concatenated; every one of them, the last short one too.

    Threads, as many as torch may use, share out whole chunks, and BLAS runs on one thread within each: results do not
    depend on the core count.
    """
    slices = [slice(start, min(start + chunk, n)) for start in range(0, n, chunk)]
    with threadpool_limits(1):
        if len(slices) == 1:  # waking a thread costs more than a small pool's work
            return function(slices[0])
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            return np.concatenate(list(threads.map(function, slices)))


def unit_rows(rows_ND: np.ndarray) -> np.ndarray:
    """Rows at unit length, in their own precision; a row of zeros stays."""
    length_N = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return rows_ND / np.where(length_N > 0, length_N, 1)


def squared_distances(rows_ND: np.ndarray, centres_MD: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances (N, M), never below 0."""
    squared_NM = rows_ND @ (-2 * centres_MD.T)
    squared_NM += np.einsum("nd,nd->n", rows_ND, rows_ND)[:, None]
    squared_NM += np.einsum("md,md->m", centres_MD, centres_MD)
    return np.maximum(squared_NM, 0, out=squared_NM)


def nearest_squared(rows_ND: np.ndarray, centres_MD: np.ndarray) -> np.ndarray:
    """Squared distance (N,) of each row to its nearest centre, inf where there is none; chunks of CELLS entries."""
    if not len(centres_MD):
        return np.full(len(rows_ND), np.inf)
    chunk = max(1, CELLS // len(centres_MD))
    return by_chunks(lambda rows: squared_distances(rows_ND[rows], centres_MD).min(axis=1), len(rows_ND), chunk=chunk)


def k_means(rows_ND: np.ndarray, n_clusters: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cluster (N,) of each row and its squared distance (N,) to that cluster's centre; the seed is drawn from `rng`.

    At most N clusters; mini-batches of 5,000 rows where rows x clusters exceed MINIBATCH_ABOVE.
    """
    n_clusters, seed = min(n_clusters, len(rows_ND)), int(rng.integers(2**31))
    if len(rows_ND) * n_clusters > MINIBATCH_ABOVE:
        method = MiniBatchKMeans(n_clusters, n_init=1, batch_size=5000, random_state=seed)
    else:
        method = KMeans(n_clusters, n_init=1, random_state=seed)
    fitted = fit_on_one_thread(method, rows_ND)

    def squared(rows: slice) -> np.ndarray:
        offsets_BD = rows_ND[rows] - fitted.cluster_centers_[fitted.labels_[rows]]
        return np.einsum("nd,nd->n", offsets_BD, offsets_BD)

    return fitted.labels_, by_chunks(squared, len(rows_ND), chunk=max(1, CELLS // rows_ND.shape[1]))


def fit_on_one_thread(method: KMeans | MiniBatchKMeans, rows_ND: np.ndarray) -> KMeans | MiniBatchKMeans:
    """The k-means fitted to the rows; where these are fewer or nearer to each other than it likes, without a warning.

    On one thread, because the order of a parallel sum would make the labels depend on the number of cores.
    """
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters: some stay empty
        return method.fit(rows_ND)


def rounds(cluster_N: np.ndarray, key_N: np.ndarray, rng: np.random.Generator, taken_K=0) -> np.ndarray:
    """Indices 0..N-1 in rounds over the clusters, one of each per round, lowest key first; equal keys by index.

    The order of the clusters within a round is drawn from `rng`. `taken_K`: turns that each cluster has had already.
    """
    sizes_K = np.bincount(cluster_N)  # numbers that no row has are clusters of size 0
    turn_N = np.empty(len(cluster_N), np.int64)
    turn_N[np.lexsort((key_N, cluster_N))] = np.arange(len(cluster_N)) - np.repeat(sizes_K.cumsum() - sizes_K, sizes_K)
    turn_N += np.broadcast_to(taken_K, sizes_K.shape)[cluster_N]
    return np.lexsort((rng.permutation(len(sizes_K))[cluster_N], turn_N))


def draw(weight_N: np.ndarray, rng: np.random.Generator) -> int:
    """One index with probability proportional to its weight; never one of weight 0, so they must not all be 0."""
    total_N = weight_N.cumsum()
    index = int(np.searchsorted(total_N, rng.random() * total_N[-1], side="right"))
    return index if index < len(weight_N) else int(np.flatnonzero(weight_N)[-1])  # the product may round up to all
