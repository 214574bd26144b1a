"""Paired statistics: one row of numbers per run, and differences between methods seed by seed.

Methods of a seed share their initial set and its cost, so differences are taken within each seed; what seeds have in
common then cancels. The study's test, wherever a text or a figure says that two methods differ by more than noise, is
Wilcoxon's signed-rank test over seeds at `LEVEL`, after Holm's correction over the methods of the comparison. Reference
lines are never compared with a baseline, as nobody can follow them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import optimize, stats

from alkit import rng
from alkit.study.analysis import cost_tables, curves, display_names

LEVEL = 0.05  # of every test of the study


NUMBERS = {  # what `per_run` measures of a run, and whether more of it is better
    "area": True,
    "area_labels": True,
    "accuracy": True,
    "cost": False,
    "cost_per_accuracy": False,
    "purity": True,
    "ambiguous_share": False,
    "seconds": False,
}


def per_run(df: pd.DataFrame, *, steps: bool = True) -> pd.DataFrame:
    """One row per run: `family, method, learner_name, strategy_name, seed`, the `NUMBERS` and `low, high`.

    The primary number is `area`: the mean accuracy (%) over the costs [`low`, `high`] that all ranked methods of the
    seed cover (`curves.area`, by `steps`); `area_labels` is the same over labelled iD samples. `accuracy` (%), `cost`
    (samples shown to the oracle) and `cost_per_accuracy` (samples per 1 %) are the last stage's; `purity` and
    `ambiguous_share` are shares of what was bought after the initial set; `seconds` leave out the first training, which
    all runs of a seed but the first read from the cache. ValueError where results cannot be compared
    (`cost_tables.check_comparable`) or the methods of a seed share no range.
    """
    table = cost_tables.prepared(df)
    runs = table.groupby(["method", "seed"], sort=False)
    first, last = runs.first(), runs.last()
    bought = last[list(cost_tables.BOUGHT)] - first[list(cost_tables.BOUGHT)]
    total, areas = bought.sum(axis=1), _areas(table, "cost", steps)
    found = pd.DataFrame(
        {
            **first[["family", "learner_name", "strategy_name"]],
            "area": 100 * areas["area"],
            "area_labels": 100 * _areas(table, "n_id", steps)["area"],
            "accuracy": 100 * last["accuracy"],
            "cost": last["cost"],
            "cost_per_accuracy": last["cost"] / (100 * last["accuracy"]),
            "purity": bought["n_id"] / total,
            "ambiguous_share": bought["n_ambiguous"] / total,
            "seconds": runs[list(cost_tables.PHASES)].sum().sum(axis=1) - first["train_seconds"],
        }
    )
    found = found.join(areas[["low", "high"]]).reindex(first.index).reset_index()
    return found[["family", "method", "learner_name", "strategy_name", "seed", *NUMBERS, "low", "high"]]


def _areas(table: pd.DataFrame, x: str, steps: bool) -> pd.DataFrame:
    """Areas per method and seed, each seed on the range of its own runs: they begin where its initial set ended."""
    parts = [curves.areas(runs, x, steps=steps) for _, runs in table.groupby("seed")]
    return pd.concat(parts).set_index(["method", "seed"])


def area_by_definition(df: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The difference in `area` to the baseline by both definitions, with the study's test; index `method`.

    Columns `family`; `steps` and `p_steps` (the accuracy of the last finished stage counts), `linear` and `p_linear`
    (linear between stages, the definition of version 0.1.0): mean differences in points and p after Holm. ValueError as
    `differences`.
    """
    both = {name: differences(per_run(df, steps=steps), baseline) for name, steps in (("steps", 1), ("linear", 0))}
    found = both["steps"][["family"]]
    for name, table in both.items():
        found = found.assign(**{name: table["mean"], f"p_{name}": table["p_holm"]})
    return found


def cost_to_target(df: pd.DataFrame, target: float) -> pd.DataFrame:
    """What each run paid until a stage reached the accuracy `target` (%).

    Columns `family, method, seed, cost, reached`. Where no stage reached it, `reached` is False and `cost` is what the
    run had paid by its end: the target costs more than that, how much more is not known (censored). ValueError for a
    target outside 0..100.
    """
    if not 0 < target <= 100:
        raise ValueError(f"target must be an accuracy in percent, above 0 and at most 100; got {target!r}")
    table, run = cost_tables.prepared(df), ["method", "seed"]
    there = table[100 * table["accuracy"] >= target].groupby(run)["cost"].first()
    found = table.groupby(run, sort=False)[["family", "cost"]].last().join(there.rename("first"))
    found = found.assign(cost=found["first"].fillna(found["cost"]).astype(int), reached=found["first"].notna())
    return found.reset_index()[["family", *run, "cost", "reached"]]


