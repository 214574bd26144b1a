"""Reference lines: what an oracle that kept every non-iD sample away for free would make of the budget.

Nobody can follow them, and they are never ranked among strategies: tables and figures know them by their family in the
registry. What is registered here is an ordinary order of the view; the loop passes over the non-iD samples in it,
because no path may lead from a view to a hidden label. So the cost of a reference line, after the initial set, is its
number of iD labels: the least cost that any strategy can have.

The third line, the all-iD ceiling (the accuracy with every iD sample of the pool labelled and no other), is
`oracle_random` in one stage: a cell with the recipe's `stage_id` and `stop_id` changed to the pool's number of iD
samples. In what order they come then no longer matters.

`boss` proposes batches, and `experiment.best_of` takes the one whose hidden labels teach the classifier most.
"""

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np

from alkit.acquisition.registry import get, strategy
from alkit.acquisition.uncertainty import margin, random
from alkit.acquisition.view import Head, View

PROPOSERS = (
    "random",
    "margin",
    "coreset",
    "badge",
    "typiclust",
    "probcover",
    "alfa_mix",
    "dropquery",
    "ldm",
    "vessal",
)


PARTS, LARGEST_PART = 2, 2500  # of the pool for each of them; samples


@strategy("oracle_random", citation="alkit (reference line)", needs=("probs",), family="reference")
def oracle_random(view: View) -> Iterator[int]:
    """Uniformly at random among all unlabelled samples, of which the loop queries the iD ones alone.

    Cost: O(n). Assumes an oracle that nobody has. Queries iD samples in the pool's own proportions, no ambiguous and no
    OoD sample: what choice among iD samples is worth is the difference to it.
    """
    yield from random(view)


@strategy("oracle_margin", citation="alkit (reference line)", needs=("probs",), family="reference")
def oracle_margin(view: View) -> Iterator[int]:
    """Smallest margin first among all unlabelled samples, of which the loop queries the iD ones alone.

    Cost: O(n C) + O(n log n). Assumes an oracle that nobody has, and what margin assumes. Queries no ambiguous and no
    OoD sample: what margin could gain from a perfect gate is its difference to `margin`.
    """
    yield from margin(view)


@strategy(
    "boss",
    citation="Huseljic et al. 2026 (CVPR), arXiv 2603.13109 (reference line)",
    needs=("features", "head", "probs"),
    family="reference",
)
def boss(view: View) -> Iterator[int]:
    """The best of 20 batches that ten strategies propose, by hidden labels (Huseljic et al. 2026).

    Each strategy proposes a batch from each of two random parts of the pool, of half of it and 2,500 samples at most.
    In a run, the last layer is fitted again to the labels with each batch, whose junk is passed over, and the batch of
    highest accuracy on the pool's other iD samples is bought (`experiment.best_of`). The order here, which knows no
    label, takes the proposals in turn.

    Departures: the paper has 100 batches, among them of strategies that see hidden labels, and takes the accuracy on
    test images. Proposers are the classic strategies here: BAIT and the supervised ones are replaced.

    Cost: that of the ten strategies on a part, twice, and 20 fits. Assumes an oracle that nobody has. Queries no
    ambiguous and no OoD sample: what a better choice of batches could gain is its difference to `oracle_margin`.
    """
    asked = np.zeros(len(view.answers_N), bool)
    for turn in zip_longest(*proposals(view)):
        for position in turn:
            if position is not None and not asked[position]:
                asked[position] = True
                yield position


def proposals(view: View) -> list[Iterator[int]]:
    """One order of all unasked positions for each proposer and part: its own of the part, then the rest at random."""
    orders = []
    for name in PROPOSERS:
        for _ in range(PARTS):
            positions, rng = view.shuffled(), np.random.default_rng(view.rng.integers(2**63))
            size = min(max(len(positions) // 2, min(view.quota, len(positions))), LARGEST_PART)
            orders.append(_proposal(name, view, positions[:size], positions[size:], rng))
    return orders


def _proposal(name: str, view: View, part: np.ndarray, rest: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    """The strategy's order where the pool is what is answered and the `part`, and then the `rest`."""
    rows = np.sort(np.concatenate([np.flatnonzero(view.answers_N >= 0), part]))
    layer = view.head.weight_CD, view.head.bias_C
    small = View(
        view.features_ND[rows],
        view.probs_NC[rows],
        view.answers_N[rows],
        view.n_classes,
        view.quota,
        rng,
        Head(view.head.features_ND[rows], *layer),
    )
    if len(part):
        yield from (int(rows[i]) for i in get(name).function(small))
    yield from rest.tolist()
