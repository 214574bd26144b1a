"""What is shown while cells run: a progress bar, and in a terminal a line for each method; and the table at the end."""

import statistics
import threading
from collections import defaultdict

from tqdm import tqdm

from alkit.study.batch.plan import Plan, Planned, last
from alkit.study.batch.workers import Outcome

HEAD = ("method", "cells", "accuracy (%)", "cost")


def duration(seconds: float) -> str:
    """Seconds in the unit that suits their size: "20 s", "1.5 min", "2.0 h"."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


class Live:
    """Shows on `stream` how cells end. In a terminal: a bar, and below it a line for each method that still runs.

    Elsewhere: a line for each finished cell, or, with `always_a_bar` (for notebooks), the bar alone.
    """

    def __init__(self, plan: Plan, todo: list[Planned], stream, *, always_a_bar: bool = False):
        self.stream, self.tty = stream, stream.isatty()
        self.bar = self.tty or always_a_bar
        tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed process leaves behind
        self.total = tqdm(total=len(todo), desc="cells", file=stream, disable=not todo or not self.bar, unit="cell")
        self.results, self.failed, self.waiting = defaultdict(list), defaultdict(int), set()
        counts = defaultdict(lambda: [0, 0])
        running = {one.method for one in todo}
        for one in plan.cells:
            counts[one.method][1] += 1
        for one in plan.done:
            counts[one.method][0] += 1
            if one.method in running:
                self.results[one.method].append(last(one))
        names = sorted(running)
        wide = max(map(len, names), default=0)
        self.lines = {
            name: tqdm(
                total=counts[name][1],
                initial=counts[name][0],
                desc=name.ljust(wide),
                file=stream,
                position=place,
                bar_format="{desc} {n_fmt:>5}/{total_fmt:<5}{postfix}",
                disable=not self.tty,
                leave=False,
            )
            for place, name in enumerate(names, 1)
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for line in (*self.lines.values(), self.total):
            line.close()

    def take(self, one: Planned, outcome: Outcome) -> None:
        """Show how a cell ended, or, once, that another process is running it."""
        if outcome.state == "busy":
            if one.folder.path not in self.waiting:
                self.waiting.add(one.folder.path)
                self._say(f"another process is running {one.folder.path.name}: waiting for it")
            return
        self.total.update()
        if outcome.state == "failed":
            self.failed[one.method] += 1
            self._say(f"FAILED {one.folder.path.name}: {outcome.message}")
        else:
            self.results[one.method].append(last(one))
            self.lines[one.method].update()
            if not self.bar:
                accuracy, cost = self.results[one.method][-1]
                self._say(f"done {one.folder.path.name}: accuracy {100 * accuracy:.2f} %, cost {cost}")
        self.lines[one.method].set_postfix_str(self._means(one.method))

    def _say(self, text: str) -> None:
        tqdm.write(text, file=self.stream)

    def _means(self, method: str) -> str:
        failed = f"   failed {self.failed[method]}" if self.failed[method] else ""
        if not self.results[method]:
            return failed
        accuracy, cost = map(statistics.fmean, zip(*self.results[method]))
        return f"accuracy {100 * accuracy:5.2f} %   cost {cost:,.0f}{failed}"


def table(plan: Plan) -> str:
    """A row per benchmark, profile and method: cells done of all, mean accuracy and cost at the last stage."""
    found, every = defaultdict(list), defaultdict(int)
    for one in plan.cells:
        key = one.cell.benchmark, one.cell.profile, one.method
        every[key] += 1
        if one.folder.done:
            found[key].append(last(one))
    rows = [HEAD]
    for key, n in every.items():
        accuracy, cost = map(statistics.fmean, zip(*found[key])) if found[key] else (None, None)
        numbers = (f"{100 * accuracy:.2f}", f"{cost:,.0f}") if found[key] else ("", "")
        rows.append((" ".join(key), f"{len(found[key])}/{n}", *numbers))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(text.rjust(wide) for text, wide in zip(row[1:], widths[1:]))])
        for row in rows
    )
