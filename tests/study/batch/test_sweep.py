"""A sweep finishes every cell whatever dies on the way, tells what is wrong before it starts, and does nothing twice.

ALKIT_LONG=1 runs the long versions: 40 cells under at least 30 kills, and 10,000 finished cells.
"""

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml
from conftest import TESTS, contents, tiny
from test_notebook_runs import PARAMETERS, write_notebook

from alkit import acquisition, benchmarks, experiment, paths, runtime, store
from alkit.benchmarks import shared_memory
from alkit.experiment import Cell, loop, methods
from alkit.study import cli as command
from alkit.study import tables
from alkit.study.batch import cleaning, grid, plan, progress, sweep, workers

ROOT = Path(__file__).resolve().parents[3]
LONG = bool(os.environ.get("ALKIT_LONG"))
QUICK = {"initial_id": 60, "stop_id": 90, "con_first_epochs": 1, "sup_epochs": 1}  # of MixDigits: a cell of a second
TINY = ["--benchmark", "tiny", "--profile", "smoke"]
CPU = torch.device("cpu")


class Here(workers.InProcess):
    """The engine that works in this process, where "tiny" is known, in the place of the one of several."""

    def __init__(self, *_):
        pass


@pytest.fixture
def say(capsys, monkeypatch):
    """Run `alkit sweep` in this process; its exit status, standard output and standard error."""
    monkeypatch.setattr(sweep, "Local", Here)

    def run(*argv):
        try:
            status = command.main(["sweep", *map(str, argv)])
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, *capsys.readouterr()

    return run


def environment(runs, **more):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "ALKIT_RUNS": str(runs), "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}


def arguments(seeds, learners=("probe",), strategies=("random", "margin")):
    grid = ["--learner", *learners, "--strategy", *strategies, "--seed", seeds, "--profile", "smoke"]
    return [*grid, "--device", "cpu", "--changes", json.dumps(QUICK)]


def start(runs, *argv, **more):
    line = [sys.executable, "-m", "alkit", "sweep", *argv]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, env=environment(runs, **more), stdout=pipe, stderr=pipe, text=True)


def results_of(runs):
    """What is the same however a sweep went: configuration, tables, the learner's tensors, and which files exist."""
    made = {}
    for path in sorted(runs.glob("cells/*/*/*")):
        if path.name == ".lock":
            continue
        data = path.read_bytes()
        if path.name == "config.json":
            data = json.loads(data)["config"]
        elif path.name == "seconds.csv":
            data = len(data.splitlines())
        elif path.name == "progress.json":
            data = {key: json.loads(data)[key] for key in ("stages", "done", "learner")}
        made[str(path.relative_to(runs))] = data
    return made


def undisturbed(runs, *argv):
    """The results of a sweep that nothing happened to, each cell run in this process."""
    args = command.parser().parse_args(["sweep", *argv])
    given = {name: getattr(args, name) for name in grid.AXES if getattr(args, name)}
    for cell in grid.cells([{**given, "changes": yaml.safe_load(args.changes)}]):
        experiment.finish(cell, root=runs, device=CPU)
    return results_of(runs)


def grandchildren(process):
    """The workers of a sweep: processes forked from its fork server."""
    with contextlib.suppress(psutil.Error):
        return [deep for child in process.children() for deep in child.children()]
    return []


def kill_one_at_random(process, dice):
    """SIGKILL for one of the sweep's workers, where there is one; whether there was."""
    found = grandchildren(process)
    if not found:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        dice.choice(found).send_signal(signal.SIGKILL)
        return True
    return False


