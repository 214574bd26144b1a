"""The active-learning experiment: a cell names one run, the oracle answers and counts, the loop runs it stage by stage.

cell = experiment.Cell("mixdigits", "laptop", "contrastive", "distance_cl", seed=0)
for record in experiment.run(cell):
    print(record["n_id"], record["cost"], record["accuracy"])
"""

from alkit.experiment.cell import Cell, benchmark_of, check
from alkit.experiment.loop import (
    KINDS,
    Loop,
    finish,
    finished,
    folder,
    initial_answers,
    initial_draw,
    numbers,
    run,
    setting_of,
    stored,
)
from alkit.experiment.oracle import Answer, Answering, Oracle

__all__ = [
    "KINDS",
    "Answer",
    "Answering",
    "Cell",
    "Loop",
    "Oracle",
    "benchmark_of",
    "check",
    "finish",
    "finished",
    "folder",
    "initial_answers",
    "initial_draw",
    "numbers",
    "run",
    "setting_of",
    "stored",
]
