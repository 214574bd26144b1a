"""Parameters are checked before a kernel starts; cells run alike alone and side by side; tables come back whole."""

import json
import os
import subprocess
import sys

import nbformat
import pytest
from conftest import python
from PIL import Image

from alkit import acquisition, benchmarks, experiment, paths
from alkit.acquisition import registry
from alkit.experiment import Cell, methods
from alkit.store import StoreError
from alkit.study import tables
from alkit.study.batch import notebook_runs, workers
from alkit.study.batch.cells import run_cells

PARAMETERS = """benchmark: str = "tiny"  # which pool
profile: str = "smoke"  # how long
methods: list = ["supervised+random"]  # learner+strategy
seed: int = 0
n_seeds: int = 1
initial: str = "shared"
rate: float = 0.5  # a share
name: str = ""
learner: str = ""
elsewhere: str = ""
publish: bool = False"""


def write_notebook(path, parameters, *cells):
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[first, *(nbformat.v4.new_code_cell(cell) for cell in cells)])
    book.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    book.metadata["language_info"] = {"name": "python"}
    nbformat.write(book, path)
    return path


@pytest.fixture
def books(tmp_path, monkeypatch):
    """A folder of two notebooks; the first one computes, the second one has a parameter less and one more."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    write_notebook(
        folder / "01_first.ipynb", PARAMETERS, "assert rate < 1, 'rate is a share'", "print(benchmark, rate)"
    )
    write_notebook(
        folder / "02_second_part.ipynb", 'benchmark: str = "tiny"\nprofile: str = "smoke"\ndepth: int = 2', "1 + 1"
    )
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)
    return folder


@pytest.fixture
def no_kernel(monkeypatch):
    import papermill

    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))


def test_parameters_and_their_comments_are_read_from_the_notebook(books):
    values, helps = (
        notebook_runs.parameters(books / "01_first.ipynb"),
        notebook_runs.parameter_help(books / "01_first.ipynb"),
    )
    assert values == {
        "benchmark": "tiny", "profile": "smoke", "methods": ["supervised+random"], "seed": 0, "n_seeds": 1,
        "initial": "shared", "rate": 0.5, "name": "", "learner": "", "elsewhere": "", "publish": False,
    }  # fmt: skip
    assert helps["rate"] == "a share" and helps["methods"] == "learner+strategy" and list(helps) == list(values)


def test_notebooks_are_found_by_number_stem_or_words(books):
    first, second = (books / f"{stem}.ipynb" for stem in notebook_runs.notebooks())
    assert notebook_runs.notebooks() == ["01_first", "02_second_part"]
    for name in ("01", "01_first", "01_first.ipynb", "first"):
        assert notebook_runs.find(name) == first
    assert notebook_runs.find("second") == second
    for name in ("03", "0", "", "part"):
        with pytest.raises(ValueError, match="no single notebook .*; there are: 01_first, 02_second_part"):
            notebook_runs.find(name)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"seeds": 3},
            "unknown parameter 'seeds' (did you mean 'seed'?); there are: benchmark, profile, methods, seed, n_seeds",
        ),
        ({"gpu": True}, "unknown parameter 'gpu'; there are: benchmark"),
        ({"seed": "1"}, "parameter 'seed' must be of type int, as 0 is; got '1'"),
        ({"seed": True}, "parameter 'seed' must be of type int, as 0 is; got True"),
        ({"seed": 1.5}, "parameter 'seed' must be of type int, as 0 is; got 1.5"),
        ({"seed": None}, "parameter 'seed' must be of type int, as 0 is; got None"),
        ({"publish": "yes"}, "parameter 'publish' must be of type bool, as False is; got 'yes'"),
        ({"methods": "supervised+random"}, "parameter 'methods' must be of type list"),
        ({"rate": 1}, "parameter 'rate' must be of type float, as 0.5 is; got 1"),
        ({"benchmark": "tinny"}, "unknown benchmark 'tinny' (did you mean 'tiny'?)"),
        ({"profile": "fast"}, "unknown profile 'fast' of tiny; known: smoke, laptop, "),
        ({"methods": ["supervised+random+stop"]}, "a method is 'learner+strategy'"),
        ({"methods": ["supervised+random+stop=soon"]}, "stop must be one of quota, round, got 'soon'"),
        ({"methods": ["supervised+entropy(auxiliary_filter)"]}, "an option is written name=value, got 'auxiliary_f"),
        ({"methods": ["contrastive+distance_cl(normalise=2)"]}, "must be True or False, got 2"),
        ({"methods": ["probe(feature=projected)+random"]}, "learner 'probe' has no option 'feature'"),
        ({"methods": ["random"]}, "(exclude=proportion)'; got 'random'"),
        ({"methods": ["supervised+randon"]}, "unknown strategy 'randon' (did you mean 'random'?)"),
        ({"methods": ["supervise+random"]}, "unknown learner 'supervise' (did you mean 'supervised'?)"),
        ({"methods": [3]}, "(exclude=proportion)'; got 3"),
        ({"n_seeds": 0}, "n_seeds must be a whole number from 1 up, got 0"),
        ({"seed": -1}, "seed must be a whole number from 0 up, got -1"),
        ({"n_seeds": 1_000_000}, "these are 1,000,000 cells, and at most 100,000 are run at once"),
        ({"benchmark": "mixdigits-id99x"}, "id99x"),
        ({"benchmark": "mixmnist-id10"}, "mixmnist has no variants, so there is no 'mixmnist-id10'"),
        ({"elsewhere": "mixmist"}, "unknown benchmark 'mixmist' (did you mean 'mixmnist'?)"),
        ({"learner": "prob"}, "unknown learner 'prob' (did you mean 'probe'?)"),
        ({"name": "../x"}, "name must be of small letters, digits and _, got '../x'"),
        ({"methods": ["probe+random", "probe+margin", "probe+random"]}, "methods names 'probe+random' more than once"),
        ({"methods": ["probe+bald(n=2, n=3)"]}, "option 'n' is given more than once in 'probe+bald(n=2, n=3)'"),
        ({"methods": ["probe+bald(n=!!python/name:os.system x)"]}, "cannot be read: could not determine a constructor"),
        ({"methods": ["probe+bald(n=010)"]}, "010 would be a number in base 8 or 60"),
        ({"initial": "all"}, "initial must be one of shared, paper, strategy, got 'all'"),
    ],
)
def test_wrong_parameters_are_refused_before_a_kernel_starts(given, said, books, no_kernel, tmp_path):
    path = books / "01_first.ipynb"
    with pytest.raises(ValueError) as error:
        notebook_runs.check([path], given)
    assert said in str(error.value)
    if "parameter" in said:  # names and types are checked by whoever executes
        with pytest.raises(ValueError) as error:
            notebook_runs.execute(path, tmp_path / "out" / "01.ipynb", given)
        assert said in str(error.value)
    assert not (tmp_path / "out").exists()


def test_what_a_check_in_a_process_of_its_own_finds_reaches_the_caller(tmp_path):
    """It knows no test's benchmark, and so is asked about a real one."""
    path = write_notebook(tmp_path / "01.ipynb", PARAMETERS.replace("tiny", "mixdigits"))
    with pytest.raises(ValueError, match=r"unknown strategy 'randon' \(did you mean 'random'\?\)"):
        notebook_runs.check_apart([path], {"methods": ["supervised+randon"]})


