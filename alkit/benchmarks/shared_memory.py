"""Benchmarks as memory-mapped files: the processes of a sweep share one copy of the images, and build them once."""

import io
from pathlib import Path

import numpy as np

from alkit.benchmarks.pool import Benchmark, Pool
from alkit.store import StoreError, lock, writable, write_atomic

SMALL = ("labels_N", "category_N", "source_N")  # of the pool
OTHERS = ("test_labels_M", "votes_NV", "parents_N2")


def keep(benchmark: Benchmark, folder: Path) -> Benchmark:
    """`benchmark` as `load` gives it to every process, its files written to `folder` unless they are there already."""
    writable(folder)
    stem, pool = _stem(benchmark.fingerprint, folder), benchmark.pool
    small = {name: getattr(pool, name) for name in SMALL} | {name: getattr(benchmark, name) for name in OTHERS}
    with lock(stem.with_suffix(".lock")):
        if not stem.with_suffix(".npz").exists():
            write_atomic(_images(stem, "pool"), _bytes(np.save, pool.images_NCHW))
            write_atomic(_images(stem, "test"), _bytes(np.save, benchmark.test_images_MCHW))
            names = {"name": np.array(benchmark.name), "class_names": np.array(benchmark.class_names)}
            write_atomic(stem.with_suffix(".npz"), _bytes(np.savez_compressed, **small, **names))  # last: all is there
    return load(benchmark.fingerprint, folder)


def load(fingerprint: str, folder: Path) -> Benchmark:
    """The benchmark of this fingerprint from what `keep` left in `folder`, its images mapped and checked.

    They are mapped copy-on-write: a stray write stays in the process that made it. StoreError where a file is missing
    or its content is not what the fingerprint says.
    """
    stem = _stem(fingerprint, folder)
    try:
        images, test_images = (np.load(_images(stem, part), mmap_mode="c") for part in ("pool", "test"))
        with np.load(stem.with_suffix(".npz")) as file:
            small = dict(file)
        pool = Pool(images, *(small[name] for name in SMALL))
        names = tuple(small["class_names"].tolist())
        votes_NV, parents_N2 = small["votes_NV"], small["parents_N2"]
        made = Benchmark(str(small["name"]), pool, test_images, small["test_labels_M"], names, votes_NV, parents_N2)
        if made.fingerprint == fingerprint:
            return made
        reason = "other content than its fingerprint says"
    except (OSError, ValueError, LookupError) as error:
        reason = str(error)
    raise StoreError(f"{stem}* is missing or damaged ({reason}); delete these files and run again")


def _stem(fingerprint: str, folder: Path) -> Path:
    return Path(folder) / f"benchmark-{fingerprint[:12]}"


def _images(stem: Path, part: str) -> Path:
    return stem.with_name(f"{stem.name}-{part}.npy")


def _bytes(save, *arrays, **named) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *arrays, **named)
    return buffer.getvalue()
