"""What a machine may do to a run: locks that cannot be had, a user who may write nowhere, a clock that jumps."""

import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import image_files as made
import pytest
from conftest import contents, python, run_folder, tables, tiny

from alkit import experiment, store
from alkit.benchmarks import shared_memory
from alkit.benchmarks.sources import catalogue, files
from alkit.store import Cache, StoreError

# locks


def block(path, how, tmp_path):
    """Put something at `path` that no lock file can be."""
    if how == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere" if how == "link" else path)


@pytest.mark.parametrize("how", ["directory", "link", "link to itself"])
def test_lock_of_a_run_that_is_no_file_is_named_and_nothing_is_touched(how, tmp_path):
    records = experiment.run(tiny(), root=tmp_path / "runs")
    next(records)
    records.close()
    path = run_folder(tmp_path / "runs") / ".lock"
    path.unlink(missing_ok=True)
    block(path, how, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=f"cannot lock {re.escape(str(path))}: .*; delete it, or"):
        experiment.finish(tiny(), root=tmp_path / "runs")
    assert contents(tmp_path) == before and not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("how", ["directory", "link", "link to itself"])
def test_lock_of_what_runs_share_that_is_no_file_is_named(how, tmp_path, monkeypatch):
    Cache(tmp_path / "cache")("thing", {}, lambda: {"x": 1})
    (path,) = (tmp_path / "cache").glob("*.lock")
    path.unlink()
    block(path, how, tmp_path)
    with pytest.raises(StoreError, match=f"cannot lock {re.escape(str(path))}"):
        Cache(tmp_path / "cache")("thing", {}, lambda: {"x": 1})

    monkeypatch.setenv("ALKIT_DATA", str(tmp_path / "data"))
    made.put(tmp_path / "data" / "mine", {"a.png": made.png(made.noise(1, 8, 8)[0])})
    block(tmp_path / "data" / ".mine.lock", how, tmp_path)
    with pytest.raises(StoreError, match="cannot lock .*/.mine.lock"):
        catalogue.read("mine", shape=(8, 8))

    benchmark = experiment.benchmark_of(tiny())
    block(tmp_path / f"benchmark-{benchmark.fingerprint[:12]}.lock", how, tmp_path)
    with pytest.raises(StoreError, match="cannot lock .*/benchmark-"):
        shared_memory.keep(benchmark, tmp_path)


def test_lock_is_free_again_after_an_error_and_waits_where_it_is_told_to(tmp_path):
    with pytest.raises(KeyError), store.lock(tmp_path / "x.lock"):
        raise KeyError
    taken = pytest.raises(store.InUse, match="is in use by another process")
    with store.lock(tmp_path / "x.lock"), taken, store.lock(tmp_path / "x.lock", wait=False):
        pytest.fail("two in one block")


# a user who may write nowhere

UNPRIVILEGED = """
import json, os
from pathlib import Path
import conftest
from alkit import benchmarks, experiment
from alkit.benchmarks.sources import catalogue
from alkit.study import cli

base = Path(os.environ["BASE"])
conftest.register()

def tried(do):
    try:
        return do()
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def use(data, runs):
    os.environ["ALKIT_DATA"], os.environ["ALKIT_RUNS"] = str(base / data), str(base / runs)
    return {
        "own images": tried(lambda: len(catalogue.read("mine", shape=(8, 8))["images"])),
        "mixdigits": tried(lambda: len(benchmarks.load("mixdigits").pool)),
        "run": tried(lambda: len(experiment.finish(conftest.tiny()))),
        "data": cli.main(["data"]),
        "rebuild": cli.main(["data", "--rebuild", "mixdigits", "--into", str(base / "closed" / "new")]),
    }

use("warm/data", "warm/runs")  # whatever is imported late is imported now: the interpreter may lie in a closed folder
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
cases = {"closed": ("closed", "closed"), "hidden": ("hidden", "hidden/runs"), "locked": ("locked", "closed/runs")}
print("RESULT" + json.dumps({name: use(*case) for name, case in cases.items()}))
"""


@pytest.fixture
def base():
    """A folder that every user may enter, unlike a test's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="users and modes are those of POSIX")
def test_user_who_may_write_nowhere_reads_what_there_is_and_is_told_the_rest_in_one_sentence(base):
    """As another user where the tests are the superuser's, whom no mode keeps out."""
    image = made.png(made.noise(1, 8, 8)[0])
    for place in ("warm/data", "closed", "hidden", "locked"):
        made.put(base / place / "mine", {"a.png": image})
    (base / "locked" / ".mine.lock").touch(mode=0o000)
    (base / "cache").mkdir(mode=0o555)
    (base / "closed").chmod(0o555)
    (base / "locked").chmod(0o777)
    (base / "hidden").chmod(0o000)
    done = python(UNPRIVILEGED, BASE=str(base), XDG_CACHE_HOME=str(base / "cache"), HOME=str(base / "hidden"))
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    said = json.loads(done.stdout.partition("RESULT")[2])

    closed = said["closed"]
    assert closed["own images"] == 1 and closed["mixdigits"] == 1945 and closed["data"] == 0 and closed["rebuild"] == 2
    assert closed["run"].startswith(f"StoreError: cannot write to {base}/closed: ")
    assert "choose another folder (ALKIT_RUNS)" in closed["run"]
    assert sorted(path.name for path in (base / "closed").iterdir()) == ["mine"]

    assert said["hidden"]["own images"].startswith(f"StoreError: cannot look into {base}/hidden: Permission denied")
    assert "choose another folder (ALKIT_DATA)" in said["hidden"]["own images"]
    assert said["hidden"]["data"] == 2 and "cannot write to" in said["hidden"]["run"]
    assert f"alkit: cannot look into {base}/hidden" in done.stderr

    assert said["locked"]["own images"].startswith(
        f"StoreError: cannot lock {base}/locked/.mine.lock: Permission denied"
    )


# a clock that jumps


def test_clock_that_jumps_changes_neither_picks_nor_files_and_no_second_is_negative(tmp_path, monkeypatch):
    """Set back and forth by decades between any two calls, also to before 1980, which a zip file cannot tell."""
    experiment.finish(tiny("contrastive", "random_cl"), root=tmp_path / "steady")
    before = files.write(tmp_path, "steady", images=made.noise(4, 8, 8)).read_bytes()
    jumps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: next(jumps) % 3 * 1e9)
    monkeypatch.setattr(time, "time_ns", lambda: next(jumps) % 3 * 10**18)
    records = experiment.finish(tiny("contrastive", "random_cl"), root=tmp_path / "jumping")
    assert files.write(tmp_path, "jumping", images=made.noise(4, 8, 8)).read_bytes() == before
    assert tables(tmp_path / "steady") == tables(tmp_path / "jumping")
    seconds = [value for record in records for name, value in record.items() if name.endswith("_seconds")]
    assert len(seconds) == 3 * len(records) and all(0 <= value < 1000 for value in seconds)
