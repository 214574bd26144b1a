"""Notebook kernels that end with the process that started them, from their first moment on, however that ends.

ipykernel's own watch begins once a kernel is up, and does not see a parent that ended before.
"""

import os
import sys

from alkit.study.batch import processes

if __name__ == "__main__":  # before the imports that take long
    _file = sys.argv[sys.argv.index("-f") + 1]  # tells how to connect to the kernel
    processes.end_with_parent(int(os.environ["JPY_PARENT_PID"]), without=_file)  # set by jupyter_client

from jupyter_client import AsyncKernelManager

WAIT = 2.0  # seconds that a kernel has to end in when it is told to


class KernelManager(AsyncKernelManager):
    """Starts and stops Python kernels that run this module."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.shutdown_wait_time = WAIT

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The command line that starts a kernel."""
        command = super().format_kernel_cmd(extra_arguments)
        return [__name__ if part == "ipykernel_launcher" else part for part in command]


if __name__ == "__main__":
    from ipykernel import kernelapp

    kernelapp.launch_new_instance()
