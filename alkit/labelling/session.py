"""A session: somebody answers which class an image shows, and a classifier learns along.

    images = labelling.scan("photos")
    with labelling.Session(labelling.default_keep("photos"), images, ["cat", "dog"]) as session:
        question = session.question()
        session.answer(question.number, "cat")     # on the disk when this returns

Questions come in the order of an acquisition strategy. Fitting happens in a thread: the order in force goes on until
the next one is ready, so neither `question` nor `answer` waits for it.
"""

import contextlib
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from alkit.benchmarks import AMBIGUOUS as KIND_AMBIGUOUS
from alkit.benchmarks import ID, OOD
from alkit.experiment.oracle import Answer
from alkit.labelling import images as pictures
from alkit.labelling.answers import AMBIGUOUS, NOT_MINE, SKIP, Asked, Journal, checked_classes
from alkit.labelling.asking import next_question
from alkit.labelling.book import Book
from alkit.labelling.curve import Curve
from alkit.labelling.estimate import Estimate
from alkit.labelling.fits import Fits
from alkit.labelling.images import Images
from alkit.labelling.learning import Learning
from alkit.options import Range, check_value, closest
from alkit.recipes import Recipe
from alkit.store import StoreError

ALIKE = 0.999  # correlation of two pictures of 16 x 16 pixels above which they are asked about once
JUNK = f"{AMBIGUOUS} or {NOT_MINE}"  # the classifier's last column
OPEN: "weakref.WeakValueDictionary[Path, Session]" = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Question:
    """One question: an image by its position, its path in the folder, why it is asked, and whether it is a test."""

    number: int
    position: int
    path: str
    why: str
    test: bool


@dataclass(frozen=True)
class Status:
    """How far a session is. `left`: looks of the budget, else images; `progress`: of the fit, 0..1."""

    looks: int
    by_kind: dict[str, int]
    accuracy: Estimate | None
    naive: float | None
    id_share: float | None
    sentence: str
    fitting: bool
    progress: float
    left: int


