"""A cell: one run of the study, named by benchmark, profile, learner, strategy, protocol and seed."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from alkit import acquisition, benchmarks, learners, recipes
from alkit.benchmarks import ID, Benchmark


@dataclass(frozen=True)
class Cell:
    """One run of the study.

    `initial`: "shared" = every sample examined for the initial set is labelled and paid for, by every learner alike;
    "paper" = the `supervised` learner sees and pays for the iD ones only; "strategy" = the strategy buys the first
    `initial_id` iD labels too, on stage-0 features. `stop`: a stage ends at its last wanted iD answer ("quota") or at
    the end of the round in which that came ("round"), a round being as many questions as iD answers are wanted.
    `changes`: recipe values by name.
    """

    benchmark: str
    profile: str
    learner: str
    strategy: str
    seed: int = 0
    initial: Literal["shared", "paper", "strategy"] = "shared"
    stop: Literal["quota", "round"] = "quota"
    learner_options: dict = field(default_factory=dict)
    strategy_options: dict = field(default_factory=dict)
    changes: dict = field(default_factory=dict)

    @cached_property
    def recipe(self) -> recipes.Recipe:
        return recipes.changed(recipes.recipe(self.benchmark, self.profile), self.changes)

    @property
    def options(self) -> dict:
        """What departs from the defaults; {} for a plain cell."""
        parts = {"learner": self.learner_options, "strategy": self.strategy_options, "changes": self.changes}
        given = {name: options for name, options in parts.items() if options}
        return given if self.stop == "quota" else {**given, "stop": self.stop}


def check(cell: Cell, *, benchmark: Benchmark | None = None) -> None:
    """ValueError, before anything is written, for a cell that cannot run: what is wrong and what there is instead."""
    recipe = cell.recipe
    if isinstance(cell.seed, bool) or not isinstance(cell.seed, int) or cell.seed < 0:
        raise ValueError(f"seed must be a whole number from 0 up, got {cell.seed!r}")
    for name, allowed in (("initial", ("shared", "paper", "strategy")), ("stop", ("quota", "round"))):
        if getattr(cell, name) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(cell, name)!r}")
    learner = learners.get(cell.learner, cell.learner_options)
    strategy = acquisition.get(cell.strategy)
    acquisition.check_options(cell.strategy, cell.strategy_options)
    if missing := [need for need in strategy.needs if need not in learner.shows]:
        fitting = [name for name, other in learners.LEARNERS.items() if set(strategy.needs) <= set(other.shows)]
        raise ValueError(
            f"strategy {cell.strategy!r} needs {', '.join(missing)}, which learner {cell.learner!r} does not show; "
            f"learners that do: {', '.join(fitting) or 'none'}"
        )
    if cell.initial == "strategy" and not learner.pretrained:
        raise ValueError(f"learner {cell.learner!r} has no features before a label: give it initial='shared'")
    available = int(((benchmark or benchmark_of(cell)).pool.category_N == ID).sum())
    if recipe.stop_id > available:
        raise ValueError(f"stop_id ({recipe.stop_id}) is above the pool's {available} iD samples; lower it")


def benchmark_of(cell: Cell) -> Benchmark:
    """The benchmark of `cell`, or the share of it that the recipe says."""
    return benchmarks.load(cell.benchmark, share=cell.recipe.share)
