"""Checks of names and values that a reader gives, each with an error that says what was wrong and what is possible.

`check_name` holds a name against those that are known, `check_value` a value against an annotated type:

    check_value(0.3, Annotated[float, Range(0, 1)], "radius")            passes
    check_value("fast", Literal["adam", "sgd"], "sup_optimiser")         ValueError: sup_optimiser must be one of ...

Types are `bool`, `int`, `float`, `str`, `list`, `dict`, `Literal[...]`, `tuple[...]` and `Annotated[..., Range(...)]`.
"""

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, get_args, get_origin


@dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`; without `low` itself where `above` is true."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.low <= value <= self.high and not (self.above and value == self.low)

    def __str__(self) -> str:
        if self.above:
            return f"above {self.low:g}" + (f" and at most {self.high:g}" if self.high < math.inf else "")
        if self.low > -math.inf:
            return f"from {self.low:g} " + (f"to {self.high:g}" if self.high < math.inf else "up")
        return f"of at most {self.high:g}" if self.high < math.inf else ""


ANY_NUMBER = Range()


def closest(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' where something known is close to `name`, else ''."""
    match = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""


def check_name(name: str, known: Iterable[str], what: str = "", *, of: str = "") -> None:
    """ValueError, with the closest known name and all of them, where `name` is not among `known`.

    `what` says what is named ("strategy"), `of` what it belongs to ("strategy 'margin'").
    """
    known = list(known)
    if name not in known:
        listed = ", ".join(known) or "none"
        complaint, there_are = (f"{of} has no ", "it has") if of else ("unknown ", "known")
        named = f"{what} {name!r}" if what else repr(name)
        raise ValueError(f"{complaint}{named}{closest(name, known)}; {there_are}: {listed}")


def check_value(value: object, annotation: object, what: str) -> None:
    """ValueError, saying what `what` must be, where `value` is not of the annotated type or out of its range."""
    if not fits(value, annotation):
        raise ValueError(f"{what} must be {describe(annotation)}, got {value!r}")


def fits(value: object, annotation: object, span: Range = ANY_NUMBER) -> bool:
    """Whether `value` is of the annotated type, strictly; `span` holds for every number in it.

    No bool is a number, a whole number is also a float, and numbers are finite.
    """
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return fits(value, inner[0], _range_in(inner[1:], span))
    if get_origin(annotation) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in inner)
    if get_origin(annotation) is tuple:
        kinds = _kinds(inner, len(value)) if isinstance(value, tuple) else []
        return (
            isinstance(value, tuple) and len(kinds) == len(value) and all(map(fits, value, kinds, [span] * len(kinds)))
        )
    if annotation in (int, float):
        number = isinstance(value, int if annotation is int else (int, float)) and not isinstance(value, bool)
        return number and value in span
    return isinstance(value, annotation)


def describe(annotation: object, span: Range = ANY_NUMBER) -> str:
    """What a value of the annotated type is, as the end of a sentence that begins "it must be"."""
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return describe(inner[0], _range_in(inner[1:], span))
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(str, inner))
    if get_origin(annotation) is tuple:
        count = "some" if inner[-1:] == (...,) else str(len(inner))
        return f"{count} values, each {describe(inner[0], span)}"
    if annotation in (int, float):
        return f"{'a whole number' if annotation is int else 'a number'} {span}".rstrip()
    words = {bool: "True or False", str: "a text", list: "a list", dict: "a mapping of names to values"}
    return words.get(annotation, str(annotation))


def _range_in(metadata: tuple, otherwise: Range) -> Range:
    """The range that an annotation names, else `otherwise`."""
    return next((part for part in metadata if isinstance(part, Range)), otherwise)


def _kinds(inner: tuple, length: int) -> list:
    """The annotation of each item of a tuple of that length."""
    return [inner[0]] * length if inner[-1:] == (...,) else list(inner)
