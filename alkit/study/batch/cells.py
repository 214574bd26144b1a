"""Many cells at once, for notebooks: their rows of the result table, from the engine that also runs sweeps."""

import sys
from pathlib import Path

from alkit.paths import runs_folder


def run_cells(cells: list, *, jobs: int = 0, root: Path | None = None) -> list[dict]:
    """Rows of the result table for all `cells`, in their order: one per cell and stage, with `tables.COLUMNS`.

    Cells that are not on disk below `root` are run, `jobs` at a time (0: one per CPU core), with a progress bar on
    standard error; interrupted ones go on, and those that another process is running are waited for. With one at a
    time they run in this process, else each in one of its own (see `workers.Local`), which does not know of a strategy
    that was written in a notebook: cells with such a one run here, one at a time.

    ValueError or StoreError, before anything is run, for a cell that cannot run; RuntimeError where some failed.
    """
    # here, not above: a process that `processes` starts imports this package before it is watched
    from alkit import acquisition
    from alkit.runtime import default_device
    from alkit.study.batch import plan, sweep, workers

    root, device = Path(root or runs_folder()), default_device()
    jobs = 1 if any(acquisition.get(cell.strategy).source_hash != "" for cell in cells) else sweep.at_a_time(jobs)
    made = plan.make(cells, root, device, jobs=jobs)
    jobs = min(jobs, max(1, len(made.todo)))
    engine = workers.Local(jobs) if jobs > 1 else workers.InProcess()
    try:
        failed = sweep.run_tasks(made, made.todo, engine, root, device.type, sys.stderr, always_a_bar=True)
    finally:
        engine.close()
    if failed:
        first = failed[0]
        raise RuntimeError(
            f"{len(failed)} of {len(cells)} cells failed, first of them {first.task.folder.name}: {first.message} "
            f"(log: {first.task.log}); the others are finished and will only be read when this is run again"
        )
    return [row for one in made.cells for row in plan.rows(one)]
