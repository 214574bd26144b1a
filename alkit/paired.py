"""Paired statistics: one number per run, and differences between methods within each seed.

Methods of a seed share their initial set and its cost, so differences are taken seed by seed; what seeds have in common
then cancels. Reference lines are never ranked and have no area, since their runs end where others' money has only begun.
"""

import warnings

import numpy as np
import pandas as pd
from scipy import stats

from . import metrics, rng

NUMBERS = ("area", "accuracy", "cost", "cost_per_accuracy", "purity", "ambiguous_share", "seconds")


def per_run(df: pd.DataFrame) -> pd.DataFrame:
    """One row per method and seed: columns `family, method, seed`, `low, high` and `NUMBERS`.

    `area`: the area under accuracy against annotation cost, divided by the length of the range [`low`, `high`]: the mean
    accuracy (%) over the costs that all ranked methods of that seed cover. `accuracy` (%), `cost` (samples shown) and
    `cost_per_accuracy` are the last stage's; `purity` and `ambiguous_share` the shares of iD and of ambiguous samples
    among what was bought after the initial set; `seconds` those of the whole run. ValueError where results cannot be
    compared (`metrics.check_comparable`) or the methods of a seed share no range of costs.
    """
    table = metrics.prepared(df)
    rows = [
        row
        for seed, runs in table.groupby("seed")
        for row in _of_seed(seed, {key: run for key, run in runs.groupby(["method", "family"], sort=False)})
    ]
    ranks = {name: i for i, name in enumerate(dict.fromkeys(table["method"]))}
    found = pd.DataFrame(rows)
    return found.sort_values(
        ["method", "seed"], key=lambda c: c.map(ranks) if c.name == "method" else c, ignore_index=True
    )


def _of_seed(seed: int, runs: dict) -> list[dict]:
    ranked = [metrics.knots(run, "cost") for (_, family), run in runs.items() if family != "reference"]
    low, high = metrics.common_range(ranked, "cost", f"the methods of seed {seed}") if ranked else (np.nan, np.nan)
    rows = []
    for (name, family), run in runs.items():
        first, last = run.iloc[0], run.iloc[-1]
        bought = last[list(metrics.BOUGHT)] - first[list(metrics.BOUGHT)]
        accuracy, total = 100 * last["accuracy"], max(1, bought.sum())
        area = np.nan if family == "reference" else 100 * metrics.mean_over(*metrics.knots(run, "cost"), low, high)
        rows.append({
            "family": family, "method": name, "seed": seed, "low": low, "high": high,
            "area": area, "accuracy": accuracy, "cost": last["cost"], "cost_per_accuracy": last["cost"] / accuracy,
            "purity": bought["n_id"] / total, "ambiguous_share": bought["n_ambiguous"] / total,
            "seconds": run[list(metrics.PHASES)].to_numpy().sum(),
        })  # fmt: skip
    return rows


def differences(
    runs: pd.DataFrame, baseline: str, number: str = "area", *, level: float = 0.95, resamples: int = 9_999
) -> pd.DataFrame:
    """Each method's `number` (of `per_run`) minus the baseline's, paired by seed; index `method`, reference lines left out.

    Columns `family`, `mean`, `low, high` (bias-corrected accelerated bootstrap of the mean over seeds, Efron 1987, at
    `level`), `p` (Wilcoxon's signed-rank test, two-sided, exact without ties; 1 where all differences are 0), `p_holm`
    (Holm's correction over the methods) and `n_seeds`. With n seeds no p can be below `smallest_p(n)`. The bootstrap's
    stream is fixed: the same results give the same interval. ValueError for an unknown baseline or number.
    """
    if number not in NUMBERS:
        raise ValueError(f"number must be one of {', '.join(NUMBERS)}; got {number!r}")
    ranked = runs[runs["family"] != "reference"]
    wide = ranked.pivot(index="seed", columns="method", values=number)[list(dict.fromkeys(ranked["method"]))]
    if baseline not in wide:
        raise ValueError(f"no method {baseline!r} to compare with; there are: {'; '.join(wide)}")
    rows = {}
    for name in wide.columns.drop(baseline):
        difference_S = (wide[name] - wide[baseline]).to_numpy()
        low, high = interval(difference_S, level=level, resamples=resamples)
        rows[name] = {"mean": difference_S.mean(), "low": low, "high": high, "p": signed_rank(difference_S)}
    family = ranked.drop_duplicates("method").set_index("method")["family"]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high", "p"]).rename_axis("method")
    found.insert(0, "family", family.reindex(found.index))
    return found.assign(p_holm=holm(found["p"].to_numpy()), n_seeds=len(wide))


def interval(difference_S: np.ndarray, *, level: float = 0.95, resamples: int = 9_999) -> tuple[float, float]:
    """Bootstrap interval (BCa) of the mean of paired differences; NaN for one seed, the value itself if all agree."""
    if len(difference_S) < 2:
        return np.nan, np.nan
    if np.ptp(difference_S) == 0:
        return float(difference_S[0]), float(difference_S[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (difference_S,), np.mean, confidence_level=level, n_resamples=resamples, method="BCa", vectorized=True,
            rng=rng.numpy_stream(0, "bootstrap"),
        ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def signed_rank(difference_S: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where no difference is other than 0."""
    return float(stats.wilcoxon(difference_S).pvalue) if np.any(difference_S) else 1.0


def smallest_p(n_seeds: int) -> float:
    """The smallest two-sided p that a signed-rank test of `n_seeds` pairs can give: 2 / 2^n. Five seeds: 0.0625."""
    return min(1.0, 2.0 ** (1 - n_seeds))


def holm(p_M: np.ndarray) -> np.ndarray:
    """Holm's (1979) step-down correction of M p-values for M comparisons."""
    order = np.argsort(p_M, kind="stable")
    adjusted = np.maximum.accumulate((len(p_M) - np.arange(len(p_M))) * p_M[order])
    result = np.empty(len(p_M))
    result[order] = np.minimum(1.0, adjusted)
    return result
