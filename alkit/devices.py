"""What a run is computed on, and with which versions."""

import platform

import numpy as np
import sklearn
import torch


def environment(device: torch.device) -> dict:
    """What a result depends on beside its configuration: recorded, not hashed."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    versions = {"torch": torch.__version__, "numpy": np.__version__, "scikit-learn": sklearn.__version__}
    return {"device": f"{device.type}: {name}", "python": platform.python_version(), **versions}


def default_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
