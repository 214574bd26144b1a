"""The study as a batch: its notebooks, a strict papermill runner, many cells at once, and the result tables."""

import ast
import contextlib
import ctypes
import io
import json
import multiprocessing
import os
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import yaml

from . import recipes
from .results import COLUMNS, ROOT, committed, label, read_results, results_file, write_results  # noqa: F401
from .store import runs_folder, writable

NOTEBOOKS = ROOT / "notebooks"
METHODS = (
    "supervised+random", "supervised+least_confidence", "supervised+entropy", "supervised+ddu",
    "contrastive+random_cl", "contrastive+distance_cl",
)  # fmt: skip
VARIANTS = ("distance_cl(radius=0.1)", "distance_cl(clusters_per_class=3)", "similar(objective=logdetcmi)")
METHOD = re.compile(r"(\w+)(?:\((.*?)\))?\+(\w+)(?:\((.*?)\))?(?:\+stop=(\w+))?")


def notebooks() -> list[str]:
    """Names of the study's notebooks, in order."""
    return sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb"))


def find(name: str) -> Path:
    """The notebook called `name`: its stem, or what its number or words begin with. ValueError listing all."""
    matches = [stem for stem in notebooks() if stem == name.removesuffix(".ipynb")]
    matches = matches or [
        stem for stem in notebooks() if stem.startswith(name) or stem.partition("_")[2].startswith(name)
    ]
    if len(matches) != 1:
        raise ValueError(f"no single notebook {name!r}; there are: {', '.join(notebooks())}")
    return NOTEBOOKS / f"{matches[0]}.ipynb"


def parameters(notebook: Path) -> dict:
    """Name -> default value of the notebook's parameters, in order."""
    return {name: value for name, (value, _) in _inspect(notebook).items()}


def parameter_help(notebook: Path) -> dict:
    """Name -> the comment beside the notebook's parameter."""
    return {name: text for name, (_, text) in _inspect(notebook).items()}


def _inspect(notebook: Path) -> dict:
    import papermill

    found = papermill.inspect_notebook(str(notebook))
    return {name: (ast.literal_eval(p["default"]), p["help"]) for name, p in found.items()}


def check(paths: Iterable[Path], given: dict) -> dict[Path, dict]:
    """What each notebook is to be given; ValueError, before a kernel starts, for what none of them could use.

    Beside names and types (`check_names`), the benchmark, profile and methods must exist and fit each other.
    """
    plan = check_names(paths, given)
    for path, mine in plan.items():
        values = {**parameters(path), **mine}
        if "benchmark" in values:
            recipes.recipe(values["benchmark"], values["profile"])
        if "methods" in values:
            wanted = ("benchmark", "profile", "methods", "seed", "n_seeds", "initial", "changes")
            cells_of(**{name: values[name] for name in wanted if name in values})
    return plan


def check_names(paths: Iterable[Path], given: dict) -> dict[Path, dict]:
    """What each notebook is to be given: every name must be a parameter of one of them, of the type of its default."""
    known = {path: parameters(path) for path in paths}
    everything = {name: value for defaults in known.values() for name, value in defaults.items()}
    for name, value in given.items():
        if name not in everything:
            hint = recipes.closest(name, everything)
            raise ValueError(f"unknown parameter {name!r}{hint}; there are: {', '.join(everything)}")
        if type(value) is not type(everything[name]):
            wanted = type(everything[name]).__name__
            raise ValueError(f"parameter {name!r} must be of type {wanted}, as {everything[name]!r} is; got {value!r}")
    return {path: {n: v for n, v in given.items() if n in defaults} for path, defaults in known.items()}


def check_apart(paths: Iterable[Path], given: dict) -> dict[Path, dict]:
    """`check` in a process of its own, so that this one need not hold PyTorch (half a GB) while kernels work."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(check, list(paths), given).result()


def execute(notebook: Path, output: Path, given: dict) -> None:
    """Run one notebook through papermill into `output`; its progress goes to this process's standard error.

    Pictures of MixDigits are left out of it. Given `publish`, a copy for plain web pages goes into figures/notebooks.

    ValueError for parameters that the notebook does not have; papermill's own error where a cell fails.
    """
    given = check_names([notebook], given)[notebook]
    import papermill

    from . import executed

    writable(output.parent)
    papermill.execute_notebook(
        str(notebook), str(output), parameters=given, kernel_name="python3", cwd=str(NOTEBOOKS),
        progress_bar=False, stdout_file=io.StringIO(), stderr_file=sys.stderr,
        extra_arguments=["--IPKernelApp.log_level=40"],  # ipykernel warns at every start that it speaks over loopback
    )  # fmt: skip
    executed.drop_pictures(output)
    values = {**parameters(notebook), **given}
    if values.get("publish"):
        name = label(values["benchmark"], values["profile"], values.get("name", ""))
        executed.publish(output, figures_folder(True), name, old=NOTEBOOKS)
    executed.relink(output, NOTEBOOKS, targets=figures_folder(bool(values.get("publish"))))


def outputs(benchmark: str, profile: str) -> Path:
    """Where executed notebooks of this benchmark and profile go."""
    return runs_folder() / "notebooks" / f"{benchmark}-{profile}"


def figures_folder(publish: bool) -> Path:
    """Where figures and result tables go: the committed `figures/` if `publish`, else `figures/` among the runs."""
    return writable(ROOT / "figures" if publish else runs_folder() / "figures")


def paper_methods(benchmark: str) -> list[str]:
    """The rows of the paper's Table 2, as it has them: on MixCIFAR60, DDU is on a net of bounded spectral norm."""
    spectral = benchmark.partition("-")[0] == "mixcifar60"
    return [method.replace("supervised+ddu", "supervised_sn+ddu") if spectral else method for method in METHODS]


