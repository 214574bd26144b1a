"""Annotators that are no person: for tests, for the notebook's own run, and to try a session before labelling.

`write_folder` makes a folder of PNG files from a benchmark; `Scripted` answers for them, with the errors that people
make; `run` lets it answer.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from sklearn.neighbors import NearestNeighbors

from alkit import rng
from alkit.benchmarks import AMBIGUOUS as KIND_AMBIGUOUS
from alkit.benchmarks import ID, Benchmark
from alkit.experiment.oracle import Answer, Answering, Oracle
from alkit.labelling.answers import AMBIGUOUS, NOT_MINE
from alkit.labelling.session import Question, Session
from alkit.options import Range, check_value

NEAREST, OTHERS = 5, 2  # neighbours by pixels, and how many of them have another class where an image is hard


def write_folder(benchmark: Benchmark, folder: str | Path, count: int | None = None) -> Path:
    """Write the first `count` images of the benchmark's pool (all: None) to `folder` as PNG files; returns it.

    The names are the positions in the pool, which tell nothing. A file that is there already is left alone.
    """
    from PIL import Image

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for position, image_CHW in enumerate(benchmark.pool.images_NCHW[:count]):
        path = folder / f"{position:06}.png"
        if not path.exists():
            Image.fromarray(image_CHW[0] if len(image_CHW) == 1 else image_CHW.transpose(1, 2, 0)).save(path)
    return folder


class Scripted:
    """Answers questions from what is known: a `Benchmark` in a folder by `write_folder`, or answers by path.

    `error`: share of the images that it gets wrong, naming another class. `ambiguous_when_hard`: it calls an iD image
    ambiguous when two or more of the five iD images nearest to it by pixels are of other classes. What it says of an
    image is always the same, whenever it is asked.
    """

    def __init__(
        self,
        known: Benchmark | Mapping[str, str],
        *,
        error: float = 0.0,
        ambiguous_when_hard: bool = False,
        seed: int = 0,
    ):
        check_value(error, Annotated[float, Range(0, 1)], "error")
        self.error, self.seed = error, seed
        if isinstance(known, Benchmark):
            self.oracle: Answering | None = Oracle(known.pool)
            self.classes, self.by_path = known.class_names, dict[str, str]()
            self.hard = hard_images(known) if ambiguous_when_hard else frozenset()
        elif ambiguous_when_hard:
            raise ValueError("what is hard is told by the images of a benchmark; give one, or leave it out")
        else:
            self.oracle, self.by_path, self.hard = None, dict(known), frozenset()
            self.classes = tuple(sorted({*self.by_path.values()} - {AMBIGUOUS, NOT_MINE}))

    def __call__(self, question: Question) -> str:
        """The answer to a question. KeyError for a path that nothing is known of."""
        if question.path not in self.by_path:
            if self.oracle is None:
                raise KeyError(f"nothing is known of {question.path}")
            position = int(Path(question.path).stem)
            hard = position in self.hard
            self.by_path[question.path] = AMBIGUOUS if hard else word(self.oracle.ask(position), self.classes)
        return self._perhaps_wrong(question.path) if self.error else self.by_path[question.path]

    def _perhaps_wrong(self, path: str) -> str:
        right = self.by_path[path]
        stream = rng.numpy_stream(self.seed, f"annotator {path}")
        others = [name for name in self.classes if name != right]
        return str(stream.choice(others)) if others and stream.random() < self.error else right


def word(answer: Answer, classes: tuple[str, ...]) -> str:
    """An oracle's answer in a session's words."""
    if answer.label is not None:
        return classes[answer.label]
    return AMBIGUOUS if answer.kind == KIND_AMBIGUOUS else NOT_MINE


def hard_images(benchmark: Benchmark) -> frozenset[int]:
    """Pool positions of iD images that have two or more of other classes among the five nearest by pixels."""
    pool = benchmark.pool
    rows = np.flatnonzero(pool.category_N == ID)
    pixels = pool.images_NCHW[rows].reshape(len(rows), -1).astype(np.float32)
    near = NearestNeighbors(n_neighbors=min(NEAREST, len(rows) - 1)).fit(pixels).kneighbors(return_distance=False)
    labels = pool.labels_N[rows]
    return frozenset(rows[(labels[near] != labels[:, None]).sum(1) >= OTHERS].tolist())


def run(session: Session, annotator: Callable[[Question], str], n: int | None = None) -> int:
    """Let `annotator` answer `n` questions, or all there are; returns how many it answered.

    It waits for each fit, so that the same answers lead to the same questions.
    """
    answered = 0
    while (n is None or answered < n) and (question := session.question()) is not None:
        session.answer(question.number, annotator(question))
        session.wait()
        answered += 1
    return answered
