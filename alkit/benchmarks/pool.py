"""What a benchmark is: an unlabelled pool of iD, ambiguous and OoD images, and a test set; and how one is mixed.

Nothing here depends on the order in which a source's files come: images are drawn, and put into the pool, in the order
of a hash of their content.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

ID, AMBIGUOUS, OOD = 0, 1, 2
CATEGORIES = ("iD", "ambiguous", "OoD")
NO_VOTE = 255  # in `Benchmark.votes_NV`, for images that were not voted on, and for votes that name no class


@dataclass(frozen=True)
class Pool:
    """An unlabelled pool. Labels and categories are hidden from everything but the oracle; the arrays are read-only."""

    images_NCHW: np.ndarray  # uint8
    labels_N: np.ndarray  # int64: 0..K-1, and K for what is not iD; below K in OoD: of a class to be declared later
    category_N: np.ndarray  # uint8: ID, AMBIGUOUS or OOD
    source_N: np.ndarray  # str: a key of `sources.catalogue.SOURCES`, or a name of your own

    def __post_init__(self):
        _freeze(self, "images_NCHW", "labels_N", "category_N", "source_N")
        lengths = {name: len(array) for name, array in vars(self).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"a pool's arrays must be of one length, got {lengths}")

    def __len__(self) -> int:
        return len(self.labels_N)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A pool, a test set of iD images, and how the ambiguous part came about; the arrays are read-only."""

    name: str
    pool: Pool
    test_images_MCHW: np.ndarray  # uint8
    test_labels_M: np.ndarray  # int64: 0..K-1
    class_names: tuple[str, ...]  # of the K classes
    votes_NV: np.ndarray  # uint8, the class that voter v named for pool image n; NO_VOTE for none, or none of the K
    parents_N2: np.ndarray  # int64, pool positions of the two images that a mixture was made from; -1 elsewhere

    def __post_init__(self):
        _freeze(self, "test_images_MCHW", "test_labels_M", "votes_NV", "parents_N2")

    @property
    def n_classes(self) -> int:
        """K, without the auxiliary class."""
        return len(self.class_names)

    @cached_property
    def fingerprint(self) -> str:
        """`fingerprint` of this benchmark: results that carry different ones must not be compared."""
        return fingerprint(self.pool, self.test_images_MCHW, self.test_labels_M)


def _freeze(holder, *names: str) -> None:
    for name in names:
        array = getattr(holder, name).view()
        array.flags.writeable = False
        object.__setattr__(holder, name, array)


def fingerprint(pool: Pool, test_images_MCHW: np.ndarray, test_labels_M: np.ndarray) -> str:
    """SHA-256 over images, labels, categories and their order, of pool and test set, shapes and types included."""
    digest = hashlib.sha256()
    for array in (pool.images_NCHW, pool.labels_N, pool.category_N, test_images_MCHW, test_labels_M):
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{little.dtype.str} {little.shape};".encode())
        digest.update(little)
    return digest.hexdigest()


@lru_cache(maxsize=2)
def subpool(benchmark: Benchmark, share: float) -> Benchmark:
    """`benchmark` with the first `share` of each class and source of its pool, at least one image (see `taken`).

    The order of a pool is decided by the images' content, so this is a fixed random draw.
    """
    if share == 1:
        return benchmark
    pool, rows = benchmark.pool, []
    kinds = np.unique(np.stack([pool.labels_N, pool.category_N, pool.source_N]), axis=1, return_inverse=True)[1]
    for kind in range(kinds.max() + 1):
        members = np.flatnonzero(kinds == kind)
        rows.append(members[: max(1, round(share * len(members)))])
    return taken(benchmark, np.concatenate(rows))


def taken(benchmark: Benchmark, rows: np.ndarray) -> Benchmark:
    """`benchmark` with those rows of its pool, in the pool's order; the test set whole.

    A mixture whose two parents are not both in it has none.
    """
    pool, rows = benchmark.pool, np.sort(rows)
    place = np.full(len(pool) + 1, -1)  # the last one for parents that are -1
    place[rows] = np.arange(len(rows))
    parents = place[benchmark.parents_N2[rows]]
    parents[(parents < 0).any(1)] = -1
    kept = Pool(*(array[rows] for array in (pool.images_NCHW, pool.labels_N, pool.category_N, pool.source_N)))
    return replace(benchmark, pool=kept, votes_NV=benchmark.votes_NV[rows], parents_N2=parents)


