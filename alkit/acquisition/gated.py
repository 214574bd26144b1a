"""Our strategy for thousands of labels: what is doubted behind a gate that learns from all junk, each class in turn."""

import heapq
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from scipy.special import log_softmax, logsumexp
from sklearn.cluster import KMeans

from alkit.acquisition import _small_heads
from alkit.acquisition._geometry import fit_on_one_thread
from alkit.acquisition._open_set import seed_of
from alkit.acquisition.registry import strategy
from alkit.acquisition.uncertainty import margins
from alkit.acquisition.view import NOT_ASKED, View
from alkit.options import Range

FIRST, GROWTH = 5, 1.5  # answers per class before the first fit; times as many before the next
JUNK_PER_KIND, STEPS, LEAST_DOUBT = 10, 20, 0.02


@strategy("gated_margin", citation="ours", needs=("features",), family="ours")
def gated_margin(
    view: View,
    *,
    caution: Annotated[float, Range(0)] = 2.0,
    kinds: Annotated[int, Range(1)] = 80,
    junk_price: Annotated[float, Range(0)] = 2.0,
    shares: bool = True,
) -> Iterator[int]:
    """Our strategy for thousands of labels: the smallest margin among what is likely iD, each class in its turn.

    score(i) = (1 - margin_i) P_i^caution. One softmax regression on the features gives both: its outputs are the K iD
    classes and J kinds of junk, k-means clusters of all labelled non-iD samples, at most `kinds` and one for every 10
    samples. P is the sum of the K; margin is taken among them, made to sum to 1, and 1 - margin is at least 0.02. Each
    question goes to the class that has had least so far, 1 for each iD answer and `junk_price` for each non-iD one
    where it was predicted, and there to the highest score: no class is starved that lies beside junk, and none wastes
    looks on it. `shares=False` asks by score alone. Each answer counts at once (`view.live_N`), and the regression is
    fitted anew when there are half as many answers more. Before there are 5 for each class, the order is random.

    Cost: up to 50 steps of O(m D (K + J)) for each fit to m answers, and O(n D (K + J)); O(log K) per question. Assumes
    features in which classes, those of junk included, are all but linearly separable, and labels enough to find them
    by; with fewer than about 20 of a class, `cautious_coverage` is ahead. OoD samples are avoided once their kind has
    been met. Ambiguous samples of a kind of their own are, too; those between iD classes are queried.
    """
    known_N, left_N = view.live_N.copy(), np.zeros(len(view.live_N), bool)
    left_N[view.unasked] = True

    def told(position: int) -> int:
        """How many answers there are now that this one was asked for."""
        left_N[position], known_N[position] = False, view.live_N[position]
        return int((known_N != NOT_ASKED).sum())

    for position in view.shuffled().tolist():
        if _enough(known_N, view.n_classes):
            break
        yield position
        told(position)
    while left_N.any():
        fitted = int((known_N != NOT_ASKED).sum())
        for position in by_class(view, known_N, left_N, caution, kinds, junk_price, shares):
            yield position
            if told(position) >= GROWTH * fitted:
                break


def _enough(known_N: np.ndarray, n_classes: int) -> bool:
    """Whether there are answers to fit to: FIRST for each class on average, and an iD one among them."""
    answered = known_N[known_N != NOT_ASKED]
    return len(answered) >= FIRST * n_classes and bool((answered < n_classes).any())


def by_class(view: View, known_N, left_N, caution: float, kinds: int, junk_price: float, shares: bool) -> Iterator[int]:
    """Positions that are left, each the best of the class that has had least so far; see `gated_margin`."""
    log_NC = log_outputs(view, known_N, kinds)
    log_purity_N = logsumexp(log_NC[:, : view.n_classes], axis=1)
    id_NK = np.exp(log_NC[:, : view.n_classes] - log_purity_N[:, None])
    margin_N = margins(id_NK) if view.n_classes > 1 else 0.0
    score_N = np.log(np.maximum(1 - margin_N, LEAST_DOUBT)) + caution * log_purity_N
    class_N = id_NK.argmax(axis=1) if shares else np.zeros(len(id_NK), np.int64)
    is_id_N, is_other_N = (known_N >= 0) & (known_N < view.n_classes), known_N == view.n_classes
    had_K = np.bincount(class_N[is_other_N], minlength=view.n_classes) * junk_price
    had_K += np.bincount(known_N[is_id_N], minlength=view.n_classes)
    positions = view.rng.permutation(np.flatnonzero(left_N))
    positions = positions[np.argsort(-score_N[positions], kind="stable")]
    queues = [iter(positions[class_N[positions] == k].tolist()) for k in range(view.n_classes)]
    turns = [(had_K[k], place, k) for place, k in enumerate(view.rng.permutation(view.n_classes).tolist())]
    heapq.heapify(turns)
    while turns:
        had, place, k = turns[0]
        if (position := next(queues[k], None)) is None:
            heapq.heappop(turns)
            continue
        yield position
        price = junk_price if view.live_N[position] == view.n_classes else 1.0
        heapq.heapreplace(turns, (had + price, place, k))


def log_outputs(view: View, known_N: np.ndarray, kinds: int) -> np.ndarray:
    """Log probabilities (N, K + J) of the iD classes and of the kinds of junk, fitted to the answers `known_N` (N,)."""
    rows_ND, answered = _small_heads.inputs(view.features_ND), np.flatnonzero(known_N != NOT_ASKED)
    labels_M = known_N[answered]
    is_other_M = labels_M == view.n_classes
    n_kinds = max(1, min(kinds, int(is_other_M.sum()) // JUNK_PER_KIND))
    if n_kinds > 1:
        method = KMeans(n_kinds, n_init=1, max_iter=STEPS, random_state=seed_of(view))
        labels_M[is_other_M] += fit_on_one_thread(method, rows_ND[answered[is_other_M]].numpy()).labels_
    head = _small_heads.classifier(rows_ND[answered], labels_M, view.n_classes + n_kinds)
    return log_softmax(head.logits(rows_ND), axis=1)
