"""What to use: the best method for each thing one may want, and sentences of a text held against the numbers.

`runs` are those of `across.per_run` or `paired.per_run`: one learner's, or a crossing's.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from . import metrics, paired

LEVEL = 0.05
WANTED = {  # number of `paired.NUMBERS` -> what someone wants who looks at it
    "area": "most accuracy for the same money",
    "accuracy": "highest accuracy at the end, whatever it costs",
    "cost": "fewest looks for the labels",
    "cost_per_accuracy": "fewest looks per point of accuracy",
}
UNITS = {"area": "%", "area_labels": "%", "accuracy": "%", "cost": "looks", "cost_per_accuracy": "looks per 1 %",
         "purity": "", "ambiguous_share": "", "seconds": "s"}  # fmt: skip
DIGITS = {"cost": 0, "cost_per_accuracy": 2, "purity": 2, "ambiguous_share": 2}
SLOT = re.compile(r"\{([^{}]+)\}")
CLAIM = re.compile(r"(.+?) (beats|is level with) (.+) in (\w+)")
VALUE = re.compile(r"(\w+) of (.+)")


def answers(runs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The ranked method of best mean for each number of `WANTED`; index `number`.

    Columns `method`, `mean`, `baseline_mean`; `difference, low, high, p_holm` of the best to the baseline, from
    `paired.differences` (0, NaN and 1 where the baseline is best); and `level`: how many other methods are not told
    apart from the best (p at least 0.05 after Holm), a list of them by mean. The best was chosen by the same runs, so
    what it is ahead by is on the kind side. ValueError as `paired.pairs`.
    """
    ranked = runs[runs["family"] != "reference"]
    rows = {}
    for number in WANTED:
        means = ranked.groupby("method", sort=False)[number].mean()
        means = means.sort_values(ascending=not paired.NUMBERS[number], kind="stable")
        best, found = means.index[0], paired.differences(runs, baseline, number)
        own = (
            found.loc[best]
            if best != baseline
            else pd.Series({"mean": 0.0, "low": np.nan, "high": np.nan, "p_holm": 1.0})
        )
        others = paired.differences(runs, best, number)["p_holm"]
        level = [name for name in means.index[1:] if others[name] >= LEVEL]
        rows[number] = best, means[best], means[baseline], own["mean"], own["low"], own["high"], own["p_holm"], level
    columns = ["method", "mean", "baseline_mean", "difference", "low", "high", "p_holm", "level"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("number")


def answers_text(found: pd.DataFrame, baseline: str, *, most: int = 6) -> str:
    """`answers` as a Markdown table; at most `most` of the methods that are level with the best by name."""
    lines = [f"| you want | use | it gives | {baseline} gives | not told apart from it |", "|---|---|---|---|---|"]
    for number, row in found.iterrows():
        gain = "" if np.isnan(row["low"]) else f" ({_signed(number, row['difference'], row['low'], row['high'])})"
        level = row["level"]
        names = ", ".join(f"`{name}`" for name in level[:most]) + (
            f" and {len(level) - most} more" * (len(level) > most)
        )
        given, usual = (_number(number, row[column]) for column in ("mean", "baseline_mean"))
        lines.append(f"| {WANTED[number]} | **`{row['method']}`** | {given}{gain} | {usual} | {names or 'none'} |")
    return "\n".join(lines)


def told(text: str, blocks: Sequence[pd.DataFrame]) -> str:
    """`text` with its slots in braces filled from the first of `blocks` (each one `per_run`) with the methods named.

    Slots are `{number of method}`, the mean over seeds, and two claims, which give the paired difference with its
    interval and p: `{one beats other in number}` and `{one is level with other in number}`. A claim that the numbers do
    not bear out, or that nothing can be said of, is replaced by a sentence that says so. ValueError for any other slot.
    """
    return SLOT.sub(lambda match: _slot(match[1], blocks)[0], text)


def contradictions(text: str, blocks: Sequence[pd.DataFrame]) -> list[str]:
    """The slots of `text` that the numbers of `blocks` do not bear out, or that name methods not in any of them."""
    slots = SLOT.findall(text)
    return [slot for slot in slots if not _slot(slot, blocks)[1]]


def _slot(slot: str, blocks: Sequence[pd.DataFrame]) -> tuple[str, bool]:
    """What stands in the slot's place, and whether it holds."""
    if match := CLAIM.fullmatch(slot):
        one, verb, other, number = match.groups()
        _known(number, slot)
        ranked = [runs[runs["family"] != "reference"] for runs in blocks]  # nobody could follow a reference line
        return _claim(one, verb, other, number, _block(ranked, one, other))
    match = VALUE.fullmatch(slot)
    if not match:
        raise ValueError(
            f"a slot is {{number of method}}, {{one beats other in number}} or {{one is level with other in number}}; "
            f"got {{{slot}}}"
        )
    number, name = match.groups()
    _known(number, slot)
    runs = _block(blocks, name)
    if runs is None:
        return f"(`{name}` is not in these tables)", False
    return _number(number, runs.loc[runs["method"] == name, number].mean()), True


def _known(number: str, slot: str) -> None:
    if number not in paired.NUMBERS:
        raise ValueError(f"the slot {{{slot}}} asks for {number!r}; numbers are: {', '.join(paired.NUMBERS)}")


def _block(blocks: Sequence[pd.DataFrame], *names: str) -> pd.DataFrame | None:
    return next((runs for runs in blocks if set(names) <= set(runs["method"])), None)


def _claim(one: str, verb: str, other: str, number: str, runs: pd.DataFrame | None) -> tuple[str, bool]:
    if runs is None:
        return f"(`{one}` and `{other}` are not compared in these tables)", False
    row = paired.differences(runs, other, number).loc[one]
    better = row["mean"] > 0 if paired.NUMBERS[number] else row["mean"] < 0
    sure = row["p_holm"] < LEVEL
    holds = better and sure if verb == "beats" else not sure
    text = f"{_signed(number, row['mean'], row['low'], row['high'])}, p {_p(row['p_holm'])}"
    return text if holds else f"**(these tables do not bear this out: {text})**", bool(holds)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _number(number: str, value: float) -> str:
    return f"{value:,.{DIGITS.get(number, 1)}f} {UNITS[number]}".rstrip()


def _signed(number: str, mean: float, low: float, high: float) -> str:
    digits = DIGITS.get(number, 1)
    unit = "points" if UNITS[number] == "%" else UNITS[number]
    return f"{mean:+,.{digits}f} {unit}".rstrip() + f" [{low:+,.{digits}f} to {high:+,.{digits}f}]"


def scores(df: pd.DataFrame, baseline: str, target: float) -> pd.DataFrame:
    """Every number of every method of a table in one place: a row per method, by family, then best area first.

    Columns `family`; the means over seeds of `paired.NUMBERS`; for each `better_<number>`: 1 where the method is better
    than the baseline (p < 0.05 after Holm), -1 where it is worse, 0 where that is not known; and of
    `paired.median_cost_to_target`: `to_target` (infinite where fewer than half got there) and `reached`, a share.
    """
    runs = paired.per_run(df)
    table = runs.groupby("method", sort=False)[list(paired.NUMBERS)].mean()
    table.insert(0, "family", runs.groupby("method", sort=False)["family"].first())
    for number, more in paired.NUMBERS.items():
        found = paired.differences(runs, baseline, number)
        sign = np.sign(found["mean"]) * (found["p_holm"] < LEVEL) * (1 if more else -1)
        table[f"better_{number}"] = sign.reindex(table.index).fillna(0).astype(int)
    costs = paired.median_cost_to_target(df, target)
    table = table.assign(to_target=costs["median"], reached=costs["n_reached"] / costs["n_seeds"])
    place = table["family"].map(list(metrics.FAMILIES).index)
    return table.iloc[np.lexsort((-table["area"].fillna(-np.inf), place))]
