"""The registry of acquisition strategies, and the contract that every strategy keeps.

A strategy is a generator function `strategy(view, **options) -> Iterator[int]`. It yields pool positions in the order
in which the oracle is to be asked: every position of `view.unasked` once and no other, lazily, because a stage ends
when enough iD answers have come and not after a fixed batch. It draws randomness from `view.rng` alone and changes
nothing that it is given. `order` holds it to that.

To add one, put `@strategy(...)` above such a function, in a notebook or in a file of this package that `__init__`
imports; the contract's tests read the registry and then cover it too.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import get_type_hints

import numpy as np

from alkit.acquisition.view import NOT_ASKED, View
from alkit.options import check_name, check_value

SHOWN = ("features", "probs", "head")  # what learners show, and a strategy may need


FAMILIES = ("paper", "classic", "open-set", "ours", "reference")  # as tables and figures group them, in this order


@dataclass(frozen=True)
class Strategy:
    """A registered strategy: `needs` names what the learner must show, `options` maps each option to its default.

    `family`: one of `FAMILIES`. "reference" marks a line to hold strategies against and never to rank among them: the
    loop skips the non-iD samples in its order, unasked and unpaid. The order itself is one of the view alone, as every
    strategy's is. `extensions`: options that go past what the strategy's source defines; with one, it is "ours".
    `source_hash`: SHA-256 of the function's text where it is not alkit's own, whose version stands for it; None where
    the text cannot be read. It is part of a run's hash, so that a changed function does not read old results.
    """

    name: str
    function: Callable[..., Iterator[int]]
    citation: str
    needs: tuple[str, ...]
    options: Mapping[str, object]
    family: str = "ours"
    extensions: tuple[str, ...] = ()
    source_hash: str | None = ""

    @property
    def reference(self) -> bool:
        return self.family == "reference"


STRATEGIES: dict[str, Strategy] = {}


class StrategyError(ValueError):
    """A strategy breaks the contract; the message names it and what it did."""


def strategy(
    name: str, *, citation: str, needs: tuple[str, ...], family: str = "ours", extensions: tuple[str, ...] = ()
) -> Callable:
    """Registers a generator function; its options are its keyword-only arguments, each with a type and a default.

    Run again, as a changed cell of a notebook is, it replaces the strategy of the same name from the same function of
    the same module. ValueError for a name that is taken otherwise or is no identifier, an unknown family or extension,
    and for needs that no learner shows; TypeError for options that cannot be checked.
    """
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"a strategy's name must be an identifier, such as 'my_strategy', got {name!r}")
    if isinstance(needs, str) or set(needs) - set(SHOWN):
        raise ValueError(
            f"the needs of strategy {name!r} must be a tuple of what learners show, {', '.join(SHOWN)}; got {needs!r}"
        )
    if family not in FAMILIES:
        raise ValueError(f"the family of strategy {name!r} must be one of {', '.join(FAMILIES)}; got {family!r}")

    def register(function: Callable[..., Iterator[int]]) -> Callable[..., Iterator[int]]:
        if name in STRATEGIES and _origin(STRATEGIES[name].function) != _origin(function):
            raise ValueError(f"a strategy named {name!r} is registered already: choose another name")
        parameters = list(inspect.signature(function).parameters.values())[1:]
        for p in parameters:
            if p.kind is not p.KEYWORD_ONLY or p.default is p.empty or p.annotation is p.empty:
                raise TypeError(f"{p.name!r} of strategy {name!r} must be keyword-only, with a type and a default")
        options = {p.name: p.default for p in parameters}
        if "auxiliary_filter" in options:
            raise ValueError(f"auxiliary_filter is an option of every strategy (see order); rename that of {name!r}")
        if unknown := set(extensions) - set(options):
            raise ValueError(f"extensions of strategy {name!r} are not among its options: {sorted(unknown)}")
        STRATEGIES[name] = Strategy(
            name, function, citation, needs, options, family, extensions, _source_hash(function)
        )
        return function

    return register


def _origin(function: Callable) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _source_hash(function: Callable) -> str | None:
    if (function.__module__ or "").partition(".")[0] == __name__.partition(".")[0]:
        return ""
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (OSError, TypeError):
        return None


def source_hash(name: str) -> str:
    """`Strategy.source_hash` of that name; "" for alkit's own and for one that is not registered (any more)."""
    return (STRATEGIES[name].source_hash or "") if name in STRATEGIES else ""


