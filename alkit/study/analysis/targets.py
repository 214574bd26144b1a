"""What was promised of our own strategy, target by target, held against the result tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from alkit import paths
from alkit.study.analysis import display_names, our_strategy, paired_differences, select_runs
from alkit.study.tables import committed as committed_tables
from alkit.study.tables import read_results

POOLS = ("mixmnist", "mixdigits", "mixcifar60-house_numbers-scenes")


@dataclass(frozen=True)
class Target:
    """One promise: `text`, and what the runs are judged by.

    `must`: "at most" or "at least" `limit`, for the mean of `number` over seeds at the last stage; or, for `number` of
    `paired_differences.per_run` beside the other strategies of the same learner: "above all others" (p < `LEVEL` after
    Holm), "best or level" (none is ahead with p < `LEVEL`, uncorrected, the stricter reading), "not below the best".
    """

    pool: str
    text: str
    number: Literal["cost per label", "accuracy", "area"]
    must: Literal["at most", "at least", "above all others", "best or level", "not below the best"]
    limit: float | None = None


TARGETS = (
    Target("mixmnist", "cost at most 1.05 x floor", "cost per label", "at most", 1.05),
    Target("mixmnist", "accuracy at least 97.5 %", "accuracy", "at least", 97.5),
    Target("mixmnist", "area above every other strategy (Holm)", "area", "above all others"),
    Target("mixdigits", "best area, or within the noise of the best", "area", "best or level"),
    Target("mixcifar60", "cost at most 1.10 x floor", "cost per label", "at most", 1.10),
    Target("mixcifar60", "accuracy not below the best other", "accuracy", "not below the best"),
)


def judged(tables: Mapping[str, pd.DataFrame], ours: pd.DataFrame | None, benchmark: str) -> pd.DataFrame:
    """What was promised of `benchmark` and what its runs reached; a row per target and way to run the strategy.

    `tables` as `select_runs.tables`; `ours`: the table of `beyond.yaml`, or None. Columns `target`, `way`, `seeds` (of
    the way; those that the other strategies have too, for a target that compares), `measured` and `verdict`; where
    there is nothing to judge, a row that says so. The floor is the number of iD labels, the least that they can cost.
    """
    targets = [target for target in TARGETS if target.pool == benchmark.partition("-")[0]]
    ways = [(way, run, _beside_others(tables, run)) for way, run in _ways(ours).items()]
    rows = [(target.text, way, *_judge(target, run, both)) for target in targets for way, run, both in ways]
    rows = rows or [(target.text, "-", 0, "-", "not measured") for target in targets]
    return pd.DataFrame(rows, columns=["target", "way", "seeds", "measured", "verdict"])


def committed(profile: str = "laptop") -> pd.DataFrame:
    """`judged` of every benchmark in `POOLS` by the committed tables of this profile, with the column `pool` first."""
    found = []
    for pool in POOLS:
        there = "beyond" in committed_tables(pool, profile)
        ours = read_results(paths.ROOT / "figures", pool, profile, "beyond") if there else None
        found.append(judged(select_runs.tables(pool, profile), ours, pool).assign(pool=pool))
    return pd.concat(found, ignore_index=True)[["pool", "target", "way", "seeds", "measured", "verdict"]]


def judged_text(found: pd.DataFrame) -> str:
    """`committed` as a Markdown table; below it a sentence for each pool that options were chosen on."""
    lines = ["| pool | promised | how it is run | measured | verdict | seeds |", "|---|---|---|---|---|---|"]
    for row in found.itertuples():
        cells = (row.pool, row.target, row.way, row.measured, f"**{row.verdict}**", str(row.seeds or "-"))
        lines.append(f"| {' | '.join(cells)} |")
    notes = [(pool, select_runs.development_note(pool)) for pool in dict.fromkeys(found["pool"])]
    return "\n".join(lines + [f"\n{pool}: {note}" for pool, note in notes if note])


def _ways(ours: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    if ours is None:
        return {}
    return {_way(*key): run for key, run in our_strategy.finals(ours).groupby(["learner", "initial", "options"])}


def _way(learner: str, initial: str, options: str) -> str:
    start = "buys its first labels" if initial == "strategy" else "shared initial set"
    return f"{learner}, {start}" + ("" if options == "{}" else ", caution=2")


def _beside_others(tables: Mapping[str, pd.DataFrame], run: pd.DataFrame) -> pd.DataFrame | None:
    """`run` beside all other strategies of its learner; None where there is none, or none with its seeds."""
    try:
        others = select_runs.of_learner(select_runs.union(tables), run["learner"].iloc[0])
    except ValueError:  # no table, no run of this learner, or none of random
        return None
    return our_strategy.beside(others, run) if set(others["seed"]) & set(run["seed"]) else None


def _judge(target: Target, run: pd.DataFrame, both: pd.DataFrame | None) -> tuple[int, str, str]:
    """Seeds, what was measured and the verdict; `both`: `run` beside all other strategies of its learner, if any."""
    if target.limit is not None:
        return _against_limit(target, run)
    if both is None:
        return run["seed"].nunique(), "-", "no other strategy to compare with"
    runs = paired_differences.per_run(both)
    (own,) = {name for name in runs["method"] if name.startswith(our_strategy.STRATEGY)}
    found = paired_differences.differences(runs, own, target.number, resamples=99)  # intervals do not judge
    measured, verdict = _against_others(target.must, found)
    if (run["initial"] == "strategy").any():
        measured += "; those paid for the shared initial set"
    return runs["seed"].nunique(), measured, verdict


def _against_limit(target: Target, run: pd.DataFrame) -> tuple[int, str, str]:
    last = run.sort_values("stage").groupby("seed").last()
    cost, floor, accuracy = last["cost"].mean(), last["n_id"].mean(), 100 * last["accuracy"].mean()
    if target.number == "cost per label":
        value, unit = cost / floor, "x floor"
        measured = f"{value:.2f} {unit} ({cost:,.0f} looks for {floor:,.0f} labels)"
    else:
        value, unit = accuracy, "points"
        measured = f"{value:.2f} %"
    missed_by = value - target.limit if target.must == "at most" else target.limit - value
    return len(last), measured, _verdict(missed_by <= 0, f"{missed_by:.2f} {unit}")


def _against_others(must: str, found: pd.DataFrame) -> tuple[str, str]:
    """What was measured and the verdict, from `differences` of every other strategy to ours."""
    best, n_seeds = found.loc[found["mean"].idxmax()], int(found["n_seeds"].iloc[0])
    side = "ahead of" if best["mean"] <= 0 else "behind"
    margin = (
        f"{abs(best['mean']):.2f} points {side} the best other, {display_names.strategy(best.name.partition(', ')[0])}"
    )
    if must == "above all others":
        behind = (found["mean"] < 0) & (found["p_holm"] < paired_differences.LEVEL)
        measured = f"above {behind.sum()} of {len(found)} others; {margin}"
        return measured, _verdict(behind.all(), f"{(~behind).sum()} others")
    measured, ahead = f"{margin} (p = {best['p']:.2g})", best["mean"] > 0
    if must == "best or level":
        if ahead and paired_differences.smallest_p(n_seeds) >= paired_differences.LEVEL:
            return measured, f"cannot be told by {n_seeds} seeds"
        ahead = ahead and best["p"] < paired_differences.LEVEL
    return measured, _verdict(not ahead, f"{best['mean']:.2f} points")


def _verdict(reached: bool, by: str) -> str:
    return "reached" if reached else f"not reached, off by {by}"