def median_cost_to_target(df: pd.DataFrame, target: float) -> pd.DataFrame:
    """Per method, the median over seeds of `cost_to_target`, by Kaplan and Meier (1958); index `method`.

    A run that never got there counts as one that would have needed more than it spent, neither left out nor taken at
    its last cost. Columns `family`, `median` (infinite where half of the seeds were not seen to reach the target),
    `n_reached` and `n_seeds`.
    """
    runs = cost_to_target(df, target)
    rows = {}
    for name, group in runs.groupby("method", sort=False):
        cost, reached = group["cost"].to_numpy(float), group["reached"].to_numpy()
        rows[name] = group["family"].iloc[0], _median(cost, reached), int(reached.sum()), len(group)
    columns = ["family", "median", "n_reached", "n_seeds"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("method")


def _median(cost_S: np.ndarray, reached_S: np.ndarray) -> float:
    """The smallest cost at which at most half of the runs had not reached the target yet; infinite if there is none."""
    if not reached_S.any():
        return np.inf
    survival = stats.ecdf(stats.CensoredData(uncensored=cost_S[reached_S], right=cost_S[~reached_S])).sf
    below = survival.quantiles[survival.probabilities <= 0.5 + 1e-12]
    return float(below[0]) if len(below) else np.inf


def pairs(runs: pd.DataFrame, baseline: str, number: str = "area") -> pd.DataFrame:
    """Each ranked method's `number` minus the baseline's within each seed: a column per method, a row per seed.

    `runs` as `per_run` returns them. ValueError for a number or baseline that there is not, or that is not ranked.
    """
    if number not in NUMBERS:
        raise ValueError(f"number must be one of {', '.join(NUMBERS)}; got {number!r}")
    ranked = runs[runs["family"] != "reference"]
    wide = ranked.pivot(index="seed", columns="method", values=number)[list(dict.fromkeys(ranked["method"]))]
    if baseline not in wide:
        raise ValueError(f"no method {baseline!r} to compare with; there are: {'; '.join(wide)}")
    return wide.drop(columns=baseline).sub(wide[baseline], axis=0)


def differences(
    runs: pd.DataFrame, baseline: str, number: str = "area", *, level: float = 0.95, resamples: int = 9_999
) -> pd.DataFrame:
    """Each method's `number` (of `per_run`) minus the baseline's, paired by seed; index `method`, no reference lines.

    Columns `family`; `mean`; `low, high`, the interval of the mean at `level` (`interval`); `p` of `signed_rank`;
    `p_holm`, Holm's correction of it over the methods; `smallest_p_holm`, the smallest that `p_holm` could be with as
    many seeds and methods (`smallest_p`); `n_seeds`; `same_learner`, whether the method has the baseline's learner: if
    not, the difference may be the learner's. The same results give the same numbers. ValueError as `pairs`.
    """
    wide = pairs(runs, baseline, number)
    about = runs.drop_duplicates("method").set_index("method")
    intervals = [interval(wide[name].to_numpy(), level=level, resamples=resamples) for name in wide]
    p = np.array([signed_rank(wide[name].to_numpy()) for name in wide])
    found = pd.DataFrame(
        {
            "family": about.loc[wide.columns, "family"].to_numpy(),
            "mean": wide.mean().to_numpy(),
            "p": p,
            "p_holm": holm(p),
        },
        index=pd.Index(wide.columns, name="method"),
    )
    for column, values in zip(("high", "low"), np.reshape(intervals, (-1, 2)).T[::-1], strict=True):
        found.insert(2, column, values)
    same = (about.loc[wide.columns, "learner_name"] == about.loc[baseline, "learner_name"]).to_numpy()
    return found.assign(smallest_p_holm=smallest_p(len(wide), len(found)), n_seeds=len(wide), same_learner=same)


def strategy_differences(df: pd.DataFrame, number: str = "area", *, baseline: str = "random") -> pd.DataFrame:
    """`differences` of one learner's strategies to its own baseline; index `strategy`, a strategy with its options.

    ValueError where `df` has several learners, or no such baseline.
    """
    runs = per_run(df)
    if runs["learner_name"].nunique() != 1:
        raise ValueError(f"differences are of one learner, got {sorted(set(runs['learner_name']))}")
    names = runs.drop_duplicates("method").set_index("method")["strategy_name"]
    own = names.index[names == baseline]
    if not len(own):
        raise ValueError(f"no strategy {baseline!r} to compare with; there are: {'; '.join(names)}")
    found = differences(runs, own[0], number)
    return found.set_axis(pd.Index(names[found.index], name="strategy"), axis=0)


def interval(difference_S: Sequence[float], *, level: float = 0.95, resamples: int = 9_999) -> tuple[float, float]:
    """Bootstrap interval of the mean of paired differences: bias-corrected and accelerated (Efron 1987).

    Seeds are drawn again with replacement, by a stream of the study's own that is the same at every call. NaN for one
    seed; the value itself where all agree.
    """
    difference_S = np.asarray(difference_S, float)
    if len(difference_S) < 2 or np.isnan(difference_S).any():
        return np.nan, np.nan
    if np.ptp(difference_S) == 0:
        return float(difference_S[0]), float(difference_S[0])
    found = stats.bootstrap(
        (difference_S,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method="BCa",
        vectorized=True,
        rng=rng.numpy_stream(0, "bootstrap"),
    ).confidence_interval
    return float(found.low), float(found.high)


def signed_rank(difference_S: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test of paired differences; 1 where no difference is other than 0.

    Always exact, ties included. Seeds with no difference are left out, as in Wilcoxon (1945); differences below 1e-9
    count as none. NaN where a difference is missing.
    """
    # Not a t test: how differences of accuracy are distributed over seeds is not known, and one outlying seed must not
    # decide. The sums that all 2^n signs give are counted rank by rank; SciPy goes through them one by one (0.7 s for
    # 11 tied seeds) or takes the normal distribution instead.
    values = np.round(np.asarray(difference_S, float), 9)
    values = values[values != 0]
    if np.isnan(values).any():
        return np.nan
    twice = np.rint(2 * stats.rankdata(np.abs(values))).astype(int)  # ties share a rank, which may be a half
    share_T = np.ones(1)  # of all signs, those whose positive ranks have this sum, doubled
    for rank in twice:
        none = np.zeros(rank)
        share_T = (np.concatenate([share_T, none]) + np.concatenate([none, share_T])) / 2
    seen = twice[values > 0].sum()
    return float(min(1.0, 2 * min(share_T[: seen + 1].sum(), share_T[seen:].sum())))


def smallest_p(n_seeds: int, n_methods: int = 1) -> float:
    """The smallest two-sided p, after Holm's correction, that a signed-rank test of `n_seeds` pairs can give.

    All differences of one sign have probability 2 / 2^n: with five seeds 0.0625, so five seeds cannot reach 0.05.
    """
    return float(min(1.0, n_methods * 2.0 ** (1 - n_seeds)))


def differences_text(found: pd.DataFrame, baseline: str, number: str = "area") -> str:
    """What `differences` found as aligned plain text, and below it what so many seeds can show at all.

    Methods of another learner than the baseline are named.
    """
    shown = display_names.methods([*found.index, baseline])
    head = [f"{number} minus {shown[baseline]}'s", "Mean", "95 % interval", "p", "p (Holm)", "Seeds"]
    columns = [
        [shown[name] for name in found.index],
        [f"{mean:+.2f}" for mean in found["mean"]],
        [f"{low:+.2f} to {high:+.2f}" for low, high in zip(found["low"], found["high"], strict=True)],
        *([f"{p:.2g}" for p in found[column]] for column in ("p", "p_holm")),
        [str(n) for n in found["n_seeds"]],
    ]
    notes = [seeds_note(int(found["n_seeds"].iloc[0]), len(found)), learner_note(found, baseline)]
    return "\n\n".join([cost_tables.aligned(head, columns, list(found["family"])), *filter(None, notes)])


def learner_note(found: pd.DataFrame, baseline: str) -> str:
    """A sentence that names the methods of `differences` with another learner than the baseline; "" for none."""
    shown = display_names.methods([*found.index, baseline])
    names = [shown[name] for name in found.index[~found["same_learner"]]]
    if not names:
        return ""
    return f"Of another learner than {shown[baseline]}, so that a difference may be the learner's: {', '.join(names)}."


def seeds_note(n_seeds: int, n_methods: int, *, alpha: float = LEVEL) -> str:
    """What a signed-rank test of so many seeds, corrected for so many methods, can show at best, in a sentence."""
    alone, corrected = smallest_p(n_seeds), smallest_p(n_seeds, n_methods)
    text = f"With {n_seeds} seed{'s' * (n_seeds > 1)} the smallest p of a signed-rank test is {alone:.2g}"
    if n_methods > 1:
        text += f", and {corrected:.2g} after Holm's correction over {n_methods} methods"
    if corrected <= alpha:
        return f"{text}."
    return f"{text}: no difference can reach {alpha:g} before {fewest_seeds(n_methods, alpha=alpha)} seeds."


def fewest_seeds(n_methods: int = 1, *, alpha: float = LEVEL) -> int:
    """The smallest number of seeds whose `smallest_p` is at most `alpha`: 6 for one method, 10 for 25."""
    return next(n for n in range(1, 1000) if smallest_p(n, n_methods) <= alpha)


def holm(p_M: Sequence[float]) -> np.ndarray:
    """Holm's (1979) step-down correction of M p-values for M comparisons."""
    p_M = np.asarray(p_M, float)
    order = np.argsort(p_M, kind="stable")
    adjusted_M = np.empty(len(p_M))
    adjusted_M[order] = np.minimum(1, np.maximum.accumulate((len(p_M) - np.arange(len(p_M))) * p_M[order]))
    return adjusted_M


def power(difference_S: Sequence[float], true_difference: float, n_seeds: int, *, alpha: float = LEVEL) -> float:
    """The probability that a two-sided paired t test of `n_seeds` seeds finds `true_difference` at level `alpha`.

    The standard deviation is that of the observed `difference_S`; a noncentral t distribution, so differences are taken
    for normal. The signed-rank test needs about 5 % more seeds (its efficiency is 3 / pi).
    """
    spread = np.std(np.asarray(difference_S, float), ddof=1)
    if not spread > 0:
        return 1.0 if true_difference and spread == 0 else np.nan
    shift, bound = abs(true_difference) / spread * np.sqrt(n_seeds), stats.t.isf(alpha / 2, n_seeds - 1)
    other_side = np.nan_to_num(stats.nct.cdf(-bound, n_seeds - 1, shift))  # SciPy says NaN where it is nearly 0
    return float(stats.nct.sf(bound, n_seeds - 1, shift) + other_side)


def seeds_needed(
    runs: pd.DataFrame,
    baseline: str,
    true_difference: float,
    number: str = "area",
    *,
    power_wanted: float = 0.8,
    alpha: float = LEVEL,
    correct: bool = True,
) -> pd.DataFrame:
    """How many seeds would show a difference of `true_difference` to the baseline, given the observed spread.

    Index `method`; columns `family`, `sd` (of the paired differences), `seeds`: the smallest number whose `power` is
    `power_wanted` at `alpha`, divided by the number of methods with `correct` (what Holm's first step asks). Never
    below what a signed-rank test needs at all (`smallest_p`). ValueError for a difference of 0, or as `pairs`.
    """
    if not true_difference or not np.isfinite(true_difference):
        raise ValueError(f"true_difference must be a number other than 0, got {true_difference!r}")
    wide = pairs(runs, baseline, number)
    comparisons = len(wide.columns) if correct else 1
    family = runs.drop_duplicates("method").set_index("method")["family"]
    rows = {}
    for name in wide:
        needed = seeds_of(wide[name], true_difference, comparisons, power_wanted=power_wanted, alpha=alpha)
        rows[name] = family[name], wide[name].std(), needed
    return pd.DataFrame.from_dict(rows, orient="index", columns=["family", "sd", "seeds"]).rename_axis("method")


def seeds_of(
    difference_S: Sequence[float],
    true_difference: float,
    comparisons: int = 1,
    *,
    power_wanted: float = 0.8,
    alpha: float = LEVEL,
) -> float:
    """`seeds_needed` of one method among so many `comparisons`; NaN where one seed or none shows a spread."""
    difference_S = np.asarray(difference_S, float)
    if len(difference_S) < 2 or np.isnan(difference_S).any():
        return np.nan

    def lacking(n: float) -> float:
        return power(difference_S, true_difference, n, alpha=alpha / comparisons) - power_wanted

    low = max(2, fewest_seeds(comparisons, alpha=alpha))
    if lacking(low) >= 0:
        return low
    high = low
    while lacking(high) < 0:
        high *= 2
    return int(np.ceil(optimize.brentq(lacking, high / 2, high)))
