"""Sentences of a text held against the result tables: numbers and claims in a text are filled in and checked."""

import re
from collections.abc import Sequence

import pandas as pd

from alkit.study.analysis import paired_differences

UNITS = {  # a look: one sample shown to the annotator
    "area": "%",
    "area_labels": "%",
    "accuracy": "%",
    "cost": "looks",
    "cost_per_accuracy": "looks per 1 %",
    "purity": "",
    "ambiguous_share": "",
    "seconds": "s",
}


DIGITS = {"cost": 0, "cost_per_accuracy": 2, "purity": 2, "ambiguous_share": 2}


SLOT = re.compile(r"\{([^{}]+)\}")


CLAIM = re.compile(r"(.+?) (beats|is level with) (.+) in (\w+)")


VALUE = re.compile(r"(\w+) of (.+)")


def filled(text: str, blocks: Sequence[pd.DataFrame]) -> str:
    """`text` with its slots in braces filled from the first of `blocks` (each one `per_run`) with the methods named.

    Slots are `{number of method}`, the mean over seeds, and two claims, which give the paired difference with its
    interval and p of the study's test: `{one beats other in number}` and `{one is level with other in number}`. A claim
    of methods of two learners says so. A claim that the numbers do not bear out, or that nothing can be said of, is
    replaced by a sentence that says so. ValueError for any other slot.
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
        _check_number(number, slot)
        ranked = [runs[runs["family"] != "reference"] for runs in blocks]  # as nobody can follow a reference line
        return _claim(one, verb, other, number, _block(ranked, one, other))
    match = VALUE.fullmatch(slot)
    if not match:
        raise ValueError(
            f"a slot is {{number of method}}, {{one beats other in number}} or {{one is level with other in number}}; "
            f"got {{{slot}}}"
        )
    number, name = match.groups()
    _check_number(number, slot)
    runs = _block(blocks, name)
    if runs is None:
        return f"(`{name}` is not in these tables)", False
    return number_text(number, runs.loc[runs["method"] == name, number].mean()), True


def _check_number(number: str, slot: str) -> None:
    if number not in paired_differences.NUMBERS:
        raise ValueError(
            f"the slot {{{slot}}} asks for {number!r}; numbers are: {', '.join(paired_differences.NUMBERS)}"
        )


def _block(blocks: Sequence[pd.DataFrame], *names: str) -> pd.DataFrame | None:
    return next((runs for runs in blocks if set(names) <= set(runs["method"])), None)


def _claim(one: str, verb: str, other: str, number: str, runs: pd.DataFrame | None) -> tuple[str, bool]:
    if runs is None:
        return f"(`{one}` and `{other}` are not compared in these tables)", False
    row = paired_differences.differences(runs, other, number).loc[one]
    better = row["mean"] > 0 if paired_differences.NUMBERS[number] else row["mean"] < 0
    sure = row["p_holm"] < paired_differences.LEVEL
    holds = better and sure if verb == "beats" else not sure
    text = f"{difference_text(number, row['mean'], row['low'], row['high'])}, p {_p(row['p_holm'])}"
    if not row["same_learner"]:
        text += ", between different learners"
    return text if holds else f"**(these tables do not bear this out: {text})**", bool(holds)


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def number_text(number: str, value: float) -> str:
    """A mean of one of `paired_differences.NUMBERS` with its unit: "96.3 %", "339 looks"."""
    return f"{value:,.{DIGITS.get(number, 1)}f} {UNITS[number]}".rstrip()


def difference_text(number: str, mean: float, low: float, high: float) -> str:
    """A difference of one of `paired_differences.NUMBERS` with its interval: "+1.1 points [+0.9 to +1.4]"."""
    digits = DIGITS.get(number, 1)
    unit = "points" if UNITS[number] == "%" else UNITS[number]
    return f"{mean:+,.{digits}f} {unit}".rstrip() + f" [{low:+,.{digits}f} to {high:+,.{digits}f}]"
