"""A sweep, from its grid to its result tables: missing cells are run, failed ones reported, and the others go on."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from alkit import runtime, store
from alkit.study import tables
from alkit.study.batch import grid, plan
from alkit.study.batch.plan import Plan, Planned
from alkit.study.batch.progress import Live, duration, table
from alkit.study.batch.workers import Dask, Engine, Local, Outcome, Task, cores, outcomes


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

    Nothing is run yet. ValueError or StoreError for everything that can be found wrong without running it.
    """
    if file and given:
        raise ValueError(
            f"a sweep is either a file or lists, got {file} and --{next(iter(given))}; put both in the file"
        )
    jobs = at_a_time(options.jobs)
    if options.as_notebooks and options.scheduler:
        raise ValueError("notebooks are executed on this machine: --as-notebooks goes with --jobs or --part")
    cells = grid.cells(grid.read(file) if file else [given])
    tables.label("sweep", "sweep", name)  # its ValueError, before any work
    if options.part:
        plan.part(cells, options.part)
    device = torch.device(options.device) if options.device else runtime.default_device()
    made = plan.make(cells, root, device, jobs=jobs, as_notebooks=options.as_notebooks)
    engine = Dask(options.scheduler, root) if options.scheduler else Local(jobs)
    return Sweep(made, name, root, device.type, options, engine)


def at_a_time(jobs: int) -> int:
    """The number of processes that `jobs` asks for, 0 being one per CPU core. ValueError where it is negative."""
    if jobs < 0:
        raise ValueError(f"jobs must be at least 1, or 0 for one per CPU core; got {jobs}")
    return jobs or cores()


def run_tasks(
    made: Plan,
    todo: list[Planned],
    engine: Engine,
    root: Path,
    device: str,
    stream,
    *,
    as_notebooks: bool = False,
    always_a_bar: bool = False,
) -> list[Outcome]:
    """Run the cells `todo` of a plan with `engine`, showing on `stream` how it goes (`Live`); returns what failed."""
    share = 1 if isinstance(engine, Dask) else max(1, cores() // max(1, min(engine.jobs, len(todo))))
    by_folder = {one.folder.path: one for one in todo}
    tasks = [
        Task(one.cell, root, one.folder.path, one.benchmark.fingerprint, device, share, as_notebooks) for one in todo
    ]
    failed = []
    with Live(made, todo, stream, always_a_bar=always_a_bar) as live:
        for outcome in outcomes(tasks, engine):
            live.take(by_folder[outcome.task.folder], outcome)
            if outcome.state == "failed":
                failed.append(outcome)
    return failed


@dataclass
class Sweep:
    """A planned sweep; `run` runs it, once. `failed`: the outcomes of cells that could not be finished."""

    plan: Plan
    name: str
    root: Path
    device: str
    options: Options
    engine: Engine
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
        """Run `todo`, showing on `stream` how it goes, and write the result tables; returns what failed."""
        self.failed = run_tasks(
            self.plan,
            self.todo,
            self.engine,
            self.root,
            self.device,
            stream,
            as_notebooks=self.options.as_notebooks,
        )
        self.written = [
            self._write(*key) for key in sorted({(c.cell.benchmark, c.cell.profile) for c in self.plan.cells})
        ]
        return self.failed

    def _write(self, benchmark: str, profile: str) -> Path | None:
        """The result table of all finished cells of a benchmark and profile; parts of a sweep write it in turn."""
        folder = self.root / "figures"
        with store.lock(self.root / "cache" / f"table-{tables.label(benchmark, profile, self.name)}.lock"):
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
        """End the engine's processes, or its connection to a cluster."""
        self.engine.close()
