"""python -m alkit: the study's command line."""

import signal
import sys

if __name__ == "__main__":
    if hasattr(
        signal, "pthread_sigmask"
    ):  # before the imports: a Ctrl-C that comes while they load is taken after them
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    from alkit.study.batch import processes

    with processes.ends_on_interrupt():
        from alkit.study.cli import main

        sys.exit(main())
