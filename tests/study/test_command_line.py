"""`python -m alkit`: exit status, messages on the right stream, and nothing deleted that is not alkit's."""

import subprocess
import sys
import time

import nbformat
import pytest
from conftest import contents, tiny
from test_notebook_runs import books  # noqa: F401

import alkit
from alkit import experiment, paths
from alkit.experiment.methods import cells_of
from alkit.study import cli as command
from alkit.study import tables
from alkit.study.batch import cells, cleaning, notebook_runs, unchanged


@pytest.fixture
def say(capsys, monkeypatch):
    """Run one command; its exit status, standard output and standard error. Checks stay where "tiny" is known."""
    monkeypatch.setattr(notebook_runs, "check_apart", notebook_runs.check)

    def run(*argv):
        try:
            status = command.main(list(argv))
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        ([], 2, "the following arguments are required: COMMAND"),
        (["fly"], 2, "invalid choice: 'fly'"),
        (["run"], 2, "the following arguments are required: notebook"),
        (["run", "05"], 2, "alkit: no single notebook '05'; there are: 01_first, 02_second_part"),
        (["run", "01", "-p", "sed", "3"], 2, "alkit: unknown parameter 'sed' (did you mean 'seed'?)"),
        (["run", "01", "-p", "seed"], 2, "expected 2 arguments"),
        (["run", "01", "-p", "seed", "3", "-p", "seed", "4"], 2, "alkit: parameter 'seed' is given more than once"),
        (["run", "01", "-p", "seed", "010"], 2, "'010', cannot be read: 010 would be a number in base 8 or 60"),
        (["run", "01", "-p", "seed", "1:30"], 2, "1:30 would be a number in base 8 or 60"),
        (["run", "01", "-p", "methods", "&a [*a]"], 2, "cannot be read: a value is within itself"),
        (["run", "01", "-p", "n_seeds", "1000000"], 2, "alkit: these are 1,000,000 cells, and at most 100,000 are run"),
        (["run", "01", "-p", "name", "../x"], 2, "alkit: name must be of small letters, digits and _, got '../x'"),
        (["run", "01", "-p", "seed", "three"], 2, "alkit: parameter 'seed' must be of type int, as 0 is; got 'three'"),
        (
            ["run", "01", "-p", "methods", "[supervised+random"],
            2,
            "alkit: parameter 'methods', '[supervised+random', cannot be read",
        ),
        (["run", "01", "-p", "benchmark", "tinny"], 2, "alkit: unknown benchmark 'tinny' (did you mean 'tiny'?)"),
        (["table", "--benchmark", "tinny"], 2, "alkit: unknown benchmark 'tinny'"),
        (["table", "--profile", "fast"], 2, "alkit: unknown profile 'fast'"),
        (["table", "--benchmark", "tiny"], 2, "make it: python -m alkit run 04 -p benchmark tiny -p profile laptop"),
        (
            ["data", "--rebuild", "mixcifar60"],
            2,
            "alkit: 'mixcifar60' has no built images; mixdigits and mixmnist have",
        ),
        (
            ["table", "--benchmark", "tiny", "--name", "x"],
            2,
            "-p profile laptop -p name x, or with a sweep of that --name",
        ),
        (["table", "--committed", "--name", "x"], 2, "alkit: no table mixdigits-laptop-x is committed; there are: "),
        (["data", "--into", "folder"], 2, "alkit: --into goes with --rebuild BENCHMARK"),
    ],
)
def test_request_that_makes_no_sense_ends_with_2_and_says_why(argv, status, said, say, books, monkeypatch):  # noqa: F811
    import papermill

    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: pytest.fail("a kernel was started"))
    found, out, err = say(*argv)
    assert found == status and said in err and not out
    assert "Traceback" not in err


def test_run_executes_notebooks_in_order_and_says_where_they_are(say, books, tmp_path):  # noqa: F811
    status, out, err = say("run", "all", "-p", "rate", "0.75", "-p", "depth", "3")
    assert status == 0 and not out
    assert err.index("[1/2] 01_first.ipynb") < err.index("[2/2] 02_second_part.ipynb")
    folder = tmp_path / "runs" / "notebooks" / "tiny-smoke"
    assert str(folder / "01_first.ipynb") in err
    made = nbformat.read(folder / "01_first.ipynb", as_version=4)
    assert "tiny 0.75" in made.cells[-1].outputs[0].text
    assert (folder / "02_second_part.ipynb").exists()


def test_failing_cell_ends_with_1_and_names_cell_error_and_file(say, books):  # noqa: F811
    status, out, err = say("run", "01", "02", "-p", "rate", "1.5")
    assert status == 1 and not out
    assert "of 01_first.ipynb failed: AssertionError: rate is a share" in err
    assert "the whole traceback is in " in err and "02_second_part" not in err