def test_each_notebook_gets_the_parameters_it_has_and_a_name_must_be_known_to_one(books):
    first, second = books / "01_first.ipynb", books / "02_second_part.ipynb"
    plan = notebook_runs.check([first, second], {"benchmark": "tiny", "seed": 4, "depth": 3})
    assert plan == {first: {"benchmark": "tiny", "seed": 4}, second: {"benchmark": "tiny", "depth": 3}}
    with pytest.raises(ValueError, match="unknown parameter 'seed'"):
        notebook_runs.check([second], {"seed": 4})


def test_execution_injects_the_parameters_and_keeps_the_notebook_as_it_was(books, tmp_path):
    path, output = books / "01_first.ipynb", tmp_path / "out" / "01.ipynb"
    before = path.read_bytes()
    notebook_runs.execute(path, output, {"rate": 0.25})
    cells = nbformat.read(output, as_version=4).cells
    assert "tiny 0.25" in cells[-1].outputs[0].text
    assert path.read_bytes() == before


def test_cells_are_one_for_each_method_and_seed():
    cells = methods.cells_of("tiny", "smoke", ["supervised+random", "probe+margin"], 3, 2, "paper")
    assert cells == [Cell("tiny", "smoke", learner, strategy, seed, "paper")
                     for learner, strategy in (("supervised", "random"), ("probe", "margin"))
                     for seed in (3, 4)]  # fmt: skip