def content_order(images: Sequence[np.ndarray] | np.ndarray, purpose: str, *ties: np.ndarray) -> np.ndarray:
    """Positions of `images` in the order of their SHA-256: a fixed shuffle, whatever order the images come in.

    Each `purpose` has a shuffle of its own: with one for all, the images that a split took first would be missing from
    the front of the pool, and a position would tell iD from the rest. Equal images are ordered by `ties`, arrays of one
    number an image, such as their labels.
    """
    return np.lexsort((*reversed(ties), _keys(images, purpose)))


def _keys(images: Sequence[np.ndarray] | np.ndarray, purpose: str) -> np.ndarray:
    """The SHA-256 of each image: bytes (N,)."""
    return np.array([hashlib.sha256(purpose.encode() + image.tobytes()).digest() for image in images], dtype="S32")


class Part(NamedTuple):
    """Images of one category and source, on their way into a pool."""

    category: int  # ID, AMBIGUOUS or OOD
    source: str  # where they are from: a key of `sources.catalogue.SOURCES`, or a name of your own
    images: np.ndarray  # uint8 (N, H, W) or (N, H, W, 3)
    labels: np.ndarray | None = None  # 0..K-1 for iD images; not looked at for others


def assemble(
    name: str, parts: Sequence[Part], test_images: np.ndarray, test_labels: np.ndarray, class_names: Sequence[str]
) -> tuple[Benchmark, np.ndarray]:
    """A benchmark mixed from `parts`, and the position in its pool of each of their images in turn.

    Images are uint8, (N, H, W) or (N, H, W, 3), all of one shape. iD and test images have labels: class k is
    `class_names[k]`. Votes and parents stay empty. ValueError where shapes, types or labels are others. For example:

    >>> pets = catalogue.read("pets", folder, shape=(32, 32, 3))  # images, labels, label_names
    >>> junk = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    >>> parts = [Part(ID, "pets", pets["images"][::2], pets["labels"][::2]), Part(OOD, "junk", junk)]
    >>> benchmark, _ = assemble("mine", parts, pets["images"][1::2], pets["labels"][1::2], pets["label_names"])
    >>> benchmarks.BENCHMARKS["mine"] = lambda folder=None: benchmark  # now `benchmarks.load("mine")` finds it,
    >>> recipes.RECIPES["mine", "laptop"] = recipes.RECIPES["mixdigits", "laptop"]  # and cells can be run on it
    """
    if not parts:
        raise ValueError("a benchmark is mixed from one part or more, got none")
    for source, images in (*((part.source, part.images) for part in parts), ("the test set", test_images)):
        if images.dtype != np.uint8 or not (images.ndim == 3 or images.ndim == 4 and images.shape[3] == 3):
            given = f"{images.dtype} of shape {images.shape}"
            raise ValueError(f"images must be uint8 of shape (N, H, W) or (N, H, W, 3), those of {source} are {given}")
    shapes = {part.images.shape[1:] for part in parts} | {test_images.shape[1:]}
    if len(shapes) > 1:
        raise ValueError(f"the images of a benchmark must be of one shape, got {', '.join(map(str, sorted(shapes)))}")
    k, sizes = len(class_names), [len(part.images) for part in parts]
    labels = np.concatenate([_labels(part, k) for part in parts])
    tested = _labels(Part(ID, "the test set", test_images, test_labels), k)
    category = np.repeat(np.array([part.category for part in parts], np.uint8), sizes)
    keys = np.concatenate([_keys(part.images, "pool") for part in parts])
    order = np.lexsort((labels, category, keys))  # so that a position tells nothing about a category
    position = np.argsort(order)
    images = np.empty((len(order), *channels_first(test_images[:1]).shape[1:]), np.uint8)
    for part, end in zip(parts, np.cumsum(sizes), strict=True):
        images[position[end - len(part.images) : end]] = channels_first(part.images)
    source = np.repeat([part.source for part in parts], sizes)
    pool = Pool(images, labels[order], category[order], source[order])
    votes, parents = np.full((len(order), 1), NO_VOTE, np.uint8), np.full((len(order), 2), -1, np.int64)
    test = np.ascontiguousarray(channels_first(test_images)), tested
    return Benchmark(name, pool, *test, tuple(map(str, class_names)), votes, parents), position


def _labels(part: Part, k: int) -> np.ndarray:
    if part.category != ID:
        return np.full(len(part.images), k, np.int64)
    labels = np.asarray([] if part.labels is None else part.labels)
    whole = labels.shape == part.images.shape[:1] and np.array_equal(labels, labels.astype(np.int64))
    if not whole or len(labels) and not 0 <= labels.min() <= labels.max() < k:
        raise ValueError(f"every iD image of {part.source!r} must have a label from 0 to {k - 1}")
    return labels.astype(np.int64)


def channels_first(images: np.ndarray) -> np.ndarray:
    """A view (N, C, H, W) of images (N, H, W) or (N, H, W, 3)."""
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