@pytest.mark.slow
def test_workers_and_parent_killed_at_random_moments_lose_nothing(tmp_path):
    """Short: 6 cells and 4 kills; long: 40 cells and 30."""
    argv = [*arguments("0-19" if LONG else "0-2"), "--jobs", "2"]
    cells, wanted = (40, 30) if LONG else (6, 4)
    expected = undisturbed(tmp_path / "quiet", *argv)
    dice, kills, parents, starts, began = random.Random(7), 0, 0, 0, time.monotonic()
    status = None
    while status is None:
        running, starts = start(tmp_path / "runs", *argv), starts + 1
        process = psutil.Process(running.pid)
        while running.poll() is None and (kills < wanted or not parents):
            time.sleep(dice.uniform(0.05, 0.6))
            kills += kill_one_at_random(process, dice)
            if kills >= wanted // 2 and not parents:
                orphans = grandchildren(process)
                running.kill()
                parents += 1
                psutil.wait_procs(orphans, timeout=60)
                assert not [child for child in orphans if child.is_running()]  # workers end with their parent
        out, err = running.communicate()
        if running.returncode != -signal.SIGKILL:
            if running.returncode == 1 and "killed" in out:  # one cell was hit TRIES times running: told, and run again
                continue
            assert (status := running.returncode) == 0, err
            assert f"{cells // 2}/{cells // 2}" in out and " 0 failed" in out
            assert "leaked" not in err  # semaphores of killed workers
    print(f"{kills} kills of workers, {parents} of parents, {starts} starts, {time.monotonic() - began:.0f} s")
    assert kills >= wanted and parents == 1
    assert results_of(tmp_path / "runs") == expected
    assert not list((tmp_path / "runs").rglob("*.part")) and not list((tmp_path / "runs").rglob("*.log"))


@pytest.mark.slow
def test_two_sweeps_at_once_on_one_store_share_the_work_and_harm_nothing(tmp_path):
    argv = [*arguments("0-2"), "--jobs", "2"]
    expected = undisturbed(tmp_path / "quiet", *argv)
    both = [start(tmp_path / "runs", *argv) for _ in range(2)]
    said = [running.communicate() for running in both]
    assert [running.returncode for running in both] == [0, 0], said
    assert all(" 0 failed" in out for out, _ in said)
    assert results_of(tmp_path / "runs") == expected
    assert len(list((tmp_path / "runs").glob("cache/representation-*.pt"))) == 3
    assert len(tables.read_results(tmp_path / "runs" / "figures", "mixdigits", "smoke", "sweep")) == 6 * 4


def dying(task, pipe):
    """What a worker does whose cell takes more memory than there is."""
    if task.cell.strategy == "margin":
        os.kill(os.getpid(), signal.SIGKILL)
    pipe.send(workers.Outcome(task, "done"))


