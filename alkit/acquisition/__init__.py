"""Acquisition strategies: each yields pool positions in the order in which the annotator is to be asked.

`view.py` holds what a strategy may see, `registry.py` names, options, citations and the contract; the other files are
families of strategies, and the modules with an underscore what families share. To add a strategy, write it in a file of
this folder below `@strategy(...)` and add the file to the imports here; the contract's tests then cover it too.
"""

# Tables list strategies in the order in which their families are imported.
# isort: off
from alkit.acquisition import uncertainty, density, clusters
from alkit.acquisition import coverage, typicality, dropout, disagreement, gradients
from alkit.acquisition import cautious, gated, detectors, energy, entropic, purity, references, submodular
from alkit.acquisition import distance_ratios, evidential, pareto, votes, weight_net
from alkit.acquisition import volume, dependence, influence, dynamics, adversarial, imbalance

# isort: on
from alkit.acquisition.registry import (
    FAMILIES,
    STRATEGIES,
    Strategy,
    StrategyError,
    check_options,
    family,
    get,
    order,
    source_hash,
    strategy,
)
from alkit.acquisition.view import NOT_ASKED, Head, View, ranked

__all__ = [
    "FAMILIES",
    "NOT_ASKED",
    "STRATEGIES",
    "Head",
    "Strategy",
    "StrategyError",
    "View",
    "adversarial",
    "cautious",
    "check_options",
    "clusters",
    "coverage",
    "density",
    "dependence",
    "detectors",
    "disagreement",
    "distance_ratios",
    "dropout",
    "dynamics",
    "energy",
    "entropic",
    "evidential",
    "family",
    "get",
    "gated",
    "gradients",
    "imbalance",
    "influence",
    "order",
    "pareto",
    "purity",
    "ranked",
    "references",
    "source_hash",
    "strategy",
    "submodular",
    "typicality",
    "uncertainty",
    "volume",
    "votes",
    "weight_net",
]