def test_no_methods_are_the_papers():
    cells = methods.cells_of("mixdigits", "smoke", [], 0, 1)
    assert [methods.method(cell) for cell in cells] == list(methods.METHODS)
    assert methods.paper_methods("mixcifar60-scenes")[3] == "supervised_sn+ddu"


def test_ceiling_is_a_cell_that_labels_every_id_sample_in_one_stage_after_the_first():
    n_id = int((benchmarks.load("mixdigits").pool.category_N == benchmarks.ID).sum())
    cells = methods.ceiling_cells("mixdigits", "smoke", "probe", 3, 2)
    assert [(cell.strategy, cell.seed, cell.changes) for cell in cells] == [
        ("oracle_random", seed, {"stage_id": n_id, "stop_id": n_id}) for seed in (3, 4)
    ]


def test_method_with_options_is_the_cell_that_it_says():
    text = "contrastive(features=projected)+distance_cl(exclude=none, normalise=false)+stop=round"
    (cell,) = methods.cells_of("mixdigits", "smoke", [text], 3, 1, "paper", {"con_epochs": 2})
    assert cell == Cell(
        "mixdigits", "smoke", "contrastive", "distance_cl", 3, "paper", "round", {"features": "projected"},
        {"exclude": "none", "normalise": False}, {"con_epochs": 2},
    )  # fmt: skip


def test_named_results_have_a_file_of_their_own_and_a_name_that_is_a_path_is_refused(tmp_path):
    assert (
        tables.results_file(tmp_path, "a", "b", "c").name == "a-b-c.csv" != tables.results_file(tmp_path, "a", "b").name
    )
    with pytest.raises(ValueError, match="name must be of small letters, digits and _, got '../c'"):
        tables.results_file(tmp_path, "a", "b", "../c")


BRIEF = {"initial_id": 60, "stage_id": 40, "stop_id": 100, "sup_epochs": 2, "con_first_epochs": 1, "con_warmup": 0}


def side_by_side():
    """Real benchmark, because the workers are processes of their own, to which a test's benchmark is unknown."""
    return [Cell("mixdigits", "smoke", *method, seed, changes=BRIEF)
            for method in (("probe", "margin"), ("supervised", "entropy")) for seed in (0, 1)]  # fmt: skip


def without_seconds(rows):
    return [{name: value for name, value in row.items() if not name.endswith("_seconds")} for row in rows]


def test_two_jobs_give_what_one_gives_and_finished_cells_are_only_read(tmp_path, monkeypatch):
    cells = side_by_side()
    one = run_cells(cells, jobs=1, root=tmp_path / "one")
    two = run_cells(cells, jobs=2, root=tmp_path / "two")
    assert without_seconds(one) == without_seconds(two)
    assert [(row["learner"], row["seed"], row["stage"]) for row in two] == [
        (cell.learner, cell.seed, stage) for cell in cells for stage in (0, 1)
    ]
    assert all(set(row) >= set(tables.COLUMNS) and json.loads(row["options"]) == {"changes": BRIEF} for row in two)
    monkeypatch.setattr("alkit.experiment.Loop._stage", lambda *_: pytest.fail("ran again"))
    assert run_cells(cells, root=tmp_path / "two") == two


