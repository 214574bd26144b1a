"""Strategies on dropout at the classifier's last layer: BALD and DropQuery.

Dropout is drawn on the features of `view.head`, arrays that were computed in evaluation mode; nothing here can touch a
network, its batch-norm statistics or its random state. Features are divided by 1 - rate where they are kept, so that
their expectation stays.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from scipy.special import entr, softmax

from alkit.acquisition._geometry import by_chunks, k_means, rounds, unit_rows
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import Head, View, ranked
from alkit.options import Range

CHUNK = 2048  # rows


Passes = Annotated[int, Range(1)]


Rate = Annotated[float, Range(0, 0.99)]  # what is kept is divided by 1 - rate


@strategy(
    "bald",
    citation="Houlsby et al. 2011, arXiv 1112.5745; Gal et al. 2017, arXiv 1703.02910",
    needs=("head", "probs"),
    family="classic",
)
def bald(view: View, *, passes: Passes = 20, rate: Rate = 0.5) -> Iterator[int]:
    """Highest mutual information of label and weights first, H(mean_t p_t) - mean_t H(p_t) over dropout passes t.

    Houlsby et al. 2011 and Gal et al. 2017. `passes` draws of dropout at `rate` on the features of the last layer,
    independent for each sample. The papers train with the dropout that they later draw, so that passes are draws of the
    weights from an approximate posterior. The learners of this study train their last layer without dropout: here the
    passes show how far a prediction hangs on single features, and the score grows with the size of the weights.

    Cost: O(passes n D C) time and O(n) memory. Assumes that dropout at the last layer stands for doubt about the
    weights. All passes agree on the flat probabilities of an ambiguous sample, so that it scores low, which is what
    BALD is for. OoD samples on which passes disagree score highest.
    """
    score_N = np.zeros(len(view.answers_N))
    if len(view.unasked):
        seed = int(view.rng.integers(2**31))
        score_N[view.unlabelled] = mutual_information(view.head, view.unlabelled, seed, passes=passes, rate=rate)
    yield from ranked(view, -score_N)


@strategy("dropquery", citation="Gupte et al. 2024 (TMLR), arXiv 2401.14555", needs=("head", "probs"), family="classic")
def dropquery(view: View, *, passes: Passes = 3, rate: Rate = 0.75) -> Iterator[int]:
    """Samples whose prediction more than half of the dropout passes change, spread over clusters (Gupte et al. 2024).

    They are clustered by k-means into as many clusters as the quota asks for, on the classifier's features. The nearest
    to each centre come first, in a random order of clusters, then the second nearest, and so on; after them the others,
    most changed predictions first (the paper queries one batch only). Features have unit length, as in the published
    code. Three passes are the paper's, a `rate` of 0.75 is the published configuration's. Departures: the published
    classifier is trained with that dropout and on standardised features, the learners of this study are not, so that
    more predictions change here; and the published code lowers the threshold while there are fewer candidates than 25
    times the quota.

    Cost: O(passes n D C), and k-means, O(n quota D) per iteration. Assumes that a prediction that survives dropout is
    right. Ambiguous and OoD samples both change and are candidates; spread by clusters, they get a share by the space
    that they take up rather than by their number.
    """
    group = view.shuffled()
    if not len(group):
        return
    changed = changed_share(view.head, group, int(view.rng.integers(2**31)), passes=passes, rate=rate)
    unstable, others = group[changed > 0.5], changed <= 0.5
    if len(unstable):
        cluster, squared = k_means(unit_rows(view.head.features_ND[unstable]), view.quota, view.rng)
        yield from unstable[rounds(cluster, squared, view.rng)].tolist()
    yield from group[others][np.argsort(-changed[others], kind="stable")].tolist()


def mutual_information(head: Head, positions: np.ndarray, seed: int, *, passes: int, rate: float) -> np.ndarray:
    """H(mean_t p_t) - mean_t H(p_t) in nats, one per position; 0 log 0 = 0."""

    def information(rows):
        mean_BC, entropy_B = 0, 0
        for logits_BC in dropped_logits(head, positions[rows], [seed, rows.start], passes=passes, rate=rate):
            probs_BC = softmax(logits_BC, axis=1)
            mean_BC = mean_BC + probs_BC / passes
            entropy_B = entropy_B + entr(probs_BC).sum(axis=1) / passes
        return entr(mean_BC).sum(axis=1) - entropy_B

    return by_chunks(information, len(positions), chunk=CHUNK)


def changed_share(head: Head, positions: np.ndarray, seed: int, *, passes: int, rate: float) -> np.ndarray:
    """Share of the dropout passes, one per position, whose prediction is not that without dropout."""

    def share(rows):
        (label_B,) = (logits.argmax(axis=1) for logits in dropped_logits(head, positions[rows], 0, passes=1, rate=0))
        drawn = dropped_logits(head, positions[rows], [seed, rows.start], passes=passes, rate=rate)
        return np.mean([logits.argmax(axis=1) != label_B for logits in drawn], axis=0)

    return by_chunks(share, len(positions), chunk=CHUNK)


def dropped_logits(head: Head, positions: np.ndarray, seed, *, passes: int, rate: float) -> Iterator[np.ndarray]:
    """Logits (B, C) of the rows at `positions`, once per pass, each with a dropout mask of its own on the features."""
    rng = np.random.default_rng(seed)
    features_BD = head.features_ND[positions]
    for _ in range(passes):
        kept_BD = rng.random(features_BD.shape, dtype=np.float32) >= rate
        yield features_BD * kept_BD @ (head.weight_CD.T / (1 - rate)) + head.bias_C
