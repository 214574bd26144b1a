"""Reference lines: what an oracle that kept every non-iD sample away for free would make of the budget.

Nobody can follow them, and they are never ranked among strategies: tables and figures know them by their family in the
registry. What is registered here is an ordinary order of the view; the loop passes over the non-iD samples in it,
because no path may lead from a view to a hidden label. So the cost of a reference line, after the initial set, is its
number of iD labels: the least cost that any strategy can have.

The third line, the all-iD ceiling (the accuracy with every iD sample of the pool labelled and no other), is
`oracle_random` in one stage: a cell with the recipe's `stage_id` and `stop_id` changed to the pool's number of iD
samples. In what order they come then no longer matters.
"""

from collections.abc import Iterator

from alkit.acquisition.registry import strategy
from alkit.acquisition.uncertainty import margin, random
from alkit.acquisition.view import View


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
