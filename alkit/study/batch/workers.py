"""What runs cells: processes of this machine, one for each cell, or this process, or the workers of a Dask cluster.

A worker reports how its cell ended. Finished stages are on disk, whatever happens to the worker: a cell whose process
was killed is started again and goes on after its last finished stage.
"""

import contextlib
import ctypes
import multiprocessing
import os
import platform
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tqdm import tqdm

from alkit.experiment import Cell
from alkit.store import InUse, journal, record, writable
from alkit.study.batch import processes

TRIES = 5  # times in a row that a cell's process may be killed without finishing a stage
PAUSE = 2.0  # seconds until a cell that another process is running is tried again
PATIENCE = 20  # seconds for a scheduler to answer


@dataclass(frozen=True)
class Task:
    """A cell to run, and all that a process on any machine needs to run it."""

    cell: Cell
    root: Path
    folder: Path  # where the cell is kept
    fingerprint: str
    device: str  # "cpu" or "cuda"
    threads: int
    as_notebook: bool = False

    @property
    def log(self) -> Path:
        """The file for the cell's errors; it is deleted when the cell is done."""
        return self.root / "logs" / self.folder.parent.name / f"{self.folder.name}.log"


@dataclass(frozen=True)
class Outcome:
    """How a task ended. "busy": another process is running the cell. `message`: why it failed, in one line."""

    task: Task
    state: Literal["done", "failed", "busy"]
    message: str = ""


class Engine(Protocol):
    """What runs tasks, `jobs` at a time."""

    jobs: int

    def __call__(self, tasks: list[Task]) -> Iterator[Outcome]:
        """Run the tasks; yields an outcome for each, in the order in which they end."""

    def close(self) -> None:
        """End what the engine has started."""


def outcomes(tasks: list[Task], engine: Engine) -> Iterator[Outcome]:
    """The outcomes of all tasks, in the order in which they end. A "busy" one is yielded too, and tried again later."""
    while tasks:
        busy = []
        for outcome in engine(tasks):
            if outcome.state == "busy":
                busy.append(outcome.task)
            yield outcome
        tasks = busy
        if busy:
            time.sleep(PAUSE)


def work(task: Task) -> Outcome:
    """Run one task in this process. An `Exception` is not raised: it goes into the task's log."""
    try:
        _run(task)
        with contextlib.suppress(OSError):
            task.log.unlink(missing_ok=True)
        return Outcome(task, "done")
    except InUse:
        return Outcome(task, "busy")
    except Exception as error:
        text = f"--- {platform.node()}, process {os.getpid()}, {time.strftime('%F %T')}\n{traceback.format_exc()}"
        with contextlib.suppress(OSError, RuntimeError):  # a full disk is what there may be to report
            writable(task.log.parent)
            record(task.log)
            with open(task.log, "a") as file:
                file.write(text)
        return Outcome(task, "failed", f"{type(error).__name__}: {error}")


def _run(task: Task) -> None:
    import torch

    from alkit import experiment
    from alkit.benchmarks import shared_memory
    from alkit.runtime import threads
    from alkit.study.batch import cell_notebooks

    if task.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"{platform.node()} has no GPU that PyTorch sees, but the cells are planned for one (--device)"
        )
    device, benchmark = torch.device(task.device), shared_memory.load(task.fingerprint, task.root / "cache")
    if experiment.folder(task.cell, task.root, benchmark, device).path != task.folder:
        raise ValueError("the code of alkit has changed since the cells were planned; start again (restart the kernel)")
    if task.as_notebook:
        return cell_notebooks.execute(task.cell, task.folder.name)
    with threads(min(task.threads, torch.get_num_threads())):
        for _ in experiment.run(task.cell, root=task.root, device=device, benchmark=benchmark):
            with contextlib.suppress(AttributeError, OSError):  # glibc's own: back to the system what it would keep
                ctypes.CDLL(None).malloc_trim(0)


def cores() -> int:
    """CPU cores that this process may use."""
    from joblib import cpu_count

    return cpu_count()


class InProcess:
    """An engine that runs one cell after another in this process: with no copies, and strategies defined in it."""

    jobs = 1

    def __call__(self, tasks: list[Task]) -> Iterator[Outcome]:
        return map(work, tasks)

    def close(self) -> None:
        """Nothing was started."""