@pytest.mark.slow
def test_cell_that_kills_its_worker_time_and_again_fails_and_the_others_do_not_notice(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_child", dying)
    cells = [Cell("mixdigits", "smoke", "probe", name, seed) for seed in (0, 1) for name in ("margin", "random")]
    tasks = [workers.Task(cell, tmp_path, tmp_path / "cells" / str(i), "", "cpu", 1) for i, cell in enumerate(cells)]
    found = list(workers.outcomes(tasks, workers.Local(2)))
    states = {(o.task.cell.strategy, o.state) for o in found}
    assert len(found) == 4 and states == {("margin", "failed"), ("random", "done")}
    (message,) = {o.message for o in found if o.state == "failed"}
    assert "killed 5 times in a row (exit code -9)" in message


def test_finished_cells_are_planned_under_ten_seconds_for_ten_thousand(tmp_path, monkeypatch, say):
    """CPU time of this process, since the machine may be busy; a tenth of both without ALKIT_LONG."""
    count = 10_000 if LONG else 1_000
    monkeypatch.setattr(os, "fsync", lambda _: None)
    benchmark = benchmarks.load("mixdigits")
    strategies = list(acquisition.STRATEGIES)[:10]
    argv = [
        "--learner",
        "supervised",
        "--strategy",
        *strategies,
        "--seed",
        f"0-{count // 10 - 1}",
        "--profile",
        "smoke",
    ]
    rows = {"picks": [], "stage": dict.fromkeys(store.STAGES, 0), "seconds": dict.fromkeys(store.SECONDS, 1)}
    for strategy in strategies:
        for seed in range(count // 10):
            cell = Cell("mixdigits", "smoke", "supervised", strategy, seed)
            with experiment.folder(cell, tmp_path / "runs", benchmark, CPU) as folder:
                folder.commit(**rows, learner={}, done=True)
    began, cpu = time.monotonic(), time.process_time()
    status, out, _ = say(*argv, "--device", "cpu", "--plan")
    cpu, wall = time.process_time() - cpu, time.monotonic() - began
    print(f"{count} cells: {cpu:.2f} s of CPU, {wall:.2f} s of wall time")
    assert status == 0 and f"{count} cells" in out and f"{count} done" in out and "to do 0" in out
    assert cpu < 10 * count / 10_000


GRID = {"benchmark": "tiny", "profile": "smoke", "learner": "probe", "strategy": "random", "seed": 0}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("learner: [probe", "cannot be read"),
        ("", "must hold a grid"),
        ("[]", "must hold a grid"),
        ("probe", "must hold a grid"),
        ("- probe", "must hold a grid"),
        ({**GRID, "learners": "probe"}, "a sweep has no 'learners' (did you mean 'learner'?); it has: benchmark"),
        ({"learner": "probe"}, "the sweep names no strategy and no seed"),
        ({**GRID, "learner": "prob"}, "unknown learner 'prob' (did you mean 'probe'?)"),
        ({**GRID, "strategy": ["random", "magrin"]}, "unknown strategy 'magrin' (did you mean 'margin'?)"),
        ({**GRID, "benchmark": "tinny"}, "unknown benchmark 'tinny' (did you mean 'tiny'?)"),
        ({**GRID, "profile": "fast"}, "unknown profile 'fast'"),
        ({**GRID, "protocol": "papers"}, "initial must be one of shared, paper, strategy, got 'papers'"),
        ({**GRID, "strategy": "distance_cl(exclude=all)"}, "exclude"),
        ({**GRID, "strategy": "margin+stop=soon"}, "stop must be one of quota, round, got 'soon'"),
        ({**GRID, "learner": 3}, "learner must be a name or a list of names, got 3"),
        ({**GRID, "strategy": []}, "strategy is an empty list"),
        ({**GRID, "strategy": None}, "strategy must be a name or a list of names, got None"),
        ({**GRID, "strategy": ["random", "margin", "random"]}, "strategy names 'random' more than once"),
        ({**GRID, "strategy": ["all", "random"]}, "strategy names 'random' more than once"),
        ({**GRID, "seed": ["0-4", 3]}, "seed names 3 more than once"),
        ({**GRID, "seed": -1}, "a seed is a whole number from 0 up, or a span such as 0-19; got -1"),
        ({**GRID, "seed": "5-2"}, "got '5-2'"),
        ({**GRID, "seed": True}, "got True"),
        ({**GRID, "seed": 1.5}, "got 1.5"),
        ({**GRID, "seed": "0-99999999999"}, "these are 100,000,000,000 cells, and at most 100,000 are run at once"),
        ({**GRID, "seed": "0-999999"}, "these are 1,000,000 cells"),
        ({**GRID, "seed": "0-9999", "strategy": "all"}, "cells, and at most 100,000 are run at once"),
        ("learner: probe\nstrategy: random\nseed: 0\nseed: 1", "'seed' is given more than once (line 4)"),
        ("learner: probe\nstrategy: random\nseed: 010", "010 would be a number in base 8 or 60"),
        ("learner: probe\nstrategy: random\nseed: 1:30", "1:30 would be a number in base 8 or 60"),
        ("learner: &a [*a]\nstrategy: random\nseed: 0", "a value is within itself"),
        ("&a {learner: probe, strategy: random, seed: 0, changes: *a}", "a value is within itself"),
        ({**GRID, "strategy": "bald(n=!!python/name:os.system x)"}, "could not determine a constructor"),
        ({**GRID, "changes": {"stop": 3}}, "a recipe has no 'stop'"),
        ({**GRID, "changes": {"stop_id": 10_000}}, "stop_id (10000) is above the pool's 80 iD samples"),
        ({**GRID, "changes": [3]}, "changes must be recipe values by name, got [3]"),
        ([GRID, {**GRID, "seed": [1, 0]}], "1 cells come more than once, first of them {"),
    ],
)  # fmt: skip
def test_wrong_yaml_is_refused_before_any_work(content, said, say, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "work", lambda task: pytest.fail("a cell was run"))
    file = tmp_path / "sweep.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    status, out, err = say(file)
    assert status == 2 and not out
    assert err.startswith("alkit: ") and said in err and "Traceback" not in err
    assert not (tmp_path / "runs" / "cells").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the sweep names no learner and no strategy and no seed"),
        (["absent.yaml"], "the sweep absent.yaml cannot be read"),
        (["absent.yaml", "--seed", "0"], "a sweep is either a file or lists, got absent.yaml and --seed"),
        (["--jobs", "-1"], "jobs must be at least 1"),
        (["--jobs", "two"], "invalid int value: 'two'"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--part", "0/4"], "a part is written i/n with i from 1 to n, such as 3/40; got '0/4'"),
        (["--part", "5/4"], "got '5/4'"),
        (["--part", "half"], "got 'half'"),
        (["--name", "My Sweep"], "name must be of small letters, digits and _, got 'My Sweep'"),
        (["--changes", "{a"], "--changes, '{a', cannot be read"),
        (["--scheduler", "no/such/file.json"], "no Dask scheduler: 'no/such/file.json' is no address"),
        (["--scheduler", "tcp://127.0.0.1:1", "--as-notebooks"], "--as-notebooks goes with --jobs or --part"),
    ],
)  # fmt: skip
def test_wrong_command_line_is_refused_before_any_work(argv, said, say, tmp_path, monkeypatch):
    pytest.importorskip("dask.distributed", reason="dask is absent") if "--scheduler" in argv else None
    monkeypatch.setattr(workers, "work", lambda task: pytest.fail("a cell was run"))
    given = (
        []
        if not argv or argv[0] == "absent.yaml"
        else [*TINY, *["--learner", "probe", "--strategy", "random", "--seed", "0"]]
    )
    status, out, err = say(*given, *argv)
    assert status == 2 and not out and said in err and "Traceback" not in err
    assert not (tmp_path / "runs" / "cells").exists()