def test_a_strategy_that_was_written_in_a_notebook_runs_though_other_processes_do_not_know_it(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "STRATEGIES", dict(registry.STRATEGIES))

    @acquisition.strategy("written_in_a_cell", citation="ours", needs=())
    def written_in_a_cell(view):
        yield from view.unasked.tolist()

    cells = [Cell("mixdigits", "smoke", "probe", "written_in_a_cell", seed, changes=BRIEF) for seed in (0, 1)]
    assert {row["seed"] for row in run_cells(cells, jobs=2, root=tmp_path)} == {0, 1}


@pytest.mark.slow
def test_workers_of_a_notebook_end_with_the_call_and_the_bar_is_on_standard_error(tmp_path):
    """In a process of its own, as a kernel is; only the system's tracker of resources may stay as long as it does."""
    code = (
        "import json, pathlib, psutil; from test_notebook_runs import side_by_side;"
        "from alkit.study.batch.cells import run_cells;"
        f"rows = run_cells(side_by_side(), jobs=2, root=pathlib.Path({str(tmp_path)!r}));"
        "print(len(rows), [child.cmdline() for child in psutil.Process().children(recursive=True)"
        " if 'resource_tracker' not in str(child.cmdline())])"
    )
    done = python(code, PYTHONPATH=os.pathsep.join(sys.path))
    assert done.stdout.split() == ["8", "[]"], done.stderr
    assert "cells: 100%" in done.stderr and "leaked" not in done.stderr


def test_cell_that_another_process_is_running_is_waited_for(tmp_path, monkeypatch, capsys):
    cell = Cell("tiny", "smoke", "supervised", "entropy")
    held = experiment.run(cell, root=tmp_path)
    next(held)
    monkeypatch.setattr(workers.time, "sleep", lambda _: held.close())
    rows = run_cells([cell], root=tmp_path)
    assert len(rows) == 4
    err = capsys.readouterr().err
    assert err.count("another process is running supervised+entropy-shared-s0") == 1 and "waiting for it" in err


