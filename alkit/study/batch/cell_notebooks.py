"""Cells as notebooks: notebook 4 executed once for each cell, for those who want to keep that."""

from pathlib import Path

from alkit import paths
from alkit.experiment import Cell
from alkit.experiment.methods import method
from alkit.study.batch import notebook_runs

NOTEBOOK = "04"


def output(cell: Cell, name: str) -> Path:
    """Where the executed notebook of `cell`, whose run folder is called `name`, is kept once it is complete."""
    return paths.outputs(cell.benchmark, cell.profile) / f"{notebook_runs.find(NOTEBOOK).stem}-{name}.ipynb"


def execute(cell: Cell, name: str) -> None:
    """Execute the notebook for `cell`; its run goes into the store (ALKIT_RUNS), or is read from there."""
    path = output(cell, name)
    if path.exists():
        return
    table = "".join(letter if letter.isalnum() else "_" for letter in name.lower())
    given = {
        "benchmark": cell.benchmark,
        "profile": cell.profile,
        "methods": [method(cell)],
        "seed": cell.seed,
        "n_seeds": 1,
        "initial": cell.initial,
        "changes": cell.changes,
        "name": table,
        "jobs": 1,
    }
    notebook_runs.execute(notebook_runs.find(NOTEBOOK), path, given)