def test_failed_run_leaves_the_last_good_notebook_and_is_kept_beside_it_until_one_ends_well(say, books, tmp_path):  # noqa: F811
    folder = tmp_path / "runs" / "notebooks" / "tiny-smoke"
    assert say("run", "01")[0] == 0
    good = (folder / "01_first.ipynb").read_bytes()
    status, _, err = say("run", "01", "-p", "rate", "1.5")
    assert status == 1 and str(folder / "01_first.failed.ipynb") in err
    assert (folder / "01_first.ipynb").read_bytes() == good
    assert "rate is a share" in (folder / "01_first.failed.ipynb").read_text()
    assert say("run", "01")[0] == 0
    assert [path.name for path in folder.glob("*.ipynb")] == ["01_first.ipynb"]


def test_the_whole_study_again_executes_only_what_has_changed(say, books, tmp_path):  # noqa: F811
    folder = tmp_path / "runs" / "notebooks" / "tiny-smoke"
    again, kept = "01_first.ipynb", "nothing has changed: "

    def executed():
        err = say("run", "all")[2]
        return [name for name in ("01_first", "02_second_part") if f"{kept}{folder / name}.ipynb" not in err]

    assert executed() == ["01_first", "02_second_part"] and executed() == []
    assert say("run", "01")[2].count(kept) == 0 and say("run", "all", "--again")[2].count(kept) == 0
    book = nbformat.read(books / again, as_version=4)
    book.cells.append(nbformat.v4.new_markdown_cell("more"))
    nbformat.write(book, books / again)
    assert executed() == ["01_first"] and executed() == []
    (folder / again).write_bytes((folder / again).read_bytes() + b"\n")
    assert executed() == ["01_first"]
    (folder / "01_first.made.json").write_text("{")
    assert executed() == ["01_first"] and executed() == []
    assert say("run", "all", "-p", "rate", "0.5")[2].count(kept) < 2 and say("clean", "--yes")[0] == 0
    assert not list(folder.glob("*"))


def test_a_notebook_is_executed_again_where_a_picture_of_it_is_gone_or_it_is_to_publish(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path))
    begun, picture = time.time() - 1, paths.figures_folder(False) / "pool" / "laptop-curves.png"
    picture.parent.mkdir()
    for file in (notebook := tmp_path / "01.ipynb", output := tmp_path / "made.ipynb", picture):
        file.write_bytes(b"{}")
    unchanged.remember(notebook, output, {"seed": 1}, begun)
    assert unchanged.is_unchanged(notebook, output, {"seed": 1})
    assert not unchanged.is_unchanged(notebook, output, {"seed": 2})
    unchanged.remember(notebook, output, {"publish": True}, begun)
    assert not unchanged.is_unchanged(notebook, output, {"publish": True})
    unchanged.remember(notebook, output, {"seed": 1}, begun)
    picture.unlink()
    assert not unchanged.is_unchanged(notebook, output, {"seed": 1})


def test_results_of_a_name_of_their_own_have_a_notebook_of_their_own(say, books, tmp_path):  # noqa: F811
    assert say("run", "01", "-p", "name", "x")[0] == 0
    assert [path.name for path in (tmp_path / "runs").glob("notebooks/*/*.ipynb")] == ["01_first-x.ipynb"]
    assert say("clean", "--yes")[0] == 0


@pytest.mark.parametrize("moment", ["parser", "notebook_runs.check_apart", "notebook_runs.execute"])
def test_ctrl_c_at_any_moment_ends_with_130_and_one_sentence(moment, say, books, monkeypatch):  # noqa: F811
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"alkit.study.{'cli' if moment == 'parser' else 'batch'}.{moment}", interrupted)
    status, out, err = say("run", "01")
    assert (status, out) == (130, "") and err.endswith("\nalkit: interrupted; the same command goes on from here\n")
    assert "Traceback" not in err


def test_list_prints_parameters_and_runs_nothing(say, books, monkeypatch):  # noqa: F811
    monkeypatch.setattr(notebook_runs, "execute", lambda *_: pytest.fail("executed"))
    status, out, err = say("run", "all", "--list")
    assert status == 0 and not err
    assert "01_first\n" in out and "    rate = 0.5    a share\n" in out and "    depth = 2" in out


def test_data_lists_every_source_with_origin_licence_and_citation(say):
    from alkit.benchmarks.sources import catalogue

    status, out, _ = say("data")
    assert status == 0
    for name, source in catalogue.SOURCES.items():
        assert name in out and source.licence in out and source.citation in out and source.origin in out