@pytest.mark.slow
def test_two_notebooks_at_once_on_one_store_share_the_work(tmp_path):
    code = (
        "import pathlib; from test_notebook_runs import side_by_side; from alkit.study.batch.cells import run_cells;"
        f"print(len(run_cells(side_by_side(), jobs=1, root=pathlib.Path({str(tmp_path)!r}))))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=300)[0].split() for process in both] == [[b"8"], [b"8"]]
    assert without_seconds(run_cells(side_by_side(), root=tmp_path)) == without_seconds(
        run_cells(side_by_side(), jobs=1, root=tmp_path / "alone")
    )


def test_failed_cell_is_told_with_its_log_and_the_others_are_finished(tmp_path, monkeypatch):
    cells = [Cell("tiny", "smoke", "supervised", name) for name in ("entropy", "margin")]
    run = experiment.run

    def failing(cell, **options):
        if cell.strategy == "entropy":
            raise ZeroDivisionError("no")
        return run(cell, **options)

    monkeypatch.setattr(experiment, "run", failing)
    with pytest.raises(
        RuntimeError, match=r"1 of 2 cells failed, first of them supervised\+entropy.*ZeroDivisionError: no"
    ):
        run_cells(cells, jobs=1, root=tmp_path)
    assert experiment.finished(cells[1], root=tmp_path)


@pytest.mark.parametrize(("ends", "said"), [("os._exit(3)", "exit code 3"), ("1 / 0", "division by zero")])
def test_what_happens_to_a_process_apart_is_told(ends, said, tmp_path):
    (tmp_path / "other.py").write_text(f"import os\ndef go(): {ends}\n")
    code = (
        "import sys; from alkit.study.batch import processes\n"
        "if __name__ == '__main__':\n"
        "    try: processes.apart('other', 'go')\n"
        "    except Exception as error: print(error)\n"
    )
    (tmp_path / "main.py").write_text(code)
    done = subprocess.run([sys.executable, tmp_path / "main.py"], capture_output=True, text=True, timeout=120)
    assert said in done.stdout and "Traceback" not in done.stderr


def test_interrupted_cells_go_on(tmp_path):
    cell = Cell("tiny", "smoke", "supervised", "entropy")
    records = experiment.run(cell, root=tmp_path / "some")
    first = next(records)
    records.close()
    rows = run_cells([cell], jobs=1, root=tmp_path / "some")
    whole = run_cells([cell], jobs=1, root=tmp_path / "whole")
    assert without_seconds(rows) == without_seconds(whole) and rows[0]["train_seconds"] == first["train_seconds"]


def test_error_in_a_job_reaches_the_caller(tmp_path):
    with pytest.raises(ValueError, match="unknown strategy 'entropi'"):
        run_cells([Cell("tiny", "smoke", "probe", "entropi")], jobs=1, root=tmp_path)


@pytest.fixture
def rows(tmp_path):
    return run_cells(
        [Cell("tiny", "smoke", "probe", "margin", seed) for seed in (0, 1)], jobs=1, root=tmp_path / "cells"
    )


def test_result_table_comes_back_as_it_was_written(rows, tmp_path):
    written = tables.write_results(rows, tmp_path)
    read = tables.read_results(tmp_path, "tiny", "smoke")
    assert read.to_dict("records") == written.to_dict("records") == rows
    assert tuple(read.columns) == tables.COLUMNS and len(read) == 8
    again = tables.results_file(tmp_path, "tiny", "smoke").read_bytes()
    tables.write_results(rows, tmp_path)
    assert tables.results_file(tmp_path, "tiny", "smoke").read_bytes() == again


def test_missing_result_table_says_how_to_make_it(tmp_path):
    with pytest.raises(
        StoreError,
        match="there is no .*tiny-smoke.csv; make it: python -m alkit run 04 -p benchmark tiny -p profile smoke",
    ):
        tables.read_results(tmp_path, "tiny", "smoke")


def cut(n):
    return lambda text: text[:-n]


@pytest.mark.parametrize(
    "spoil",
    [
        cut(1), cut(3), cut(60), lambda text: "", lambda text: "\n", lambda text: text.splitlines()[0] + "\n",
        lambda text: text.replace("accuracy", "acuracy"), lambda text: text.replace(",cost", ""),
        lambda text: text.replace(",margin,", ",,"),
        lambda text: text.replace(",8,", ",eight,", 1), lambda text: text + "more\n",
        lambda text: text + "\udcff",
    ],
    ids=["newline", "value", "columns", "empty", "blank", "header", "renamed", "dropped", "value missing", "word",
         "appended", "bytes"],
)  # fmt: skip
def test_damaged_result_table_is_named_with_what_to_do(spoil, rows, tmp_path):
    tables.write_results(rows, tmp_path)
    file = tables.results_file(tmp_path, "tiny", "smoke")
    file.write_bytes(spoil(file.read_text()).encode(errors="surrogateescape"))
    before = file.read_bytes()
    with pytest.raises(StoreError, match="tiny-smoke.csv is truncated or edited.*delete it and run notebook 04 again"):
        tables.read_results(tmp_path, "tiny", "smoke")
    assert file.read_bytes() == before


def test_tables_of_two_benchmarks_are_not_written_into_one(rows, tmp_path):
    with pytest.raises(ValueError, match="one benchmark and profile"):
        tables.write_results([*rows, {**rows[0], "benchmark": "other"}], tmp_path)
    with pytest.raises(ValueError, match="one benchmark and profile"):
        tables.write_results([], tmp_path)
    assert not (tmp_path / "results").exists()


def test_figures_go_to_the_runs_unless_published(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path / "checkout")
    assert paths.figures_folder(False) == tmp_path / "runs" / "figures"
    assert paths.figures_folder(True) == tmp_path / "checkout" / "figures"
    folder, prefix = paths.figure_place("mixcifar60-scenes-laptop-beyond", True)
    assert (folder, prefix) == (tmp_path / "checkout" / "figures" / "mixcifar60", "scenes-laptop-beyond")


def test_published_run_leaves_pictures_and_a_notebook_in_the_folder_of_its_pool_and_its_pages_in_the_runs(
    tmp_path, monkeypatch
):
    """A notebook that keeps two figures, executed in a kernel of its own, with pictures that were drawn before."""
    checkout, runs = tmp_path / "checkout", tmp_path / "runs" / "figures" / "tiny"
    (checkout / "notebooks").mkdir(parents=True)
    monkeypatch.setattr(paths, "ROOT", checkout)
    monkeypatch.setattr(paths, "NOTEBOOKS", checkout / "notebooks")
    monkeypatch.setenv("BROWSER_PATH", "none")
    setup = (
        f"import pathlib\nimport plotly.graph_objects as go\nfrom alkit import paths\n"
        f"paths.ROOT = pathlib.Path({str(checkout)!r})\nfrom alkit.study import notebook\n"
        "keep = notebook.saver(benchmark, profile, publish)"
    )
    book = write_notebook(
        checkout / "notebooks" / "01_first.ipynb", PARAMETERS, setup,
        'kind = "drawn"\nkeep(go.Figure(), kind)', 'display(keep(go.Figure(layout=dict(title="two")), "undrawn"))',
    )  # fmt: skip
    output = tmp_path / "runs" / "notebooks" / "tiny-smoke" / "01_first.ipynb"
    notebook_runs.execute(book, output, {})
    assert sorted(path.name for path in runs.iterdir()) == [
        ".alkit", "plotly.min.js", "smoke-drawn.html", "smoke-undrawn.html"
    ]  # fmt: skip
    assert not (checkout / "figures").exists()
    Image.new("RGB", (90, 30), "red").save(runs / "smoke-drawn.png")
    notebook_runs.execute(book, output, {"publish": True})
    place = checkout / "figures" / "tiny"
    published = place / "notebooks" / "smoke" / "01_first.ipynb"
    assert {path for path in (checkout / "figures").rglob("*") if path.is_file()} == {
        place / "smoke-drawn.png", published
    }  # fmt: skip
    drawn, undrawn = (cell.outputs[0].data for cell in nbformat.read(published, as_version=4).cells[-2:])
    assert "image/png" in drawn and undrawn == {"text/plain": "two: no picture was drawn"}


def test_runner_of_notebooks_does_not_load_pytorch():
    """It would hold half a GB for as long as kernels work."""
    code = "import sys; from alkit.study.batch import notebook_runs, kernel; print('torch' in sys.modules)"
    assert python(code).stdout.strip() == "False"


def test_core_runs_where_the_studys_packages_are_not(tmp_path):
    """With umap, plotly, pandas, papermill and the like made impossible to import, a run of the loop still works."""
    missing = ("umap", "plotly", "pandas", "papermill", "matplotlib", "kaleido", "nbformat", "IPython")
    code = (
        f"import sys, pathlib; sys.modules.update(dict.fromkeys({missing}));"
        "import alkit.study, alkit.explorer.projection;"
        "from alkit import experiment; from alkit.experiment import Cell;"
        "cell = Cell('mixdigits', 'smoke', 'supervised', 'random', changes={'sup_epochs': 1, 'stop_id': 100});"
        f"print(len(experiment.finish(cell, root=pathlib.Path({str(tmp_path)!r}))))"
    )
    done = python(code)
    assert done.stdout.split() == ["1"], done.stderr


def test_package_and_command_line_load_neither_torch_nor_numpy():
    heavy = "{'torch', 'numpy', 'pandas', 'papermill'}"
    code = f"import sys, alkit, alkit.__main__, alkit.study; print(sorted({heavy} & set(sys.modules)))"
    assert python(code).stdout.strip() == "[]"
