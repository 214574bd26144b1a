"""E2OAL (Zong et al. 2026): clusters of labelled junk as classes, an evidential head, a target precision."""

import heapq
import math
from collections.abc import Iterator
from functools import cache
from typing import Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from torch import Tensor

from alkit.acquisition import _small_heads
from alkit.acquisition._geometry import fit_on_one_thread, squared_distances, unit_rows
from alkit.acquisition._open_set import closed_probs, id_labelled, non_id_labelled, one_thread, seed_of, upper_mode
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

PRECISION, MODES = 0.6, 3


MOST_CLUSTERS, CLUSTERED, TRAINED = 200, 2000, 5000  # junk clusters; labelled samples for k-means; for the head


LOGIT = 10.0  # at most, in the evidence


@strategy("e2oal", citation="Zong et al. 2026 (CVPR), arXiv 2603.07898", needs=("features", "probs"), family="open-set")
def e2oal(view: View, *, variant: Literal["paper", "code"] = "paper") -> Iterator[int]:
    """From each predicted class, the informative ones of what a target precision admits (Zong et al. 2026).

    k-means of all labelled features (of length 1) makes C clusters. Each iD class is matched to one; the others are
    classes of junk, and a labelled non-iD sample is of the nearest. C has the highest geometric mean of the F1 of the
    iD classes and of all junk, by ternary search. A head of C outputs a learns evidence exp(a) (Dirichlet likelihood +
    KL / C). Purity is max a over iD classes less max a over junk; p is the posterior of the highest of three Gaussian
    modes of it. Information is JS(q, one-hot) JS(q, uniform) of the K iD probabilities q. As many purest samples are
    admitted as it takes until the p of the quota most informative ones sum to no more than a target x quota. Each round
    takes from each predicted class the most informative of its share of the admitted. What is predicted junk is last.

    variant="code" has KL of the mean from both sides in JS, and cuts sums to whole numbers, as published. Departures:
    linear heads on the learner's features; q is the learner's; the target is 0.6 + (0.6 - precision of all answers), as
    rounds are not shown; C <= K + labelled junk or 200, k-means on 2,000 and the head on 5,000 labelled at most.

    Cost: about 20 k-means, up to 50 steps of O(m C D), O(n C D). Assumes that junk clusters. OoD samples are kept out
    where their kind is labelled. Ambiguous samples, if admitted, are half sure, and come first.
    """
    positions, answered = view.rng.permutation(view.unlabelled), np.flatnonzero(view.answers_N >= 0)
    if not len(id_labelled(view)) or not len(positions):
        yield from view.only_candidates(positions).tolist()
        return
    labelled, n_outputs = view.rng.permutation(answered), view.n_classes
    labels_M = view.answers_N[labelled].copy()
    if len(non_id_labelled(view)):
        is_other_M = labels_M == view.n_classes
        features_MD = unit_rows(view.features_ND[labelled])
        junk_M, n_junk = junk_classes(features_MD, labels_M, view.n_classes, seed=seed_of(view))
        labels_M[is_other_M] += junk_M[is_other_M]
        n_outputs += n_junk
    rows_ND, trained = _small_heads.inputs(view.features_ND), slice(TRAINED)
    head = evidential_head(rows_ND[labelled[trained]], labels_M[trained], n_outputs)
    logits_UC, logits_MC = head.logits(rows_ND[positions]), head.logits(rows_ND[labelled])
    purity_U, purity_M = purity(logits_UC, view.n_classes), purity(logits_MC, view.n_classes)
    sure_U = upper_mode(purity_U, seed=seed_of(view), modes=MODES, others_M=purity_M)
    probs_UK = closed_probs(view.probs_NC[positions])
    informative_U = information(probs_UK, reversed_divergence=variant == "code")
    precision = len(id_labelled(view)) / len(labelled)
    target = min(max(PRECISION + PRECISION - precision, 0), 1) * view.quota
    width = admitted(sure_U, informative_U, view.quota, target, whole=variant == "code") / view.n_classes
    predicted_U = np.where(np.isin(positions, view.unasked), logits_UC.argmax(axis=1), -1)
    by_purity = np.argsort(-purity_U, kind="stable")
    queues = [by_purity[predicted_U[by_purity] == k] for k in range(view.n_classes)]
    share = math.ceil(view.quota / view.n_classes)
    for chosen in _rounds(queues, informative_U, share, max(math.ceil(width), share), view):
        yield from positions[chosen].tolist()
    yield from positions[by_purity[predicted_U[by_purity] >= view.n_classes]].tolist()


