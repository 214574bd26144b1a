"""The journal of a session: every question and every answer, one JSON line each, in a file that only grows.

An answer counts once its line is on the disk (`fsync`). A kill at any byte leaves a last line without its end, which is
dropped when the journal is opened. Reading the lines again gives the same state.

    {"ask": 7, "id": SHA-256 of the image, "path": ..., "why": ..., "test": false, "chance": null, "of": 0, "stage": 2}
    {"answer": 7, "id": ..., "path": ..., "value": "cat", "time": ..., "annotator": ...}
    {"undo": 7, "ask": 9, ...}           the answer to 7 is taken back, its image asked about again as question 9
    {"session": {...}}                   what the session was opened with
"""

import contextlib
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from alkit.store import InUse, StoreError, lock, writable, write_atomic

AMBIGUOUS, NOT_MINE, SKIP = "ambiguous", "not mine", "skip"


@dataclass(frozen=True)
class Asked:
    """A question as it was put. `chance`, `of`: of a test question, its probability among how many candidates."""

    number: int
    id: str
    path: str
    why: str
    test: bool = False
    chance: float | None = None
    of: int = 0
    stage: int = 0


@dataclass(frozen=True)
class Given:
    """An answer that counts, and the question that it answers."""

    asked: Asked
    value: str
    time: str
    annotator: str


class Journal:
    """The questions and answers of the session in `folder`, held by one process at a time. Use `close` when done.

    InUse where another process holds it: the message says who. StoreError where it is damaged or cannot be written.
    """

    def __init__(self, folder: Path):
        self.path = writable(folder, "where=") / "answers.jsonl"
        self.asked: dict[int, Asked] = {}
        self.given: dict[int, Given] = {}  # by number of the question, in the order in which they came
        self.taken_back: set[int] = set()
        self.waiting: list[Asked] = []  # put, not answered; the last one is the one to show
        self._last = 0
        self.opened: list[dict] = []  # what the session was opened with, each time that it was something else
        self._held = contextlib.ExitStack()
        try:
            self._held.enter_context(lock(folder / "session.lock", wait=False))
        except InUse:
            raise InUse(f"{folder} is in use by {holder(folder)}; close that session or stop it") from None
        try:
            who = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
            write_atomic(folder / "holder.json", json.dumps(who).encode())
            binary = getattr(os, "O_BINARY", 0)  # Windows would write two bytes at the end of a line
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | binary, 0o644)
            self._held.callback(os.close, self._file)
            sync_folder(folder)
            self._length = self._replay()
            os.ftruncate(self._file, self._length)  # what a kill left half-written
        except OSError as error:
            self._held.close()
            raise StoreError(f"cannot open {self.path}: {error.strerror}; choose another folder") from error
        except BaseException:
            self._held.close()
            raise

    def close(self) -> None:
        """Let go of the session."""
        self._held.close()

    def _replay(self) -> int:
        """Take in all whole lines; how many bytes they are. StoreError for a bad line with good ones after it."""
        length, bad = 0, 0
        for number, line in enumerate(self.path.read_bytes().splitlines(keepends=True), 1):
            event = _parsed(line)
            if event is None:
                bad = bad or number
            elif bad:
                raise StoreError(f"line {bad} of {self.path} is damaged; put the original back, or mend that line")
            else:
                self._apply(event)
                length += len(line)
        return length

    def _apply(self, event: dict) -> None:
        if "session" in event:
            self.opened.append(event["session"])
        if "undo" in event:
            self.given.pop(event["undo"], None)
            self.taken_back.add(event["undo"])
        if "ask" in event:
            known = {name: event[name] for name in Asked.__dataclass_fields__ if name in event}
            asked = Asked(number=event["ask"], **known)
            self.asked[asked.number] = asked
            self._last = max(self._last, asked.number)
            self.waiting.insert(0 if event.get("behind") else len(self.waiting), asked)
        if "answer" in event:
            asked = self.asked.get(event["answer"]) or Asked(event["answer"], event["id"], event["path"], "")
            self.asked[asked.number] = asked
            self._last = max(self._last, asked.number)
            self.given[asked.number] = Given(asked, event["value"], event["time"], event["annotator"])
            self.waiting = [one for one in self.waiting if one.number != asked.number]
        if "drop" in event:
            self.waiting = [one for one in self.waiting if one.number != event["drop"]]

    def _append(self, event: dict, *, sync: bool = True) -> None:
        """One line more, whole or not at all, with `sync` on the disk when this returns. StoreError on a full disk."""
        line = (json.dumps(event, ensure_ascii=False) + "\n").encode()
        try:
            if os.fstat(self._file).st_size != self._length:  # left by a write that failed and could not be taken back
                os.ftruncate(self._file, self._length)
            write_all(self._file, line)
            if sync:
                os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._length)
            reason = error.strerror or error
            raise StoreError(f"nothing was saved: {self.path}: {reason}; free some space and answer again") from error
        self._length += len(line)
        self._apply(event)

    def open_with(self, options: dict) -> None:
        """Note what the session is opened with, where that is new."""
        if not self.opened or self.opened[-1] != options:
            self._append({"session": options})

    @property
    def next_number(self) -> int:
        """The number of the next question: they begin at 1."""
        return self._last + 1

    def first(self) -> dict[str, Given]:
        """The first answer that each image got, by its id, in the order of these."""
        found: dict[str, Given] = {}
        for given in self.given.values():
            found.setdefault(given.asked.id, given)
        return found

    def latest(self) -> dict[str, Given]:
        """The answer that stands for each image, by its id."""
        return {given.asked.id: given for given in self.given.values()}

    def ask(self, asked: Asked, *, behind: bool = False) -> Asked:
        """Put a question, before all that wait, or `behind` them.

        It is known after a kill of the process; a loss of power may forget it, and its number.
        """
        self._append({"ask": asked.number, **_rest(asked), **({"behind": True} if behind else {})}, sync=False)
        return asked

    def answer(self, number: int, value: str, annotator: str) -> None:
        """Save the answer to question `number`; on the disk when this returns."""
        asked = self.asked[number]
        where = {"id": asked.id, "path": asked.path}
        self._append({"answer": number, **where, "value": value, "time": now(), "annotator": annotator})

    def undo(self) -> Asked | None:
        """Take the last answer back and ask about its image again; the new question, None where there is no answer."""
        if not self.given:
            return None
        last = next(reversed(self.given.values())).asked
        again = Asked(self.next_number, **_rest(last))
        self._append({"undo": last.number, "ask": again.number, **_rest(again)})
        return again

    def drop(self, number: int) -> None:
        """No longer ask question `number`, whose image is gone."""
        self._append({"drop": number}, sync=False)


