"""The learning curve of a session: what each stage's classifier says of every image, judged by all answers so far."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alkit.labelling.book import Book
from alkit.labelling.estimate import Estimate, accuracies, accuracy, naive
from alkit.labelling.images import Images
from alkit.labelling.stopping import gain_sentence, should_stop
from alkit.store import sha256, writable, write_atomic


@dataclass(frozen=True)
class Judgement:
    """The accuracy of the last classifier as tests and as bought labels have it, and whether going on is worth it."""

    accuracy: Estimate | None = None
    naive: Estimate | None = None
    sentence: str = ""


class Curve:
    """The classes that each stage's classifier gives the images, by a classifier that did not learn their answers.

    They are kept in the session's folder, one file for each stage, for these images: with other images the curve begins
    anew.
    """

    def __init__(self, where: Path, images: Images):
        self.folder = where / "stages" / sha256("".join(images.ids).encode())[:12]
        self.classes_N: dict[int, np.ndarray] = {}  # by looks
        for path in sorted(self.folder.glob("*.npy")):
            self.classes_N[int(path.stem)] = np.load(path)

    def add(self, looks: int, classes_N: np.ndarray) -> None:
        """Keep what the classifier after so many looks says."""
        buffer = io.BytesIO()
        np.save(buffer, classes_N.astype(np.int16))
        write_atomic(writable(self.folder) / f"{looks:06}.npy", buffer.getvalue())
        self.classes_N[looks] = classes_N

    def judged(self, book: Book) -> Judgement:
        """How good the last classifier is, and what the last looks brought; stages taken back are out."""
        known, rows_M, rows_L = book.evidence()
        looks_S = [stage for stage in sorted(self.classes_N) if 0 < stage <= book.looks]
        if not looks_S:
            return Judgement()
        right_SM, right_SL = (
            np.stack([self.classes_N[stage][rows] == book.codes_N[rows] for stage in looks_S])
            for rows in (rows_M, rows_L)
        )
        found = accuracy(known, right_SM[-1], right_SL[-1])
        sentence = ""
        if found is not None:
            _, accuracy_RS = accuracies(known, right_SM, right_SL)
            enough = should_stop(looks_S, accuracy_RS)
            sentence = gain_sentence(looks_S, accuracy_RS) + ("; a good moment to stop" if enough else "")
        return Judgement(found, naive(known.is_id_L, right_SL[-1]), sentence)