def every_strategy(learner: str) -> list[str]:
    """One method per registered strategy that `learner` can serve, as `parse_method` reads them, and `VARIANTS`."""
    from . import acquisition, learners

    shows = set(learners.get(learner).shows)
    served = [name for name, known in acquisition.STRATEGIES.items() if shows.issuperset(known.needs)]
    return [f"{learner}+{name}" for name in [*served, *VARIANTS]]


def strategies_in(methods: list[str]) -> dict[str, tuple[str, dict]]:
    """The strategies of `methods` with their options, by a name that tells them apart: "distance_cl, radius=0.1"."""
    parts = [parse_method(method) for method in methods]
    pairs = [(part["strategy"], part["strategy_options"]) for part in parts]
    return {", ".join([name, *(f"{o}={v}" for o, v in options.items())]): (name, options) for name, options in pairs}


def cells_of(
    benchmark: str, profile: str, methods: list[str], seed: int, n_seeds: int, initial: str = "shared",
    changes: dict | None = None,
) -> list:  # fmt: skip
    """One checked cell per method (`parse_method`) and seed (`seed`, `seed` + 1, ...). ValueError if one is off.

    No methods are `paper_methods`. `changes`: recipe values by name, for all cells.
    """
    from .experiment import Cell, check

    if n_seeds < 1:
        raise ValueError(f"n_seeds must be at least 1, got {n_seeds}")
    parts = [parse_method(method) for method in methods or paper_methods(benchmark)]
    cells = [
        Cell(benchmark, profile, seed=seed + i, initial=initial, changes=changes or {}, **part)
        for part in parts for i in range(n_seeds)
    ]  # fmt: skip
    for cell in cells:
        check(cell)
    return cells


def ceiling_cells(benchmark: str, profile: str, learner: str, seed: int, n_seeds: int) -> list:
    """The all-iD ceiling: `learner` with every iD sample of the pool labelled in one stage, and no other bought."""
    from .benchmarks import ID, load

    pool = load(benchmark, share=recipes.recipe(benchmark, profile).share).pool
    everything = int((pool.category_N == ID).sum())
    changes = {"stage_id": everything, "stop_id": everything}
    return cells_of(benchmark, profile, [f"{learner}+oracle_random"], seed, n_seeds, changes=changes)


def parse_method(text: str) -> dict:
    """What "learner(option=value, ...)+strategy(option=value, ...)+stop=round" says, as fields of a cell.

    All but the two names can be left out. ValueError for anything else.
    """
    match = METHOD.fullmatch(str(text))
    if not match:
        raise ValueError(f"a method is 'learner+strategy', such as {METHODS[0]!r} or "
                         f"'contrastive+distance_cl(exclude=proportion)'; got {text!r}")  # fmt: skip
    learner, learner_options, strategy, strategy_options, stop = match.groups()
    return {
        "learner": learner, "strategy": strategy, **({"stop": stop} if stop else {}),
        "learner_options": _options(learner_options, text), "strategy_options": _options(strategy_options, text),
    }  # fmt: skip


def _options(text: str | None, method: str) -> dict:
    """ "a=1, b=true" as {"a": 1, "b": True}: YAML's values."""
    options = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"an option is written name=value, got {part.strip()!r} in {method!r}")
        options[name.strip()] = yaml.safe_load(value)
    return options


def run_cells(cells: list, *, jobs: int = 0, root: Path | None = None) -> list[dict]:
    """Rows of the result table for all `cells`, running what is not on disk, `jobs` at a time (0 = one per CPU core).

    Finished cells are read, interrupted ones go on. One row per cell and stage, columns `COLUMNS`.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    from .experiment import finished

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
    from .experiment import run

    for _ in run(cell, root=root):
        with contextlib.suppress(AttributeError, OSError):  # glibc's own
            ctypes.CDLL(None).malloc_trim(0)


def _rows(cell, root: Path | None) -> list[dict]:
    from .experiment import finish

    return [{name: {**about(cell), **record}[name] for name in COLUMNS} for record in finish(cell, root=root)]


def about(cell) -> dict:
    """The columns of a result table that say which cell a row is of."""
    names = ("benchmark", "profile", "learner", "strategy", "initial", "seed")
    return {name: getattr(cell, name) for name in names} | {"options": json.dumps(cell.options, sort_keys=True)}


def story(benchmark: str) -> dict[str, str]:
    """The parts of the notebooks' text that belong to this benchmark: Markdown by name, such as "01 pool".

    What was learned on one variant of a benchmark may not hold on another; a line before it says which one it is.
    """
    text = (NOTEBOOKS / "stories" / f"{benchmark.partition('-')[0]}.md").read_text()
    head, *parts = re.split(r"<!-- section: (.+?) -->\n", text)
    sections = {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    learned_on = re.search(r"learned on `(.+?)`", head)
    if learned_on is None or learned_on[1] == benchmark:
        return sections
    notice = (
        f"*This was written about the pool `{learned_on[1]}`. The numbers above are of `{benchmark}`: compare.*\n\n"
    )
    return {name: (notice if name.endswith("learned") else "") + body for name, body in sections.items()}


def saver(benchmark: str, profile: str, publish: bool, name: str = ""):
    """A function `keep(figure, kind)` that saves a figure under the name of the results, and returns it."""
    from .figures.files import save

    folder, prefix = figures_folder(publish), label(benchmark, profile, name)

    def keep(figure, kind: str):
        save(figure, f"{prefix}-{kind}", folder)
        return figure

    return keep
