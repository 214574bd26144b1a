"""A run killed anywhere goes on and ends byte for byte as one that was not; the disk is never trusted or harmed.

Runs are forked from a server that has alkit loaded already, so that a start takes hundredths of a second.
"""

import json
import multiprocessing
import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
from conftest import contents, register, run_folder, tables, tiny

from alkit import benchmarks, experiment, runtime, store, training
from alkit.learners import base, probe, regression, representation
from alkit.learners.representation import Representation

CONTEXT = multiprocessing.get_context("forkserver")
# an optimiser loads torch._dynamo when first made: a second that would outweigh the whole of a tiny run
CONTEXT.set_forkserver_preload(["alkit.experiment", "torch._dynamo", "sklearn.datasets", "pytest"])
CELLS = {
    "supervised": tiny("supervised", "ddu"),
    "contrastive": tiny("contrastive", "distance_cl"),
    "probe": tiny("probe", "margin"),
}
FILES = {".alkit", "config.json", "picks.csv", "stages.csv", "seconds.csv", "progress.json", "learner.3.pt"}
# what a run does in each phase: (where the function is looked up, its name)
PHASES = {
    "representation": [(training, "contrastive_step")],
    "fit": [
        (base, "labelled_rows"),
        (base, "train_classifier"),
        (probe, "labelled_rows"),
        (regression, "LogisticRegression"),
    ],
    "step": [(training, "step")],
    "extract": [(base, "extract"), (representation, "extract")],
    "choose": [(experiment.Loop, "_pick")],
    "commit": [(store.RunFolder, "_append"), (store, "write_atomic"), (store, "to_bytes")],
    "replay": [(experiment.Loop, "_take")],
    "sync": [(os, "fsync")],
    "write": [(os, "fsync"), (os, "replace"), (os, "truncate"), (Path, "unlink")],
}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Watch:
    """Counts the calls of a phase's functions and kills this process before or after the `nth`.

    A file that is being written when the process dies is left torn: its last bytes are missing.
    """

    def __init__(self, phase: str, nth: int, after: bool):
        self.nth, self.after, self.count = nth, after, 0
        for owner, name in PHASES[phase]:
            setattr(owner, name, self.wrap(getattr(owner, name), name))

    def wrap(self, function, name):
        def watched(*args, **kwargs):
            self.count += 1
            mine = self.count == self.nth
            if mine and not self.after:
                if name == "fsync":
                    os.ftruncate(args[0], max(0, os.fstat(args[0]).st_size - 7))
                die()
            result = function(*args, **kwargs)
            if mine:
                die()
            return result

        return watched


def work(cell, root, pipe=None, phase=None, nth=0, after=False):
    """What a child process does: the run, watched if a phase is named; through the pipe goes the number of calls."""
    register()
    watch = phase and Watch(phase, nth, after)
    if pipe:
        pipe.send("ready")
    experiment.finish(cell, root=root)
    if pipe:
        pipe.send(watch.count if watch else None)


def start(*args, target=work):
    child = CONTEXT.Process(target=target, args=args)
    child.start()
    return child


def exit_code(*args, **kwargs):
    child = start(*args, **kwargs)
    child.join(60)
    return child.exitcode


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory):
    """Learner -> (tables of a run that nobody killed, the seconds it took)."""

    def made(learner):
        if learner not in known:
            root = tmp_path_factory.mktemp(learner)
            ours, theirs = CONTEXT.Pipe()
            child = start(CELLS[learner], root, theirs)
            assert ours.recv() == "ready"
            began = time.perf_counter()
            child.join(60)
            known[learner] = tables(root), time.perf_counter() - began
            assert child.exitcode == 0 and set(contents(run_folder(root))) == FILES
        return known[learner]

    known = {}
    return made


def assert_same_as_unkilled(root, expected):
    assert tables(root) == expected
    assert set(contents(run_folder(root))) == FILES  # nothing half-written lies about
    assert not [path for path in root.rglob("*.part")]
    assert experiment.folder(cell_of(root), root, benchmarks.load("tiny"), runtime.default_device()).done


def cell_of(root):
    config = json.loads((run_folder(root) / "config.json").read_bytes())["config"]
    return CELLS[config["learner"]]


@pytest.mark.slow
@pytest.mark.parametrize("learner", CELLS)
def test_run_killed_at_random_moments_ends_as_if_it_never_was(learner, unkilled, tmp_path):
    expected, seconds = unkilled(learner)
    dice, kills, rounds = random.Random(learner), 0, 0
    while kills < 8:
        root = tmp_path / str(rounds)
        finished = False
        while not finished:
            ours, theirs = CONTEXT.Pipe()
            child = start(CELLS[learner], root, theirs)
            assert ours.recv() == "ready"
            child.join(dice.uniform(0, 0.9 * seconds))
            child.kill()
            child.join()
            assert child.exitcode in (0, -signal.SIGKILL)
            finished = child.exitcode == 0
            kills += not finished
        assert_same_as_unkilled(root, expected)
        rounds += 1


def count_calls(cell, root, phase):
    ours, theirs = CONTEXT.Pipe()
    child = start(cell, root, theirs, phase)
    theirs.close()  # so that a child that dies ends the wait
    assert ours.recv() == "ready"
    count = ours.recv()
    child.join()
    return count


