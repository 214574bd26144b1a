"""A cell: one run of the study, named by benchmark, profile, learner, strategy, protocol and seed."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from alkit import acquisition, benchmarks, learners, recipes
from alkit.benchmarks import ID, Benchmark
from alkit.options import Range, check_value

Initial = Literal["shared", "paper", "strategy"]


Stop = Literal["quota", "round"]


@dataclass(frozen=True)
class Cell:
    """One run of the study.

    `initial`: "shared" = every sample examined for the initial set is labelled and paid for, by every learner alike;
    "paper" = the `supervised` learner sees and pays for the iD ones only; "strategy" = the strategy buys the first
    `initial_id` iD labels too, on stage-0 features. `stop`: a stage ends at its last wanted iD answer ("quota") or at
    the end of the round in which that came ("round"), a round being as many questions as iD answers are wanted.
    `changes`: recipe values by name. `auxiliary_filter`: samples whose largest probability is on the auxiliary class
    are asked about only once there are no others (`acquisition.order`).
    """

    benchmark: str
    profile: str
    learner: str
    strategy: str
    seed: int = 0
    initial: Initial = "shared"
    stop: Stop = "quota"
    learner_options: dict = field(default_factory=dict)
    strategy_options: dict = field(default_factory=dict)
    changes: dict = field(default_factory=dict)
    auxiliary_filter: bool = True

    @cached_property
    def recipe(self) -> recipes.Recipe:
        return recipes.changed(recipes.recipe(self.benchmark, self.profile), self.changes)

    @property
    def options(self) -> dict:
        """What departs from the defaults; {} for a plain cell."""
        parts = {"learner": self.learner_options, "strategy": self.strategy_options, "changes": self.changes}
        given: dict = {name: options for name, options in parts.items() if options}
        if self.stop != "quota":
            given["stop"] = self.stop
        if not self.auxiliary_filter:
            given["auxiliary_filter"] = False
        return given


def check(cell: Cell, *, benchmark: Benchmark | None = None) -> None:
    """ValueError, before anything is written, for a cell that cannot run: what is wrong and what there is instead."""
    recipe = cell.recipe
    for name, kind in (
        ("seed", Annotated[int, Range(0)]),
        ("initial", Initial),
        ("stop", Stop),
        ("auxiliary_filter", bool),
    ):
        check_value(getattr(cell, name), kind, name)
    learner: Any = learners.get(cell.learner, cell.learner_options)
    strategy = acquisition.get(cell.strategy)
    if strategy.source_hash is None:
        raise ValueError(
            f"the source of strategy {cell.strategy!r} cannot be read, so that a change of it would go unnoticed; "
            "define it in a file or a notebook"
        )
    acquisition.check_options(cell.strategy, cell.strategy_options)
    if missing := [need for need in strategy.needs if need not in learner.shows]:
        known: dict[str, Any] = learners.LEARNERS
        fitting = [name for name, other in known.items() if set(strategy.needs) <= set(other.shows)]
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