def test_table_prints_each_method(say, tmp_path):
    methods = ["supervised+random", "contrastive+distance_cl"]
    rows = cells.run_cells(cells_of("tiny", "laptop", methods, 0, 2), jobs=1)
    tables.write_results(rows, tmp_path / "runs" / "figures")
    status, out, _ = say("table", "--benchmark", "tiny")
    assert status == 0 and "Random" in out and "Distance(CL)" in out
    last = [row for row in rows if row["strategy"] == "random" and row["n_id"] == 20]
    assert f"{100 * sum(row['accuracy'] for row in last) / 2:.2f}" in out


def test_table_that_is_not_there_is_refused_with_those_that_are(say, tmp_path):
    """A result of another profile than the default one is what somebody may well have just made."""
    rows = cells.run_cells(cells_of("tiny", "smoke", ["probe+random"], 0, 1), jobs=1)
    for name in ("", "mine"):
        tables.write_results(rows, tmp_path / "runs" / "figures", name)
    (tmp_path / "runs" / "figures" / "results" / "speed.csv").write_text("what,seconds\n")
    status, out, err = say("table", "--benchmark", "tiny")
    assert status == 2 and not out and err.endswith("; there are: tiny-smoke, tiny-smoke-mine\n")
    assert "--profile PROFILE default: laptop" in " ".join(say("table", "--help")[1].split())


def test_clean_says_what_it_would_delete_and_deletes_on_yes(say, tmp_path):
    runs = tmp_path / "runs"
    assert say("clean")[:2] == (0, f"nothing to delete: {runs} does not exist\n")
    experiment.finish(tiny())
    before = contents(tmp_path)
    status, out, _ = say("clean")
    assert status == 0 and out.startswith(f"would delete {runs} (") and "run again with --yes" in out
    assert contents(tmp_path) == before
    assert say("clean", "--yes")[:2] == (0, f"deleted {runs}\n")
    assert not runs.exists()


@pytest.mark.parametrize(
    "foreign",
    [
        "thesis.tex",
        "notebooks/mine.ipynb",
        "notebooks/tiny-smoke/04_active_learning_curves.ipynb",
        "cells/notes.txt",
        "cells/tiny-smoke/probe+random-shared-s0-mine/picks.csv",
        "labelling/photos-0a1b2c3d/answers.jsonl",
        "cache/photo-of-me.npy",
        "logs/tiny-smoke/mine.log",
        "figures/holiday-2024-a.png",
        "figures/tiny-smoke/holiday.png",
    ],
)
def test_clean_names_and_keeps_what_alkit_has_not_written(foreign, say, tmp_path):
    experiment.finish(tiny())
    path = tmp_path / "runs" / foreign
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    assert say("clean")[2] == say("clean", "--yes")[2]
    assert contents(tmp_path) == {f"runs/{foreign}": b"mine"}
    status, out, err = say("clean", "--yes")
    assert status == 0 and err.startswith("alkit: 1 files stay, ") and foreign in err and "deleted 0 files" in out


def test_clean_refuses_a_file(say, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path / "file"))
    status, _, err = say("clean", "--yes")
    assert status == 2 and "delete it by hand" in err
    assert contents(tmp_path) == {"file": b"mine"}


def test_clean_of_a_store_that_cannot_be_deleted_says_so(say, tmp_path, monkeypatch):
    experiment.finish(tiny())

    def read_only(path):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(cleaning.Path, "unlink", read_only)
    status, out, err = say("clean", "--yes")
    assert status == 2 and not out and err.startswith("alkit: could not delete ") and "Read-only file system" in err


def test_run_into_a_folder_that_cannot_be_written_ends_with_2(say, books, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path / "file" / "runs"))
    status, _, err = say("run", "01")
    assert status == 2 and "cannot write to" in err and "choose another folder" in err


def test_help_and_version_answer_at_once():
    """The best of three, because the machine may be busy; importing torch alone would take longer."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "alkit", "--help"], capture_output=True, text=True)
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0 and "run" in done.stdout and "clean" in done.stdout
    assert min(seconds) < 0.5
    version = subprocess.run([sys.executable, "-m", "alkit", "--version"], capture_output=True, text=True)
    assert (version.returncode, version.stdout.strip()) == (0, alkit.__version__)


def test_whoever_trains_no_net_does_not_wait_for_torchvision():
    """Half of the time of importing the loop went there, most of it to what an optimiser loads anyway."""
    code = "import sys, alkit.experiment; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["run", "sweep", "table", "data", "clean"])
def test_every_command_has_help(name, say):
    status, out, _ = say(name, "--help")
    assert status == 0 and "usage: python -m alkit" in out and len(out.splitlines()) >= 5


def test_reader_that_has_enough_ends_the_command_without_a_traceback():
    with subprocess.Popen(
        [sys.executable, "-m", "alkit", "data"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as command:
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 1
