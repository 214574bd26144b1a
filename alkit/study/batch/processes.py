"""Processes that do not outlive the one that started them, however that ends, and that leave Ctrl-C to it.

This module loads nothing heavy: a process imports it first, and is watched while it loads the rest.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

POLL = 0.2  # seconds between two looks at whether the parent is still there


def end_with_parent(parent: int | None = None) -> Callable[[], None]:
    """End this process soon after its parent, of process id `parent`, has ended; returns what ends the watch."""
    parent, stop = parent or os.getppid(), threading.Event()

    def watch():
        while not stop.wait(POLL):
            if os.getppid() != parent:
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
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """`block_interrupts` for a `with` block; a Ctrl-C that comes in it takes effect at its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if hasattr(signal, "pthread_sigmask") else None
    block_interrupts()
    try:
        yield
    finally:
        if before is not None:
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
