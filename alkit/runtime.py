"""What a run is computed on, with how many threads, and the seconds that it spends."""

import contextlib
import platform
import time
import warnings

import numpy as np
import sklearn
import torch
from threadpoolctl import threadpool_limits


class Clock:
    """Seconds by phase: `with clock("train"): ...`"""

    def __init__(self):
        self.spent = {"train": 0.0, "extract": 0.0, "choose": 0.0}

    @contextlib.contextmanager
    def __call__(self, phase: str):
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent[phase] += time.perf_counter() - start

    def seconds(self) -> dict:
        return {f"{phase}_seconds": round(value, 4) for phase, value in self.spent.items()}


def environment(device: torch.device) -> dict:
    """What a result depends on beside its configuration: recorded, not hashed."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    versions = {"torch": torch.__version__, "numpy": np.__version__, "scikit-learn": sklearn.__version__}
    return {"device": f"{device.type}: {name}", "python": platform.python_version(), **versions}


def default_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def threads(n: int):
    """At most `n` CPU threads in torch and BLAS inside the block (0 = leave as is).

    How many threads share a sum decides its order, and so its last bits; a fixed number makes them the same on every
    machine of a kind, whatever its cores.
    """
    before = torch.get_num_threads()
    with threadpool_limits(n or None):
        torch.set_num_threads(n or before)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def resident(images_NCHW: np.ndarray, device: torch.device) -> torch.Tensor:
    """The images on `device`. On a CPU this is the array's own memory, which others may map: do not write."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(images_NCHW).to(device)
