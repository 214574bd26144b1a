"""Named, independent random streams.

Every random choice of the study draws from a stream that is named after what it decides (`initial`, `model`,
`strategy`, `representation.batches`, ...) and derived from (seed, name, stage) alone. So two strategies of one seed
share everything but their own choices, and a stage can be computed again without replaying the stages before it.
"""

import zlib
from contextlib import contextmanager

import numpy as np
import torch


def sequence(seed: int, name: str, *stage: int) -> np.random.SeedSequence:
    """The seed sequence of stream `name` at `stage` (any number of non-negative integers)."""
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()), *stage))


def numpy_stream(seed: int, name: str, *stage: int) -> np.random.Generator:
    """A fresh NumPy generator for one use of stream `name`."""
    return np.random.default_rng(sequence(seed, name, *stage))


def torch_stream(seed: int, name: str, *stage: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator on `device` for one use of stream `name`."""
    return torch.Generator(device).manual_seed(integer(seed, name, *stage))


def integer(seed: int, name: str, *stage: int) -> int:
    """One 63-bit integer of stream `name`, for libraries that take a plain seed."""
    return int(sequence(seed, name, *stage).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int):
    """A block in which torch's global CPU stream starts from `seed`; after it, the stream goes on as if untouched.

    For layers, which initialise themselves from the global stream and take no generator.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