@pytest.mark.parametrize(
    ("learner", "phase"),
    [
        ("supervised", "step"), ("supervised", "fit"), ("supervised", "extract"), ("supervised", "choose"),
        ("contrastive", "representation"), ("contrastive", "step"), ("contrastive", "fit"), ("contrastive", "extract"),
        ("contrastive", "choose"), ("contrastive", "commit"),
        ("probe", "representation"), ("probe", "fit"), ("probe", "extract"), ("probe", "choose"), ("probe", "commit"),
    ],
)  # fmt: skip
def test_run_killed_in_the_middle_of_every_phase_ends_as_if_it_never_was(learner, phase, unkilled, tmp_path):
    """Killed at some call of the phase, and once more while it replays what is on disk."""
    expected, _ = unkilled(learner)
    calls = count_calls(CELLS[learner], tmp_path / "counted", phase)
    assert calls >= 2
    nth = random.Random(learner + phase).randint(2, calls)
    assert exit_code(CELLS[learner], tmp_path / "run", None, phase, nth) == -signal.SIGKILL
    assert exit_code(CELLS[learner], tmp_path / "run", None, "replay", 5) == -signal.SIGKILL
    assert exit_code(CELLS[learner], tmp_path / "run") == 0
    assert_same_as_unkilled(tmp_path / "run", expected)


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "after"), [("sync", False), ("write", True)], ids=["torn", "whole"])
def test_kill_between_any_two_writes_of_any_commit_loses_nothing(phase, after, unkilled, tmp_path):
    """Every fsync, rename, truncation and deletion of the run is the last one once.

    Each process is killed one write later than the one before it, counted from the last stage that stood; so every
    write of the cache, of each stage's commit and of the repair after a kill gets its turn. In "torn", it dies in the
    middle of a write and the file in hand lacks its end.
    """
    expected, _ = unkilled("probe")
    root, nth, kills, stages = tmp_path / "run", 1, 0, 0
    while (code := exit_code(CELLS["probe"], root, None, phase, nth, after)) != 0:
        assert code == -signal.SIGKILL
        kills += 1
        reached = finished_stages(root)
        assert reached in (stages, stages + 1)
        nth, stages = (nth + 1, stages) if reached == stages else (1, reached)
    assert kills >= 4 * 5  # four stages; a commit writes a checkpoint, three tables and a journal
    assert_same_as_unkilled(root, expected)


def finished_stages(root):
    journals = list(root.glob("cells/**/progress.json"))
    return json.loads(journals[0].read_bytes())["stages"] if journals else 0


def limited(cell, root, pipe, limit):
    """The run with no file longer than `limit` bytes: what a full disk does to a write. Sends what it says."""
    register()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        experiment.finish(cell, root=root)
    except store.StoreError as error:
        pipe.send(str(error))
    pipe.close()


@pytest.mark.parametrize("learner", ["supervised", "contrastive", "probe"])
def test_full_disk_is_reported_and_the_run_goes_on_once_there_is_space(learner, unkilled, tmp_path):
    expected, _ = unkilled(learner)
    grown = len(expected["picks.csv"])
    for limit in {"supervised": (0, 5000), "contrastive": (grown - 1,), "probe": (100, grown // 2)}[learner]:
        root = tmp_path / str(limit)
        ours, theirs = CONTEXT.Pipe()
        child = start(CELLS[learner], root, theirs, limit, target=limited)
        child.join(60)
        assert child.exitcode == 0 and ours.poll()
        message = ours.recv()
        assert "could not write" in message and "File too large" in message and "free some space" in message
        assert not list(root.rglob("*.part"))
        before = contents(root)
        assert exit_code(CELLS[learner], root) == 0
        assert_same_as_unkilled(root, expected)
        after = contents(root)
        assert all(after[name] == data for name, data in before.items() if name.startswith("cache"))


def hold(cell, root, pipe):
    """One stage of the run, and then the folder is held until the other end speaks."""
    register()
    records = experiment.run(cell, root=root)
    next(records)
    pipe.send("holding")
    pipe.recv()


def test_second_process_on_a_run_directory_is_refused_and_harms_nothing(unkilled, tmp_path):
    expected, _ = unkilled("supervised")
    ours, theirs = CONTEXT.Pipe()
    child = start(CELLS["supervised"], tmp_path, theirs, target=hold)
    assert ours.recv() == "holding"
    before = contents(tmp_path)
    with pytest.raises(store.StoreError, match="in use by another process; wait for it, or stop it"):
        experiment.finish(CELLS["supervised"], root=tmp_path)
    assert contents(tmp_path) == before
    ours.send("go")
    child.join(60)
    experiment.finish(CELLS["supervised"], root=tmp_path)
    assert tables(tmp_path) == expected


def counted_build(cell, root, log, barrier):
    """The run; a line in `log` for each stage-0 representation that is trained."""
    register()
    train = Representation.train

    def logged(self, answers_N, stage, **options):
        if stage == 0:
            with open(log, "a") as file:
                file.write(f"{os.getpid()}\n")
        return train(self, answers_N, stage, **options)

    Representation.train = logged
    barrier.wait(60)
    experiment.finish(cell, root=root)


def test_two_processes_at_once_build_the_stage_0_representation_once(tmp_path):
    barrier, log = CONTEXT.Barrier(2), tmp_path / "log"
    cells = [tiny("probe", "margin"), tiny("contrastive", "random_cl")]
    children = [start(cell, tmp_path / "root", log, barrier, target=counted_build) for cell in cells]
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    assert len(log.read_text().splitlines()) == 1
    assert len(list((tmp_path / "root" / "cache").glob("representation-*.pt"))) == 1
