"""A sweep from its grid to its result table: what is missing is run, what fails is reported, the rest goes on."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from filelock import FileLock

from alkit import runtime
from alkit.study import tables
from alkit.study.batch import grid, plan
from alkit.study.batch.plan import Plan, Planned
from alkit.study.batch.progress import Live, duration, table
from alkit.study.batch.workers import Dask, Local, Outcome, Task, cores, outcomes


@dataclass(frozen=True)
class Options:
    """How a sweep is run. `jobs`: processes at a time, 0 for one per core; `device`: None for a GPU where there is one;
    `scheduler`: of a Dask cluster; `part`: "i/n"; `as_notebooks`: each cell through notebook 4.
    """

    jobs: int = 0
    device: str | None = None
    scheduler: str | None = None
    part: str | None = None
    as_notebooks: bool = False


def prepare(file: Path | None, given: dict, name: str, root: Path, options: Options) -> "Sweep":
    """A sweep ready to run, of the grids in `file` or the one `given`; its result table is called `name`.

    Nothing has been run when this returns, and all that can be known to be wrong is: ValueError or StoreError.
    """
    if file and given:
        raise ValueError(
            f"a sweep is either a file or lists, got {file} and --{next(iter(given))}; put both in the file"
        )
    if options.jobs < 0:
        raise ValueError(f"jobs must be at least 1, or 0 for one per CPU core; got {options.jobs}")
    if options.as_notebooks and options.scheduler:
        raise ValueError("notebooks are executed on this machine: --as-notebooks goes with --jobs or --part")
    cells = grid.cells(grid.read(file) if file else [given])
    tables.label("sweep", "sweep", name)  # its ValueError, before any work
    if options.part:
        plan.part(cells, options.part)
    device = torch.device(options.device) if options.device else runtime.default_device()
    jobs = options.jobs or cores()
    made = plan.make(cells, root, device, jobs=jobs, as_notebooks=options.as_notebooks)
    engine = Dask(options.scheduler, root) if options.scheduler else Local(jobs)
    return Sweep(made, name, root, device.type, options, engine)


@dataclass
class Sweep:
    """A planned sweep; `run` does the work, once. `failed` are the outcomes of what could not be finished."""

    plan: Plan
    name: str
    root: Path
    device: str
    options: Options
    engine: Local | Dask
    written: list[Path | None] = field(default_factory=list)  # the result tables
    failed: list[Outcome] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @property
    def todo(self) -> list[Planned]:
        """The cells to run here: all that are not done, or this part's."""
        if not self.options.part:
            return self.plan.todo
        mine = {one.folder.path for one in plan.part(plan.order(self.plan.cells, 1), self.options.part)}
        return [one for one in self.plan.todo if one.folder.path in mine]

    def describe(self) -> str:
        """The plan in words: cells, how many are done, how long the others may take."""
        todo, jobs = self.todo, self.engine.jobs
        text = f"{len(self.plan.cells)} cells in {self.root}: {len(self.plan.done)} done, {self.plan.begun} begun"
        text += f"; to do {f'in part {self.options.part} ' if self.options.part else ''}{len(todo)}"
        if not todo:
            return text
        seconds, unknown = plan.estimate(todo, jobs)
        known = (
            f"about {duration(seconds)} for {len(todo) - unknown} of them" if unknown < len(todo) else "time unknown"
        )
        nothing = f" ({unknown} of kinds that no finished cell tells about)" if unknown else ""
        return f"{text}, {min(jobs, len(todo))} at a time: {known}{nothing}"

    def run(self, stream) -> list[Outcome]:
        """Run what is to do, showing on `stream` how it goes, and write the result tables; returns what failed."""
        todo = {one.folder.path: one for one in self.todo}
        share = max(1, cores() // max(1, min(self.engine.jobs, len(todo)))) if isinstance(self.engine, Local) else 1
        tasks = [self._task(one, share) for one in todo.values()]
        with Live(self.plan, list(todo.values()), stream) as live:
            for outcome in outcomes(tasks, self.engine):
                live.take(todo[outcome.task.folder], outcome)
                if outcome.state == "failed":
                    self.failed.append(outcome)
        self.written = [
            self._write(*key) for key in sorted({(c.cell.benchmark, c.cell.profile) for c in self.plan.cells})
        ]
        return self.failed

    def _task(self, one: Planned, threads: int) -> Task:
        where = one.folder.path, one.benchmark.fingerprint
        return Task(one.cell, self.root, *where, self.device, threads, self.options.as_notebooks)

    def _write(self, benchmark: str, profile: str) -> Path | None:
        """The result table of all finished cells of a benchmark and profile; parts of a sweep write it in turn."""
        folder = self.root / "figures"
        with FileLock(self.root / "cache" / f"table-{tables.label(benchmark, profile, self.name)}.lock"):
            rows = list(self._rows(benchmark, profile))
            if not rows:
                return None
            tables.write_results(rows, folder, self.name)
        return tables.results_file(folder, benchmark, profile, self.name)

    def _rows(self, benchmark: str, profile: str) -> Iterator[dict]:
        for one in self.plan.cells:
            if (one.cell.benchmark, one.cell.profile) == (benchmark, profile) and one.folder.done:
                yield from plan.rows(one)

    def summary(self) -> str:
        """What is done and what not, after `run`: a row per method, then each failed cell with its log."""
        lines = [table(self.plan), ""]
        lines += [f"result table: {path}" for path in self.written if path]
        for outcome in self.failed:
            lines.append(f"FAILED {outcome.task.folder.name}: {outcome.message}")
            lines.append(f"       log: {outcome.task.log}" if outcome.task.log.exists() else "       (no log)")
        finished = len(self.todo) - len(self.failed)
        spent = duration(time.monotonic() - self.began)
        lines.append(f"{finished} cells finished in {spent}, {len(self.failed)} failed")
        return "\n".join(lines)

    def close(self) -> None:
        """Let go of a cluster."""
        if isinstance(self.engine, Dask):
            self.engine.close()
