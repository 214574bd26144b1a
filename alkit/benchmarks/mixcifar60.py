"""MixCIFAR60 of Kim, Kim and Hwang, 2023 (arXiv:2303.14433), mixed from sources in the data folder."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from alkit import rng
from alkit.benchmarks.pool import AMBIGUOUS, ID, OOD, Benchmark, Part, assemble
from alkit.benchmarks.sources import catalogue
from alkit.benchmarks.sources.catalogue import draw_by_content, read_labelled, stamps
from alkit.paths import data_folder
from alkit.store import StoreError

COLOUR_32 = (32, 32, 3)
MIXCIFAR60 = {"iD": 30_000, "ambiguous": 15_000, "OoD": 15_000, "test": 6_000}
OOD_OF_MIXCIFAR60 = ("lsun_fix", "svhn")
SPLIT = re.compile(r"split\d+")
ID_CLASSES = 3  # of the five of each superclass of CIFAR-100; the other two are ambiguous


def mixcifar60(
    folder: Path | None = None, *, ood: Sequence[str] = OOD_OF_MIXCIFAR60, split_seed: int | None = None
) -> Benchmark:
    """MixCIFAR60: 60 classes of CIFAR-100 are iD, the other 40 ambiguous; scenes and house numbers are OoD.

    Of the five classes of each superclass, the first three of the alphabet are iD; `split_seed` draws three. `ood`
    names what gives the 15,000 OoD images, in equal shares: files of `sources.catalogue.SOURCES`, or directories of
    images in the data folder. Anything but the defaults is part of the benchmark's name. StoreError where a source is
    missing, damaged or too small, ValueError for options that make no sense.
    """
    ood = (ood,) if isinstance(ood, str) else tuple(sorted(ood))  # their order decides nothing
    if not ood or len(set(ood)) < len(ood):
        raise ValueError(f"ood must name one source of images or more, each once, got {ood}")
    if odd := [source for source in ood if "-" in source or SPLIT.fullmatch(source)]:
        raise ValueError(f"{', '.join(odd)} cannot be part of a benchmark's name: rename it, with no '-' in it")
    if split_seed is not None and (isinstance(split_seed, bool) or not isinstance(split_seed, int) or split_seed < 0):
        raise ValueError(f"split_seed must be None or a whole number from 0 up, got {split_seed!r}")
    folder = data_folder(folder)
    return _mixcifar60(folder, ood, split_seed, stamps(folder, "cifar100_train", "cifar100_test", *ood))


def variant(parts: Sequence[str]) -> dict:
    """The options of `mixcifar60` that the parts of a benchmark's name stand for: sources of OoD, and split<seed>."""
    seeds = [part for part in parts if SPLIT.fullmatch(part)]
    ood = [part for part in parts if part not in seeds]
    if len(seeds) > 1 or not all(parts):
        raise ValueError(f"a variant of mixcifar60 names sources and at most one split<seed>, got {'-'.join(parts)!r}")
    return {**({"ood": ood} if ood else {}), **({"split_seed": int(seeds[0][5:])} if seeds else {})}


@lru_cache(maxsize=1)
def _mixcifar60(folder: Path, ood: tuple[str, ...], split_seed: int | None, stamps: tuple) -> Benchmark:
    train, test = (read_labelled(f"cifar100_{split}", folder, COLOUR_32) for split in ("train", "test"))
    names = split_classes(train, split_seed)
    number = {name: k for k, name in enumerate(names)}
    own, other, tested = (
        draw_by_content(arrays, MIXCIFAR60[part], part, source, among=_is_named(arrays, names) == wanted)
        for arrays, part, source, wanted in (
            (train, "iD", "cifar100_train", True),
            (train, "ambiguous", "cifar100_train", False),
            (test, "test", "cifar100_test", True),
        )
    )
    parts = [
        Part(ID, "cifar100", train["images"][own], _renumbered(train, number)[own]),
        Part(AMBIGUOUS, "cifar100", train["images"][other]),
    ]
    for share, source in zip(_shares(MIXCIFAR60["OoD"], len(ood)), ood, strict=True):
        arrays = catalogue.read(source, folder, shape=COLOUR_32)
        parts.append(Part(OOD, source, arrays["images"][draw_by_content(arrays, share, "OoD", source)]))
    variant = [] if ood == OOD_OF_MIXCIFAR60 else list(ood)
    variant += [] if split_seed is None else [f"split{split_seed}"]
    name = "-".join(["mixcifar60", *variant])
    return assemble(name, parts, test["images"][tested], _renumbered(test, number)[tested], names)[0]


