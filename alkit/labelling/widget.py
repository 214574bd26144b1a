"""The widget that a person labels with: one image at a time, answers by key or button.

The page (static/widget.js) and this module talk in messages of their own, never through synchronised traits, in which
fast answers overwrite each other. Page to kernel: `hello`, `status`, `answer`, `undo`, `pictures`, `neighbours`,
`opinion`. Kernel to page: `state` (with `ack`, the id of a message that is done, and why it was `refused`, or what
`trouble` there is), `picture`, `neighbours`, `opinion`. An answer names its question by number and path: it can be sent
any number of times, also to a new kernel, and never reaches another image.
"""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from string import ascii_lowercase, digits
from typing import TYPE_CHECKING

from alkit.store import StoreError

try:
    import anywidget
except ImportError as error:
    raise ImportError("the widget needs anywidget: install 'alkit[label]' (or anywidget)") from error

if TYPE_CHECKING:
    from alkit.labelling.session import Session

RESERVED = "aou"  # ambiguous, not mine, undo
QUESTIONS = 8  # that a page has in hand: who types fast answers the next ones before the kernel has saved the first
AHEAD = 14  # further pictures that are loaded: enough for a burst, and for what a stage changes
NEIGHBOURS = 6
THUMBNAIL = 160  # pixels, of a neighbour's longest side
SMALLEST, LARGEST = 256, 1024  # pixels, of the longest side that a page may ask for
STATIC = Path(__file__).parent / "static"


def class_keys(classes: tuple[str, ...]) -> list[dict]:
    """For each class its name, digit and letter: the first of its name that no other key has.

    A class that is called by one digit has that one; the others have those of 1 to 9 that are left, in order. A class
    that would have no key at all has some other letter, as long as there are any.
    """
    taken, keys = set(RESERVED), []
    free = iter([one for one in digits[1:] if one not in classes])
    for name in classes:
        letter = next((one for one in name.lower() if one.isalpha() and one not in taken), "")
        taken.add(letter)
        keys.append({"name": name, "digit": name if name in [*digits] else next(free, ""), "letter": letter})
    left = (one for one in ascii_lowercase if one not in taken)
    for key in keys:
        if not key["digit"] and not key["letter"]:
            key["letter"] = next(left, "")
    return keys


class LabelWidget(anywidget.AnyWidget):
    """Shows the questions of a session one by one and saves what is answered; `session` is open and stays the caller's.

    By anywidget, which needs no extension in JupyterLab 4, VS Code or Colab; it was tried in JupyterLab 4.6 alone.
    Answers are the session's: a second widget, a reloaded page or a new kernel goes on at the same question.
    """

    _esm = STATIC / "widget.js"
    _css = STATIC / "widget.css"

    def __init__(self, session: "Session"):
        super().__init__()
        self._session = session
        self._classes = class_keys(tuple(session.classes))
        self._name = hashlib.sha256(str(Path(session.where).resolve()).encode()).hexdigest()[:16]
        self._in_turn = threading.Lock()  # a front end may deliver messages in several threads
        self._pictures = ThreadPoolExecutor(2, thread_name_prefix="pictures")  # decoding never delays an answer
        self._thumbnails = ThreadPoolExecutor(1, thread_name_prefix="thumbnails")  # nor do neighbours the next picture
        self._handlers: dict[str, Callable[[dict], dict | None]] = {
            "hello": lambda message: {},
            "status": lambda message: {},
            "answer": self._answer,
            "undo": self._undo,
            "pictures": self._send_pictures,
            "neighbours": self._send_neighbours,
            "opinion": self._send_opinion,
        }
        self.on_msg(self._received)

    def _received(self, _widget: object, message: dict, _buffers: list) -> None:
        """Handle one message; to those that return a reply, the state as it is then goes with it."""
        with self._in_turn:
            try:
                reply = self._handlers[message["kind"]](message)
            except StoreError as error:  # no acknowledgement: the page keeps what it sent, and sends it again
                reply = {"trouble": str(error)}
            if reply is None:
                return
            try:
                reply = {"state": self._state(), **reply}
            except StoreError as error:
                reply.setdefault("trouble", str(error))
            self.send({"kind": "state", **reply})

    def _answer(self, message: dict) -> dict:
        """Save an answer; one that was saved before is acknowledged again. Refused where another image is asked now."""
        number, path, answer = message["number"], message["path"], message["answer"]
        in_hand = {question.number: question.path for question in self._session.questions(QUESTIONS)}
        if in_hand.get(number, path) != path:
            return {"ack": message["id"], "refused": "another image is asked under its number"}
        try:
            self._session.answer(number, answer)
        except ValueError as error:
            return {"ack": message["id"], "refused": str(error)}
        if number not in in_hand:  # answered before: by this message, or by another page or cell
            stands = {row["path"]: row["answer"] for row in self._session.labels()}.get(path, answer)
            if stands != answer:
                return {"ack": message["id"], "refused": f"its answer is “{stands}” already"}
        return {"ack": message["id"]}

    def _undo(self, message: dict) -> dict:
        """Take back the answer to one question, if it is the last answer; if not, that was done before."""
        if self._session.last == message["number"]:
            self._session.undo()
        return {"ack": message["id"]}

    def _state(self) -> dict:
        questions = self._session.questions(QUESTIONS)
        shown = ("number", "position", "path", "why")
        return {
            "session": self._name,
            "classes": self._classes,
            "questions": [{name: getattr(one, name) for name in shown} for one in questions],
            "upcoming": [int(position) for position in self._session.upcoming(QUESTIONS - 1 + AHEAD)],
            "last": self._session.last,
            "status": asdict(self._session.status()),
            "finished": self._session.finished,
        }

    def _send_pictures(self, message: dict) -> None:
        small = message["thumbnail"]
        longest = THUMBNAIL if small else min(max(int(message["longest"]), SMALLEST), LARGEST)
        for position in message["positions"]:
            (self._thumbnails if small else self._pictures).submit(self._send_picture, position, longest, small)

    def _send_picture(self, position: int, longest: int, small: bool) -> None:
        what = {"kind": "picture", "position": position, "thumbnail": small}
        try:
            picture = self._session.picture(position, longest)
        except Exception as error:  # whatever is wrong with one file, the person can skip it
            return self.send({**what, "trouble": str(error)})
        self.send({**what, "mime": self._session.mime}, [picture])

    def _send_neighbours(self, message: dict) -> None:
        position, names = message["position"], ("position", "answer", "similarity")
        found = [dict(zip(names, one, strict=True)) for one in self._session.neighbours(position, NEIGHBOURS)]
        self.send({"kind": "neighbours", "position": position, "neighbours": found})

    def _send_opinion(self, message: dict) -> None:
        position = message["position"]
        self.send({"kind": "opinion", "position": position, "opinion": self._session.opinion(position)})