class Session:
    """Questions to one annotator about the images of a folder, kept in the folder `where`; see the module.

    `features`: where features come from, as the learner `pretrained` has it ("efficientnet_lite0", a file "....npy"
    with a row for each of `images.paths`), or "contrastive": trained on the images. `budget`: looks, None for no end.
    `test_share`: of the questions, for an honest estimate of accuracy. A fit comes after each `stage_looks` answers.
    `alike`: near duplicates are asked about once above this correlation (1: never). `recipe`, `side`: numbers and px
    of the features' training. ValueError for what cannot be; StoreError where `where` is another session's or full.
    """

    mime = pictures.MIME

    def __init__(
        self,
        where: str | Path,
        images: Images,
        classes: Sequence[str],
        *,
        features: str = "efficientnet_lite0",
        strategy: str = "cautious_coverage",
        budget: int | None = None,
        test_share: float = 0.1,
        annotator: str = "me",
        seed: int = 0,
        stage_looks: int = 20,
        alike: float = ALIKE,
        recipe: Recipe | None = None,
        side: int | None = None,
        progress: bool = False,
    ):
        self.where, self.images = Path(where).expanduser().resolve(), images
        self.classes = checked_classes(classes)
        for value, kind, name in (
            (1 if budget is None else budget, Annotated[int, Range(1)], "budget"),
            (test_share, Annotated[float, Range(0, 0.9)], "test_share"),
            (stage_looks, Annotated[int, Range(1)], "stage_looks"),
            (seed, Annotated[int, Range(0)], "seed"),
            (alike, Annotated[float, Range(0.5, 1)], "alike"),
        ):
            check_value(value, kind, name)
        if not len(images):
            raise ValueError(f"{images.folder} holds no image that can be read ({len(images.unreadable)} cannot)")
        pictures.outside(self.where, images.folder)
        self.budget, self.test_share, self.annotator = budget, test_share, annotator
        self.seed, self.stage_looks, self.strategy = seed, stage_looks, strategy
        if (before := OPEN.get(self.where)) is not None:  # the cell of a notebook was run again
            before.close()
        self._journal = Journal(self.where)
        try:
            self._check_answers()
            self.learning = Learning(
                images,
                len(self.classes),
                features=features,
                strategy=strategy,
                seed=seed,
                recipe=recipe,
                side=side,
                progress=progress,
            )
            self._journal.open_with(
                {"classes": list(self.classes), "features": features, "strategy": strategy, "seed": seed}
            )
            self.groups = self._near_duplicates(alike)
            self.book = Book(images, self._journal, self.classes, self.groups)
            self._state = threading.RLock()
            self.fits = Fits(self.learning, self.book, Curve(self.where, images), stage_looks, self._state)
            self._since, self._open = 0, True
            self._start_fit()
            self.wait()
        except BaseException:
            self._journal.close()
            raise
        OPEN[self.where] = self

    def _check_answers(self) -> None:
        known = {*self.classes, AMBIGUOUS, NOT_MINE, SKIP}
        if lost := sorted({given.value for given in self._journal.given.values()} - known):
            raise ValueError(
                f"this session has answers {', '.join(map(repr, lost))}, which are not among the classes; "
                "name them too, or choose another folder for the session"
            )

    def _near_duplicates(self, alike: float) -> list[np.ndarray]:
        if alike >= 1:
            return []
        return pictures.near_duplicates(pictures.likeness(self.images.pixels(pictures.SMALL)), alike)

    # what is known

    @property
    def answers_N(self) -> np.ndarray:
        """The answers of all images as learners have them: -1 for none, 0..K-1, K; a copy."""
        with self._state:
            return self.book.codes_N.copy()

    @property
    def looks(self) -> int:
        """Answers so far, skips included: what they cost."""
        return self.book.looks

    @property
    def last(self) -> int | None:
        """The number of the question whose answer `undo` takes back; None where there is none."""
        return next(reversed(self._journal.given), None)

    @property
    def finished(self) -> str | None:
        """Why nothing more is asked, None while there is something."""
        with self._state:
            if self.budget is not None and self.looks >= self.budget:
                return f"the budget of {self.budget} looks is spent"
            if not self._journal.waiting and not self.book.may_N().any():
                return "every image was asked about"
            return None

    # questions and answers

    def question(self) -> Question | None:
        """The question to show, the same until it is answered; None where there is none (`finished` says why)."""
        with self._state:
            self._check_open()
            while (asked := self._waiting()) is not None or self.finished is None:
                if asked is None:
                    asked = self._next()
                    self._journal.ask(asked)
                position = self.book.position[asked.id]
                if self.images.there(position):
                    return Question(asked.number, position, self.images.paths[position], asked.why, asked.test)
                self.book.gone_N[position] = True
                self._journal.drop(asked.number)
            return None

    def questions(self, n: int) -> list[Question]:
        """The question to show and those after it, at most `n`: they stay, in this order, whatever is fitted meanwhile.

        For who answers faster than the next question comes: each can be answered now, by its number.
        """
        with self._state:
            if self.question() is None:
                return []
            room = n if self.budget is None else min(n, self.budget - self.looks)
            while len(self._journal.waiting) < room and self.book.may_N().any():
                self._journal.ask(self._next(), behind=True)
            known = [asked for asked in self._journal.waiting[::-1] if asked.id in self.book.position][:room]
            positions = [self.book.position[asked.id] for asked in known]
            return [
                Question(asked.number, position, self.images.paths[position], asked.why, asked.test)
                for asked, position in zip(known, positions, strict=True)
            ]

    def _waiting(self) -> Asked | None:
        """The question that was put and not answered, if its image is still one of the folder's."""
        while self._journal.waiting:
            asked = self._journal.waiting[-1]
            if asked.id in self.book.position:
                return asked
            self._journal.drop(asked.number)
        return None

    def _next(self) -> Asked:
        """The next question, which is to be put now."""
        asked, self.fits.place = next_question(
            self.book, self.fits, strategy=self.strategy, test_share=self.test_share, seed=self.seed
        )
        return asked

    def answer(self, number: int, answer: str) -> int:
        """Save the answer to question `number`: a class, "ambiguous", "not mine" or "skip"; returns the number.

        It is on the disk when this returns. A number that was answered before is acknowledged and changes nothing.
        ValueError for an answer or a number that is unknown; StoreError, with the question kept, on a full disk.
        """
        with self._state:
            self._check_open()
            known = (*self.classes, AMBIGUOUS, NOT_MINE, SKIP)
            if answer not in known:
                raise ValueError(f"unknown answer {answer!r}{closest(answer, known)}; known: {', '.join(known)}")
            if number in self._journal.given or number in self._journal.taken_back:
                return number
            if number not in self._journal.asked:
                raise ValueError(f"question {number!r} was not asked; ask for the question again")
            self._journal.answer(number, answer, self.annotator)
            self.book.take(self._journal.asked[number], answer)
            self._since += 1
            if self._fit_due():
                self._start_fit()
            return number

    def undo(self) -> Question | None:
        """Take the last answer back, any number of times; its image is asked about again. None: no answer is left."""
        with self._state:
            self._check_open()
            if self._journal.undo() is None:
                return None
            self.book.rebuild()
            return self.question()

    def again(self, positions: Sequence[int]) -> Question | None:
        """Ask about these images again, the first of them next; until they are answered anew, old answers stand."""
        with self._state:
            self._check_open()
            for position in list(positions)[::-1]:
                known, path = self.images.ids[position], self.images.paths[position]
                self._journal.ask(Asked(self._journal.next_number, known, path, "asked again"))
            return self.question()

    def upcoming(self, n: int) -> list[int]:
        """Positions that are likely to be asked about after the question in hand, at most `n`."""
        with self._state:
            fitted, may_N = self.fits.fitted, self.book.may_N()
            order = fitted.order[self.fits.place :] if fitted else ()
            behind = [self.book.position.get(asked.id) for asked in self._journal.waiting[-2::-1]]
            ahead = [position for position in order if may_N[position]]
            return [position for position in (*behind, *ahead) if position is not None][:n]

    # learning

    def _fit_due(self) -> bool:
        """Whether a stage has ended, or the session has and its last answers are not learned."""
        return self._since >= self.stage_looks or bool(self._since > 0 and self.finished)

    def _start_fit(self) -> None:
        """Begin a fit, where none is running."""
        with self._state:
            if not self.fits.running:
                self._since = 0
                self.fits.start(self._fit_again)

    def _fit_again(self) -> None:
        """Begin a further fit where answers enough came while one was running."""
        if self._open and self._fit_due():
            self._start_fit()

    def wait(self) -> None:
        """Return when no fit is running: for annotators that are quicker than a person, and for results at the end."""
        self.fits.wait()

    def refit(self) -> None:
        """Learn all answers now, and return when it is done: before results."""
        self.wait()
        self._start_fit()
        self.wait()

    # what is shown

    def status(self) -> Status:
        """How far the session is, as of now."""
        with self._state:
            unasked = int(self.book.may_N().sum()) + len(self._journal.waiting)
            left = unasked if self.budget is None else max(0, self.budget - self.looks)
            return Status(
                self.looks,
                self.book.by_kind(),
                self.fits.judgement.accuracy,
                None if self.fits.judgement.naive is None else self.fits.judgement.naive.value,
                self._id_share(),
                self.fits.trouble or self.fits.judgement.sentence,
                self.fits.running,
                self.fits.progress,
                left,
            )

    def _id_share(self) -> float | None:
        """The mean P(iD) of the images that would be asked in the next stage."""
        if (fitted := self.fits.fitted) is None or fitted.probs_NC is None:
            return None
        rows = self.upcoming(self.stage_looks)
        return float(1 - fitted.probs_NC[rows, -1].mean()) if rows else None

    def neighbours(self, position: int, k: int = 6) -> list[tuple[int, str, float]]:
        """The `k` images with an answer that are nearest by cosine: (position, answer, similarity), nearest first."""
        with self._state:
            own = {other: value for other, value in self.book.values.items() if other != position and value != SKIP}
        if not own:
            return []
        rows, unit_ND = np.array(list(own)), self.learning.unit_ND
        similarity_L = unit_ND[rows] @ unit_ND[position]
        nearest = np.argsort(-similarity_L, kind="stable")[:k]
        return [(int(rows[i]), own[int(rows[i])], float(similarity_L[i])) for i in nearest]

    def opinion(self, position: int) -> list[tuple[str, float]] | None:
        """The classifier's probabilities for an image, largest first; None before it has learned anything."""
        fitted = self.fits.fitted
        if fitted is None or fitted.probs_NC is None:
            return None
        named = zip((*self.classes, JUNK), fitted.probs_NC[position].tolist(), strict=True)
        return sorted(named, key=lambda pair: -pair[1])

    def picture(self, position: int, longest: int = 1024) -> bytes:
        """The image as a picture of type `mime`, at most `longest` px on a side."""
        return self.images.picture(position, longest)

    def labels(self) -> list[dict]:
        """A row for each file with an answer: path, answer, time, annotator, why it was asked, whether as a test.

        Copies and near duplicates have the answer that was given once; an answer whose file is gone keeps its row.
        """
        with self._state:
            return self.book.labels()

    def answers(self) -> dict[int, str]:
        """The answer of each image that has one, by position: its own, or that of a near duplicate."""
        with self._state:
            return self.book.answers()

    def predictions(self) -> np.ndarray:
        """(N, K + 1) probabilities of all images from the last fit. ValueError before a class was answered."""
        fitted = self.fits.fitted
        if fitted is None or fitted.probs_NC is None:
            raise ValueError("nothing is predicted yet: no image was given a class; answer some, and call refit()")
        return fitted.probs_NC

    # the session as an oracle, and its end

    def ask(self, index: int) -> Answer:
        """The person's answer for the image at `index`, as every oracle gives it. ValueError where there is none."""
        with self._state:
            value = self.book.values.get(index, SKIP)
        if value == SKIP:
            raise ValueError(f"image {index} has no answer; ask the person through question() and answer()")
        if value in self.classes:
            return Answer(self.classes.index(value), ID)
        return Answer(None, KIND_AMBIGUOUS if value == AMBIGUOUS else OOD)

    @property
    def cost(self) -> int:
        """Looks so far."""
        return self.looks

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError("this session is closed, perhaps since its cell was run again; open it anew")

    def close(self) -> None:
        """End the session: wait for a running fit and let go of the folder. What was answered stays."""
        with self._state:
            self._open = False
        self.wait()
        with contextlib.suppress(KeyError):
            if OPEN.get(self.where) is self:
                del OPEN[self.where]
        self._journal.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
