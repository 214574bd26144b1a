"""What was promised of our own strategy, target by target, held against the result tables."""

from collections.abc import Mapping

import pandas as pd

from alkit import paths
from alkit.study.analysis import our_strategy, paired_differences, select_runs
from alkit.study.tables import committed as committed_tables
from alkit.study.tables import read_results

LEVEL = 0.05


POOLS = ("mixmnist", "mixdigits", "mixcifar60-house_numbers-scenes")


def judged(tables: Mapping[str, pd.DataFrame], ours: pd.DataFrame | None, benchmark: str) -> pd.DataFrame:
    """What was promised of `benchmark` and what its runs reached; a row per target and way to run the strategy.

    `tables` as `evidence.tables`; `ours`: the table of `beyond.yaml`, or None. Columns `target`, `way`, `seeds` (of
    the way; those that the others have too, for a target that compares), `measured` and `verdict`; where there is
    nothing to judge, a row that says so. The floor is the number of iD labels.
    """
    targets = TARGETS[benchmark.partition("-")[0]]
    ways = [(way, run, _beside_others(tables, run)) for way, run in _ways(ours).items()]
    rows = [(target, way, *judge(run, both)) for target, judge in targets.items() for way, run, both in ways]
    rows = rows or [(target, "-", 0, "-", "not measured") for target in targets]
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
    """`committed` as a Markdown table."""
    lines = ["| pool | promised | how it is run | measured | verdict | seeds |", "|---|---|---|---|---|---|"]
    for row in found.itertuples():
        cells = (row.pool, row.target, row.way, row.measured, f"**{row.verdict}**", str(row.seeds or "-"))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ways(ours: pd.DataFrame | None) -> dict[str, pd.DataFrame]:
    if ours is None:
        return {}
    return {_way(*key): run for key, run in our_strategy.finals(ours).groupby(["learner", "initial", "options"])}


def _way(learner: str, initial: str, options: str) -> str:
    own = "buys its first labels" if initial == "strategy" else "shared initial set"
    return f"{learner}, {own}" + ("" if options == "{}" else ", caution=2")


def _beside_others(tables: Mapping[str, pd.DataFrame], run: pd.DataFrame) -> pd.DataFrame | None:
    """`run` beside all other strategies of its learner; None where there is none, or none with its seeds."""
    try:
        others = select_runs.of_learner(select_runs.union(tables), run["learner"].iloc[0])
    except ValueError:  # no table, no run of this learner, or none of random
        return None
    return our_strategy.beside(others, run) if set(others["seed"]) & set(run["seed"]) else None


def _verdict(reached: bool, by: str) -> str:
    return "reached" if reached else f"not reached, off by {by}"


def _last(df: pd.DataFrame) -> pd.DataFrame:
    return df.sort_values("stage").groupby("seed").last()


def _cost_at_most(limit: float):
    def judge(run: pd.DataFrame, _) -> tuple[int, str, str]:
        last = _last(run)
        cost, floor = last["cost"].mean(), last["n_id"].mean()
        text = f"{cost / floor:.2f} x floor ({cost:,.0f} looks for {floor:,.0f} labels)"
        return len(last), text, _verdict(cost <= limit * floor, f"{cost / floor - limit:.2f} x floor")

    return judge


def _accuracy_at_least(limit: float):
    def judge(run: pd.DataFrame, _) -> tuple[int, str, str]:
        last = _last(run)
        accuracy = 100 * last["accuracy"].mean()
        return len(last), f"{accuracy:.2f} %", _verdict(accuracy >= limit, f"{limit - accuracy:.2f} points")

    return judge


def _against_others(number: str, say):
    """A target on differences of every other strategy to ours: `say(found)` of `paired.differences`."""

    def judge(run: pd.DataFrame, both: pd.DataFrame | None) -> tuple[int, str, str]:
        if both is None:
            return run["seed"].nunique(), "-", "no other strategy to compare with"
        runs = paired_differences.per_run(both)
        (own,) = {name for name in runs["method"] if name.startswith(our_strategy.STRATEGY)}
        text, verdict = say(
            paired_differences.differences(runs, own, number, resamples=99)
        )  # intervals are not judged by
        head_start = "; those paid for the shared initial set" if (run["initial"] == "strategy").any() else ""
        return runs["seed"].nunique(), text + head_start, verdict

    return judge


def _above_all(found: pd.DataFrame) -> tuple[str, str]:
    behind = (found["mean"] < 0) & (found["p_holm"] < LEVEL)
    nearest = found["mean"].idxmax()
    text = f"above {behind.sum()} of {len(found)} others; {_margin(-found.loc[nearest, 'mean'])} {_plain(nearest)}"
    return text, _verdict(behind.all(), f"{(~behind).sum()} others")


def _best_or_level(found: pd.DataFrame) -> tuple[str, str]:
    """Within the noise: no other is ahead with p < 0.05, uncorrected, which is the stricter reading."""
    best, seeds = found.loc[found["mean"].idxmax()], int(found["n_seeds"].iloc[0])
    if best["mean"] > 0 and paired_differences.smallest_p(seeds) >= LEVEL:
        return _nearest(best), f"cannot be told by {seeds} seeds"
    return _nearest(best), _verdict(best["mean"] <= 0 or best["p"] >= LEVEL, f"{best['mean']:.2f} points")


def _not_below(found: pd.DataFrame) -> tuple[str, str]:
    best = found.loc[found["mean"].idxmax()]
    return _nearest(best), _verdict(best["mean"] <= 0, f"{best['mean']:.2f} points")


def _nearest(best: pd.Series) -> str:
    return f"{_margin(-best['mean'])} {_plain(best.name)} (p = {best['p']:.2g})"


def _margin(ahead: float) -> str:
    return f"{abs(ahead):.2f} points {'ahead of' if ahead >= 0 else 'behind'} the best other,"


def _plain(method: str) -> str:
    return method.partition(", ")[0]


TARGETS = {  # benchmark -> target -> what judges it: (our runs, and beside all others) -> seeds, measured, verdict
    "mixmnist": {
        "cost at most 1.05 x floor": _cost_at_most(1.05),
        "accuracy at least 97.5 %": _accuracy_at_least(97.5),
        "area above every other strategy (Holm)": _against_others("area", _above_all),
    },
    "mixdigits": {"best area, or within the noise of the best": _against_others("area", _best_or_level)},
    "mixcifar60": {
        "cost at most 1.10 x floor": _cost_at_most(1.10),
        "accuracy not below the best other": _against_others("accuracy", _not_below),
    },
}
