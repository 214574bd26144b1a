"""ICAL (Jain, Liu and Gifford 2020): what shares most information with the pool, over draws of the classifier."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from scipy.special import softmax

from alkit.acquisition._geometry import by_chunks
from alkit.acquisition._open_set import seed_of
from alkit.acquisition.dropout import CHUNK, Rate
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import Head, View
from alkit.options import Range

CONDENSED = 200  # samples that stand for the pool at each pick, as published


@strategy("ical", citation="Jain, Liu and Gifford 2020, arXiv 2002.07916", needs=("head", "probs"), family="classic")
def ical(view: View, *, passes: Annotated[int, Range(2)] = 20, rate: Rate = 0.5) -> Iterator[int]:
    """The sample on whose label the labels of others depend most, by HSIC over dropout passes (Jain et al. 2020).

    In pass t all samples share one dropout mask, and each draws a label y_t from its probabilities. HSIC(R, x) =
    tr(K_R H K_x H) / passes^2, with H the centring, K_x[s, t] = 1 where y_s = y_t and 0 elsewhere, and K_R the mean of
    K over 200 unlabelled samples, drawn anew for each pick. HSIC is linear in K, so that the sample which adds most to
    the mean kernel of a batch, as the paper's greedy search has it, is the one of highest HSIC with R: picks differ by
    the draw of R alone. The published kernel is a mixture of rational quadratics; on labels it has two values, and
    centring leaves a multiple of this one. Its variant ICAL-pointwise, which spreads the picks, is not here. More
    rounds of quota than one in a stage are ours. Departure: as `bald`, learners train without dropout.

    Cost: O(passes n D C) for the labels, O(n passes (passes + quota)) for a round. Assumes that dropout at the last
    layer stands for doubt about the weights. The labels of an ambiguous sample are coin tosses that no other sample
    shares, so that it scores low. OoD samples come early where whole groups of the pool change label with them.
    """
    group = view.shuffled()
    if not len(group):
        return
    seed, pool = seed_of(view), view.unlabelled
    labels_NT = np.zeros((len(view.answers_N), passes), np.int64)
    labels_NT[pool] = drawn_labels(view.head, pool, seed, passes=passes, rate=rate)
    while len(group):
        draws = min(view.quota, len(group))
        condensed_RB = view.rng.choice(pool, (draws, min(CONDENSED, len(pool))))
        score_NR = dependence(labels_NT[group], np.stack([labels_NT[some] for some in condensed_RB]))
        left_N = np.ones(len(group), bool)
        for r in range(draws):
            pick = int(np.where(left_N, score_NR[:, r], -np.inf).argmax())
            left_N[pick] = False
            yield int(group[pick])
        group = group[left_N]


def drawn_labels(head: Head, positions: np.ndarray, seed: int, *, passes: int, rate: float) -> np.ndarray:
    """A label (N, passes) of each row in each pass; a pass has one dropout mask, which all rows share."""
    kept_TD = np.random.default_rng(seed).random((passes, head.features_ND.shape[1]), dtype=np.float32) >= rate

    def drawn(rows: slice) -> np.ndarray:
        features_BD, rng = head.features_ND[positions[rows]], np.random.default_rng([seed, rows.start + 1])
        labels = []
        for kept_D in kept_TD:
            logits_BC = features_BD @ (kept_D[:, None] * head.weight_CD.T / (1 - rate)) + head.bias_C
            below_BC = softmax(logits_BC.astype(np.float64), axis=1).cumsum(axis=1)
            uniform_B1 = rng.random((len(features_BD), 1)) * below_BC[:, -1:]
            labels.append((below_BC[:, :-1] <= uniform_B1).sum(axis=1))
        return np.stack(labels, axis=1)

    return by_chunks(drawn, len(positions), chunk=CHUNK)


def dependence(labels_NT: np.ndarray, condensed_RBT: np.ndarray) -> np.ndarray:
    """HSIC (N, R) of each row of labels with the mean kernel of each of R sets of rows."""
    passes = labels_NT.shape[1]
    first, second = np.triu_indices(passes, 1)
    kernel_RTT = np.stack([(some_BT[:, :, None] == some_BT[:, None]).mean(axis=0) for some_BT in condensed_RBT])
    centred_RTT = kernel_RTT - kernel_RTT.mean(axis=1, keepdims=True)
    centred_RTT -= centred_RTT.mean(axis=2, keepdims=True)
    pairs_PR = 2 * centred_RTT[:, first, second].T / passes**2
    own_R = np.trace(centred_RTT, axis1=1, axis2=2) / passes**2  # of equal passes, whose kernel is 1 for all rows

    def scored(rows: slice) -> np.ndarray:
        labels_BT = labels_NT[rows]
        return (labels_BT[:, first] == labels_BT[:, second]).astype(np.float64) @ pairs_PR + own_R

    return by_chunks(scored, len(labels_NT), chunk=CHUNK)
