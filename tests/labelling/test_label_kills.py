"""A session whose process is killed at any moment: what it acknowledged is there, and nothing else."""

import os
import random
import select
import signal
import time

import pytest
from folders import pool_without_files

from alkit import labelling
from alkit.labelling.answers import Journal

KILLS = 40
WORDS = ("cat", "dog", "ambiguous", "not mine", "skip")


def work(place, images, features, pipe, seed):
    """Answer and take back, as fast as it goes; tell before each act what it will be, and after it that it is done."""
    stream = random.Random(seed)

    def tell(*words):
        os.write(pipe, (" ".join(map(str, words)) + "\n").encode())

    options = dict(features=features, strategy="random", stage_looks=7, alike=1)
    session = labelling.Session(place, images, ("cat", "dog"), **options)
    while True:
        question = session.question()
        tell("shown", question.number, question.position)
        if stream.random() < 0.2 and session.last is not None:
            number = session.last
            tell("undo", number)
            session.undo()
            tell("done", number)
        else:
            word = stream.choice(WORDS)
            tell("answer", question.number, word.replace(" ", "_"))
            session.answer(question.number, word)
            tell("done", question.number)


def told(pipe, until):
    """The lines that a child tells, `until` then or until it ends."""
    data = b""
    while (left := until - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            part = os.read(pipe, 1 << 16)
            if not part:
                break
            data += part
    return data


def applied(state, line):
    """The answers by number after an act."""
    kind, number, *word = line.split()
    state = dict(state)
    if kind == "answer":
        state[int(number)] = word[0].replace("_", " ")
    else:
        del state[int(number)]
    return state


@pytest.mark.slow
def test_what_was_acknowledged_is_there_after_forty_kills_and_nothing_else(tmp_path):
    images, features = pool_without_files(tmp_path, 20_000, width=4)
    place, stream, state, acts = tmp_path / "session", random.Random(0), {}, 0
    with labelling.Session(place, images, ("cat", "dog"), features=features, strategy="random", alike=1):
        pass
    for kill in range(KILLS):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                work(place, images, features, writing, kill)
            finally:
                os._exit(1)
        os.close(writing)
        first = os.read(reading, 1 << 16)  # it has begun to ask
        data = first + told(reading, time.monotonic() + stream.uniform(0, 0.7))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, data[-300:]
        data += told(reading, time.monotonic() + 60)  # what it told before it was killed
        os.close(reading)
        intent, shown = None, None
        for line in data.decode().splitlines(keepends=True):
            if not line.endswith("\n"):
                break
            if line.startswith("done"):
                state, intent, shown, acts = applied(state, intent), None, None, acts + 1
            elif line.startswith("shown"):
                shown = line.split()
            else:
                intent = line
        journal = Journal(place)  # the lock went with the process
        found = {number: given.value for number, given in journal.given.items()}
        in_hand = applied(state, intent) if intent else state
        assert found in (state, in_hand), kill
        if shown and found == state:  # the question that was on the screen is the one to go on with
            assert journal.waiting[-1].number == int(shown[1])
            assert journal.waiting[-1].id == images.ids[int(shown[2])]
        journal.close()
        state = found
    assert acts > 10 * KILLS
