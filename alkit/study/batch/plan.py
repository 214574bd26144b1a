"""The plan of a sweep: which of its cells are on disk, in what order the others are run, how long that may take."""

import contextlib
import csv
import itertools
import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from alkit import __version__, experiment, learners
from alkit.benchmarks import Benchmark, shared_memory
from alkit.experiment import Cell
from alkit.store import RunFolder, StoreError, canonical, journal, writable
from alkit.study.batch import cell_notebooks
from alkit.study.batch.grid import without_seed
from alkit.study.tables import about

SAMPLES = 5  # finished cells that an estimate is drawn from, for each method


NEAR = 200  # cells that are looked at for them


@dataclass(frozen=True)
class Planned:
    """A cell of a sweep and where it is kept."""

    cell: Cell
    folder: RunFolder  # not entered
    benchmark: Benchmark

    @property
    def method(self) -> str:
        """Learner, strategy and what departs from their defaults, in a few words."""
        cell, options = self.cell, self.cell.options
        extra = [f"{k}={v}" for part in ("learner", "strategy", "changes") for k, v in options.get(part, {}).items()]
        extra += [f"stop={cell.stop}"] * (cell.stop != "quota") + [cell.initial] * (cell.initial != "shared")
        return f"{cell.learner}+{cell.strategy}" + (f" ({', '.join(extra)})" if extra else "")

    @property
    def notebook(self) -> Path:
        """Where the cell's executed notebook is, if it was asked for and is complete."""
        return cell_notebooks.output(self.cell, self.folder.path.name)


@dataclass(frozen=True)
class Plan:
    """`todo` is in the order of work; a run that two cells share, as those of `contrastive` do under the two protocols,
    is in it once.
    """

    cells: list[Planned]
    todo: list[Planned]
    done: list[Planned] = field(default_factory=list)

    @property
    def begun(self) -> int:
        return sum(journal(one.folder.path).get("stages", 0) > 0 for one in self.todo)


def make(cells: list[Cell], root: Path, device, *, jobs: int = 1, as_notebooks: bool = False) -> Plan:
    """Check every cell, put the benchmarks' images where workers share them, and look at what is on disk.

    ValueError for a cell that cannot run, StoreError for a store that cannot be written or is of another version; both
    before anything is run.
    """
    writable(root, runs=True)
    known: dict[tuple, Benchmark] = {}
    checked: set[str] = set()
    planned = []
    for cell in cells:
        key = cell.benchmark, cell.recipe.share
        if key not in known:
            known[key] = shared_memory.keep(experiment.benchmark_of(cell), root / "cache")
        if (kind := without_seed(cell)) not in checked:
            experiment.check(cell, benchmark=known[key])
            checked.add(kind)
        planned.append(Planned(cell, experiment.folder(cell, root, known[key], device), known[key]))
    check_versions(planned)
    done = [one for one in planned if one.folder.done and (not as_notebooks or one.notebook.exists())]
    finished = {one.folder.path for one in done}
    todo = {one.folder.path: one for one in planned if one.folder.path not in finished}
    return Plan(planned, order(list(todo.values()), jobs), done)


def check_versions(planned: list[Planned]) -> None:
    """StoreError where a planned cell's neighbours were made by another version of alkit: one table would mix both."""
    ours = {one.folder.path for one in planned}
    for parent in sorted({path.parent for path in ours}):
        for path in sorted(parent.glob("*/config.json")):
            if path.parent not in ours and (found := _config(path.parent).get("alkit", __version__)) != __version__:
                raise StoreError(
                    f"{path.parent} was made by alkit {found}, and this is {__version__}: results of two versions must "
                    "not be mixed; choose another folder (ALKIT_RUNS), or delete what is of the other version"
                )


def _config(folder: Path) -> dict:
    """The configuration in a run directory; {} where it is torn, which whoever runs that cell is told."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return dict(json.loads((folder / "config.json").read_bytes())["config"])
    return {}


def order(todo: list[Planned], jobs: int) -> list[Planned]:
    """Long cells first, and such that workers do not wait for each other.

    Runs that begin with the same stage-0 representation wait for the first of them: those firsts come first, and what
    waits for the last of them comes last. Where they are too few to keep every worker busy, what needs no
    representation is run before the others that do.
    """
    todo = sorted(todo, key=lambda one: (one.cell.learner != "contrastive", one.cell.seed, one.cell.strategy))
    firsts: dict[str, Planned] = {}
    for one in todo:
        if learners.get(one.cell.learner).pretrained:
            key = canonical([one.benchmark.fingerprint, one.cell.profile, one.cell.changes, one.cell.seed])
            firsts.setdefault(key, one)
    leading = {one.folder.path for one in firsts.values()}
    few = len(leading) < jobs
    rest = [one for one in todo if one.folder.path not in leading]
    return [*firsts.values(), *sorted(rest, key=lambda one: few and learners.get(one.cell.learner).pretrained)]


def part(todo: list, text: str) -> list:
    """Every n-th of the cells, from the i-th on, for "i/n" with i from 1 to n."""
    i, slash, n = text.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise ValueError(f"a part is written i/n with i from 1 to n, such as 3/40; got {text!r}")
    return todo[int(i) - 1 :: int(n)]


def estimate(todo: list[Planned], jobs: int) -> tuple[float, int]:
    """(seconds that the cells `todo` may take on `jobs` workers, number of them that nothing is known about).

    From finished cells that differ in nothing but the seed; else from any of the same learner and recipe.
    """
    total, unknown, known = 0.0, 0, {}
    for one in todo:
        kind = one.folder.path.parent, without_seed(one.cell)
        if kind not in known:
            known[kind] = similar(one, "seed") or similar(one, "seed", "strategy", "strategy_options")
        if known[kind]:
            total += max(0.0, statistics.fmean(known[kind]) - seconds(one.folder.path))
        else:
            unknown += 1
    return total / max(1, min(jobs, len(todo))), unknown


def similar(one: Planned, *but: str) -> list[float]:
    """Seconds that some finished cells took whose configuration differs from this one's in nothing `but` these."""

    def kind(config: dict) -> dict:
        return {key: value for key, value in config.items() if key not in but}

    name = f"{one.cell.learner}+*" if "strategy" in but else f"{one.cell.learner}+{one.cell.strategy}-*"
    near = itertools.islice(sorted(one.folder.path.parent.glob(name)), NEAR)
    done = (path for path in near if journal(path).get("done") and kind(_config(path)) == kind(one.folder.config))
    return [seconds(path) for path in itertools.islice(done, SAMPLES)]


def seconds(folder: Path) -> float:
    """What the finished stages of the run in `folder` have taken."""
    with contextlib.suppress(OSError, ValueError), open(folder / "seconds.csv", newline="") as file:
        return sum(float(v) for row in csv.DictReader(file) for name, v in row.items() if name != "stage")
    return 0.0


def last(one: Planned) -> tuple[float, int]:
    """(accuracy, annotation cost) at the last stage of a finished cell."""
    with open(one.folder.path / "stages.csv", newline="") as file:
        row = list(csv.DictReader(file))[-1]
    return float(row["accuracy"]), int(row["cost"])


def rows(one: Planned) -> list[dict]:
    """The rows of the result table of a finished cell, whoever ran it: one per stage."""
    records = experiment.stored(one.cell, one.folder, one.benchmark)
    return [{**about(one.cell), **record} for record in records]
