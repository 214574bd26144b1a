"""The figures of notebook 6 by section: a figure where its numbers are there, else what is missing, in words."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from alkit.study.analysis import paired_differences, select_runs, variance
from alkit.study.figures.comparison import paired_differences as forest
from alkit.study.figures.comparison import performance_profile, win_matrix
from alkit.study.figures.recommend import best, scorecard, seeds_for
from alkit.study.figures.variance import agreement, learners, shares

Drawn = dict[str, go.Figure | str]  # by kind, as the files of pictures are named


def show(drawn: Mapping[str, go.Figure | str], keep: Callable[[go.Figure, str], go.Figure]) -> None:
    """Saves each figure with `keep` (see `notebook.saver`) and displays it; of one that is missing, displays why."""
    from IPython.display import Markdown, display

    for kind, figure in drawn.items():
        missing = isinstance(figure, str)
        display(Markdown(f"Not drawn, {kind}: {figure}.") if missing else keep(figure, kind))


def of_learners(crossed: Sequence[pd.DataFrame]) -> Drawn:
    """Learner against strategy, of `variance.crossings`: that of most runs, that of most learners, and the shares."""
    if not crossed:
        return dict.fromkeys(
            ("learners", "shares"), "no two learners share random and another strategy in these tables"
        )
    first, most = crossed[0], max(crossed, key=lambda rows: rows["learner_name"].nunique())
    more = most["learner_name"].nunique() > first["learner_name"].nunique()
    return {
        "learners": learners(first),
        "all_learners": learners(most) if more else "no crossing has more learners than the one above",
        "shares": shares(first),
    }


def of_strategies(block: pd.DataFrame, baseline: str, target: float) -> Drawn:
    """One learner's strategies: all numbers, differences, wins, how close to the best, and the seeds that it takes."""
    several, why = block["seed"].nunique() > 1, "one seed has no interval"
    return {
        "scorecard": scorecard(block, baseline, target),
        "differences": forest(block, baseline) if several else why,
        "wins": win_matrix(block) if several else why,
        "profile": performance_profile(block),
        "seeds": seeds_for(block, baseline) if several else why,
    }


def of_places(
    block: pd.DataFrame, found: pd.DataFrame, there: Mapping[str, pd.DataFrame], names: Sequence[str]
) -> Drawn:
    """Differences to random of one learner's strategies held against another learner's, and another benchmark's.

    `block`: rows of the learner, out of `found`; `there`: the other benchmark's tables (`select_runs.tables`); `names`:
    of the two benchmarks.
    """
    learner = block["learner_name"].iloc[0]

    def other_learner() -> go.Figure:
        others = found[(found["learner_name"] != learner) & found["seed"].isin(block["seed"])]
        rival = select_runs.fullest(others)
        return agreement(_joint(block, select_runs.of_learner(others, rival)), learner, rival)

    def elsewhere() -> go.Figure:
        return agreement(_joint(block, select_runs.of_learner(select_runs.union(there), learner)), *names)

    return {"other_learner": _drawn(other_learner), "elsewhere": _drawn(elsewhere)}


def of_choice(block: pd.DataFrame) -> Drawn:
    """Who is likely to be the best."""
    return {"best": best(block) if block["seed"].nunique() > 1 else "one seed cannot be drawn again"}


def _joint(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    return variance.agreement(*map(paired_differences.strategy_differences, (one, other)))


def _drawn(make: Callable[[], go.Figure]) -> go.Figure | str:
    try:
        return make()
    except ValueError as missing:
        return str(missing)
