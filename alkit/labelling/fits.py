"""Fits in the background: the classifier and the order that are in force stay so until the next ones are ready."""

import threading
from collections.abc import Callable

import numpy as np

from alkit.labelling.book import Book
from alkit.labelling.curve import Curve, Judgement
from alkit.labelling.learning import Fitted, Learning


class Fits:
    """One fit at a time, in a thread, of what `book` knows; results come into force under the lock `state`.

    `fitted`: the classifier and the order in force, and `place`, the next one's in that order; `judgement`: how good
    the classifier is; `trouble`: why the last fit failed; `progress`: of the fit that is running, 0..1.
    """

    def __init__(self, learning: Learning, book: Book, curve: Curve, stage_looks: int, state: threading.RLock):
        self.learning, self.book, self.curve, self.stage_looks = learning, book, curve, stage_looks
        self.fitted: Fitted | None = None
        self.place = 0
        self.judgement, self.trouble, self.progress = Judgement(), "", 1.0
        self._state = state
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether a fit is."""
        return self._thread is not None

    def start(self, then: Callable[[], None]) -> None:
        """Begin to learn all answers, where no fit is running, and call `then` when it has ended."""
        with self._state:
            if self._thread is not None:
                return
            self.progress = 0.0
            arguments = (self.book.looks, self.book.codes_N.copy(), self.book.may_N(), then)
            self._thread = threading.Thread(target=self._fit, args=arguments, name="fit")
            self._thread.start()

    def _fit(self, looks: int, answers_N: np.ndarray, may_N: np.ndarray, then: Callable[[], None]) -> None:
        """Learn the answers, and make the next order; then the estimate, which the next questions need not wait for."""

        def report(share: float) -> None:
            self.progress = share

        stage, trouble = looks // self.stage_looks, ""
        try:
            fitted = self.learning.fit(answers_N, may_N, stage, self.stage_looks, report)
            with self._state:
                self.fitted, self.place = fitted, 0
            if fitted.probs_NC is not None:
                self.curve.add(looks, self.learning.classes(fitted.probs_NC, answers_N, self.book.groups_N))
                with self._state:
                    self.judgement = self.curve.judged(self.book)
        except Exception as error:  # the person goes on; the status says what happened
            trouble = f"the classifier could not be fitted: {error}"
        with self._state:
            self._thread, self.progress, self.trouble = None, 1.0, trouble
            then()

    def wait(self) -> None:
        """Return when no fit is running."""
        while (thread := self._thread) is not None:
            thread.join()
