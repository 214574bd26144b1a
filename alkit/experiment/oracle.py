"""The oracle: the only part of the study that reads hidden labels, and the count of what its answers cost."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alkit.benchmarks import ID, OOD, Pool


@dataclass(frozen=True)
class Answer:
    """One answer: `label` 0..K-1 or None where the image has no class, `kind` one of ID, AMBIGUOUS, OOD."""

    label: int | None
    kind: int


class Answering(Protocol):
    """Whoever answers: hidden labels (`Oracle`), or a person (`labelling.Session`); no strategy or learner knows."""

    def ask(self, index: int) -> Answer:
        """The answer for pool position `index`; ValueError where there is none to be had."""
        ...

    @property
    def cost(self) -> int:
        """Samples shown so far."""
        ...


class Oracle:
    """Answers for the samples of one pool. Every sample shown to it costs 1, iD or not, and it is shown once."""

    def __init__(self, pool: Pool):
        self._labels_N, self._kind_N = pool.labels_N, pool.category_N
        self._asked = np.zeros(len(pool.labels_N), dtype=bool)

    def ask(self, index: int) -> Answer:
        """The answer for pool position `index`. ValueError for a position outside the pool or one asked before."""
        if not 0 <= index < len(self._asked):
            raise ValueError(f"position {index} is outside the pool of {len(self._asked)}")
        if self._asked[index]:
            raise ValueError(f"position {index} was asked before; a strategy must yield each position once")
        self._asked[index] = True
        kind = int(self._kind_N[index])
        return Answer(int(self._labels_N[index]) if kind == ID else None, kind)

    def declare(self, n_classes: int) -> dict[int, int]:
        """From now on, OoD images with a label below `n_classes` are iD; the labels of those that were shown before.

        The annotator has seen these, so that it costs no look to name them again.
        """
        late_N = (self._kind_N == OOD) & (self._labels_N < n_classes)
        self._kind_N = np.where(late_N, ID, self._kind_N)
        return {index: int(self._labels_N[index]) for index in np.flatnonzero(late_N & self._asked).tolist()}

    def is_id(self, index: int) -> bool:
        """Whether the sample is iD, without showing it to the annotator: for the experimenter's own bookkeeping."""
        return bool(self._kind_N[index] == ID)

    def examine(self, stream: np.random.Generator, n_id: int) -> list[int]:
        """Positions in random order up to and with the `n_id`-th iD one: the draw of an initial set, not yet paid."""
        order = stream.permutation(len(self._asked))
        found = np.cumsum(self._kind_N[order] == ID)
        return order[: np.searchsorted(found, n_id) + 1].tolist()

    @property
    def cost(self) -> int:
        """Samples shown so far."""
        return int(self._asked.sum())
