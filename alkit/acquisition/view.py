"""What a strategy may see of the pool at one stage."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Head:
    """A classifier's penultimate `features_ND` of the pool and its linear layer, `weight_CD` and `bias_C`; float32.

    Its probabilities are softmax(features @ weight.T + bias), up to the rounding of the arithmetic that it ran in. The
    features are the classifier's own, which need not be those that a learner shows for geometry: the contrastive
    learner shows its representation, and fine-tunes its classifier away from it.
    """

    features_ND: np.ndarray
    weight_CD: np.ndarray
    bias_C: np.ndarray


NOT_ASKED = -1


@dataclass(frozen=True)
class View:
    """What a strategy may see at one stage; nothing in it leads to a hidden label.

    `features_ND` float32, one row per pool position; `probs_NC` float32 with C = n_classes + 1, column `n_classes`
    being the auxiliary class of labelled non-iD samples; `answers_N` int64: -1 not asked, 0..K-1 an iD class, K
    non-iD. `quota` is the number of iD answers that the stage wants; `rng` the strategy's own random stream; `head` the
    classifier's last layer, for strategies whose needs name it. `live_N` are the answers as they come within the stage:
    it holds the answer to what a strategy yielded once the strategy is resumed. Without it, it is `answers_N`, as if
    nobody answered. `candidates_N` bool: what may be asked, all where it is None. The arrays are made read-only.
    ValueError where shapes, answers or the quota do not fit together, or where a learner diverged (values not finite).
    """

    features_ND: np.ndarray
    probs_NC: np.ndarray
    answers_N: np.ndarray
    n_classes: int
    quota: int
    rng: np.random.Generator = field(compare=False)
    head: Head = None  # type: ignore[assignment]  # a strategy that needs it is never run without
    live_N: np.ndarray = field(default=None, compare=False)  # type: ignore[arg-type]  # set below
    candidates_N: np.ndarray | None = None

    def __post_init__(self):
        if self.live_N is None:
            object.__setattr__(self, "live_N", self.answers_N)
        _check_view(self)
        for name in ("features_ND", "probs_NC", "answers_N", "live_N", "candidates_N"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _read_only(getattr(self, name)))
        if self.head is not None:
            object.__setattr__(self, "head", Head(*map(_read_only, vars(self.head).values())))

    @property
    def unlabelled(self) -> np.ndarray:
        """Pool positions without an answer, ascending: what is known of the pool beside the labels."""
        return np.flatnonzero(self.answers_N == NOT_ASKED)

    @property
    def unasked(self) -> np.ndarray:
        """Pool positions that a strategy may yield, ascending: those without an answer that are candidates."""
        return self.only_candidates(self.unlabelled)

    def among(self, candidates_N: np.ndarray) -> "View":
        """The same view with these candidates (N,), at any time of a stage: answers may have come already."""
        other = copy.copy(self)
        object.__setattr__(other, "candidates_N", _read_only(candidates_N))
        return other

    def only_candidates(self, positions: np.ndarray) -> np.ndarray:
        """Those of these unlabelled `positions` that are candidates, in the order given."""
        return positions if self.candidates_N is None else positions[self.candidates_N[positions]]

    def shuffled(self) -> np.ndarray:
        """The unasked positions in random order, drawn from `rng`.

        All unlabelled ones are drawn, so that the candidates are in the same order whoever else is one.
        """
        return self.only_candidates(self.rng.permutation(self.unlabelled))


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
    if view.candidates_N is not None and (view.candidates_N.shape != (n,) or view.candidates_N.dtype != bool):
        raise ValueError(f"candidates must be {n} booleans, got {view.candidates_N.shape} of {view.candidates_N.dtype}")
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


def ranked(view: View, score_N: np.ndarray) -> Iterator[int]:
    """Unasked positions by ascending score; equal scores in random order, so that pool order never matters."""
    positions = view.shuffled()
    yield from positions[np.argsort(score_N[positions], kind="stable")].tolist()
