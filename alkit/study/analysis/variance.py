"""Learner against strategy, and one benchmark (or learner) against another: which earns the gain, and what holds.

Results of two benchmarks are never put together: what is compared is each strategy's *difference* to random, taken
within its own benchmark and learner.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from alkit.study.analysis import paired_differences, select_runs

PARTS = ("learner", "strategy", "learner x strategy", "seed", "rest")


def crossings(df: pd.DataFrame, *, baseline: str = "random") -> list[pd.DataFrame]:
    """The sets of runs in `df` (a `select_runs.union`) where every strategy was run on every learner with every seed.

    One for each set of two or more learners that share the baseline and another strategy, most runs first; a set that
    is part of another is left out.
    """
    learners = list(dict.fromkeys(df["learner_name"]))
    found = []
    for count in range(len(learners), 1, -1):
        for some in combinations(learners, count):
            rows = df[df["learner_name"].isin(some)]
            on = rows.groupby("strategy_name")["learner_name"].nunique()
            rows = rows[rows["strategy_name"].isin(on.index[on == count])]
            if baseline not in set(rows["strategy_name"]):
                continue
            rows = select_runs.balanced(rows, "strategy_name", baseline=baseline)
            if rows["strategy_name"].nunique() > 1 and not any(_runs(rows) <= _runs(other) for other in found):
                found.append(rows)
    return sorted(found, key=lambda rows: -len(_runs(rows)))


def _runs(df: pd.DataFrame) -> set[tuple]:
    return set(zip(df["learner_name"], df["strategy_name"], df["seed"], strict=True))


def shares(runs: pd.DataFrame, number: str = "area") -> pd.DataFrame:
    """How much of the spread of `number` over all runs is the learner's, the strategy's, the seed's; index `part`.

    `runs` is `per_run` of one of `crossings`; a learner counts with its options; reference lines are left out. `share`:
    the part's sum of squares over the total (eta squared); in a complete design these add up to 1. "learner x strategy"
    is what a strategy gains on one learner and not on another, "rest" what a seed does to single runs. `chance`: the
    share that pure noise as large as the rest would be expected to have (degrees of freedom times the mean square of
    the rest). Shares describe the learners and strategies of this table alone. ValueError for an unknown number, or a
    design that is not complete.
    """
    if number not in paired_differences.NUMBERS:
        raise ValueError(f"number must be one of {', '.join(paired_differences.NUMBERS)}; got {number!r}")
    ranked = runs[runs["family"] != "reference"]
    axes = ["learner_name", "strategy_name", "seed"]
    shape = tuple(ranked[axis].nunique() for axis in axes)
    if len(ranked) != np.prod(shape) or ranked.duplicated(axes).any() or shape[0] < 2 or shape[1] < 2:
        raise ValueError(
            f"learners, strategies and seeds must be complete, each with each once, and at least two of the first two; "
            f"got {len(ranked)} runs of {shape[0]} learners, {shape[1]} strategies and {shape[2]} seeds"
        )
    y_LSR = ranked.sort_values(axes)[number].to_numpy(float).reshape(shape)
    y_LSR = y_LSR - y_LSR.mean()
    of_L, of_S, of_R = y_LSR.mean((1, 2)), y_LSR.mean((0, 2)), y_LSR.mean((0, 1))
    both_LS = y_LSR.mean(2) - of_L[:, None] - of_S
    rest_LSR = y_LSR - y_LSR.mean(2, keepdims=True) - of_R
    squares = np.array([(part**2).sum() * y_LSR.size / part.size for part in (of_L, of_S, both_LS, of_R, rest_LSR)])
    n_l, n_s, n_r = shape
    freedom = np.array([n_l - 1, n_s - 1, (n_l - 1) * (n_s - 1), n_r - 1, (n_l * n_s - 1) * (n_r - 1)])
    total = squares.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = freedom * squares[-1] / freedom[-1] / total
        table = {"share": squares / total, "chance": np.where(np.arange(5) == 4, np.nan, chance)}
    return pd.DataFrame(table, index=pd.Index(PARTS, name="part"))


def agreement(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The strategies in both of two tables of `paired_differences.strategy_differences`, side by side.

    Columns `family` and each table's `mean, low, high, p_holm`, ending in `_one` and `_other`. ValueError where they
    share none, or one has a single seed and so no interval.
    """
    if (few := min(one["n_seeds"].min(), other["n_seeds"].min())) < 2:
        raise ValueError(f"a difference needs an interval, and so several seeds; got {few}")
    wanted = ["mean", "low", "high", "p_holm"]
    sides = [table[wanted].add_suffix(suffix) for table, suffix in ((one, "_one"), (other, "_other"))]
    joint = one[["family"]].join(sides, how="inner")
    if joint.empty:
        raise ValueError("the two tables share no strategy")
    return joint


def blocks(df: pd.DataFrame, *, baseline: str = "random") -> list[pd.DataFrame]:
    """`per_run` of every set of runs in `df` (a `select_runs.union`) that may be compared: by learner, crossings.

    A learner whose strategies were run without the baseline has none.
    """
    learners = dict.fromkeys(df.loc[df["strategy_name"] == baseline, "learner_name"])
    sets = [select_runs.of_learner(df, learner, baseline=baseline) for learner in learners]
    sets = [rows for rows in [*sets, *crossings(df, baseline=baseline)] if rows["method"].nunique() > 1]
    return [paired_differences.per_run(rows) for rows in sets]


def verdict(joint: pd.DataFrame) -> dict:
    """What an `agreement` says in numbers.

    `strategies`; `rank_correlation` (Spearman's, NaN below three) and its `p`; `same_sign`; and how many are
    significant (p < 0.05 after Holm) in both tables with the same sign (`both`), with opposite signs (`opposite`), or
    in one only (`one_only`).
    """
    x, y = joint["mean_one"], joint["mean_other"]
    rho, p = stats.spearmanr(x, y) if len(joint) > 2 else (np.nan, np.nan)
    sure = joint[["p_holm_one", "p_holm_other"]].lt(paired_differences.LEVEL).sum(axis=1)
    same = np.sign(x) == np.sign(y)
    return {
        "strategies": len(joint),
        "rank_correlation": float(rho),
        "p": float(p),
        "same_sign": int(same.sum()),
        "both": int(((sure == 2) & same).sum()),
        "opposite": int(((sure == 2) & ~same).sum()),
        "one_only": int((sure == 1).sum()),
    }
