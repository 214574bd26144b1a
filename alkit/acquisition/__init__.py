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
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np

from alkit.head import Head
from alkit.recipes import closest

NOT_ASKED = -1
FAMILIES = ("paper", "classic", "open-set", "ours", "reference")  # as tables and figures group them, in this order


@dataclass(frozen=True)
class View:
    """What a strategy may see at one stage; nothing in it leads to a hidden label.

    `features_ND` float32, one row per pool position; `probs_NC` float32 with C = n_classes + 1, column `n_classes`
    being the auxiliary class of labelled non-iD samples; `answers_N` int64: -1 not asked, 0..K-1 an iD class, K
    non-iD. `quota` is the number of iD answers that the stage wants; `rng` the strategy's own random stream; `head` the
    classifier's last layer, for strategies whose needs name it. `live_N` are the answers as they come within the stage:
    it holds the answer to what a strategy yielded once the strategy is resumed. Without it, it is `answers_N`, as if
    nobody answered. The arrays are made read-only. ValueError where shapes, answers or the quota do not fit together,
    or where a learner diverged (values not finite).
    """

    features_ND: np.ndarray
    probs_NC: np.ndarray
    answers_N: np.ndarray
    n_classes: int
    quota: int
    rng: np.random.Generator = field(compare=False)
    head: Head | None = None
    live_N: np.ndarray | None = field(default=None, compare=False)

    def __post_init__(self):
        if self.live_N is None:
            object.__setattr__(self, "live_N", self.answers_N)
        _check_view(self)
        for name in ("features_ND", "probs_NC", "answers_N", "live_N"):
            object.__setattr__(self, name, _read_only(getattr(self, name)))
        if self.head is not None:
            object.__setattr__(self, "head", Head(*map(_read_only, vars(self.head).values())))

    @property
    def unasked(self) -> np.ndarray:
        """Pool positions that the oracle has not answered, ascending."""
        return np.flatnonzero(self.answers_N == NOT_ASKED)


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.view()
    array.flags.writeable = False
    return array


def _check_view(view: View) -> None:
    n = len(view.answers_N)
    if view.features_ND.ndim != 2 or len(view.features_ND) != n:
        raise ValueError(f"features must be (N, D) with N = {n} as answers, got {view.features_ND.shape}")
    if view.probs_NC.shape != (n, view.n_classes + 1):
        raise ValueError(f"probabilities must be (N, K + 1) = {(n, view.n_classes + 1)}, got {view.probs_NC.shape}")
    for name in ("features_ND", "probs_NC"):
        if not np.isfinite(getattr(view, name)).all():
            raise ValueError(f"{name} holds values that are not finite: did the learner diverge?")
    if not np.issubdtype(view.answers_N.dtype, np.integer):
        raise ValueError(f"answers must be integers, got {view.answers_N.dtype}")
    if n and not NOT_ASKED <= view.answers_N.min() <= view.answers_N.max() <= view.n_classes:
        span = f"{view.answers_N.min()}..{view.answers_N.max()}"
        raise ValueError(f"answers must lie in -1..{view.n_classes}, got {span}")
    if not np.array_equal(view.live_N, view.answers_N):
        raise ValueError("live answers must begin as the stage's answers: what is answered later comes into them later")
    if view.head is not None:
        _check_head(view.head, view.probs_NC.shape)
    if view.quota < 1:
        raise ValueError(f"quota must be at least 1, got {view.quota}")


def _check_head(head: Head, shape: tuple[int, int]) -> None:
    n, c, width = *shape, head.features_ND.shape[-1]
    shapes = tuple(np.shape(part) for part in vars(head).values())
    if shapes != ((n, width), (c, width), (c,)):
        raise ValueError(f"a head must be of shapes (N, D), (C, D), (C,) with N, C = {shape}, got {shapes}")
    if not all(np.isfinite(part).all() for part in vars(head).values()):
        raise ValueError("head holds values that are not finite: did the learner diverge?")


def ranked(view: View, score_N: np.ndarray, *, auxiliary_filter: bool) -> Iterator[int]:
    """Unasked positions by ascending score; equal scores in random order, so that the pool's own order never matters.

    With `auxiliary_filter`, samples whose largest probability is on the auxiliary class come after all others (Kim,
    Kim and Hwang 2023 drop them from the candidates; here they come last, so that a stage can always go on).
    """
    positions = view.rng.permutation(view.unasked)
    positions = positions[np.argsort(score_N[positions], kind="stable")]
    if auxiliary_filter:
        looks_id = view.probs_NC[positions].argmax(axis=1) != view.n_classes
        positions = np.concatenate([positions[looks_id], positions[~looks_id]])
    yield from positions.tolist()


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


# Importing a family registers its strategies; at the end, because each of them imports the names above.
from alkit.acquisition import uncertainty, density, clusters  # noqa: E402, F401, I001
from alkit.acquisition import coverage, typicality, dropout, disagreement, gradients  # noqa: E402, F401, I001
from alkit.acquisition import cautious, detectors, energy, entropic, purity, references, submodular  # noqa: E402, F401, I001
