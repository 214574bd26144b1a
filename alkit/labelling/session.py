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
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from alkit import rng
from alkit.acquisition import NOT_ASKED
from alkit.benchmarks import AMBIGUOUS as KIND_AMBIGUOUS
from alkit.benchmarks import ID, OOD
from alkit.experiment.oracle import Answer
from alkit.labelling import images as pictures
from alkit.labelling.answers import AMBIGUOUS, NOT_MINE, SKIP, Asked, Journal
from alkit.labelling.images import Images
from alkit.labelling.learning import Fitted, Learning
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
    accuracy: object | None
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
            self._position = {known: position for position, known in enumerate(images.ids)}
            self.groups = self._near_duplicates(alike)
            self._members = {int(member): group for group in self.groups for member in group}
            self._state = threading.RLock()
            self._gone: set[int] = set()
            self._rebuild()
            self._fitted: Fitted | None = None
            self._place = 0  # in the order in force
            self._thread: threading.Thread | None = None
            self._progress, self._since, self._stage = 1.0, 0, 0
            self._trouble, self._open = "", True
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

    def _rebuild(self) -> None:
        """The answers of all images from the journal."""
        self._answers_N = np.full(len(self.images), NOT_ASKED, np.int64)
        self._skipped_N = np.zeros(len(self.images), bool)
        self._own = {}
        for given in self._journal.given.values():
            self._take(given.asked.id, given.value)

    def _take(self, known: str, value: str) -> None:
        """Put one answer into the arrays, for its image and for near duplicates without an answer of their own."""
        position = self._position.get(known)
        if position is None:  # its file is not in the folder any more; the journal keeps the answer
            return
        self._own[position] = value
        code = self.code(value)
        for member in self._members.get(position, [position]):
            if int(member) == position or int(member) not in self._own:
                self._skipped_N[member] = value == SKIP
                self._answers_N[member] = NOT_ASKED if value == SKIP else code

    def code(self, value: str) -> int:
        """An answer as learners have it: 0..K-1 for a class, K for ambiguous or not mine."""
        return self.classes.index(value) if value in self.classes else len(self.classes)

    @property
    def answers_N(self) -> np.ndarray:
        """The answers of all images as learners have them: -1 for none, 0..K-1, K; a copy."""
        with self._state:
            return self._answers_N.copy()

    @property
    def looks(self) -> int:
        """Answers so far, skips included: what they cost."""
        return len(self._journal.given)

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
            if not len(self._askable()) and not self._journal.waiting:
                return "every image was asked about"
            return None

    def _askable(self) -> np.ndarray:
        may_N = (self._answers_N == NOT_ASKED) & ~self._skipped_N
        may_N[[*self._gone, *self._put()]] = False
        return np.flatnonzero(may_N)

    def _put(self) -> set[int]:
        """Images that a question was put about, and their near duplicates."""
        put = [self._position[asked.id] for asked in self._journal.waiting if asked.id in self._position]
        return {int(member) for position in put for member in self._members.get(position, [position])}

    # questions and answers

    def question(self) -> Question | None:
        """The question to show, the same until it is answered; None where there is none (`finished` says why)."""
        with self._state:
            self._check_open()
            while (asked := self._waiting()) is not None or self.finished is None:
                if asked is None:
                    asked, self._place = self._next()
                    self._journal.ask(asked)
                position = self._position[asked.id]
                if self.images.there(position):
                    return Question(asked.number, position, self.images.paths[position], asked.why, asked.test)
                self._gone.add(position)
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
            while len(self._journal.waiting) < room and len(self._askable()):
                asked, self._place = self._next()
                self._journal.ask(asked, behind=True)
            known = [asked for asked in self._journal.waiting[::-1] if asked.id in self._position][:room]
            positions = [self._position[asked.id] for asked in known]
            return [
                Question(asked.number, position, self.images.paths[position], asked.why, asked.test)
                for asked, position in zip(known, positions, strict=True)
            ]

    def _waiting(self) -> Asked | None:
        """The question that was put and not answered, if its image is still one of the folder's."""
        while self._journal.waiting:
            asked = self._journal.waiting[-1]
            if asked.id in self._position:
                return asked
            self._journal.drop(asked.number)
        return None

    def _next(self) -> tuple[Asked, int]:
        """The next question, a test where one is due, and the place in the order in force once it is put."""
        askable, number = self._askable(), self._journal.next_number
        stage, order = (self._fitted.stage, self._fitted.order) if self._fitted else (0, ())
        place, chance, test = self._place, None, self._test_due()
        if test:
            stream = rng.numpy_stream(self.seed, "test", number)
            chance = 1 / len(askable)
            position, why = int(stream.choice(askable)), "drawn to estimate the accuracy"
        else:
            while place < len(order) and not self._may(order[place]):
                place += 1
            if place < len(order):
                position, place = order[place], place + 1
                why = f"{self.strategy}, stage {stage}, place {place}"
            else:
                position = int(rng.numpy_stream(self.seed, "stand-in", number).choice(askable))
                why = "at random, while the next order is made"
        known, path = self.images.ids[position], self.images.paths[position]
        return Asked(number, known, path, why, test, chance, len(askable), stage), place

    def _may(self, position: int) -> bool:
        free = self._answers_N[position] == NOT_ASKED and not self._skipped_N[position]
        return bool(free and position not in self._gone and position not in self._put())

    def _test_due(self) -> bool:
        put = [*(given.asked for given in self._journal.given.values()), *self._journal.waiting]
        return sum(asked.test for asked in put) + 1 <= self.test_share * (len(put) + 1)

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
            self._take(self._journal.asked[number].id, answer)
            self._since += 1
            if self._since >= self.stage_looks:
                self._start_fit()
            return number

    def undo(self) -> Question | None:
        """Take the last answer back, any number of times; its image is asked about again. None: no answer is left."""
        with self._state:
            self._check_open()
            if self._journal.undo() is None:
                return None
            self._rebuild()
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
            order = self._fitted.order[self._place :] if self._fitted else ()
            behind = [self._position[asked.id] for asked in self._journal.waiting[-2::-1] if asked.id in self._position]
            return [*behind, *(position for position in order if self._may(position))][:n]

    # learning

    def _start_fit(self) -> None:
        """Begin a fit in a thread, where none is running."""
        with self._state:
            if self._thread is not None:
                return
            self._since, self._progress = 0, 0.0
            stage = self._stage
            self._stage += 1
            may_N = np.zeros(len(self.images), bool)
            may_N[self._askable()] = True
            arguments = (self._answers_N.copy(), may_N, stage)
            self._thread = threading.Thread(target=self._fit, args=arguments, name="fit")
            self._thread.start()

    def _fit(self, answers_N: np.ndarray, may_N: np.ndarray, stage: int) -> None:
        def report(share: float) -> None:
            self._progress = share

        fitted, trouble = None, ""
        try:
            fitted = self.learning.fit(answers_N, may_N, stage, self.stage_looks, report)
        except Exception as error:  # the person goes on; the status says what happened
            trouble = f"the classifier could not be fitted: {error}"
        with self._state:
            self._thread, self._progress, self._trouble = None, 1.0, trouble
            if fitted is not None:
                self._fitted, self._place = fitted, 0
            if self._open and self._since >= self.stage_looks:
                self._start_fit()

    def wait(self) -> None:
        """Return when no fit is running: for annotators that are quicker than a person, and for results at the end."""
        while (thread := self._thread) is not None:
            thread.join()

    def refit(self) -> None:
        """Learn all answers now, and return when it is done."""
        self.wait()
        self._start_fit()
        self.wait()

    # what is shown

    def status(self) -> Status:
        """How far the session is, as of now."""
        with self._state:
            values = Counter(given.value for given in self._journal.latest().values())
            kinds = {"class": sum(values[name] for name in self.classes), AMBIGUOUS: values[AMBIGUOUS]}
            kinds |= {NOT_MINE: values[NOT_MINE], "skipped": values[SKIP]}
            unasked = len(self._askable()) + len(self._journal.waiting)
            left = unasked if self.budget is None else max(0, self.budget - self.looks)
            return Status(
                self.looks,
                kinds,
                None,
                None,
                self._id_share(),
                self._trouble or self.finished or "",
                self._thread is not None,
                self._progress,
                left,
            )

    def _id_share(self) -> float | None:
        """The mean P(iD) of the images that would be asked in the next stage."""
        if self._fitted is None or self._fitted.probs_NC is None:
            return None
        rows = self.upcoming(self.stage_looks)
        return float(1 - self._fitted.probs_NC[rows, -1].mean()) if rows else None

    def neighbours(self, position: int, k: int = 6) -> list[tuple[int, str, float]]:
        """The `k` images with an answer that are nearest by cosine: (position, answer, similarity), nearest first."""
        with self._state:
            own = {other: value for other, value in self._own.items() if other != position and value != SKIP}
        if not own:
            return []
        rows, unit_ND = np.array(list(own)), self.learning.unit_ND
        similarity_L = unit_ND[rows] @ unit_ND[position]
        nearest = np.argsort(-similarity_L, kind="stable")[:k]
        return [(int(rows[i]), own[int(rows[i])], float(similarity_L[i])) for i in nearest]

    def opinion(self, position: int) -> list[tuple[str, float]] | None:
        """The classifier's probabilities for an image, largest first; None before it has learned anything."""
        fitted = self._fitted
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
        rows = []
        with self._state:
            for given in self._journal.latest().values():
                position = self._position.get(given.asked.id)
                made = {"answer": given.value, "time": given.time, "annotator": given.annotator}
                if position is None:
                    rows.append({"path": given.asked.path, **made, "why": "its file is gone", "test": given.asked.test})
                    continue
                for member in self._members.get(position, [position]):
                    if int(member) != position and int(member) in self._own:
                        continue
                    known = self.images.ids[member]
                    for path in (self.images.paths[member], *self.images.copies.get(known, ())):
                        first = path == self.images.paths[position]
                        why = given.asked.why if first else f"the same as {self.images.paths[position]}"
                        rows.append({"path": path, **made, "why": why, "test": given.asked.test})
        return rows

    def answers(self) -> dict[int, str]:
        """The answer of each image that has one, by position: its own, or that of a near duplicate."""
        with self._state:
            found = {}
            for position, value in self._own.items():
                for member in map(int, self._members.get(position, [position])):
                    if member == position or member not in self._own:
                        found[member] = value
            return found

    def predictions(self) -> np.ndarray:
        """(N, K + 1) probabilities of all images from the last fit. ValueError before a class was answered."""
        fitted = self._fitted
        if fitted is None or fitted.probs_NC is None:
            raise ValueError("nothing is predicted yet: no image was given a class; answer some, and call refit()")
        return fitted.probs_NC

    # the session as an oracle, and its end

    def ask(self, index: int) -> Answer:
        """The person's answer for the image at `index`, as every oracle gives it. ValueError where there is none."""
        with self._state:
            value = self._own.get(index, SKIP)
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


def checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The names as a tuple. ValueError where they are no distinct, non-empty texts, or one is an answer's own word."""
    if isinstance(classes, str) or not classes or not all(isinstance(name, str) and name.strip() for name in classes):
        raise ValueError(f'classes must be a list of names, such as ["cat", "dog"], got {classes!r}')
    if len(set(classes)) < len(classes):
        raise ValueError(f"classes must have names of their own, got {list(classes)}")
    if taken := {AMBIGUOUS, NOT_MINE, SKIP} & set(classes):
        raise ValueError(f"{', '.join(sorted(taken))} is an answer for images of no class; call that class otherwise")
    return tuple(classes)
