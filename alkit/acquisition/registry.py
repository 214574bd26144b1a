"""Acquisition strategies: what a strategy may see, the registry, and the contract that every strategy keeps.

A strategy is a function `strategy(view, **options) -> Iterator[int]`. It yields pool positions in the order in which
the oracle is to be asked: every unanswered position once, no answered one, lazily, because a stage ends when enough
iD answers have come and not after a fixed batch. It draws randomness from `view.rng` alone and changes nothing that
it is given.

To add one, write such a generator in a module of this package, put `@strategy(...)` above it and import the module at
the end of this file; the contract's tests read the registry and then cover it too.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import get_type_hints

import numpy as np

from alkit.acquisition.view import View
from alkit.options import check_name, check_value

FAMILIES = ("paper", "classic", "open-set", "ours", "reference")  # as tables and figures group them, in this order


@dataclass(frozen=True)
class Strategy:
    """A registered strategy: `needs` names what the learner must show, `options` maps each option to its default.

    `family`: one of `FAMILIES`. "reference" marks a line to hold strategies against and never to rank among them: the
    loop skips the non-iD samples in its order, unasked and unpaid. The order itself is one of the view alone, as every
    strategy's is. `extensions`: options that go past what the strategy's source defines; with one, it is "ours".
    """

    name: str
    function: Callable[..., Iterator[int]]
    citation: str
    needs: tuple[str, ...]
    options: Mapping[str, object]
    family: str = "ours"
    extensions: tuple[str, ...] = ()

    @property
    def reference(self) -> bool:
        return self.family == "reference"


STRATEGIES: dict[str, Strategy] = {}


def strategy(
    name: str, *, citation: str, needs: tuple[str, ...], family: str = "ours", extensions: tuple[str, ...] = ()
) -> Callable:
    """Registers a generator function; its options are its keyword-only arguments, each with a type and a default."""
    if family not in FAMILIES:
        raise ValueError(f"the family of strategy {name!r} must be one of {', '.join(FAMILIES)}; got {family!r}")

    def register(function: Callable[..., Iterator[int]]) -> Callable[..., Iterator[int]]:
        if name in STRATEGIES:
            raise ValueError(f"a strategy named {name!r} is registered already: choose another name")
        parameters = list(inspect.signature(function).parameters.values())[1:]
        for p in parameters:
            if p.kind is not p.KEYWORD_ONLY or p.default is p.empty or p.annotation is p.empty:
                raise TypeError(f"{p.name!r} of strategy {name!r} must be keyword-only, with a type and a default")
        options = {p.name: p.default for p in parameters}
        if unknown := set(extensions) - set(options):
            raise ValueError(f"extensions of strategy {name!r} are not among its options: {sorted(unknown)}")
        STRATEGIES[name] = Strategy(name, function, citation, needs, options, family, extensions)
        return function

    return register


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
    """
    check_options(name, options)
    check_value(auxiliary_filter, bool, "auxiliary_filter")
    known = STRATEGIES[name]
    return _in_passes(known.function, view, options, filtered=auxiliary_filter and not known.reference)


def _in_passes(function: Callable, view: View, options: Mapping, *, filtered: bool) -> Iterator[int]:
    """The strategy's order of all candidates, or with the filter of those that look iD and then of the others."""
    unasked = view.unasked
    looks_id = view.probs_NC[unasked].argmax(axis=1) != view.n_classes
    nothing_known = len(unasked) == 0 or len(view.unlabelled) == len(view.answers_N)
    if not filtered or nothing_known or looks_id.all() or not looks_id.any():
        yield from function(view, **options)
        return
    passes = []  # made before anything is asked: a view's live answers must begin as the stage's
    for part in (unasked[looks_id], unasked[~looks_id]):
        candidates_N = np.zeros(len(view.answers_N), bool)
        candidates_N[part] = True
        passes.append(replace(view, candidates_N=candidates_N))
    for one in passes:
        yield from function(one, **options)
