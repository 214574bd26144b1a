"""alkit from a wheel, without a checkout: what ships works, and what needs a checkout says so."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built from a copy of what it is made from: building leaves folders beside its sources."""
    pytest.importorskip("setuptools", "77", reason="pyproject.toml needs setuptools 77 or newer to build")
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT / "alkit", folder / "source" / "alkit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    done = subprocess.run([*pip, *build, str(folder / "source")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("alkit-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function that runs Python in an empty folder, with the wheel's alkit in place of the checkout's."""
    site, scratch = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("scratch")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    env = {name: value for name, value in os.environ.items() if not name.startswith("ALKIT_")}
    env |= {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(scratch / "cache")}

    def run(*argv):
        command = [sys.executable, *argv]
        return subprocess.run(command, cwd=scratch, env=env, capture_output=True, text=True, timeout=300, check=False)

    run.site, run.scratch = site, scratch
    return run


def test_wheel_holds_every_module_asset_and_part_of_the_explorers_page_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
    files = (path for path in (ROOT / "alkit").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert shipped == {path.relative_to(ROOT).as_posix() for path in files}
    assert {"alkit/assets/mixdigits.npz", "alkit/explorer/page/page.html", "alkit/study/batch/sweep.py"} <= shipped


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["run", "all"], "the study's notebooks"),
        (["run", "04", "-p", "seed", "3"], "the study's notebooks"),
        (["run", "all", "--list"], "the study's notebooks"),
        (
            ["sweep", "--strategy", "random", "--learner", "probe", "--seed", "0", "--as-notebooks"],
            "the study's notebooks",
        ),
        (["table", "--committed"], "committed results"),
    ],
)
def test_command_that_needs_a_checkout_says_so_in_one_sentence_and_ends_2(argv, what, installed):
    done = installed("-m", "alkit", *argv)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(rf"alkit: {what} are not part of an installed alkit, but of a checkout .*\n", done.stderr)


def test_other_commands_work_from_the_wheel_and_write_to_the_folder_that_one_is_in(installed):
    listed = installed("-m", "alkit", "data")
    assert listed.returncode == 0 and "mixmnist_ambiguous" in listed.stdout, listed.stderr
    here = installed("-m", "alkit", "table")
    assert (
        here.returncode == 2
        and f"there is no {installed.scratch}/runs/figures/results/mixdigits-laptop.csv" in here.stderr
    )


KIT = """
import sys
from pathlib import Path

class Hiding:  # an import system without what the study is made with: the kit needs none of it
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *more):
        absent = name.partition(".")[0] in ("pandas", "plotly", "papermill", "nbformat", "umap", "matplotlib")
        return None if absent else self.finder.find_spec(name, *more)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Hiding, sys.meta_path)
import alkit
from alkit import benchmarks, experiment, explorer

assert Path(alkit.__file__).is_relative_to(sys.argv[1]), alkit.__file__
benchmark = benchmarks.load("mixdigits")
few = {"initial_id": 20, "stage_id": 10, "stop_id": 30, "sup_epochs": 1}
records = experiment.finish(experiment.Cell("mixdigits", "smoke", "supervised", "entropy", changes=few))
assert [record["n_id"] for record in records] == [20, 30]
images = benchmark.pool.images_NCHW[:50]
page = explorer.write("page.html", images.reshape(50, -1), images, {"source": benchmark.pool.source_N[:50]})
assert Path(page).stat().st_size > 10_000
print(benchmark.fingerprint)
"""


def test_kit_works_from_the_wheel(installed):
    """Load the embedded pool, run a small cell, write a page; with none of the packages of the study."""
    from alkit import benchmarks

    done = installed("-c", KIT, str(installed.site))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == benchmarks.load("mixdigits").fingerprint
    assert (installed.scratch / "runs" / "cells").is_dir() and (installed.scratch / "page.html").exists()