@one_thread()
def junk_classes(rows_MD: np.ndarray, labels_M: np.ndarray, n_classes: int, *, seed: int) -> tuple[np.ndarray, int]:
    """The junk class (M,) that each row is nearest to, from 0, and how many there are: clusters of no iD class.

    Rows are in random order, and labelled, one at least with `n_classes`, which is non-iD. k-means sees CLUSTERED.
    """
    some_ND, labels_N = rows_MD[:CLUSTERED], labels_M[:CLUSTERED]
    n_known = len(np.unique(labels_N[labels_N < n_classes]))
    n_others = max(1, int((labels_N == n_classes).sum()))

    @cache
    def tried(n_clusters: int):
        found = fit_on_one_thread(KMeans(n_clusters, n_init=1, random_state=seed), some_ND)
        score, matched = cluster_f1(found.labels_, labels_N, n_clusters, n_classes)
        return score, np.delete(found.cluster_centers_, matched, axis=0)

    most = min(len(some_ND), n_known + min(n_others, MOST_CLUSTERS))
    best = highest(lambda n: tried(n)[0], min(n_known + 1, most), most)
    centres_JD = tried(best)[1]
    if not len(centres_JD):  # every cluster is an iD class's: too few samples for one more
        return np.zeros(len(rows_MD), np.int64), 1
    return squared_distances(rows_MD, centres_JD).argmin(axis=1), len(centres_JD)


def cluster_f1(clusters_M: np.ndarray, labels_M: np.ndarray, n_clusters: int, n_classes: int):
    """Geometric mean of the F1 of each labelled iD class and of all junk, and the clusters matched to iD classes.

    Clusters and classes, junk being one of them, are matched to have most samples in common. Junk is what lies outside
    of the clusters that are matched to iD classes. A class that is matched to no cluster has F1 0.
    """
    classes = np.unique(labels_M)
    shared_CK = np.zeros((n_clusters, len(classes)), np.int64)
    np.add.at(shared_CK, (clusters_M, np.searchsorted(classes, labels_M)), 1)
    matched, columns = linear_sum_assignment(-shared_CK)
    is_id = classes[columns] < n_classes
    matched, columns = matched[is_id], columns[is_id]
    hits, sizes = shared_CK[matched, columns], shared_CK[matched].sum(axis=1)
    f1 = [2 * hit / (size + total) for hit, size, total in zip(hits, sizes, shared_CK[:, columns].sum(axis=0))]
    f1 += [0.0] * (int((classes < n_classes).sum()) - len(f1))
    if classes[-1] == n_classes:
        junk_C = np.delete(shared_CK, matched, axis=0)
        f1.append(2 * junk_C[:, -1].sum() / max(junk_C.sum() + shared_CK[:, -1].sum(), 1))
    return float(np.prod(np.power(f1, 1 / len(f1)))), matched


def highest(score, left: int, right: int) -> int:
    """The number in left..right of the highest score, the lowest such, by ternary search: scores with one peak."""
    while right - left > 2:
        third = (right - left) // 3
        if score(left + third) < score(right - third):
            left += third
        else:
            right -= third
    return max(range(left, right + 1), key=score)


