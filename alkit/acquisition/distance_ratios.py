"""SISOM and Joda (Schmidt et al. 2025): the distance to one's class over the gap between classes there."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, logsumexp, softmax
from sklearn.metrics import roc_curve
from torch import Tensor
from torch.nn.functional import cross_entropy

from alkit.acquisition import _small_heads
from alkit.acquisition._geometry import CELLS, squared_distances
from alkit.acquisition._open_set import id_labelled, non_id_labelled, one_thread
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

STEEPNESSES, COMPARED = (0.1, 1.0, 10.0, 100.0), 1000  # that are tried; labelled samples that they are tried on


EXPOSURE_WEIGHT = 0.5


SMALLEST = 1e-9  # distance between classes; duplicates that are labelled differently have none


@strategy("sisom", citation="Schmidt et al. 2025 (TMLR), arXiv 2405.11337", needs=("head",), family="open-set")
def sisom(view: View) -> Iterator[int]:
    """Highest d_in / d_out first: far from one's class where classes are near to each other (Schmidt et al. 2025).

    d_in is the distance to the nearest sample x' labelled as the predicted class, d_out that of x' to the nearest one
    of another iD class (1 where there is none). Distances are Euclidean between features sigmoid(a h * g): h are those
    of the classifier, g = W^T (p - 1/K) the gradient in h of the divergence of its K iD probabilities p from uniform
    ones. Only classes with a label are predicted. With no labelled iD sample the order is random.

    Departures: the last layer's features, where the published code concatenates four layers; and its steepness a was
    set by hand for each data set. Here a is 0.1, 1, 10 or 100 over the root mean square of h * g, whichever has the
    smallest mean ratio over (at most 1,000) labelled samples, each seen without itself. Nothing is trained.

    Cost: O(n (K D + m D / K) + m^2 D) for m labelled iD samples. Assumes that gradients silence what a class does not
    use. It is closed-set: OoD samples are far from any class and come first, but for what the auxiliary class says.
    Ambiguous samples are near to a border, where d_out is small, and come early, too. Labelled non-iD samples change
    nothing.
    """
    positions, labelled = view.shuffled(), view.rng.permutation(id_labelled(view))
    if not len(labelled) or not len(positions):
        yield from positions.tolist()
        return
    rows_UD, layer = view.head.features_ND[positions], (view.head.weight_CD, view.head.bias_C)
    with one_thread():
        space = space_of(
            view.head.features_ND[labelled], view.answers_N[labelled], *(part[: view.n_classes] for part in layer)
        )
        ratio_U = space.ratios(rows_UD, space.predicted(rows_UD))
    yield from positions[np.argsort(-ratio_U, kind="stable")].tolist()


@strategy("joda", citation="Schmidt et al. 2025 (CVPR), arXiv 2503.02491", needs=("features",), family="open-set")
def joda(view: View) -> Iterator[int]:
    """Below a bar of energy, highest energy and distance ratio first, in classes of few labels (Schmidt et al. 2025).

    A classifier f of K outputs learns from iD labels by cross-entropy and from non-iD ones by 0.5 times the
    cross-entropy of 1/K, outlier exposure. Its energy is E = -log sum_k exp(f_k). The bar is where, over the labelled
    samples, true less false positive rate of E is highest (Youden's J); samples at or above it come last. The others
    come by SISOMe + b, highest first. SISOMe = min(r', 1) z(E) + max(1 - r', 0) z(r), r being the ratio of `sisom` in
    this classifier, r' its mean over labelled iD samples and z standard scores by these. b = -s (n_k K / m - 1): n_k of
    the m iD labels are of the predicted class k, s is the deviation of SISOMe over their samples. Without a non-iD
    label there is no bar; with no iD one the order is random.

    Departures: a linear head on the learner's features, trained in 50 steps at most. What is above the bar is dropped
    in the paper. It also looks for new classes. Its published class lacks the selection, taken from that of SISOM and
    the paper here.

    Cost: O(m K D) per step, then that of `sisom`. Assumes that exposure parts energies beyond the junk it saw. OoD
    samples like labelled ones are above the bar; others have a high ratio and come early. Ambiguous samples have a high
    energy and a high ratio: first of what is below the bar.
    """
    positions, labelled = view.shuffled(), view.rng.permutation(id_labelled(view))
    if not len(labelled) or not len(positions):
        yield from positions.tolist()
        return
    rows_ND, labels_M = _small_heads.inputs(view.features_ND), view.answers_N[labelled]
    head = exposed(rows_ND, view.answers_N, view.n_classes)
    energy_N = -logsumexp(head.logits(rows_ND), axis=1)
    rows_UD, energy_U = rows_ND.numpy()[positions], energy_N[positions]
    with one_thread():
        space = space_of(rows_ND.numpy()[labelled], labels_M, head.weight_CD.numpy(), head.bias_C.numpy())
        predicted_U = space.predicted(rows_UD)
        ratio_M, ratio_U = space.ratios_of_labelled(), space.ratios(rows_UD, predicted_U)
    score_U, spread = sisome(ratio_U, energy_U, ratio_M, energy_N[labelled])
    labels_K = np.bincount(labels_M, minlength=view.n_classes)
    score_U -= spread * (labels_K * view.n_classes / len(labelled) - 1)[predicted_U]
    others, bar = non_id_labelled(view), np.inf
    if len(others):
        bar = youden(np.concatenate([energy_N[labelled], energy_N[others]]), len(others))
    yield from positions[np.lexsort((-score_U, energy_U >= bar))].tolist()


def exposed(rows_ND: Tensor, answers_N: np.ndarray, n_classes: int) -> _small_heads.Linear:
    """The classifier of the K iD classes, to which labelled non-iD samples are as one."""
    is_id, is_other = (answers_N >= 0) & (answers_N < n_classes), answers_N == n_classes
    used = torch.from_numpy(np.flatnonzero(is_id | is_other))
    id_A, targets_M = torch.from_numpy(is_id)[used], torch.from_numpy(answers_N[is_id])

    def loss(out_AK: Tensor) -> Tensor:
        total = cross_entropy(out_AK[id_A], targets_M)
        if is_other.any():
            other_BK = out_AK[~id_A]
            total = total + EXPOSURE_WEIGHT * (other_BK.logsumexp(1) - other_BK.mean(1)).mean()
        return total

    return _small_heads.train(loss, rows_ND[used], n_classes)


def youden(energy_M: np.ndarray, n_others: int) -> float:
    """The bar of highest true less false positive rate, where the last `n_others` are to be at or above it.

    Infinity where no bar is better than none; of equally good ones the highest.
    """
    false_T, true_T, bars_T = roc_curve(np.arange(len(energy_M)) >= len(energy_M) - n_others, energy_M)
    return float(bars_T[(true_T - false_T).argmax()])


def sisome(ratio_N, energy_N, ratio_M, energy_M) -> tuple[np.ndarray, float]:
    """SISOMe (N,) of these ratios and energies, and its deviation over the M labelled samples; see `joda`.

    Of labelled samples those alone in their class have no ratio (NaN) and do not count.
    """
    paired_M = np.isfinite(ratio_M)
    if not paired_M.any():
        return ratio_N.copy(), 0.0
    ratio_M, energy_M = ratio_M[paired_M], energy_M[paired_M]
    weight = min(ratio_M.mean(), 1)

    def mixed(ratio, energy):
        parts = ((energy, energy_M, weight), (ratio, ratio_M, 1 - weight))
        return sum(share * (part - of_M.mean()) / (of_M.std() or 1) for part, of_M, share in parts)

    return mixed(ratio_N, energy_N), float(mixed(ratio_M, energy_M).std())


@dataclass(frozen=True)
class Space:
    """Features weighed by a classifier's gradients, and M labelled samples in them.

    `weight_KD` and `bias_K` are the classifier; `labelled_MD` the labelled samples' enhanced features, `gap_M` the
    distance of each to the nearest one of another class, at least `SMALLEST`, and 1 where there is none.
    """

    weight_KD: np.ndarray
    bias_K: np.ndarray
    steepness: float
    labelled_MD: np.ndarray
    labels_M: np.ndarray
    gap_M: np.ndarray

    def predicted(self, rows_ND: np.ndarray) -> np.ndarray:
        """The class (N,) of the largest output among the classes that have a label."""
        known = np.unique(self.labels_M)
        return known[(rows_ND @ self.weight_KD[known].T + self.bias_K[known]).argmax(axis=1)]

    def ratios(self, rows_ND: np.ndarray, classes_N: np.ndarray) -> np.ndarray:
        """d_in / d_out (N,) of rows of the classifier's features taken for these classes, each of them with a label."""
        ratio_N = np.empty(len(rows_ND))
        for k in np.unique(classes_N):
            rows, others = np.flatnonzero(classes_N == k), np.flatnonzero(self.labels_M == k)
            enhanced_BD = expit(self.steepness * gradient_product(rows_ND[rows], self.weight_KD, self.bias_K))
            distance_B, index_B = _nearest(enhanced_BD, self.labelled_MD[others])
            ratio_N[rows] = distance_B / self.gap_M[others[index_B]]
        return ratio_N

    def ratios_of_labelled(self) -> np.ndarray:
        """The same (M,) of the labelled samples, each as if it were not labelled; NaN alone in its class."""
        ratio_M = np.full(len(self.labels_M), np.nan)
        for k in np.unique(self.labels_M):
            members = np.flatnonzero(self.labels_M == k)
            if len(members) > 1:
                distance_B, index_B = _nearest(self.labelled_MD[members], self.labelled_MD[members], itself=True)
                ratio_M[members] = distance_B / self.gap_M[members[index_B]]
        return ratio_M


def space_of(rows_MD: np.ndarray, labels_M: np.ndarray, weight_KD: np.ndarray, bias_K: np.ndarray) -> Space:
    """The space of a classifier's features, with labelled samples in random order; it chooses the steepness."""
    product_MD = gradient_product(rows_MD, weight_KD, bias_K)
    scale = float(np.sqrt(np.square(product_MD, dtype=np.float64).mean())) or 1.0

    def space(steepness: float, n: int) -> Space:
        labelled_ND = expit(steepness / scale * product_MD[:n])
        gaps_N = _gaps(labelled_ND, labels_M[:n])
        return Space(weight_KD, bias_K, steepness / scale, labelled_ND, labels_M[:n], gaps_N)

    def mean_ratio(steepness: float) -> float:
        ratio_N = space(steepness, COMPARED).ratios_of_labelled()
        return ratio_N[np.isfinite(ratio_N)].mean() if np.isfinite(ratio_N).any() else np.inf

    return space(min(STEEPNESSES, key=mean_ratio), len(labels_M))


def gradient_product(rows_ND: np.ndarray, weight_KD: np.ndarray, bias_K: np.ndarray) -> np.ndarray:
    """Features times the gradient in them (N, D) of the divergence of uniform probabilities from the classifier's."""
    probs_NK = softmax(rows_ND @ weight_KD.T + bias_K, axis=1)
    return rows_ND * ((probs_NK - 1 / len(weight_KD)) @ weight_KD)


def _gaps(rows_MD: np.ndarray, labels_M: np.ndarray) -> np.ndarray:
    """Distance (M,) of each row to the nearest one of another label; 1 where there is one label in all."""
    gap_M = np.ones(len(labels_M))
    for k in np.unique(labels_M):
        members = labels_M == k
        if not members.all():
            gap_M[members] = _nearest(rows_MD[members], rows_MD[~members])[0]
    return np.maximum(gap_M, SMALLEST)


def _nearest(rows_ND: np.ndarray, others_MD: np.ndarray, *, itself: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,) to the nearest other row and its index (N,); `itself`: the two are the same rows, at least two."""
    others_MD, chunk = others_MD.astype(np.float64), max(1, CELLS // len(others_MD))
    distance_N, index_N = np.empty(len(rows_ND)), np.empty(len(rows_ND), np.int64)
    for start in range(0, len(rows_ND), chunk):
        part = slice(start, start + chunk)
        squared_BM = squared_distances(rows_ND[part].astype(np.float64), others_MD)
        if itself:
            own = np.arange(start, start + len(squared_BM))
            squared_BM[own - start, own] = np.inf
        index_N[part] = squared_BM.argmin(axis=1)
        distance_N[part] = np.sqrt(np.take_along_axis(squared_BM, index_N[part, None], axis=1)[:, 0])
    return distance_N, index_N