def split_classes(cifar: dict[str, np.ndarray], split_seed: int | None) -> list[str]:
    """Names of the iD classes of CIFAR-100, in alphabetical order: three of each superclass, the first or drawn.

    StoreError where the arrays know no superclasses of five classes each.
    """
    members = _members(cifar) if "coarse_labels" in cifar and "coarse_label_names" in cifar else {}
    if not members or any(len(classes) != 5 for classes in members.values()):
        raise StoreError(
            "cifar100_train.npz has no `coarse_labels` with five classes a superclass, as CIFAR-100 has; "
            "delete it to have it made again"
        )
    stream = None if split_seed is None else rng.numpy_stream(split_seed, "cifar60.split")
    chosen = []
    for _, classes in sorted(members.items()):
        rows = range(ID_CLASSES) if stream is None else stream.permutation(5)[:ID_CLASSES]
        chosen += [sorted(classes)[row] for row in rows]
    return sorted(chosen)


def superclasses(benchmark: Benchmark, folder: Path | None = None) -> list[dict]:
    """Of each superclass of CIFAR-100: which classes are iD in this MixCIFAR60, and which are ambiguous."""
    members = _members(read_labelled("cifar100_train", data_folder(folder), COLOUR_32))
    own = set(benchmark.class_names)
    return [
        {"superclass": name, "iD": ", ".join(sorted(classes & own)), "ambiguous": ", ".join(sorted(classes - own))}
        for name, classes in sorted(members.items())
    ]


def original_classes(benchmark: Benchmark, folder: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Class and superclass (N,) that CIFAR-100 gives each image of the pool, "" for those of other sources.

    They are hidden from everything but pictures. Images are known by their content, whatever their order.
    """
    cifar = read_labelled("cifar100_train", data_folder(folder), COLOUR_32)
    rows = {image.transpose(2, 0, 1).tobytes(): row for row, image in enumerate(cifar["images"])}
    row_N = np.array([rows.get(image.tobytes(), -1) for image in benchmark.pool.images_NCHW])
    row_N[benchmark.pool.source_N != "cifar100"] = -1
    names = cifar["label_names"][cifar["labels"]], cifar["coarse_label_names"][cifar["coarse_labels"]]
    class_N, superclass_N = (np.where(row_N < 0, "", name_M[row_N].astype(str)) for name_M in names)
    return class_N, superclass_N


def _members(cifar: dict[str, np.ndarray]) -> dict[str, set[str]]:
    """Superclass -> the names of its classes."""
    members: dict[str, set[str]] = {}
    for label, coarse in np.unique(np.stack([cifar["labels"], cifar["coarse_labels"]], 1), axis=0):
        members.setdefault(str(cifar["coarse_label_names"][coarse]), set()).add(str(cifar["label_names"][label]))
    return members


def _is_named(arrays, names: list[str]) -> np.ndarray:
    return np.isin(arrays["label_names"], names)[arrays["labels"]]


def _renumbered(arrays, number: dict[str, int]) -> np.ndarray:
    """Labels 0..59 of the iD classes, and -1 for the others."""
    return np.array([number.get(str(name), -1) for name in arrays["label_names"]], np.int64)[arrays["labels"]]


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (i < total % parts) for i in range(parts)]
