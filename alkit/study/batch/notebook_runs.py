"""The study as a batch: its notebooks, a strict papermill runner, many cells at once, and the result tables."""

import ast
import io
import multiprocessing
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from alkit import paths as places
from alkit import recipes
from alkit.experiment.methods import cells_of
from alkit.options import closest
from alkit.store import writable
from alkit.study.tables import label


def notebooks() -> list[str]:
    """Names of the study's notebooks, in order."""
    return sorted(path.stem for path in places.NOTEBOOKS.glob("[0-9]*.ipynb"))


def find(name: str) -> Path:
    """The notebook called `name`: its stem, or what its number or words begin with. ValueError listing all."""
    matches = [stem for stem in notebooks() if stem == name.removesuffix(".ipynb")]
    matches = matches or [
        stem for stem in notebooks() if stem.startswith(name) or stem.partition("_")[2].startswith(name)
    ]
    if len(matches) != 1:
        raise ValueError(f"no single notebook {name!r}; there are: {', '.join(notebooks())}")
    return places.NOTEBOOKS / f"{matches[0]}.ipynb"


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
            hint = closest(name, everything)
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

    Pictures of MixDigits are left out of it. Given `publish`, a copy for plain web pages goes into
    figures/<pool>/notebooks.

    ValueError for parameters that the notebook does not have; papermill's own error where a cell fails.
    """
    given = check_names([notebook], given)[notebook]
    import papermill

    from alkit.study.batch import publish
    from alkit.study.batch.publish import drop_pictures, relink

    writable(output.parent)
    papermill.execute_notebook(
        str(notebook),
        str(output),
        parameters=given,
        kernel_name="python3",
        cwd=str(places.NOTEBOOKS),
        progress_bar=False,
        stdout_file=io.StringIO(),
        stderr_file=sys.stderr,
        extra_arguments=["--IPKernelApp.log_level=40"],  # ipykernel warns at every start that it speaks over loopback
    )
    drop_pictures(output)
    values = {**parameters(notebook), **given}
    if values.get("publish"):
        name = label(values["benchmark"], values["profile"], values.get("name", ""))
        publish.publish(output, *places.figure_place(name, True), old=places.NOTEBOOKS)
    relink(output, places.NOTEBOOKS, targets=places.figures_folder(bool(values.get("publish"))))
