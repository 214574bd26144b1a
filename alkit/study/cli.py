"""The command line: python -m alkit run | sweep | table | explore | label | data | clean"""

import argparse
import getpass
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from alkit import __version__, plain_yaml
from alkit.paths import checkout, runs_folder
from alkit.store import StoreError, writable
from alkit.study.batch.processes import INTERRUPTED, MASKS


def main(argv: list[str] | None = None) -> int:
    """Run one command. Exit status: 0, 1 where a run failed, 2 for a wrong request, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    mine = argv[: argv.index("--")] if argv[:1] == ["label"] and "--" in argv else argv  # the rest is JupyterLab's
    try:
        args, beyond = parser().parse_args(mine), argv[len(mine) + 1 :]
        return args.do(args, beyond) if args.do is label_ else args.do(args)
    except (ValueError, StoreError) as error:
        print(f"alkit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{INTERRUPTED}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
        if not output.poll(0):  # it was another pipe
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # who read it, such as head, has enough
        return 1


def parser() -> argparse.ArgumentParser:
    """The commands and their options; each command's function is its `do`."""
    about = "A reproducible study of deep active learning under realistic data pools."
    top = argparse.ArgumentParser(prog="python -m alkit", description=about)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute notebooks through papermill", description=run_.__doc__)
    run.add_argument("notebook", nargs="+", help="'all', or names such as 04 or 04_active_learning_curves")
    run.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a notebook parameter",
    )
    run.add_argument("--again", action="store_true", help="execute what has not changed since, too")
    run.add_argument("--list", action="store_true", help="print the notebooks' parameters, run nothing")
    run.set_defaults(do=run_)

    sweep = commands.add_parser("sweep", help="run every cell of a grid, many at once", description=sweep_.__doc__)
    sweep_options(sweep)
    sweep.set_defaults(do=sweep_)

    table = commands.add_parser("table", help="print results as the paper's Table 2", description=table_.__doc__)
    benchmark_and_profile(table)
    table.add_argument("--name", default="", help="of a table that has one (see notebook 4's parameter, and sweep)")
    table.add_argument("--committed", action="store_true", help="of the study's committed results, not this machine's")
    table.set_defaults(do=table_)

    explore = commands.add_parser("explore", help="make the page of a feature space", description=explore_.__doc__)
    benchmark_and_profile(explore)
    explore.add_argument("--learner", default="contrastive", help="whose features; such as probe or pretrained")
    explore.add_argument("--seed", type=int, default=0)
    explore.add_argument("--into", type=Path, metavar="FILE", help="the page (default: among the figures of the runs)")
    explore.set_defaults(do=explore_)

    label = commands.add_parser(
        "label",
        help="label your own images, in JupyterLab",
        description=label_.__doc__,
        epilog="What stands behind -- is given to JupyterLab, such as -- --port 8890.",
    )
    label.add_argument("folder", type=Path, help="of your images; it is never written to")
    label.add_argument("--classes", nargs="+", required=True, metavar="NAME", help="the names of your classes")
    label.add_argument("--features", default="efficientnet_lite0", help="or contrastive, or a file.npy: see notebook 8")
    label.add_argument("--strategy", default="cautious_coverage", help="in whose order you are asked")
    label.add_argument("--budget", type=int, default=0, metavar="LOOKS", help="default: no end")
    label.add_argument("--annotator", default="", metavar="YOU", help="default: your name on this machine")
    label.add_argument("--into", type=Path, metavar="FOLDER", help="keeps the answers (default: FOLDER-labels)")
    label.add_argument("--no-browser", action="store_true", help="only print the address")
    label.set_defaults(do=label_)

    data = commands.add_parser("data", help="list the sources of images, or build some", description=data_.__doc__)
    data.add_argument(
        "--rebuild", metavar="BENCHMARK", help="build the ambiguous images of mixdigits or mixmnist again"
    )
    data.add_argument(
        "--into", type=Path, metavar="FOLDER", help="with --rebuild: where to, not to where they are read"
    )
    data.set_defaults(do=data_)

    clean = commands.add_parser("clean", help="delete runs, caches and executed notebooks", description=clean_.__doc__)
    clean.add_argument("--yes", action="store_true", help="delete; without it, only say what would be deleted")
    clean.set_defaults(do=clean_)
    return top


