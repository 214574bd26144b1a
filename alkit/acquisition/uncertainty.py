"""Strategies that rank by the class probabilities alone, and random sampling, which every other one is held against.

All of them use C = K + 1 columns, the auxiliary class of labelled non-iD samples included. The auxiliary filter, which
puts samples that the classifier takes for non-iD last, is no part of them: see `registry.order`. Cost: O(n C) for the
scores and O(n log n) for the order.
"""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from scipy.special import entr

from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View, ranked
from alkit.options import Range

Skip = Annotated[float, Range(0, 1)]  # share of the candidates, the most uncertain ones, that come last


@strategy("random", citation="Kim, Kim and Hwang 2023, arXiv 2303.14433 (baseline)", needs=("probs",), family="paper")
def random(view: View) -> Iterator[int]:
    """Unlabelled samples uniformly at random.

    Cost: O(n). Assumes nothing. Queries iD, ambiguous and OoD samples in the proportions of the candidates.
    """
    yield from ranked(view, np.zeros(len(view.answers_N)))


@strategy(
    "least_confidence",
    citation="Lewis and Gale 1994, arXiv cmp-lg/9407020",
    needs=("probs",),
    family="paper",
    extensions=("skip",),
)
def least_confidence(view: View, *, skip: Skip = 0.0) -> Iterator[int]:
    """Lowest largest probability first, max_c p(c | x) (Lewis and Gale 1994).

    `skip`: this share of the candidates, those it would ask first, comes last: a guard against junk among the most
    uncertain.

    Cost: O(n C). Assumes a classifier that is calibrated enough to be unsure where it errs. Ambiguous samples have flat
    probabilities and come first; OoD samples come first as well, wherever the auxiliary class does not claim them.
    """
    yield from _skipping(view, view.probs_NC.max(axis=1), skip)


@strategy(
    "entropy",
    citation="Settles 2009, Active Learning Literature Survey",
    needs=("probs",),
    family="paper",
    extensions=("skip",),
)
def entropy(view: View, *, skip: Skip = 0.0) -> Iterator[int]:
    """Highest predictive entropy first, -sum_c p(c | x) log p(c | x) with 0 log 0 = 0 (Settles 2009).

    `skip`: as of least confidence.

    Cost: O(n C). Assumes what least confidence assumes. Probability spread over many classes counts more than a tie
    between two, so that OoD samples with flat probabilities come before ambiguous ones.
    """
    entropy_N = entr(view.probs_NC.astype(np.float64)).sum(axis=1)
    yield from _skipping(view, -entropy_N, skip)


@strategy(
    "margin",
    citation="Scheffer, Decomain and Wrobel 2001, doi 10.1007/3-540-44816-0_31",
    needs=("probs",),
    family="classic",
    extensions=("skip",),
)
def margin(view: View, *, skip: Skip = 0.0) -> Iterator[int]:
    """Smallest difference of the two largest probabilities first, p_(1) - p_(2) (Scheffer et al. 2001).

    `skip`: as of least confidence.

    Cost: O(n C). Assumes that labels help most at the boundary between two classes. An ambiguous sample is a tie
    between two classes and comes first; an OoD sample does so only if it lies between classes.
    """
    yield from _skipping(view, margins(view.probs_NC), skip)


def _skipping(view: View, score_N: np.ndarray, skip: float) -> Iterator[int]:
    """`ranked`, but the share `skip` of the candidates with the lowest scores comes last, in the same order."""
    order = list(ranked(view, score_N))
    skipped = int(skip * len(order))
    yield from order[skipped:]
    yield from order[:skipped]


def margins(probs_NC: np.ndarray) -> np.ndarray:
    """Difference (N,) of the two largest probabilities of each row, float64."""
    top2_N2 = np.partition(probs_NC.astype(np.float64), -2, axis=1)[:, -2:]
    return top2_N2[:, 1] - top2_N2[:, 0]
