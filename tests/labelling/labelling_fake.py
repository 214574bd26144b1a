"""A session of made-up pictures in memory, with the interface of `alkit.labelling.Session` that the widget uses."""

import io

import numpy as np
from PIL import Image, ImageDraw

from alkit.labelling.estimate import Estimate
from alkit.labelling.session import Question, Status

EVIL = "<img src=x onerror=alert(1)>"
EVIL_CLASS = "<b>dog</b>"
CLASSES = ("cat", EVIL_CLASS, "cow")
KINDS = {"ambiguous": "ambiguous", "not mine": "not mine", "skip": "skipped"}


class FakeSession:
    """Asks for image 0, 1, 2, … of `size` pixels. `trouble`: an exception that the next answers meet."""

    mime = "image/jpeg"

    def __init__(self, where, classes=CLASSES, budget=60, size=(320, 240), names=None):
        self.where, self.classes, self.budget, self.size = where, classes, budget, size
        self.names = names or [f"folder/image {i}.png" for i in range(budget)]
        self.given = {}  # number -> (question, answer)
        self.taken_back = set()
        self.waiting = []  # put, not answered; the last one is shown
        self.put = 0
        self.trouble = None
        self.fitting, self.progress = False, 0.0

    @property
    def finished(self):
        return "the budget of looks is spent" if len(self.given) >= self.budget else None

    @property
    def last(self):
        return next(reversed(self.given), None)

    def questions(self, n):
        while len(self.waiting) < n and (free := self.free()):
            self.waiting.insert(0, self._put(free[0]))
        return self.waiting[::-1][:n]

    def answers(self):
        """The answers that stand, by position."""
        return {question.position: answer for question, answer in self.given.values()}

    def labels(self):
        return [{"path": question.path, "answer": answer} for question, answer in self.given.values()]

    def free(self):
        put = [*(question for question, _ in self.given.values()), *self.waiting]
        return sorted(set(range(self.budget)) - {question.position for question in put})

    def _put(self, position):
        self.put += 1
        return Question(self.put, position, self.names[position], "far from all that is labelled", False)

    def answer(self, number, answer):
        if self.trouble:
            raise self.trouble
        if answer not in (*self.classes, *KINDS):
            raise ValueError(f"unknown answer {answer!r}")
        if number in self.given or number in self.taken_back:
            return number
        asked = {question.number: question for question in self.waiting}
        if number not in asked:
            raise ValueError(f"question {number} was not asked")
        self.waiting.remove(asked[number])
        self.given[number] = (asked[number], answer)
        return number

    def undo(self):
        if self.given:
            number = self.last
            self.taken_back.add(number)
            self.waiting.append(self._put(self.given.pop(number)[0].position))

    def status(self):
        counts = {"class": 0, "ambiguous": 0, "not mine": 0, "skipped": 0}
        for _, answer in self.given.values():
            counts[KINDS.get(answer, "class")] += 1
        looks = len(self.given)
        accuracy = Estimate(0.87, 0.81, 0.92, looks // 10) if looks >= 10 else None
        sentence = "the last 50 looks brought +0.4 points; about 30 more looks per further point" if accuracy else ""
        naive, share = (0.93, 0.71) if accuracy else (None, None)
        left = self.budget - looks
        return Status(looks, counts, accuracy, naive, share, sentence, self.fitting, self.progress, left)

    def neighbours(self, position, k=6):
        near = [
            (q.position, a, 0.9 - 0.03 * i) for i, (q, a) in enumerate(reversed(self.given.values())) if a != "skip"
        ]
        return near[:k]

    def opinion(self, position):
        if len(self.given) < 3:
            return None
        shares = np.r_[0.2, 0.55, np.full(len(self.classes) - 2, 0.05), 0.2]
        named = zip([*self.classes, "ambiguous or not mine"], shares / shares.sum(), strict=True)
        return sorted(((name, float(share)) for name, share in named), key=lambda pair: -pair[1])

    def upcoming(self, n):
        return [*(question.position for question in self.waiting[-2::-1]), *self.free()][:n]

    def picture(self, position, longest=1024):
        """A landscape whose colours and number are those of `position`."""
        width, height = self.size
        hue = position * 37 % 256
        image = Image.new("HSV", (width, height), (hue, 90, 220))
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, height * 2 // 3, width, height), ((hue + 70) % 256, 120, 150))
        draw.ellipse((width * 0.3, height * 0.25, width * 0.7, height * 0.8), ((hue + 128) % 256, 160, 230))
        draw.text((width * 0.45, height * 0.4), str(position), (0, 0, 20), font_size=height // 5)
        image = image.convert("RGB")
        image.thumbnail((longest, longest))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        return buffer.getvalue()
