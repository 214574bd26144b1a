"""POAL (Zhan et al. 2022): doubt and nearness to iD classes weighed by Pareto fronts of sets of samples."""

from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
from sklearn.covariance import LedoitWolf

from alkit.acquisition._geometry import CELLS, by_chunks, squared_distances
from alkit.acquisition._open_set import id_labelled, one_thread
from alkit.acquisition.purity import closed_entropy
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

PRESELECTED, SETS = 6, 2000  # quotas of samples that sets are drawn from; sets of a round, at most


@strategy("poal", citation="Zhan et al. 2022, arXiv 2207.01190", needs=("features", "probs"), family="open-set")
def poal(view: View) -> Iterator[int]:
    """A set of samples on the Pareto front of summed entropy and summed nearness to iD classes (Zhan et al. 2022).

    Nearness is -min_k (h - mean_k)^T S^-1 (h - mean_k): h the learner's features, mean_k those of the samples labelled
    k, S the covariance that all classes share. Entropy is of the K iD probabilities, made to sum to 1. Front after
    front of single samples, at least 6 x quota of them are preselected. From these min(quota x their number, 2,000)
    sets of quota samples are drawn; of the sets that no other one dominates in both sums, the one comes first whose
    members are in most of the others. Then the same again without it. With no labelled iD sample the order is random.

    Departures: as the paper has it, where the published code for nets takes positions in a front for samples, turns no
    dominated set away, and scores what is far from the classes high. Its distances are means over all layers, the input
    perturbed, under an empirical covariance (here Ledoit and Wolf's, as few labels do not span the features). 2,000
    sets are the fewest at which its early stop may end. Nothing is trained.

    Cost: O(n D^2 + n K D), O(n log n) for the fronts, O(quota) for each set. Assumes Gaussian classes. It holds a
    middle: what is both in doubt and far, as OoD samples are, is on the front as well as what is near and sure; sets of
    the middle win. Ambiguous samples, in doubt and not far from classes, are the first to come.
    """
    positions, labelled = view.shuffled(), id_labelled(view)
    if not len(labelled) or not len(positions):
        yield from positions.tolist()
        return
    both_U2 = np.stack(
        [
            closed_entropy(view.probs_NC[positions]),
            nearness(view.features_ND[positions], view.features_ND[labelled], view.answers_N[labelled]),
        ],
        axis=1,
    )
    front_U = fronts(both_U2)
    left = np.argsort(front_U, kind="stable")
    while len(left):
        last = front_U[left[min(PRESELECTED * view.quota, len(left)) - 1]]
        preselected = left[: np.searchsorted(front_U[left], last, side="right")]
        chosen = preselected[most_shared_set(both_U2[preselected], min(view.quota, len(preselected)), view.rng)]
        yield from positions[chosen].tolist()
        left = left[~np.isin(left, chosen)]


@one_thread()
def nearness(rows_ND: np.ndarray, labelled_MD: np.ndarray, labels_M: np.ndarray) -> np.ndarray:
    """Minus the squared Mahalanobis distance (N,) to the nearest class mean; 0 where no class has any spread."""
    classes, class_M = np.unique(labels_M, return_inverse=True)
    means_KD = np.stack([labelled_MD[labels_M == k].mean(axis=0, dtype=np.float64) for k in classes])
    offsets_MD = labelled_MD - means_KD[class_M]
    if np.abs(offsets_MD).max() <= 1e-6 * np.abs(labelled_MD).max():  # as after one label of each class
        return np.zeros(len(rows_ND))
    root_DD = np.linalg.cholesky(LedoitWolf(assume_centered=True).fit(offsets_MD).precision_)
    centres_KD = means_KD @ root_DD

    def nearest(rows: slice) -> np.ndarray:
        return squared_distances(rows_ND[rows] @ root_DD, centres_KD).min(axis=1)

    return -by_chunks(nearest, len(rows_ND), chunk=max(1, CELLS // (len(classes) + rows_ND.shape[1])))


def fronts(both_N2: np.ndarray) -> np.ndarray:
    """Number (N,) of the Pareto front that each row is on, from 0: fronts are taken away one after the other.

    A row dominates another one if it is at least as high in both columns and higher in one; equal rows share a front.
    """
    order = np.lexsort((-both_N2[:, 1], -both_N2[:, 0]))
    front_N, previous, last = np.empty(len(order), np.int64), (np.inf, np.inf), 0
    lowest: list[float] = []
    for row, first, second in zip(order.tolist(), *both_N2[order].T.tolist()):
        if (first, second) != previous:  # of a front, `lowest` has minus the highest second value so far
            last, previous = bisect_right(lowest, -second), (first, second)
            lowest[last : last + 1] = [-second]
        front_N[row] = last
    return front_N


def most_shared_set(both_N2: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (size,), in random order, of the set on the front that shares most members with the others there."""
    if size == len(both_N2):
        return rng.permutation(size)
    sets_SB = np.stack([rng.choice(len(both_N2), size, replace=False) for _ in range(min(size * len(both_N2), SETS))])
    best_FB = sets_SB[fronts(both_N2[sets_SB].sum(axis=1)) == 0]
    times_N = np.bincount(best_FB.ravel(), minlength=len(both_N2))
    return best_FB[times_N[best_FB].sum(axis=1).argmax()]
