"""Processes that do not outlive the one that started them, however that ends, and that leave Ctrl-C to it.

A Ctrl-C in a terminal reaches every process of a command, at any moment. Raised as KeyboardInterrupt it would end in
tracebacks of whatever is loading or waiting, and in C++ it ends a process by abort. So the command line blocks it for
itself and, thereby, for all that it starts, and ends by one thread that waits for it (`ends_on_interrupt`).

This module loads nothing heavy: a process imports it first, and is watched while it loads the rest.
"""

import contextlib
import importlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path

POLL = 0.2  # seconds between two looks at whether the parent is still there
STARTER = "ALKIT_STARTER"  # environment variable: the process that starts a fork server
MASKS = hasattr(signal, "pthread_sigmask")  # not on Windows
INTERRUPTED = "alkit: interrupted; the same command goes on from here"

_interrupted = threading.Event()
_scratch: set[str] = set()


@contextlib.contextmanager
def ends_on_interrupt() -> Iterator[None]:
    """A block of the main thread in which Ctrl-C ends this process: one sentence on standard error, exit status 130.

    The signal is blocked for all threads and processes that are started in the block, and their ends are those of this
    process. It is heard also where a shell has started the command in the background, with the signal ignored.
    Temporary folders (`scratch`) are deleted. On Windows Ctrl-C stays a KeyboardInterrupt.
    """
    if not MASKS:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: _end())  # where a library lifts the block for a moment
    block_interrupts()
    threading.Thread(target=lambda: signal.sigwait({signal.SIGINT}) and _end(), daemon=True).start()
    try:
        yield
    finally:
        if _interrupted.is_set():  # what fails or ends now is not what is reported
            threading.Event().wait()


def _end() -> None:
    if _interrupted.is_set():
        return
    _interrupted.set()
    below = "\x1b[J" if os.isatty(2) else ""  # takes progress bars away
    with contextlib.suppress(OSError):
        os.write(2, f"\n{below}{INTERRUPTED}\n".encode())
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for folder in list(_scratch):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(130)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder for the block; it is deleted at its end, and where Ctrl-C ends the process in it."""
    with tempfile.TemporaryDirectory() as folder:
        _scratch.add(folder)
        try:
            yield Path(folder)
        finally:
            _scratch.discard(folder)


def end_with_parent(parent: int | None = None, *, without: str | None = None) -> Callable[[], None]:
    """End this process soon after its parent, of process id `parent`, has ended; returns what ends the watch.

    `without`: a file that is deleted then.
    """
    parent, stop = parent or os.getppid(), threading.Event()

    def watch():
        while not stop.wait(POLL):
            if os.getppid() != parent:
                if without:
                    Path(without).unlink(missing_ok=True)
                os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()

    def end_watch():
        stop.set()
        thread.join()

    return end_watch


def end_with_starter() -> None:
    """End this process, which `multiprocessing` started, as soon as the process that asked for it has ended."""

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def block_interrupts() -> None:
    """Let this thread, and processes that it starts, not be interrupted by Ctrl-C."""
    if MASKS:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def block_interrupts_of_children() -> None:
    """`block_interrupts` for a thread that is going to start processes with `multiprocessing`.

    Its resource tracker, which starts with the first process, lifts the block in the thread that starts it.
    """
    if MASKS:
        resource_tracker.ensure_running()
        block_interrupts()


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """`block_interrupts_of_children` for a `with` block; a Ctrl-C that comes in it takes effect at its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if MASKS else ()
    block_interrupts_of_children()
    try:
        yield
    finally:
        if MASKS:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def apart(module: str, function: str, *args):
    """What `function(*args)` of the module called `module` returns or raises, from a process of its own.

    Arguments, result and error must be picklable. RuntimeError where the process is killed.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(theirs, module, function, args))
    try:
        with interrupts_blocked():
            child.start()
        theirs.close()  # so that the end of the child is the end of the pipe
        value, error = ours.recv()
    except EOFError:
        child.join()
        raise RuntimeError(f"the process that checks the request ended with exit code {child.exitcode}") from None
    finally:
        if child.pid is not None:
            child.kill()
            child.join()
        ours.close()
    if error is not None:
        raise error
    return value


def _answer(pipe: Connection, module: str, function: str, args: tuple) -> None:
    end_with_starter()
    try:
        pipe.send((getattr(importlib.import_module(module), function)(*args), None))
    except Exception as error:
        pipe.send((None, error))
