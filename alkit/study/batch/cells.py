"""Many cells at once."""

import contextlib
import ctypes
import os
from pathlib import Path

from alkit.study.tables import _rows


def run_cells(cells: list, *, jobs: int = 0, root: Path | None = None) -> list[dict]:
    """Rows of the result table for all `cells`, running what is not on disk, `jobs` at a time (0 = one per CPU core).

    Finished cells are read, interrupted ones go on. One row per cell and stage, columns `COLUMNS`.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    from alkit.experiment import finished

    todo = [cell for cell in cells if not finished(cell, root=root)]
    # long ones first, and seeds before strategies: two runs of one seed would wait for the same stage-0 representation
    todo.sort(key=lambda cell: (cell.learner != "contrastive", cell.strategy, cell.seed))
    jobs = min(jobs or os.cpu_count() or 1, max(1, len(todo)))
    with tqdm(total=len(todo), desc="active-learning runs", disable=not todo, mininterval=2) as bar:
        for _ in Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(_work)(cell, root) for cell in todo):
            bar.update()
    return [row for cell in cells for row in _rows(cell, root)]


def _work(cell, root: Path | None) -> None:
    """Run one cell; after each stage, return to the system what the C library's allocator would keep (100s of MB)."""
    from alkit.experiment import run

    for _ in run(cell, root=root):
        with contextlib.suppress(AttributeError, OSError):  # glibc's own
            ctypes.CDLL(None).malloc_trim(0)
