"""Which image is asked about next: one in the strategy's order, or a test drawn at random."""

import numpy as np

from alkit import rng
from alkit.labelling.answers import Asked
from alkit.labelling.book import Book
from alkit.labelling.estimate import draw, proposal
from alkit.labelling.fits import Fits


def next_question(book: Book, fits: Fits, *, strategy: str, test_share: float, seed: int) -> tuple[Asked, int]:
    """The next question, and the place in the order in force once it is put.

    Where the order has run out, any image, at random, until the next order is made.
    """
    may_N, number, fitted, place = book.may_N(), book.journal.next_number, fits.fitted, fits.place
    stage, order = (fitted.stage, fitted.order) if fitted else (0, ())
    askable, chance, test = np.flatnonzero(may_N), None, due_for_a_test(book, test_share)
    if test:
        probs_NC = fitted.probs_NC if fitted else None
        chance_C = np.full(len(askable), 1 / len(askable)) if probs_NC is None else proposal(probs_NC, askable)
        drawn = draw(chance_C, rng.numpy_stream(seed, "test", number))
        position, chance = int(askable[drawn]), float(chance_C[drawn])
        why = "drawn at random, to estimate the accuracy"
    else:
        while place < len(order) and not may_N[order[place]]:
            place += 1
        if place < len(order):
            position, place = order[place], place + 1
            why = f"{strategy}, stage {stage}, place {place}"
        else:
            position = int(rng.numpy_stream(seed, "stand-in", number).choice(askable))
            why = "at random, while the next order is made"
    known, path = book.images.ids[position], book.images.paths[position]
    return Asked(number, known, path, why, test, chance, len(askable), stage), place


def due_for_a_test(book: Book, test_share: float) -> bool:
    """Whether the next question is a test: one was put for each 1 / `test_share` questions."""
    put = [*(given.asked for given in book.journal.given.values()), *book.journal.waiting]
    return sum(asked.test for asked in put) + 1 <= test_share * (len(put) + 1)