def benchmark_and_profile(command: argparse.ArgumentParser) -> None:
    """Give `command` the options --benchmark and --profile."""
    command.add_argument("--benchmark", default="mixdigits", help="default: mixdigits")
    command.add_argument("--profile", default="laptop", help="default: laptop")


def sweep_options(sweep: argparse.ArgumentParser) -> None:
    """Give the command `sweep` its options."""
    sweep.add_argument("file", nargs="?", type=Path, help="a YAML file with a grid, or a list of them")
    for name, what in (
        ("learner", 'such as probe, or "contrastive(features=projected)"'),
        ("strategy", "names, or all"),
        ("seed", "numbers, or spans such as 0-19"),
        ("benchmark", "default mixdigits"),
        ("profile", "default laptop"),
        ("protocol", "who pays for the initial set: shared (default), paper; or who chooses it: strategy"),
    ):
        sweep.add_argument(f"--{name}", nargs="+", metavar=name.upper(), help=what)
    sweep.add_argument("--changes", metavar="YAML", help='recipe values for all cells, such as "{stop_id: 150}"')
    sweep.add_argument("--name", default="sweep", help="of the result table (default: sweep)")
    sweep.add_argument("--plan", action="store_true", help="print the plan, run nothing")
    sweep.add_argument("--jobs", type=int, default=0, help="processes at a time (default: one per CPU core)")
    sweep.add_argument("--device", choices=("cpu", "cuda"), help="default: a GPU where this machine has one")
    sweep.add_argument("--scheduler", help="of a Dask cluster: tcp://host:port, or its scheduler file")
    sweep.add_argument("--part", metavar="I/N", help="every N-th cell from the I-th on, for a SLURM array")
    sweep.add_argument("--as-notebooks", action="store_true", help="notebook 4 executed once for each cell")


def run_(args) -> int:
    """Execute notebooks in order, headless. Parameters are checked against the notebooks before a kernel starts.

    With 'all', a notebook is kept as it is where neither it nor what it depends on has changed since it was executed.
    """
    from alkit.study.batch import notebook_runs, unchanged

    whole = args.notebook == ["all"] and not args.again
    names = notebook_runs.notebooks() if args.notebook == ["all"] else args.notebook
    paths = [notebook_runs.find(name) for name in names]
    if args.list:
        return list_parameters(paths)
    names = [name for name, _ in args.parameter]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"parameter {twice[0]!r} is given more than once; leave one of them out")
    given = {name: read(f"parameter {name!r}", value) for name, value in args.parameter}
    plan = notebook_runs.check_apart(paths, given)
    start = time.monotonic()
    for number, (path, mine) in enumerate(plan.items(), 1):
        output = notebook_runs.output_of(path, mine)
        print(f"[{number}/{len(plan)}] {path.name}", file=sys.stderr, flush=True)
        if whole and unchanged.is_unchanged(path, output, mine):
            print(f"      as it was executed before, nothing has changed: {output}", file=sys.stderr, flush=True)
            continue
        begun = time.time()
        if not executed(path, output, mine):
            return 1
        unchanged.remember(path, output, mine, begun)
        print(f"      {time.monotonic() - start:.0f} s: {output}", file=sys.stderr, flush=True)
    return 0


def sweep_(args) -> int:
    """Run what is missing of benchmark x learner x strategy x protocol x seed, and write the result table."""
    from alkit.study.batch import grid, sweep

    if args.as_notebooks:
        checkout("the study's notebooks")
    given = {name: getattr(args, name) for name in grid.AXES if getattr(args, name)}
    given |= {"changes": read("--changes", args.changes)} if args.changes else {}
    options = sweep.Options(
        jobs=args.jobs, device=args.device, scheduler=args.scheduler, part=args.part, as_notebooks=args.as_notebooks
    )
    prepared = sweep.prepare(args.file, given, args.name, runs_folder(), options)
    try:
        print(prepared.describe(), flush=True)
        if args.plan:
            return 0
        failed = prepared.run(sys.stderr)
        print(prepared.summary(), flush=True)
    finally:
        prepared.close()
    return 1 if failed else 0


