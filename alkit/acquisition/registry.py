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
from typing import Literal, get_args, get_origin, get_type_hints

from alkit.acquisition.view import View
from alkit.options import closest

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
    if name not in STRATEGIES:
        known = ", ".join(sorted(STRATEGIES))
        raise ValueError(f"unknown strategy {name!r}{closest(name, STRATEGIES)}; known: {known}")
    return STRATEGIES[name]


def check_options(name: str, options: Mapping[str, object]) -> None:
    """ValueError where strategy `name` has no such option, or where a value does not fit the option's type."""
    known = get(name)
    types = get_type_hints(known.function)
    for option, value in options.items():
        if option not in known.options:
            valid = f"it has: {', '.join(known.options)}" if known.options else "it has none"
            raise ValueError(f"strategy {name!r} has no option {option!r}{closest(option, known.options)}; {valid}")
        if not _fits(value, types[option]):
            raise ValueError(f"{option} of strategy {name!r} must be {_describe(types[option])}, got {value!r}")


def order(name: str, view: View, **options) -> Iterator[int]:
    """The order in which strategy `name` asks; name and options are checked now, the work begins at the first item."""
    check_options(name, options)
    return STRATEGIES[name].function(view, **options)


def _fits(value: object, annotation: object) -> bool:
    """Whether `value` is of that type, strictly: 1 is no bool and True is no number, but a whole number is a float."""
    if get_origin(annotation) is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(annotation))
    return type(value) is annotation or (annotation is float and type(value) is int)


def _describe(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(map(repr, get_args(annotation)))
    return {bool: "True or False", int: "a whole number", float: "a number"}.get(annotation, str(annotation))
