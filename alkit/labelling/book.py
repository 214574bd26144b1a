"""What is known of the images of a session: the journal's answers, put to the images that the folder holds now."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from alkit.acquisition import NOT_ASKED
from alkit.labelling.answers import AMBIGUOUS, NOT_MINE, SKIP, Asked, Given, Journal
from alkit.labelling.estimate import Answers
from alkit.labelling.images import Images


class Book:
    """The answers by position; `groups`: near duplicates, for all of which an answer to one holds.

    `codes_N`: answers as learners have them, -1 for none, 0..K-1 for a class, K for ambiguous and not mine. `values`:
    the answer that each image was given itself. `groups_N`: a number for each image, the same for near duplicates. Not
    for several threads at once.
    """

    def __init__(self, images: Images, journal: Journal, classes: tuple[str, ...], groups: Sequence[np.ndarray]):
        self.images, self.journal, self.classes = images, journal, classes
        self.position = {known: position for position, known in enumerate(images.ids)}
        self.gone_N = np.zeros(len(images), bool)  # whose file was removed since the folder was looked at
        self._group = {int(member): group.tolist() for group in groups for member in group}
        self.groups_N = np.array([min(self._group.get(position, [position])) for position in range(len(images))])
        self.rebuild()

    @property
    def looks(self) -> int:
        """Answers so far, skips included: what they cost."""
        return len(self.journal.given)

    def rebuild(self) -> None:
        """Take in the journal from its beginning."""
        n = len(self.images)
        self.codes_N = np.full(n, NOT_ASKED, np.int64)
        self.skipped_N = np.zeros(n, bool)
        self.values: dict[int, str] = {}
        for given in self.journal.given.values():
            self.take(given.asked, given.value)

    def take(self, asked: Asked, value: str) -> None:
        """Take in one answer, for its image and for near duplicates without an answer of their own."""
        position = self.position.get(asked.id)
        if position is None:  # its file is not in the folder any more; the journal keeps the answer
            return
        self.values[position] = value
        for member in self.same_as(position):
            self.skipped_N[member] = value == SKIP
            self.codes_N[member] = NOT_ASKED if value == SKIP else self.code(value)

    def same_as(self, position: int) -> list[int]:
        """The image, and its near duplicates that have no answer of their own."""
        group = self._group.get(position, [position])
        return [member for member in group if member == position or member not in self.values]

    def code(self, value: str) -> int:
        """An answer as learners have it: 0..K-1 for a class, K for ambiguous or not mine."""
        return self.classes.index(value) if value in self.classes else len(self.classes)

    def may_N(self) -> np.ndarray:
        """Which images may be asked about (N,): there, without an answer, and with no question put about them."""
        may_N = (self.codes_N == NOT_ASKED) & ~self.skipped_N & ~self.gone_N
        put = [self.position[asked.id] for asked in self.journal.waiting if asked.id in self.position]
        may_N[[member for position in put for member in self.same_as(position)]] = False
        return may_N

    def answers(self) -> dict[int, str]:
        """The answer of each image that has one, by position: its own, or that of a near duplicate."""
        return {member: value for position, value in self.values.items() for member in self.same_as(position)}

    def by_kind(self) -> dict[str, int]:
        """How many images were given a class, called ambiguous or not mine, or skipped."""
        values = Counter(given.value for given in self.journal.latest().values())
        kinds = {"class": sum(values[name] for name in self.classes), AMBIGUOUS: values[AMBIGUOUS]}
        return {**kinds, NOT_MINE: values[NOT_MINE], "skipped": values[SKIP]}

    def labels(self) -> list[dict]:
        """A row for each file with an answer; see `Session.labels`."""
        rows = []
        for given in self.journal.latest().values():
            position = self.position.get(given.asked.id)
            if position is None:
                rows.append(row(given.asked.path, given, "its file is gone"))
                continue
            for member in self.same_as(position):
                for path in self.images.all_paths(member):
                    own = path == self.images.paths[position]
                    why = given.asked.why if own else f"the same as {self.images.paths[position]}"
                    rows.append(row(path, given, why))
        return rows

    def evidence(self) -> tuple[Answers, np.ndarray, np.ndarray]:
        """What an estimate of accuracy rests on: the answers, and the positions of tests and of bought labels.

        Tests that were drawn before files came to the folder count as bought: they say nothing of those files.
        """
        tests, bought = list[tuple[int, Asked]](), list[tuple[int, int]]()
        for given in self.journal.first().values():
            position, asked = self.position.get(given.asked.id), given.asked
            if position is None:
                continue
            if asked.test:
                if tests and asked.of >= tests[-1][1].of:
                    bought, tests = [(one, 0) for one, _ in (*tests, *bought)], []
                tests.append((position, asked))
            elif self.codes_N[position] != NOT_ASKED:
                bought += [(member, len(tests)) for member in self.same_as(position)]
        rows_M, rows_L = (np.array([one for one, _ in part], np.int64) for part in (tests, bought))
        is_id_N = (self.codes_N >= 0) & (self.codes_N < len(self.classes))
        known = Answers(
            np.array([asked.chance for _, asked in tests]),
            np.array([asked.of for _, asked in tests]),
            is_id_N[rows_M],
            np.array([before for _, before in bought]),
            is_id_N[rows_L],
        )
        return known, rows_M, rows_L


def row(path: str, given: Given, why: str) -> dict:
    """One row of the table of labels."""
    made = {"answer": given.value, "time": given.time, "annotator": given.annotator}
    return {"path": path, **made, "why": why, "test": given.asked.test}