def evidential_head(rows_MD: Tensor, labels_M: np.ndarray, n_outputs: int) -> _small_heads.Linear:
    """The layer whose outputs a give Dirichlet parameters 1 + exp(a), learnt from labels 0..n_outputs - 1."""
    targets_M1 = torch.from_numpy(labels_M)[:, None]

    def loss(out_MC: Tensor) -> Tensor:
        alpha_MC = out_MC.clamp(-LOGIT, LOGIT).exp() + 1
        own_M1 = alpha_MC.gather(1, targets_M1)
        likelihood = (alpha_MC.sum(1).log() - own_M1[:, 0].log()).mean()
        others_MC = alpha_MC.scatter(1, targets_M1, 1.0)
        total_M = others_MC.sum(1)
        divergence_M = total_M.lgamma() - math.lgamma(n_outputs) - others_MC.lgamma().sum(1)
        divergence_M = divergence_M + ((others_MC - 1) * (others_MC.digamma() - total_M.digamma()[:, None])).sum(1)
        return likelihood + divergence_M.mean() / n_outputs

    return _small_heads.train(loss, rows_MD, n_outputs)


def purity(logits_NC: np.ndarray, n_classes: int) -> np.ndarray:
    """Largest output (N,) of the iD classes, less the largest of the others where there are others."""
    best_N = logits_NC[:, :n_classes].max(axis=1)
    return best_N - logits_NC[:, n_classes:].max(axis=1) if logits_NC.shape[1] > n_classes else best_N


def information(probs_NK: np.ndarray, *, reversed_divergence: bool) -> np.ndarray:
    """JS(q, one-hot of q) JS(q, uniform) (N,), in nats; `reversed_divergence`: see `e2oal`'s variant."""
    n, k = probs_NK.shape
    one_hot_NK = np.zeros((n, k))
    one_hot_NK[np.arange(n), probs_NK.argmax(axis=1)] = 1
    uniform_NK = np.full((n, k), 1 / k)
    return np.prod([_js(probs_NK, other, reversed_divergence) for other in (one_hot_NK, uniform_NK)], axis=0)


def _js(p_NK: np.ndarray, q_NK: np.ndarray, reversed_divergence: bool) -> np.ndarray:
    p_NK, q_NK = ((part + 1e-8) / (part + 1e-8).sum(axis=1, keepdims=True) for part in (p_NK, q_NK))
    mean_NK = (p_NK + q_NK) / 2
    pairs = [(p_NK, mean_NK), (q_NK, mean_NK)]
    if reversed_divergence:
        pairs = [(second, first) for first, second in pairs]
    return sum((a * np.log(a / b)).sum(axis=1) / 2 for a, b in pairs)


def admitted(sure_N: np.ndarray, informative_N: np.ndarray, quota: int, target: float, *, whole: bool) -> int:
    """How many of the surest: the fewest, from the quota on, whose quota most informative sum to `target` or less.

    All of them where no number does, or where the target is 0. `whole`: sums are cut to whole numbers.
    """
    order, total = np.argsort(-sure_N, kind="stable"), 0.0
    kept: list[tuple[float, int, float]] = []
    if target <= 0:
        return len(order)
    for count, (sure, informative) in enumerate(zip(sure_N[order].tolist(), informative_N[order].tolist()), 1):
        heapq.heappush(kept, (informative, -count, sure))  # of equally informative ones the surest stay
        total += sure
        if count > quota:
            total -= heapq.heappop(kept)[2]
        if count >= quota and (int(total) if whole else total) <= target:
            return count
    return len(order)


def _rounds(queues: list[np.ndarray], informative_U, share: int, width: int, view: View) -> Iterator[np.ndarray]:
    """Quota at a time, in random order: of each queue's first `width` that are left, the `share` most informative."""
    windows, rest, more = [queue[:0] for queue in queues], list(queues), np.empty(0, np.int64)
    while len(more) or any(map(len, windows)) or any(map(len, rest)):
        while len(more) < view.quota and (any(map(len, windows)) or any(map(len, rest))):
            chosen = []
            for q, window in enumerate(windows):
                window = np.concatenate([window, rest[q][: width - len(window)]])
                rest[q] = rest[q][width - len(windows[q]) :]
                window = window[np.argsort(-informative_U[window], kind="stable")]
                chosen.append(window[:share])
                windows[q] = window[share:]
            more = np.concatenate([more, view.rng.permutation(np.concatenate(chosen))])
        yield more[: view.quota]
        more = more[view.quota :]