def family(name: str, options: Mapping[str, object]) -> str:
    """The family of strategy `name` with these `options`; "ours" for one that is not registered (any more)."""
    known = STRATEGIES.get(name)
    return known.family if known and not set(known.extensions) & set(options) else "ours"


def get(name: str) -> Strategy:
    """The strategy of that name; ValueError with the known names where there is none."""
    check_name(name, sorted(STRATEGIES), "strategy")
    return STRATEGIES[name]


def check_options(name: str, options: Mapping[str, object]) -> None:
    """ValueError where strategy `name` has no such option, or where a value does not fit the option's type."""
    known = get(name)
    types = get_type_hints(known.function, include_extras=True)
    for option, value in options.items():
        check_name(option, known.options, "option", of=f"strategy {name!r}")
        check_value(value, types[option], f"{option} of strategy {name!r}")


def order(name: str, view: View, *, auxiliary_filter: bool = True, **options) -> Iterator[int]:
    """The order in which strategy `name` asks; name and options are checked now, the work begins at the first item.

    With `auxiliary_filter` the strategy first orders the samples whose largest probability is not on the auxiliary
    class, and once these are used up the others (Kim, Kim and Hwang 2023 drop those from the candidates; here they come
    last, so that a stage can always go on). A reference line needs no filter: the loop passes over non-iD samples.
    StrategyError, at the item, for what breaks the contract.
    """
    check_options(name, options)
    check_value(auxiliary_filter, bool, "auxiliary_filter")
    known = STRATEGIES[name]
    return _in_passes(known, view, options, filtered=auxiliary_filter and not known.reference)


def _in_passes(known: Strategy, view: View, options: Mapping, *, filtered: bool) -> Iterator[int]:
    """The strategy's order of all candidates, or with the filter of those that look iD and then of the others."""
    unasked = view.unasked
    looks_id = view.probs_NC[unasked].argmax(axis=1) != view.n_classes
    nothing_known = len(unasked) == 0 or len(view.unlabelled) == len(view.answers_N)
    if not filtered or nothing_known or looks_id.all() or not looks_id.any():
        yield from _checked(known, view, options)
        return
    for part in (unasked[looks_id], unasked[~looks_id]):
        candidates_N = np.zeros(len(view.answers_N), bool)
        candidates_N[part] = True
        yield from _checked(known, view.among(candidates_N), options)


def _checked(known: Strategy, view: View, options: Mapping) -> Iterator[int]:
    """What the strategy yields, as plain ints; StrategyError for anything but each of `view.unasked` once."""
    items, may_N, n = known.function(view, **options), np.zeros(len(view.answers_N), bool), len(view.answers_N)
    may_N[view.unasked] = True
    yielded = set()
    if not isinstance(items, Iterable):
        raise StrategyError(f"strategy {known.name!r} returns {items!r}; it must yield pool positions")
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | np.integer):
            wrong = "no whole number"
        elif not 0 <= item < n:
            wrong = f"outside the pool of {n}"
        elif item in yielded:
            wrong = "yielded before"
        elif view.answers_N[item] != NOT_ASKED:
            wrong = "answered already"
        elif not may_N[item]:
            wrong = "no candidate under the auxiliary filter"
        else:
            yielded.add(int(item))
            yield int(item)
            continue
        rule = "it must yield each position of view.unasked once, and nothing else"
        raise StrategyError(f"strategy {known.name!r} yielded {item!r}, which is {wrong}; {rule}")