def test_scheduler_without_dask_says_what_to_install(say, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    argv = [*TINY, *["--learner", "probe", "--strategy", "random", "--seed", "0", "--scheduler", "tcp://127.0.0.1:1"]]
    status, _, err = say(*argv)
    assert status == 2 and "a scheduler needs Dask: python -m pip install distributed" in err


def test_store_of_another_version_is_refused_before_any_work(say, tmp_path, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(loop, "__version__", "0.0.9")
        experiment.finish(tiny("supervised"), device=CPU)
    before = contents(tmp_path)
    status, _, err = say(*TINY, *["--learner", "supervised", "--strategy", "random", "--seed", "1", "--device", "cpu"])
    assert status == 2 and "was made by alkit 0.0.9, and this is" in err and "choose another folder" in err
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before and not [k for k in after if "-s1-" in k]


def sweep_tiny(say, *more, strategies="random margin", learners="probe supervised", seeds="0-1"):
    lists = f"--learner {learners} --strategy {strategies} --seed {seeds} --device cpu"
    return say(*TINY, *lists.split(), *more)


def test_cells_equal_those_of_the_loop_alone_and_go_into_the_result_table(say, tmp_path):
    status, out, err = sweep_tiny(say)
    assert status == 0 and "8 cells in" in out and "0 done, 0 begun; to do 8" in out and "time unknown" in out
    assert "8 cells finished" in out and " 0 failed" in out and err.count("done ") == 8
    cells = [tiny(learner, name, seed) for learner in ("probe", "supervised") for name in ("random", "margin")
             for seed in (0, 1)]  # fmt: skip
    for cell in cells:
        experiment.finish(cell, root=tmp_path / "alone", device=CPU)
    assert results_of(tmp_path / "runs") == results_of(tmp_path / "alone")
    table = tables.read_results(tmp_path / "runs" / "figures", "tiny", "smoke", "sweep")
    alone = [row for cell in cells for row in tables.rows_of(cell, tmp_path / "alone")]
    kept = [name for name in tables.COLUMNS if not name.endswith("seconds")]
    expected = tables.write_results(alone, tmp_path / "alone")
    assert sorted(map(tuple, table[kept].values.tolist())) == sorted(map(tuple, expected[kept].values.tolist()))


def test_finished_cells_are_skipped_and_tell_how_long_others_take(say, tmp_path, monkeypatch):
    sweep_tiny(say)
    status, out, _ = sweep_tiny(say, "--plan", seeds="0-3")
    assert status == 0 and "8 done" in out and "to do 8" in out and "about" in out and "unknown" not in out
    seconds = [plan.seconds(path) for path in sorted(tmp_path.glob("runs/cells/*/*"))]
    made = plan.make([tiny("probe", "random", seed) for seed in (5, 6, 7)], tmp_path / "runs", CPU)
    expected = 3 * np.mean(seconds_of(tmp_path, "probe+random"))
    assert plan.estimate(made.todo, 1) == (pytest.approx(expected), 0) and len(seconds) == 8
    monkeypatch.setattr(workers, "work", lambda task: pytest.fail("a finished cell was run"))
    assert sweep_tiny(say)[0] == 0


def seconds_of(folder, method):
    return [plan.seconds(path) for path in folder.glob(f"runs/cells/*/{method}-*")]


@pytest.fixture
def boom():
    @acquisition.strategy("boom", citation="ours", needs=())
    def boom(view):
        """Fails."""
        raise RuntimeError("this strategy fails")
        yield

    yield
    del acquisition.STRATEGIES["boom"]


def test_failed_cell_is_reported_with_its_log_and_the_rest_go_on(say, boom, tmp_path):
    status, out, err = sweep_tiny(say, strategies="random boom margin")
    assert status == 1 and "8 cells finished" in out and "4 failed" in out
    assert out.count("FAILED ") == 4 and "RuntimeError: this strategy fails" in out
    logs = list(tmp_path.glob("runs/logs/tiny-smoke/*.log"))
    assert len(logs) == 4 and all(str(log) in out for log in logs)
    assert "Traceback" in logs[0].read_text() and "this strategy fails" in logs[0].read_text()
    assert len(tables.read_results(tmp_path / "runs" / "figures", "tiny", "smoke", "sweep")) == 8 * 4
    cleaning.remove(tmp_path / "runs")  # logs are alkit's own


@pytest.mark.skipif(sys.platform == "win32", reason="there are no fork servers")
def test_fork_server_whose_starter_has_ended_ends_before_it_has_loaded_pytorch(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    code = "import alkit.study.batch.preload; print('loaded')"
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, env=environment(tmp_path, ALKIT_STARTER=str(ended.pid)), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_code_that_changed_after_the_plan_is_told(say, tmp_path, monkeypatch):
    """Workers load the code as it is when they start; a kernel may have loaded another."""
    planned = plan.make

    def then_changed(*args, **options):
        made = planned(*args, **options)
        monkeypatch.setattr(loop, "__version__", "another")
        return made

    monkeypatch.setattr(plan, "make", then_changed)
    status, out, _ = sweep_tiny(say, strategies="random", learners="probe", seeds="0")
    assert status == 1 and "the code of alkit has changed since the cells were planned" in out


def test_log_goes_when_the_cell_is_done_after_all(say, tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(loop.Loop, "records", lambda self: 1 / 0)
        assert sweep_tiny(say, strategies="random", learners="probe", seeds="0")[0] == 1
    assert len(list(tmp_path.rglob("*.log"))) == 1
    assert sweep_tiny(say, strategies="random", learners="probe", seeds="0")[0] == 0
    assert not list(tmp_path.rglob("*.log"))


def test_full_disk_is_told_for_each_cell_and_all_end_as_if_it_had_not_been(say, tmp_path, monkeypatch):
    assert sweep_tiny(say, "--plan")[0] == 0
    calls = []

    def full(file):
        calls.append(file)
        if len(calls) % 7 == 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(store.os, "fsync", full)
        status, out, _ = sweep_tiny(say)
    assert status == 1 and "No space left on device; free some space" in out
    assert "StoreError: could not write" in out and not list(tmp_path.rglob("*.part"))
    while sweep_tiny(say)[0]:
        pytest.fail("the disk has space again")
    with monkeypatch.context() as other:
        other.setenv("ALKIT_RUNS", str(tmp_path / "other"))
        assert sweep_tiny(say)[0] == 0
    assert results_of(tmp_path / "runs") == results_of(tmp_path / "other")


@contextlib.contextmanager
def mounted(folder, size):
    """A small file system of its own at `folder`, where this system lets us make one."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True)
    if made.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_disk_that_is_really_full_and_then_read_only_is_reported_and_harms_nothing(say, tmp_path, monkeypatch):
    """512 kB hold the benchmark and some runs, not all of them; in more space the same sweep goes on to the end."""
    with mounted(tmp_path / "small", "512k") as folder:
        monkeypatch.setenv("ALKIT_RUNS", str(folder))
        status, out, _ = sweep_tiny(say, seeds="0-9")
        assert status == 1 and "No space left on device" in out and "Traceback" not in out
        subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
        assert sweep_tiny(say, seeds="0-9")[0] == 0
        before = contents(folder)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        status, out, err = sweep_tiny(say, seeds="0-10")
        assert status == 2 and not out and f"cannot write to {folder}" in err and "Read-only file system" in err
        assert contents(folder) == before
        found = results_of(folder)
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path / "runs"))
    assert sweep_tiny(say, seeds="0-9")[0] == 0
    assert found == results_of(tmp_path / "runs")


def test_cell_in_the_hands_of_another_sweep_is_waited_for(say, tmp_path, monkeypatch):
    """It is let go at the first pause; without one, the sweep would never end."""
    monkeypatch.setattr(workers, "PAUSE", 0.01)
    held = experiment.run(tiny("probe", "random"), device=CPU)
    next(held)
    monkeypatch.setattr(workers.time, "sleep", lambda _: held.close())
    status, out, err = sweep_tiny(say)
    assert status == 0 and " 0 failed" in out and err.count("another process is running probe+random-shared-s0") == 1


def test_parts_are_all_the_cells_once_whatever_is_done_already(say, tmp_path):
    for number in range(1, 4):
        status, out, _ = sweep_tiny(say, "--part", f"{number}/3")
        assert status == 0 and f"to do in part {number}/3 {(3, 3, 2)[number - 1]}," in out
    assert "8/8" not in out and len(list(tmp_path.glob("runs/cells/*/*/config.json"))) == 8
    assert len(tables.read_results(tmp_path / "runs" / "figures", "tiny", "smoke", "sweep")) == 8 * 4


def test_run_that_two_protocols_share_is_run_once(say, tmp_path, monkeypatch):
    ran = []
    work = workers.work
    monkeypatch.setattr(workers, "work", lambda task: ran.append(task) or work(task))
    status, out, _ = sweep_tiny(say, "--protocol", "shared", "paper", seeds="0")
    assert status == 0 and "8 cells in" in out and "to do 6" in out and len(ran) == 6
    table = tables.read_results(tmp_path / "runs" / "figures", "tiny", "smoke", "sweep")
    assert table.groupby(["learner", "strategy", "initial"]).ngroups == 8


@pytest.mark.parametrize(("seeds", "jobs"), [(4, 2), (2, 4), (1, 2)])
def test_workers_do_not_wait_for_one_representation_while_there_is_other_work(seeds, jobs, tmp_path):
    names = [
        ("contrastive", "random_cl"),
        ("contrastive", "distance_cl"),
        ("probe", "margin"),
        ("probe", "entropy"),
        ("supervised", "random"),
    ]
    cells = [tiny(learner, name, seed) for learner, name in names for seed in range(seeds)]
    todo = plan.make(cells, tmp_path, CPU, jobs=jobs).todo
    assert len(todo) == len(cells) and {one.folder.path for one in todo} == {one.folder.path for one in todo}
    assert [one.cell.seed for one in todo[:seeds]] == list(range(seeds))
    assert {one.cell.learner for one in todo[:seeds]} == {"contrastive"}
    waiting = [one.cell.seed for one in todo[seeds:] if one.cell.learner == "probe"]
    assert waiting == sorted(waiting)  # what waits for the representation that is begun last comes last
    following = todo[seeds].cell.learner
    assert following == ("supervised" if seeds < jobs else "contrastive")


def test_interrupt_ends_with_130_and_says_how_to_go_on(say, monkeypatch):
    def interrupted(self, tasks):
        raise KeyboardInterrupt

    monkeypatch.setattr(Here, "__call__", interrupted)
    status, _, err = sweep_tiny(say)
    assert status == 130 and "the same command goes on from here" in err


def test_mapped_benchmark_is_the_benchmark_and_no_write_reaches_the_file(tmp_path):
    benchmark = benchmarks.load("tiny")
    found = shared_memory.keep(benchmark, tmp_path)
    assert found.fingerprint == benchmark.fingerprint and found.class_names == benchmark.class_names
    for name in ("labels_N", "category_N", "source_N"):
        assert (getattr(found.pool, name) == getattr(benchmark.pool, name)).all()
    for name in ("votes_NV", "parents_N2", "test_labels_M", "test_images_MCHW"):
        assert (getattr(found, name) == getattr(benchmark, name)).all()
    before = contents(tmp_path)
    runtime.resident(found.pool.images_NCHW, CPU).zero_()  # what no one should do
    assert contents(tmp_path) == before
    assert shared_memory.load(benchmark.fingerprint, tmp_path).fingerprint == benchmark.fingerprint
    assert shared_memory.keep(benchmark, tmp_path).name == "tiny" and contents(tmp_path) == before


@pytest.mark.parametrize("learner", ["supervised", "contrastive", "probe"])
def test_no_learner_writes_to_the_images(learner, tmp_path):
    benchmark = benchmarks.load("tiny")
    before = benchmarks.fingerprint(benchmark.pool, benchmark.test_images_MCHW, benchmark.test_labels_M)
    experiment.finish(tiny(learner), root=tmp_path, device=CPU)
    assert benchmarks.fingerprint(benchmark.pool, benchmark.test_images_MCHW, benchmark.test_labels_M) == before


@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_damaged_mapped_file_is_named_and_used_by_no_cell(how, say, tmp_path):
    assert sweep_tiny(say, "--plan")[0] == 0
    (file,) = tmp_path.glob("runs/cache/benchmark-*-pool.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data if how == "flipped" else data[:-9])
    if how == "gone":
        file.unlink()
    status, _, err = sweep_tiny(say)
    assert status == 2 and str(file)[:-9] in err and "is missing or damaged" in err and "delete these files" in err
    assert not list(tmp_path.glob("runs/cells"))


@pytest.mark.parametrize(
    "text", ["probe+margin", "contrastive(features=projected)+distance_cl(exclude=none, normalise=false)+stop=round"]
)
def test_method_of_a_cell_is_read_back_as_the_same(text):

    cell = Cell("tiny", "smoke", **methods.parse_method(text))
    assert methods.method(cell) == text
    assert Cell("tiny", "smoke", **methods.parse_method(methods.method(cell))) == cell


def test_cells_as_notebooks_leave_one_executed_notebook_each(say, tmp_path, monkeypatch):
    """A notebook with notebook 4's parameters; a failing one is reported and leaves no finished notebook."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    more = "changes: dict = {}\njobs: int = 0"
    write_notebook(
        folder / "04_curves.ipynb", f"{PARAMETERS}\n{more}", "assert seed < 2, 'too many'",
        "import os, sys; sys.path.insert(0, os.environ['TESTS'])\nimport conftest; conftest.register()",
        "from alkit.experiment.methods import cells_of\nfrom alkit.study.batch.cells import run_cells",
        "rows = run_cells(cells_of(benchmark, profile, methods, seed, n_seeds), jobs=jobs)",
        "print(methods, seed, name)",
    )  # fmt: skip
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)
    monkeypatch.setenv("TESTS", str(TESTS))
    options = {"learners": "supervised", "strategies": "random"}
    status, out, _ = sweep_tiny(say, "--as-notebooks", seeds="1-2", **options)
    assert status == 1 and "too many" in out and "1 failed" in out
    (made,) = tmp_path.glob("runs/notebooks/tiny-smoke/04_curves-supervised+random-shared-s1-*.ipynb")
    assert "supervised_random_shared_s1" in made.read_text()
    assert len(list(tmp_path.glob("runs/cells/*/*-s1-*/progress.json"))) == 1
    status, out, _ = sweep_tiny(say, "--as-notebooks", "--plan", seeds="1-2", **options)
    assert "1 done" in out and "to do 1" in out
    cleaning.remove(tmp_path / "runs")


@contextlib.contextmanager
def cluster(folder, workers=2, threads=1):
    """A Dask scheduler and its workers, each a process of its own; gives the scheduler's file and the processes."""
    pytest.importorskip("dask.distributed", reason="dask is absent: python -m pip install -r tests/peers.txt")
    file = folder / "scheduler.json"
    env = environment(folder, DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE="false")
    line = [sys.executable, "-m", "dask"]
    quiet = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    at = ["--no-dashboard", "--scheduler-file", file]
    made = [subprocess.Popen([*line, "scheduler", "--host", "127.0.0.1", "--port", "0", *at], **quiet)]
    each = ["--no-nanny", "--nthreads", str(threads), "--local-directory", folder]
    made += [subprocess.Popen([*line, "worker", *at, *each], cwd=folder, **quiet) for _ in range(workers)]
    try:
        deadline = time.monotonic() + 90
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield file, made
    finally:
        for process in made:
            process.kill()
            process.wait()


def test_dask_cluster_that_loses_a_worker_in_mid_sweep_finishes_it_to_the_same_bytes(tmp_path):
    argv = arguments("0-2")
    expected = undisturbed(tmp_path / "quiet", *argv)
    runs = tmp_path / "runs"
    with cluster(tmp_path) as (file, processes):
        running = start(runs, *argv, "--scheduler", str(file))
        deadline = time.monotonic() + 300
        while len(list(runs.glob("cells/*/*/stages.csv"))) < 2 and time.monotonic() < deadline:
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        processes[1].kill()
        out, err = running.communicate(timeout=300)
    assert running.returncode == 0, (out, err)
    assert "6 cells finished" in out and " 0 failed" in out
    assert results_of(runs) == expected


def test_dask_workers_that_do_not_fit_are_refused_before_any_work(say, tmp_path):
    with cluster(tmp_path, workers=1, threads=2) as (file, _):
        status, out, err = sweep_tiny(say, "--scheduler", file)
        assert status == 2 and "has more than one thread; start workers with --nthreads 1" in err
    assert not list(tmp_path.glob("runs/cells"))


def test_unreachable_scheduler_is_told_before_any_work(say, tmp_path, monkeypatch):
    pytest.importorskip("dask.distributed", reason="dask is absent")
    monkeypatch.setattr(workers, "PATIENCE", 2)
    status, out, err = sweep_tiny(say, "--scheduler", "tcp://127.0.0.1:9")
    assert status == 2 and not out and "no Dask scheduler answers at tcp://127.0.0.1:9" in err
    assert not list(tmp_path.glob("runs/cells"))


def test_live_table_on_a_terminal_has_a_line_for_each_method(say, tmp_path, monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    options = sweep.Options(device="cpu")
    given = {"benchmark": ["tiny"], "profile": ["smoke"], "learner": ["probe"], "strategy": ["random", "margin"]}
    made = sweep.prepare(None, {**given, "seed": ["0-1"]}, "sweep", tmp_path / "runs", options)
    assert made.run(screen) == []
    shown = screen.getvalue()
    assert "cells: 100%" in shown and "probe+random" in shown and "probe+margin" in shown and "accuracy" in shown


@pytest.mark.parametrize(("seconds", "said"), [(20, "20 s"), (90, "1.5 min"), (600, "10.0 min"), (5400, "1.5 h")])
def test_duration_is_said_in_a_unit_that_fits(seconds, said):
    assert progress.duration(seconds) == said