def _rest(asked: Asked) -> dict:
    return {name: value for name, value in asdict(asked).items() if name != "number"}


def _parsed(line: bytes) -> dict | None:
    """The event of one line; None for one that has no end, or is none."""
    if not line.endswith(b"\n"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def write_all(file: int, data: bytes) -> None:
    """Write all of `data`, in as many pieces as the system takes it."""
    while data:
        data = data[os.write(file, data) :]


def sync_folder(folder: Path) -> None:
    """Have the names of the folder's files on the disk, where the system has a way to ask for that."""
    if hasattr(os, "O_DIRECTORY"):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def holder(folder: Path) -> str:
    """Who holds the session in `folder`, in words."""
    try:
        who = json.loads((folder / "holder.json").read_bytes())
        return f"process {who['pid']} on {who['host']} since {who['since']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"


def checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """The names as a tuple. ValueError where they are no distinct, non-empty texts, or one is an answer's own word."""
    if isinstance(classes, str) or not classes or not all(isinstance(name, str) and name.strip() for name in classes):
        raise ValueError(f'classes must be a list of names, such as ["cat", "dog"], got {classes!r}')
    if len(set(classes)) < len(classes):
        raise ValueError(f"classes must have names of their own, got {list(classes)}")
    if taken := {AMBIGUOUS, NOT_MINE, SKIP} & set(classes):
        raise ValueError(f"{', '.join(sorted(taken))} is an answer for images of no class; call that class otherwise")
    return tuple(classes)
