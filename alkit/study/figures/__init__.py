"""The study's figures: one function per figure, each returning a `plotly.graph_objects.Figure`, and `save`.

The title of each is its finding (`findings`), on a ground that is white on every page (`style.layout`). Colours were
chosen for the smallest distance between any two under normal, protan and deutan vision, and never stand alone: each
category, method and kind of point also has its own symbol, dash or hatching. Images may be uint8 or floats in [0, 1];
no function changes what it is given.
"""

from alkit.study.figures.answers import cheapest, few_tests, per_answer, self_labelling
from alkit.study.figures.comparison import paired_differences, performance_profile, win_matrix
from alkit.study.figures.features import acquisition, feature_space
from alkit.study.figures.files import save
from alkit.study.figures.images import ambiguous_votes, augmentations, samples
from alkit.study.figures.introduction import loop, numbered_points
from alkit.study.figures.labelling import estimate_coverage
from alkit.study.figures.measurements import composition, curves, losses, seconds
from alkit.study.figures.our_strategy import ablation, toy_answer, toy_idea, toy_moments
from alkit.study.figures.panels import of_choice, of_learners, of_places, of_strategies, show
from alkit.study.figures.recommend import best, scorecard, seeds_for
from alkit.study.figures.robustness import robustness_map
from alkit.study.figures.strategies import bought, plane, toy_picks
from alkit.study.figures.variance import agreement, learners, shares

__all__ = [
    "ablation",
    "acquisition",
    "agreement",
    "ambiguous_votes",
    "augmentations",
    "best",
    "bought",
    "cheapest",
    "composition",
    "curves",
    "estimate_coverage",
    "feature_space",
    "few_tests",
    "learners",
    "loop",
    "losses",
    "numbered_points",
    "of_choice",
    "of_learners",
    "of_places",
    "of_strategies",
    "paired_differences",
    "per_answer",
    "performance_profile",
    "plane",
    "robustness_map",
    "samples",
    "save",
    "scorecard",
    "seconds",
    "seeds_for",
    "self_labelling",
    "shares",
    "show",
    "toy_answer",
    "toy_idea",
    "toy_moments",
    "toy_picks",
    "win_matrix",
]