class Local:
    """An engine of `jobs` processes at a time on this machine; each cell has a process of its own.

    A cell whose process is killed is tried again, until that has happened `TRIES` times in a row without a finished
    stage. All processes end with the one that started them, and when `close` is called.
    """

    def __init__(self, jobs: int):
        self.jobs, self.stopped, self.children = jobs, threading.Event(), set()
        self.forks = "forkserver" in multiprocessing.get_all_start_methods()
        self.context = multiprocessing.get_context("forkserver" if self.forks else "spawn")
        if self.forks:  # PyTorch is loaded once, and its memory shared
            os.environ[processes.STARTER] = str(os.getpid())
            self.context.set_forkserver_preload(["alkit.study.batch.preload"])

    def __call__(self, tasks: list[Task]) -> Iterator[Outcome]:
        # the one that starts workers takes a Ctrl-C, and ends them
        slots, finished = ThreadPoolExecutor(self.jobs, initializer=processes.block_interrupts_of_children), False
        try:
            for future in as_completed([slots.submit(self._attempts, task) for task in tasks]):
                yield future.result()
            finished = True
        finally:
            self.stopped.set()
            for child in list(self.children):
                child.kill()
            slots.shutdown(wait=False, cancel_futures=True)
            if not finished:
                self.close()  # a thread may be waiting for a fork server that is loading
            slots.shutdown()
            self.stopped.clear()

    def close(self) -> None:
        """End the fork server, which would otherwise stay as long as this process."""
        if self.forks:
            from multiprocessing.forkserver import _forkserver  # there is no public way

            if _forkserver._forkserver_pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(_forkserver._forkserver_pid, signal.SIGKILL)
                _forkserver._stop()

    def _attempts(self, task: Task) -> Outcome:
        tries, stages, code = 0, journal(task.folder).get("stages", 0), None
        while tries < TRIES and not self.stopped.is_set():
            outcome, code = self._attempt(task)
            if outcome:
                return outcome
            if code == 1:  # of Python; a signal is negative, and 255 is said where the fork server was killed
                main = "a script that runs cells must do so below `if __name__ == '__main__':`"
                return Outcome(
                    task, "failed", f"its process ended with exit code {code} before it ran anything; {main}"
                )
            before, stages = stages, journal(task.folder).get("stages", 0)
            tries = 1 if stages > before else tries + 1
        reason = (
            f"its process was killed {tries} times in a row (exit code {code}); it may need more memory than there is"
        )
        return Outcome(task, "failed", reason)

    def _attempt(self, task: Task) -> tuple[Outcome | None, int]:
        """What a process reports of the task (None where it was killed), and its exit code."""
        ours, theirs = self.context.Pipe(duplex=False)
        child = self.context.Process(target=_child, args=(task, theirs))
        try:
            child.start()
        except (EOFError, ConnectionError):  # the fork server was killed; the next try starts another
            return None, 255
        self.children.add(child)
        if self.stopped.is_set():  # between the question whether to start it and the start
            child.kill()
        theirs.close()  # so that the end of the child is the end of the pipe
        try:
            outcome = ours.recv()
        except EOFError:
            outcome = None
        child.join()
        self.children.discard(child)
        return outcome, child.exitcode


def _child(task: Task, pipe) -> None:
    """Run one task in a process of its own, which ends with the one that started it."""
    processes.end_with_starter()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed process leaves behind
    os.environ |= {"OMP_NUM_THREADS": str(task.threads), "ALKIT_RUNS": str(task.root)}  # for kernels that it starts
    pipe.send(work(task))


class Dask:
    """An engine of a running Dask cluster's workers, which have one thread each, this alkit, and access to the store.

    `scheduler`: its address (tcp://host:8786) or the file that it wrote (--scheduler-file). ValueError, at once, where
    it cannot be reached or its workers do not fit.
    """

    def __init__(self, scheduler: str, root: Path):
        try:
            from dask.distributed import Client
        except ImportError as error:
            raise ValueError("a scheduler needs Dask: python -m pip install distributed") from error
        file = Path(scheduler)
        if "://" not in scheduler and not file.is_file():
            raise ValueError(
                f"no Dask scheduler: {scheduler!r} is no address (tcp://host:port), and no such file exists"
            )
        where = {"address": scheduler} if "://" in scheduler else {"scheduler_file": str(file)}
        try:
            self.client = Client(**where, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TimeoutError, KeyError) as error:
            raise ValueError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        try:
            self._check_workers(root)
        except BaseException:
            self.client.close()
            raise

    def _check_workers(self, root: Path) -> None:
        from alkit import __version__

        try:
            self.client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise ValueError(f"the Dask scheduler has had no worker for {PATIENCE} s: start some") from error
        crowded = [worker for worker, n in self.client.nthreads().items() if n != 1]
        if crowded:
            raise ValueError(f"Dask worker {crowded[0]} has more than one thread; start workers with --nthreads 1")
        try:
            found = self.client.run(_introduce, str(root))
        except Exception as error:  # a worker without alkit, or with another version, may raise anything
            raise ValueError(f"a Dask worker cannot run alkit {__version__}: {error!r}") from error
        for worker, (version, sees) in found.items():
            if version != __version__ or not sees:
                reason = (
                    f"has alkit {version}, not {__version__}" if version != __version__ else f"cannot write to {root}"
                )
                raise ValueError(f"Dask worker {worker} {reason}")

    @property
    def jobs(self) -> int:
        return max(1, len(self.client.nthreads()))

    def __call__(self, tasks: list[Task]) -> Iterator[Outcome]:
        from dask.distributed import as_completed as as_they_come

        futures = dict(zip(self.client.map(work, tasks, pure=False), tasks))
        for future, result in as_they_come(futures, loop=self.client.loop, with_results=True, raise_errors=False):
            if future.status == "finished":
                yield result
            else:  # Dask gives a task up when its workers died several times
                yield Outcome(futures[future], "failed", f"its workers died: {future.exception()!r}")

    def close(self) -> None:
        """Disconnect from the cluster."""
        self.client.close()


def _introduce(root: str) -> tuple[str, bool]:
    """The version of a Dask worker's alkit, and whether the worker can write to the store."""
    from alkit import __version__
    from alkit.store import StoreError

    try:
        return __version__, writable(Path(root)) is not None and any(Path(root).glob("cache/benchmark-*.npz"))
    except StoreError:
        return __version__, False
