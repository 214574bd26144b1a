"""What to use: the best method for each thing one may want, and every number of every method in one table.

`runs` are those of `paired_differences.per_run`: one learner's, or a crossing's.
"""

import numpy as np
import pandas as pd

from alkit.study.analysis import cost_tables, display_names, paired_differences
from alkit.study.analysis.claims import difference_text, number_text
from alkit.study.analysis.paired_differences import LEVEL

WANTED = {  # number of `paired_differences.NUMBERS` -> what someone wants who looks at it
    "area": "most accuracy for the same money",
    "accuracy": "highest accuracy at the end, whatever it costs",
    "cost": "fewest looks for the labels",
    "cost_per_accuracy": "fewest looks per point of accuracy",
}


def answers(runs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The ranked method of best mean for each number of `WANTED`; index `number`.

    Columns `method`, `mean`, `baseline_mean`; `difference, low, high, p_holm` of the best to the baseline, from
    `paired_differences.differences` (0, NaN and 1 where the baseline is best); and `level`: a list of the methods, by
    mean, whose difference to the best may be chance (p at least `LEVEL` after Holm). The best was chosen by the same
    runs, which makes its difference to the baseline too large on average. ValueError as `paired_differences.pairs`.
    """
    ranked = runs[runs["family"] != "reference"]
    rows = {}
    for number in WANTED:
        means = ranked.groupby("method", sort=False)[number].mean()
        means = means.sort_values(ascending=not paired_differences.NUMBERS[number], kind="stable")
        best, found = means.index[0], paired_differences.differences(runs, baseline, number)
        own = (
            found.loc[best]
            if best != baseline
            else pd.Series({"mean": 0.0, "low": np.nan, "high": np.nan, "p_holm": 1.0})
        )
        p_holm = paired_differences.differences(runs, best, number)["p_holm"]
        level = [name for name in means.index[1:] if p_holm[name] >= LEVEL]
        rows[number] = best, means[best], means[baseline], own["mean"], own["low"], own["high"], own["p_holm"], level
    columns = ["method", "mean", "baseline_mean", "difference", "low", "high", "p_holm", "level"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("number")


def answers_text(found: pd.DataFrame, baseline: str, *, most: int = 6) -> str:
    """`answers` as a Markdown table; at most `most` of the methods that are level with the best by name."""
    every = [*found["method"], *(name for level in found["level"] for name in level), baseline]
    shown = display_names.methods(every)
    lines = [
        f"| you want | use | it gives | {shown[baseline]} gives | may be as good (p ≥ 0.05) |",
        "|---|---|---|---|---|",
    ]
    for number, row in found.iterrows():
        gain = (
            "" if np.isnan(row["low"]) else f" ({difference_text(number, row['difference'], row['low'], row['high'])})"
        )
        level = row["level"]
        names = ", ".join(shown[name] for name in level[:most]) + (
            f" and {len(level) - most} more" * (len(level) > most)
        )
        given, usual = (number_text(number, row[column]) for column in ("mean", "baseline_mean"))
        lines.append(f"| {WANTED[number]} | **{shown[row['method']]}** | {given}{gain} | {usual} | {names or 'none'} |")
    return "\n".join(lines)


def scores(df: pd.DataFrame, baseline: str, target: float) -> pd.DataFrame:
    """Every number of every method of a table in one place: a row per method, by family, then best area first.

    Columns `family`; the means over seeds of `paired_differences.NUMBERS`; for each `better_<number>`: 1 where the
    method is better than the baseline (p < `LEVEL` after Holm), -1 where it is worse, 0 where that is not known; and of
    `paired_differences.median_cost_to_target`: `to_target` (infinite where fewer than half got there) and `reached`, a
    share.
    """
    runs = paired_differences.per_run(df)
    table = runs.groupby("method", sort=False)[list(paired_differences.NUMBERS)].mean()
    table.insert(0, "family", runs.groupby("method", sort=False)["family"].first())
    for number, more in paired_differences.NUMBERS.items():
        found = paired_differences.differences(runs, baseline, number)
        sign = np.sign(found["mean"]) * (found["p_holm"] < LEVEL) * (1 if more else -1)
        table[f"better_{number}"] = sign.reindex(table.index).fillna(0).astype(int)
    costs = paired_differences.median_cost_to_target(df, target)
    table = table.assign(to_target=costs["median"], reached=costs["n_reached"] / costs["n_seeds"])
    place = table["family"].map(list(cost_tables.FAMILIES).index)
    return table.iloc[np.lexsort((-table["area"].fillna(-np.inf), place))]