def read(what: str, value: str):
    """The value of a parameter or option as papermill would read it: YAML. ValueError, naming `what` it is of."""
    return plain_yaml.load(value, f"{what}, {value!r},")


def executed(path: Path, output: Path, given: dict) -> bool:
    """Execute one notebook; False, with the reason on standard error, where it failed."""
    from papermill.exceptions import PapermillExecutionError

    from alkit.study.batch import notebook_runs

    try:
        notebook_runs.execute(path, output, given)
        return True
    except PapermillExecutionError as error:
        print(f"alkit: cell {error.exec_count} of {path.name} failed: {error.ename}: {error.evalue}", file=sys.stderr)
    except StoreError:
        raise
    except RuntimeError as error:  # of the kernel, which may have been killed
        print(f"alkit: {path.name} failed: {error}; it may need more memory than there is", file=sys.stderr)
    if (kept := notebook_runs.failed(output)).exists():
        print(f"       the whole traceback is in {kept}", file=sys.stderr)
    return False


def list_parameters(paths: list[Path]) -> int:
    """Print each notebook's parameters, their defaults and what is said about them."""
    from alkit.study.batch import notebook_runs

    for path in paths:
        print(path.stem)
        helps = notebook_runs.parameter_help(path)
        for name, default in notebook_runs.parameters(path).items():
            print(f"    {name} = {default!r}    {helps[name]}")
    return 0


def table_(args) -> int:
    """Accuracy, annotation cost and cost per accuracy of each method at the last stage, mean and spread over seeds.

    For one benchmark at one profile. For the paper's own benchmarks, its numbers stand beside them.
    """
    from alkit import recipes
    from alkit.study import tables

    recipe = recipes.recipe(args.benchmark, args.profile)
    folder = checkout("committed results") / "figures" if args.committed else runs_folder() / "figures"
    if args.committed and not tables.results_file(folder, args.benchmark, args.profile, args.name).exists():
        wanted = tables.label(args.benchmark, args.profile, args.name)
        raise ValueError(f"no table {wanted} is committed; there are: {', '.join(tables.all_labels(folder))}")
    from alkit.study.analysis import cost_tables, paper_table2

    results = tables.read_results(folder, args.benchmark, args.profile, args.name)
    print(cost_tables.table2_text(results))
    if args.benchmark.partition("-")[0] in paper_table2.TABLE_2 and not args.name:
        departures = "; ".join(paper_table2.pool_departures(results, recipe.share))
        print(f"\nBeside the paper's, though not on its pool ({departures}):")
        print(paper_table2.beside(results).to_string())
    return 0


def explore_(args) -> int:
    """Write one HTML page that shows a pool's feature space, image by image, and what each finished run bought.

    It opens from disk, without a server or a network.
    """
    from alkit.paths import figure_place
    from alkit.study import tables
    from alkit.study.explore import benchmark_page

    name = "" if args.learner == "contrastive" else args.learner
    folder, prefix = figure_place(tables.label(args.benchmark, args.profile, name), False)
    path = args.into or folder / f"{prefix}-explorer.html"
    bought = benchmark_page.write_benchmark(
        path, args.benchmark, args.profile, learner=args.learner, seed=args.seed, progress=True
    )
    if not bought:
        print("alkit: no run of this seed is finished, so the page shows no purchases; run 04 first", file=sys.stderr)
    print(path)
    return 0


def label_(args, for_jupyter: list[str]) -> int:
    """Open notebook 8 in JupyterLab, with your folder and classes: an image at a time, an answer by one key each.

    Answers are kept beside the folder, in FOLDER-labels, each on the disk before the next image is shown. The same
    command goes on at the same question.
    """
    notebook = label_notebook(args)
    opened = f"--LabApp.default_url=/lab/tree/{notebook.name}"  # also at the address that is printed
    command = [sys.executable, "-m", "jupyterlab", str(notebook), opened]
    command += ["--no-browser"] * args.no_browser + for_jupyter
    if not MASKS:
        return subprocess.call(command)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # JupyterLab asks before it ends
    os.execv(command[0], command)


