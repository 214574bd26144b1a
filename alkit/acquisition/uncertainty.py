"""Strategies that rank by the class probabilities alone, and random sampling, which every other one is held against.

All of them look at C = K + 1 columns, the auxiliary class of labelled non-iD samples included. What "the filter" holds
back are samples that the classifier itself takes for non-iD (`registry.order`). Cost: O(n C) for the scores and
O(n log n) for the order.
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import entr

from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View, ranked


@strategy("random", citation="Kim, Kim and Hwang 2023, arXiv 2303.14433 (baseline)", needs=("probs",), family="paper")
def random(view: View) -> Iterator[int]:
    """Uniformly at random.

    Assumes nothing. Buys iD, ambiguous and OoD samples in the pool's own proportions, less what the filter holds back.
    """
    yield from ranked(view, np.zeros(len(view.answers_N)))


@strategy("least_confidence", citation="Lewis and Gale 1994, arXiv cmp-lg/9407020", needs=("probs",), family="paper")
def least_confidence(view: View) -> Iterator[int]:
    """Lowest max_c p(c | x) first.

    Assumes that the classifier is calibrated enough to be unsure where it errs. Ambiguous samples score as most
    informative, and OoD samples do too wherever the auxiliary class does not claim them; only the filter holds them
    back.
    """
    yield from ranked(view, view.probs_NC.max(axis=1))


@strategy("entropy", citation="Settles 2009, Active Learning Literature Survey", needs=("probs",), family="paper")
def entropy(view: View) -> Iterator[int]:
    """Highest predictive entropy -sum_c p(c | x) log p(c | x) first, with 0 log 0 = 0.

    Assumes what least confidence assumes. Spread over many classes counts more than doubt between two, so that OoD
    samples with flat probabilities come before ambiguous ones.
    """
    entropy_N = entr(view.probs_NC.astype(np.float64)).sum(axis=1)
    yield from ranked(view, -entropy_N)


@strategy(
    "margin",
    citation="Scheffer, Decomain and Wrobel 2001, doi 10.1007/3-540-44816-0_31",
    needs=("probs",),
    family="classic",
)
def margin(view: View) -> Iterator[int]:
    """Smallest p_(1) - p_(2) first, the difference of the two largest probabilities.

    Assumes that the boundary between two classes is where labels help. An ambiguous sample is a tie between two
    classes by nature and comes first; an OoD sample does so only if it falls between classes.
    """
    yield from ranked(view, margins(view.probs_NC))


def margins(probs_NC: np.ndarray) -> np.ndarray:
    """Difference (N,) of the two largest probabilities of each row, float64."""
    top2_N2 = np.partition(probs_NC.astype(np.float64), -2, axis=1)[:, -2:]
    return top2_N2[:, 1] - top2_N2[:, 0]
