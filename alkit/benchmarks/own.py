"""Pools of one's own: what was labelled, kept in a file, so that every process finds it by a name such as "own-mine".

A file is `pools/<name>.npz` in the data folder: images, labels, categories, the test set, and their fingerprint.
"""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from alkit import paths
from alkit.benchmarks.pool import CATEGORIES, ID, NO_VOTE, Benchmark, Pool
from alkit.benchmarks.sources.files import read_arrays
from alkit.store import StoreError, writable, write_atomic

MAKE_AGAIN = "delete it, and save the pool again"
KINDS = {  # dtype kind or dtype, and number of dimensions
    "images_NCHW": ("uint8", 4),
    "labels_N": ("int64", 1),
    "category_N": ("uint8", 1),
    "source_N": ("U", 1),
    "test_images_MCHW": ("uint8", 4),
    "test_labels_M": ("int64", 1),
    "class_names": ("U", 1),
    "fingerprint": ("U", 0),
}


def own(folder: Path | None = None, *, pool: str = "") -> Benchmark:
    """The pool of your own that was saved as `pool`, from `pools/` in the data folder.

    ValueError, with the names of all pools, where there is none of that name; StoreError where its file is damaged.
    """
    path = paths.own_pool(f"{paths.OWN}-{pool}", folder)
    stat = path.stat()
    return _own(path, (stat.st_mtime_ns, stat.st_ino, stat.st_size))


def variant(parts: Sequence[str]) -> dict:
    """The option of `own` that the rest of a benchmark's name stands for."""
    if len(parts) != 1 or not paths.is_pool_name(parts[0]):
        raise ValueError(_unnamed("-".join(parts)))
    return {"pool": parts[0]}


def save(benchmark: Benchmark, folder: Path | None = None) -> Path:
    """Write a benchmark called own-<name> to its file, in place of one that is there; returns the path.

    Votes and parents are not kept. ValueError, before anything is written, where it is no sound benchmark; StoreError
    where the folder is full or closed.
    """
    family, _, name = benchmark.name.partition("-")
    if family != paths.OWN or not paths.is_pool_name(name):
        raise ValueError(_unnamed(name))
    pool = benchmark.pool
    arrays = {
        **vars(pool),
        "test_images_MCHW": benchmark.test_images_MCHW,
        "test_labels_M": benchmark.test_labels_M,
        "class_names": np.array(benchmark.class_names, str),
        "fingerprint": np.array(benchmark.fingerprint),
    }
    if problem := _problem(arrays):
        raise ValueError(f"{benchmark.name} cannot be saved: {problem}")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path = writable(paths.pools_folder(folder), "ALKIT_DATA") / f"{name}.npz"
    write_atomic(path, buffer.getvalue())
    return path


def _unnamed(name: str) -> str:
    return f"a pool of your own is called own-<name>, the name of small letters, digits and _, got {name!r}"


@lru_cache(maxsize=1)
def _own(path: Path, stamp: tuple) -> Benchmark:
    """The benchmark in the file; `stamp` tells the file from one that replaces it."""
    arrays = read_arrays(path, MAKE_AGAIN)
    if problem := _problem(arrays):
        raise StoreError(f"{path} is not a pool: {problem}; {MAKE_AGAIN}")
    pool = Pool(*(arrays[name] for name in ("images_NCHW", "labels_N", "category_N", "source_N")))
    names = tuple(arrays["class_names"].tolist())
    votes, parents = np.full((len(pool), 1), NO_VOTE, np.uint8), np.full((len(pool), 2), -1, np.int64)
    test = arrays["test_images_MCHW"], arrays["test_labels_M"]
    made = Benchmark(f"{paths.OWN}-{path.stem}", pool, *test, names, votes, parents)
    if made.fingerprint != str(arrays["fingerprint"]):
        raise StoreError(f"{path} holds other images or labels than its fingerprint says; {MAKE_AGAIN}")
    return made


def _problem(arrays: dict[str, np.ndarray]) -> str | None:
    """What is wrong with the arrays of a pool's file, or None."""
    for name, (kind, dimensions) in KINDS.items():
        if name not in arrays:
            return f"it holds no `{name}`"
        array = arrays[name]
        if kind not in (array.dtype.kind, array.dtype.name) or array.ndim != dimensions:
            wanted = f"{'texts' if kind == 'U' else kind} in {dimensions} dimensions"
            return f"`{name}` must be {wanted}, got {array.dtype} of shape {array.shape}"
    images, tested, names = arrays["images_NCHW"], arrays["test_images_MCHW"], arrays["class_names"].tolist()
    labels, category, k = arrays["labels_N"], arrays["category_N"], len(names)
    if not images.size or not tested.size or images.shape[1:] != tested.shape[1:] or images.shape[1] not in (1, 3):
        return f"images must be grey or RGB, pool's and test set's alike, got {images.shape} and {tested.shape}"
    if {len(labels), len(category), len(arrays["source_N"])} != {len(images)}:
        return f"labels, categories and sources must be one for each of the pool's {len(images)} images"
    if len(arrays["test_labels_M"]) != len(tested):
        return f"there are {len(arrays['test_labels_M'])} labels for the test set's {len(tested)} images"
    if k < 2 or len(set(names)) < k:
        return f"it takes two classes or more, each of its own name, got {', '.join(names) or 'none'}"
    if category.max() >= len(CATEGORIES):
        return f"categories must be from 0 to {len(CATEGORIES) - 1}, got {category.max()}"
    if not (category == ID).any():
        return "no image of its pool has a class"
    for what, some in (("iD", labels[category == ID]), ("test", arrays["test_labels_M"])):
        if some.min() < 0 or some.max() >= k:
            return f"labels of {what} images must be from 0 to {k - 1}, got {some.min()} to {some.max()}"
    if (labels[category != ID] != k).any():
        return f"the label of an image that is not iD must be {k}"
    return None
