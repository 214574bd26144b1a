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
from dataclasses import dataclass
from typing import get_type_hints

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


def order(name: str, view: View, **options) -> Iterator[int]:
    """The order in which strategy `name` asks; name and options are checked now, the work begins at the first item."""
    check_options(name, options)
    return STRATEGIES[name].function(view, **options)
