"""`run` and `sweep` killed from outside: nothing goes on without its parent, and the same command ends as always.

ALKIT_LONG=1 kills every process in every way, while it loads and while it works.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from alkit import experiment
from alkit.experiment.methods import cells_of
from alkit.store import journal

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")]
METHODS, SEEDS = ["probe+margin", "supervised+entropy"], 4
CHANGES = {"initial_id": 60, "stage_id": 40, "stop_id": 220, "sup_epochs": 2, "con_first_epochs": 1, "con_warmup": 0}
ALL = [(how, when) for when in ("works", "loads") for how in ("parent KILL", "parent TERM", "parent INT", "group KILL")]
SHORT = {"run": [ALL[0], ALL[6]], "sweep": [ALL[3], ALL[2]]}
SENTENCE = "\nalkit: interrupted; the same command goes on from here\n"
GIVEN = {"profile": "smoke", "seed": "0", "methods": json.dumps(METHODS), "n_seeds": str(SEEDS), "name": "x"}
COMMANDS = {
    "run": ["run", "04", *itertools.chain(*(("-p", name, value) for name, value in GIVEN.items()))],
    "sweep": ["sweep", "kills.yaml", "--jobs", "2", "--device", "cpu"],
}


def start(command: str, runs: Path, **options) -> subprocess.Popen:
    """The command, as the leader of a process group, with its error stream in a file."""
    line = COMMANDS[command] + (["-p", "changes", json.dumps(CHANGES)] if command == "run" else [])
    env = {**os.environ, "ALKIT_RUNS": str(runs), "BROWSER_PATH": "none", "OMP_NUM_THREADS": "1"}
    with open(runs.parent / "stderr", "wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "alkit", *line],
            env=env, cwd=runs.parent, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True,
            **options,
        )  # fmt: skip


def processes(runs: Path) -> list[psutil.Process]:
    """All that the command has started, and it: they carry its store in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("ALKIT_RUNS") == str(runs) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def servers(runs: Path) -> list[psutil.Process]:
    """Fork servers, and the workers forked from them."""
    found = []
    for process in processes(runs):
        try:
            if any("multiprocessing.forkserver" in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def workers(runs: Path) -> list[psutil.Process]:
    of_servers = servers(runs)
    pids = {process.pid for process in of_servers}
    return [process for process in of_servers if process.ppid() in pids]


def stages(runs: Path) -> int:
    return sum(journal(path).get("stages", 0) for path in runs.glob("cells/*/*"))


def wait_for(condition, running: subprocess.Popen, seconds: float = 300):
    """Wait until the condition holds; whether it did before the command ended."""
    deadline = time.monotonic() + seconds
    while running.poll() is None:
        if condition():
            return True
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
    return False


def patience() -> float:
    """Two seconds; more where the machine is busy with other work."""
    return 2 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def left_over(runs: Path) -> list[psutil.Process]:
    """What still runs once `patience` is over. Where the kernel itself holds a process in a read or write, which no
    signal ends, its end is waited for up to a minute."""
    began, patient = time.monotonic(), patience()
    while left := processes(runs):
        waited = time.monotonic() - began
        if waited > patient and (waited > 60 or not all(in_the_kernel(process) for process in left)):
            break
        time.sleep(0.05)
    return left


def in_the_kernel(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_DISK_SLEEP
    except psutil.Error:
        return True  # it has just ended


def kill(running: subprocess.Popen, how: str) -> None:
    """Kill the command; where it is asked to stop by Ctrl-C, wait until it has."""
    target, name = how.split()
    send = os.killpg if target == "group" else os.kill
    send(running.pid, getattr(signal, f"SIG{name}"))
    assert running.wait(60) == (130 if name == "INT" else -getattr(signal, f"SIG{name}"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("undisturbed")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for cell in cells_of("mixdigits", "smoke", METHODS, 0, SEEDS, changes=CHANGES):
        experiment.finish(replace(cell), root=root, device=torch.device("cpu"))
    torch.set_num_threads(before)
    return tables(root)


def tables(root: Path) -> dict[str, bytes]:
    paths = [path for name in ("picks", "stages") for path in root.glob(f"cells/*/*/{name}.csv")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_is_killed_leaves_no_process_and_the_same_command_ends_as_if_undisturbed(
    command, undisturbed, tmp_path
):
    runs = tmp_path / "runs"
    grid = {"learner": ["probe"], "strategy": ["margin"], "seed": f"0-{SEEDS - 1}", "profile": "smoke"}
    grids = [{**grid, "changes": CHANGES}, {**grid, "learner": "supervised", "strategy": "entropy", "changes": CHANGES}]
    (tmp_path / "kills.yaml").write_text(json.dumps(grids))
    hit = 0
    for how, when in ALL if os.environ.get("ALKIT_LONG") else SHORT[command]:
        running, before = start(command, runs), stages(runs)
        moment = (lambda: servers(runs)) if when == "loads" else (lambda before=before: stages(runs) > before)
        if not wait_for(moment, running):
            continue  # it was done before it could be hit
        hit += 1
        kill(running, how)
        left = left_over(runs)
        assert not left, f"{how} while it {when}: {[process.cmdline() for process in left]}"
        said = (tmp_path / "stderr").read_text()
        assert "Traceback" not in said, f"{how} while it {when}: {said}"
        assert "INT" not in how or said.endswith(SENTENCE)
    assert hit >= 2
    running = start(command, runs)
    if wait_for(lambda: workers(runs), running):
        for process in workers(runs)[:1]:
            process.kill()
    assert running.wait(300) == 0, (tmp_path / "stderr").read_text()
    assert left_over(runs) == []
    found = tables(runs)  # notebook 4's exercise runs some more
    assert {name: found.get(name) for name in undisturbed} == undisturbed


def takes_ctrl_c(running: subprocess.Popen) -> bool:
    """Whether the module's own code runs; before that, a Ctrl-C is the interpreter's."""
    status = Path(f"/proc/{running.pid}/status").read_text()
    (blocked,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(blocked, 16) & 1 << (signal.SIGINT - 1))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to see that the command has begun")
@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_of_a_terminal_in_the_first_seconds_ends_with_130_and_one_sentence_alone(command, tmp_path):
    """In a terminal the whole group gets it; a shell's background job has inherited it as ignored."""
    runs = tmp_path / "runs"
    grid = {"learner": "supervised", "strategy": "entropy", "seed": "0-3", "profile": "smoke", "changes": CHANGES}
    (tmp_path / "kills.yaml").write_text(json.dumps(grid))
    for number in range(0, 16, 1 if os.environ.get("ALKIT_LONG") else 3):
        ignored = (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if number % 2 else None
        running = start(command, runs, preexec_fn=ignored)
        assert wait_for(lambda running=running: takes_ctrl_c(running), running)
        time.sleep(0.2 * number)
        kill(running, "group INT")
        left = left_over(runs)
        assert not left, f"after {0.2 * number:.1f} s: {[process.cmdline() for process in left]}"
        assert (tmp_path / "stderr").read_text() in (SENTENCE, f"[1/1] 04_active_learning_curves.ipynb\n{SENTENCE}")
