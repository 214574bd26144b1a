"""Cells as notebooks: notebook 04 executed for one cell, for who keeps those."""

import os
from pathlib import Path

from . import study
from .experiment import Cell
from .store import writable

NOTEBOOK = "04"


def output(cell: Cell, name: str) -> Path:
    """Where the executed notebook of `cell`, whose run folder is called `name`, is kept; it is there when complete."""
    return study.outputs(cell.benchmark, cell.profile) / f"{study.find(NOTEBOOK).stem}-{name}.ipynb"


def execute(cell: Cell, name: str) -> None:
    """Execute the notebook for `cell`; its run goes into the store (ALKIT_RUNS), or is read from there."""
    path = output(cell, name)
    if path.exists():
        return
    part = writable(path.parent) / f".{path.stem}.part.ipynb"
    table = "".join(letter if letter.isalnum() else "_" for letter in name.lower())
    given = {
        "benchmark": cell.benchmark, "profile": cell.profile, "methods": [method(cell)], "seed": cell.seed,
        "n_seeds": 1, "initial": cell.initial, "changes": cell.changes, "name": table, "jobs": 1,
    }  # fmt: skip
    study.execute(study.find(NOTEBOOK), part, given)
    os.replace(part, path)


def method(cell: Cell) -> str:
    """The text that `study.parse_method` reads as this cell's learner, strategy and their options."""
    parts = []
    for name, options in ((cell.learner, cell.learner_options), (cell.strategy, cell.strategy_options)):
        inside = ", ".join(f"{key}={_yaml(value)}" for key, value in options.items())
        parts.append(f"{name}({inside})" if inside else name)
    return "+".join([*parts, *([f"stop={cell.stop}"] if cell.stop != "quota" else [])])


def _yaml(value) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