def label_notebook(args) -> Path:
    """A copy of notebook 8 in the session's folder, with the command's values. ValueError for bad ones."""
    from alkit import labelling
    from alkit.labelling.answers import checked_classes
    from alkit.labelling.images import outside
    from alkit.labelling.learning import check_strategy
    from alkit.learners.pretrained import check_network
    from alkit.study.batch import notebook_runs

    folder = args.folder.expanduser().resolve()
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; name the one that holds your images")
    check_strategy(args.strategy)
    where = outside((args.into or labelling.default_keep(folder)).expanduser().resolve(), folder)
    features = args.features
    if features.endswith(".npy"):
        features = str(Path(features).expanduser().resolve())
        if not Path(features).is_file():
            raise ValueError(f"there is no file {features}; --features names one with a row for each image")
    elif features != "contrastive":
        check_network(features)
    given = {
        "folder": str(folder),
        "classes": list(checked_classes(args.classes)),
        "features": features,
        "strategy": args.strategy,
        "budget": args.budget,
        "annotator": args.annotator or getpass.getuser(),
        "where": str(where),
    }
    return notebook_runs.copied(notebook_runs.find("08"), writable(where, "--into") / "label.ipynb", given)


def data_(args) -> int:
    """List every source of images: whether it is here, its size, where it comes from, its licence, whom to cite."""
    if args.into and not args.rebuild:
        raise ValueError("--into goes with --rebuild BENCHMARK")
    if args.rebuild:
        return rebuild(args.rebuild, args.into)
    from alkit.benchmarks.sources import catalogue
    from alkit.paths import data_folder

    print(f"data folder (ALKIT_DATA): {data_folder()}")
    for row in catalogue.inventory():
        source = catalogue.SOURCES[row["name"]]
        print(f"{row['name']}: {source.title}")
        where = f", {row['bytes'] / 1e6:.1f} MB in {', '.join(sorted({str(path.parent) for path in row['paths']}))}"
        print(f"    here: {row['state']}{where if row['paths'] else ''}")
        for label in ("origin", "licence", "citation"):
            print(f"    {label}: {getattr(source, label)}")
    return 0


def rebuild(benchmark: str, into: Path | None) -> int:
    """Build the ambiguous images of a benchmark from scratch and print what was measured on the way."""
    from alkit.benchmarks import mixdigits, mixmnist

    builders = {"mixdigits": mixdigits.rebuild_mixdigits, "mixmnist": mixmnist.build_mixmnist_ambiguous}
    if benchmark not in builders:
        raise ValueError(f"{benchmark!r} has no built images; {' and '.join(builders)} have")
    print(builders[benchmark](into, progress=True))
    return 0


def clean_(args) -> int:
    """Delete what runs left behind (never figures/ or data of the checkout); it can all be made again.

    Only files that alkit has written itself are deleted; any others are named and stay.
    """
    from alkit.study.batch import cleaning

    folder = runs_folder()
    if not folder.exists():
        print(f"nothing to delete: {folder} does not exist")
        return 0
    own, others = cleaning.files(folder)
    size = sum(path.stat().st_size for path in own)
    if args.yes:
        cleaning.remove(folder)
        print(f"deleted {len(own)} files of alkit in {folder}" if folder.exists() else f"deleted {folder}")
    else:
        print(f"would delete {folder} ({len(own)} files of alkit, {size / 1e6:.0f} MB); run again with --yes")
    if others:
        named = ", ".join(str(path.relative_to(folder)) for path in others[:5]) + (", ..." if others[5:] else "")
        print(
            f"alkit: {len(others)} files stay, for no list of alkit's own files names them: {named}; "
            "older runs have no such lists: delete theirs by hand",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
