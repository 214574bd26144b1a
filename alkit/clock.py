"""Seconds that a run spends, by phase."""

import contextlib
import time


class Clock:
    """Seconds by phase: `with clock("train"): ...`"""

    def __init__(self):
        self.spent = {"train": 0.0, "extract": 0.0, "choose": 0.0}

    @contextlib.contextmanager
    def __call__(self, phase: str):
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent[phase] += time.perf_counter() - start

    def seconds(self) -> dict:
        return {f"{phase}_seconds": round(value, 4) for phase, value in self.spent.items()}
