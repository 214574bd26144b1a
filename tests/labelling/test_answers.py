"""The journal: what was acknowledged is there after any interruption, and nothing else."""

import errno
import json
import multiprocessing
import os

import pytest

from alkit.labelling import answers
from alkit.labelling.answers import Asked, Journal
from alkit.store import InUse, StoreError


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "session")
    yield opened
    opened.close()


def ask(journal, image="a", **options):
    return journal.ask(Asked(journal.next_number, f"id of {image}", f"{image}.png", "why", **options))


def state(journal):
    return [(given.asked.path, given.value) for given in journal.given.values()]


def again(journal):
    folder = journal.path.parent
    journal.close()
    return Journal(folder)


def test_answers_are_read_again_with_all_that_is_known_of_them(journal):
    ask(journal, test=True, chance=0.25, of=7, stage=3)
    journal.answer(1, "cat", "me")
    ask(journal, "b")
    before = (journal.given, journal.asked, journal.waiting)
    opened = again(journal)
    assert (opened.given, opened.asked, opened.waiting) == before
    assert opened.given[1].asked.chance == 0.25 and [one.number for one in opened.waiting] == [2]
    opened.close()


def test_undo_goes_back_any_number_of_steps_and_asks_again_in_order(journal):
    for image in "abc":
        journal.answer(ask(journal, image).number, f"was {image}", "me")
    ask(journal, "d")
    for expected in ("c", "b"):
        assert journal.undo().path == f"{expected}.png"
    assert state(journal) == [("a.png", "was a")]
    order = []
    while journal.waiting:
        order.append(journal.waiting[-1].path[0])
        journal.answer(journal.waiting[-1].number, "now", "me")
    assert order == ["b", "c", "d"] and len(journal.given) == 4 and journal.taken_back == {2, 3}
    opened = again(journal)
    assert len(opened.given) == 4 and opened.taken_back == {2, 3} and opened.next_number == 7
    opened.close()


def test_undo_with_nothing_answered_does_nothing(journal):
    ask(journal)
    size = journal.path.stat().st_size
    assert journal.undo() is None and journal.path.stat().st_size == size


@pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_journal_cut_at_any_byte_holds_the_whole_lines_before(tmp_path, step):
    journal = Journal(tmp_path / "whole")
    states = [(0, [])]
    for number, image in enumerate("ab", 1):
        ask(journal, image)
        journal.answer(number, "ünï\ncode", "me")
        states.append((journal.path.stat().st_size, state(journal)))
    journal.undo()
    states.append((journal.path.stat().st_size, state(journal)))
    journal.close()
    data = journal.path.read_bytes()
    folder = tmp_path / "cut"
    ends = [end + near for end, byte in enumerate(data, 1) if byte == ord("\n") for near in (-1, 0)]
    for cut in sorted({*range(0, len(data), step), *ends}):
        folder.mkdir(exist_ok=True)
        (folder / "answers.jsonl").write_bytes(data[:cut])
        opened = Journal(folder)
        assert state(opened) == [held for length, held in states if length <= cut][-1], cut
        number = ask(opened, "next").number
        opened.answer(number, "cat", "me")  # lands on a line of its own
        after = state(opened)
        opened = again(opened)
        assert state(opened) == after and after[-1] == ("next.png", "cat")
        opened.close()


def test_zeros_at_the_end_as_after_a_loss_of_power_are_dropped(journal):
    journal.answer(ask(journal).number, "cat", "me")
    with open(journal.path, "ab") as file:
        file.write(bytes(100) + b"\n" + bytes(50))
    opened = again(journal)
    assert state(opened) == [("a.png", "cat")]
    opened.close()


def test_damage_in_the_middle_is_refused_and_nothing_is_changed(journal):
    for image in "abc":
        journal.answer(ask(journal, image).number, "cat", "me")
    journal.close()
    data = bytearray(journal.path.read_bytes())
    data[data.index(b"\n") + 3] = 0
    journal.path.write_bytes(data)
    with pytest.raises(StoreError, match="line 2 of .* is damaged"):
        Journal(journal.path.parent)
    assert journal.path.read_bytes() == data


@pytest.mark.parametrize("written", [0, 1, 20])
def test_full_disk_saves_nothing_and_says_so_and_the_question_stays(journal, monkeypatch, written):
    ask(journal)
    journal.answer(1, "cat", "me")
    ask(journal, "b")
    before, held = journal.path.read_bytes(), state(journal)

    def full(file, data):
        os.write(file, data[:written])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(answers, "write_all", full)
    for act in (lambda: journal.answer(2, "dog", "me"), journal.undo, lambda: ask(journal, "c")):
        with pytest.raises(StoreError, match="nothing was saved.*No space left on device.*free some space"):
            act()
        assert journal.path.read_bytes() == before
        assert state(journal) == held and [one.number for one in journal.waiting] == [2]
    monkeypatch.undo()
    journal.answer(2, "dog", "me")
    assert state(journal) == [("a.png", "cat"), ("b.png", "dog")]


def test_an_answer_that_did_not_reach_the_disk_is_no_answer(journal, monkeypatch):
    ask(journal)

    def broken(file):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match="nothing was saved"):
        journal.answer(1, "cat", "me")
    monkeypatch.undo()
    opened = again(journal)
    assert state(opened) == [] and opened.waiting[-1].number == 1
    opened.close()


def test_answer_is_on_the_disk_before_it_counts(journal, monkeypatch):
    ask(journal)
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(journal.path.read_bytes().count(b'"answer"')))
    journal.answer(1, "cat", "me")
    assert synced == [1]


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="this system does not tell what a descriptor is of")
def test_name_of_a_new_journal_is_on_the_disk_too(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
    Journal(tmp_path / "session").close()
    assert str((tmp_path / "session").resolve()) in synced


def hold(folder, ready, done):
    journal = Journal(folder)
    ready.set()
    done.wait(30)
    journal.close()


def test_a_second_process_is_refused_and_told_who_holds_the_session(tmp_path):
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path / "session", ready, done))
    process.start()
    assert ready.wait(30)
    with pytest.raises(InUse, match=f"in use by process {process.pid} on .* since 20..-"):
        Journal(tmp_path / "session")
    done.set()
    process.join(30)
    Journal(tmp_path / "session").close()


def test_every_line_is_json_and_an_answer_says_it_all(journal):
    ask(journal)
    journal.answer(1, "cat", "me")
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert {**lines[1], "time": ""} == {
        "answer": 1, "id": "id of a", "path": "a.png", "value": "cat", "time": "", "annotator": "me"
    }  # fmt: skip
