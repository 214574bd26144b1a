"""The study's notebooks: found by name, their parameters checked, executed through papermill.

This module does not load PyTorch (half a GB), so that the process that waits for kernels need not hold it.
"""

import ast
import io
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from alkit import paths as places
from alkit import recipes
from alkit.options import Range, check_name, check_value, closest
from alkit.store import writable, write_atomic
from alkit.study.batch import processes
from alkit.study.tables import label

AT_LEAST = {"seed": 0, "n_seeds": 1, "jobs": 0, "n_toys": 1}  # of parameters that are numbers


def notebooks() -> list[str]:
    """Names of the study's notebooks, in order. StoreError where alkit is installed without them."""
    places.checkout("the study's notebooks")
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


def output_of(notebook: Path, given: dict) -> Path:
    """Where the notebook, executed with these parameters, is kept: results of a name of their own have one, too."""
    defaults = parameters(notebook)
    values = {**defaults, **given}
    name = values.get("name", "")
    stem = f"{notebook.stem}-{name}" if name and name != defaults["name"] else notebook.stem
    return places.outputs(*_pool_of(values)) / f"{stem}.ipynb"


def _pool_of(values: dict) -> tuple[str, str]:
    """Benchmark and profile; a notebook about none is kept with the pool that ships with the study."""
    return values.get("benchmark", "mixdigits"), values.get("profile", "laptop")


def failed(output: Path) -> Path:
    """Where a notebook that failed is kept; the last one that ended well stays at `output`."""
    return output.with_name(f"{output.stem}.failed.ipynb")


def check(paths: Iterable[Path], given: dict) -> dict[Path, dict]:
    """What each notebook is to be given; ValueError, before a kernel starts, for what none of them could use.

    Beside names and types (`check_names`), benchmarks, profiles, learners and methods must exist and fit each other.
    """
    plan = check_names(paths, given)
    for path, mine in plan.items():
        _check_values({**parameters(path), **mine})
    return plan


def _check_values(values: dict) -> None:
    # here, not above: they load PyTorch
    from alkit import learners
    from alkit.experiment.methods import cells_of, check_count

    for name, least in AT_LEAST.items():
        if name in values:
            check_value(values[name], Annotated[int, Range(least)], name)
    if "benchmark" in values:
        recipes.recipe(values["benchmark"], values["profile"])
        label(values["benchmark"], values["profile"], values.get("name", ""))
    for benchmark in filter(None, (values.get("benchmark"), values.get("elsewhere"))):
        _check_benchmark(benchmark)
    if values.get("learner"):
        check_name(re.match(r"\w*", values["learner"])[0], learners.LEARNERS, "learner")
    if "methods" in values:
        wanted = ("benchmark", "profile", "methods", "seed", "n_seeds", "initial", "changes")
        cells_of(**{name: values[name] for name in wanted if name in values})
    check_count(values.get("n_seeds", 1))


def _check_benchmark(name: str) -> None:
    """ValueError for a benchmark, or a variant of one, that does not exist; no images are read."""
    from alkit import benchmarks

    family, *variant = name.split("-")
    check_name(family, benchmarks.BENCHMARKS, "benchmark")
    if variant and family not in benchmarks.NAMED:
        raise ValueError(f"{family} has no variants, so there is no {name!r}; take {family!r}")
    if variant:
        benchmarks.NAMED[family](variant)


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
    """`check` in a process of its own, which loads PyTorch in the place of this one."""
    return processes.apart(__name__, "check", list(paths), given)


def copied(notebook: Path, copy: Path, given: dict) -> Path:
    """A copy of the notebook with these parameters, to be worked in; one that is there is kept, with new parameters.

    Its links hold from where it lies; pictures of MixDigits are left out.
    """
    given = check_names([notebook], given)[notebook]
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    from alkit.study.batch import publish

    fresh = not copy.exists()
    made = parameterize_notebook(load_notebook_node(str(notebook if fresh else copy)), given)
    write_atomic(copy, json.dumps(made).encode())
    if fresh:
        publish.drop_what_is_of_mixdigits(copy, _pool_of(given)[0])
        publish.relink(copy, places.NOTEBOOKS, targets=copy.parent)
    return copy


def execute(notebook: Path, output: Path, given: dict) -> None:
    """Run one notebook through papermill into `output`; its progress goes to this process's standard error.

    `output` is replaced when the notebook has ended well; one that failed is kept beside it (`failed`). Pictures of
    MixDigits, and its text where the benchmark is another, are left out. Given `publish`, a copy for plain web pages
    goes into figures/<pool>/notebooks.

    ValueError for parameters that the notebook does not have; PapermillExecutionError where a cell fails, and
    RuntimeError where the kernel does not start or is killed.
    """
    given = check_names([notebook], given)[notebook]
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from alkit.study.batch import publish
    from alkit.study.batch.kernel import KernelManager

    writable(places.runs_folder(), runs=True)
    writable(output.parent)
    values = {**parameters(notebook), **given}
    with processes.scratch() as folder:
        made = folder / notebook.name
        try:
            papermill.execute_notebook(
                str(notebook),
                str(made),
                parameters=given,
                kernel_name="python3",
                cwd=str(places.NOTEBOOKS),
                progress_bar=False,
                stdout_file=io.StringIO(),
                stderr_file=sys.stderr,
                kernel_manager_class=KernelManager,
                extra_arguments=["--IPKernelApp.log_level=40"],  # ipykernel warns at every start that it uses loopback
            )
        except (PapermillExecutionError, RuntimeError):  # nbclient's of a dead kernel is a RuntimeError
            if made.exists():
                write_atomic(failed(output), made.read_bytes())
            raise
        publish.drop_what_is_of_mixdigits(made, _pool_of(values)[0])
        if values.get("publish"):
            name = label(*_pool_of(values), values.get("name", ""))
            publish.publish(made, *places.figure_place(name, True), old=places.NOTEBOOKS)
        targets = places.figures_folder(bool(values.get("publish")))
        publish.relink(made, places.NOTEBOOKS, targets=targets, new=output.parent)
        write_atomic(output, made.read_bytes())
    failed(output).unlink(missing_ok=True)


def embed_pictures(path: Path) -> None:
    """Put pictures in the place of the figures of a notebook that was executed in place, at its defaults."""
    from alkit.study.batch import publish

    publish.embed(path, *places.figure_place(label(*_pool_of(parameters(path))), False))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        embed_pictures(Path(name))
