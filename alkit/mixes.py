"""MixMNIST and MixCIFAR60 of Kim, Kim and Hwang, 2023 (arXiv:2303.14433), mixed from sources in the data folder.

| | MixMNIST | MixCIFAR60 |
|---|---|---|
| iD | MNIST's 60,000 training images | the 30,000 training images of 60 classes of CIFAR-100 |
| ambiguous | 15,000 mixtures of two of them | 15,000 of the 20,000 training images of the other 40 classes |
| OoD | notMNIST's 18,724 letters | 7,500 scenes of LSUN-FIX and 7,500 house numbers of SVHN |
| test | MNIST's 10,000 | the 60 classes' 6,000 |
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from . import ambiguous, datafiles, rng, sources
from .pools import AMBIGUOUS, ID, NO_VOTE, OOD, Benchmark, Part, assemble, content_order
from .store import StoreError

GREY_28, COLOUR_32 = (28, 28), (32, 32, 3)
MIXMNIST = {"iD": 60_000, "ambiguous": 15_000, "OoD": 18_724, "test": 10_000}
MIXCIFAR60 = {"iD": 30_000, "ambiguous": 15_000, "OoD": 15_000, "test": 6_000}
OOD_OF_MIXCIFAR60 = ("lsun_fix", "svhn")
SPLIT = re.compile(r"split\d+")
ID_CLASSES = 3  # of the five of each superclass of CIFAR-100; the other two are ambiguous


def mixmnist(folder: Path | None = None) -> Benchmark:
    """MixMNIST. The ambiguous digits are those of `mixmnist_ambiguous.npz`: `build_mixmnist_ambiguous` makes it.

    A file of that name with nothing but `images` (uint8, 15,000 or more of 28x28), such as NVAE's own, is taken too;
    the pool then says `nvae_mnist`, and there are no votes and no parents.
    """
    folder = datafiles.data_folder(folder)
    return _mixmnist(folder, _stamps(folder, "mnist_train", "mnist_test", "notmnist_small", "mixmnist_ambiguous"))


def mixcifar60(
    folder: Path | None = None, *, ood: Sequence[str] = OOD_OF_MIXCIFAR60, split_seed: int | None = None
) -> Benchmark:
    """MixCIFAR60. Other sources may stand in for LSUN-FIX and SVHN: `ood` gives the 15,000 OoD images in equal shares.

    `ood` names files of `sources.SOURCES` or directories of images in the data folder. Of each superclass, the first
    three classes of the alphabet are iD; `split_seed` draws three. Anything but the defaults is part of the name.
    """
    ood = (ood,) if isinstance(ood, str) else tuple(sorted(ood))  # their order decides nothing
    if not ood or len(set(ood)) < len(ood):
        raise ValueError(f"ood must name one source of images or more, each once, got {ood}")
    if odd := [source for source in ood if "-" in source or SPLIT.fullmatch(source)]:
        raise ValueError(f"{', '.join(odd)} cannot be part of a benchmark's name: rename it, with no '-' in it")
    if split_seed is not None and (isinstance(split_seed, bool) or not isinstance(split_seed, int) or split_seed < 0):
        raise ValueError(f"split_seed must be None or a whole number from 0 up, got {split_seed!r}")
    folder = datafiles.data_folder(folder)
    return _mixcifar60(folder, ood, split_seed, _stamps(folder, "cifar100_train", "cifar100_test", *ood))


def variant(parts: Sequence[str]) -> dict:
    """The options of `mixcifar60` that the parts of a benchmark's name stand for: sources of OoD, and split<seed>."""
    seeds = [part for part in parts if SPLIT.fullmatch(part)]
    ood = [part for part in parts if part not in seeds]
    if len(seeds) > 1 or not all(parts):
        raise ValueError(f"a variant of mixcifar60 names sources and at most one split<seed>, got {'-'.join(parts)!r}")
    return {**({"ood": ood} if ood else {}), **({"split_seed": int(seeds[0][5:])} if seeds else {})}


def _stamps(folder: Path, *names: str) -> tuple:
    """Where the files are and when they were written: an experiment asks for its benchmark time and again."""
    paths = [sources.found(name, folder) for name in names]
    return tuple(path and (path, path.stat().st_mtime_ns) for path in paths)


@lru_cache(maxsize=1)
def _mixmnist(folder: Path, stamps: tuple) -> Benchmark:
    train, labels, order = _digits(folder)
    mixed = sources.read("mixmnist_ambiguous", folder, shape=GREY_28)
    letters = sources.read("notmnist_small", folder, shape=GREY_28)
    test = _labelled("mnist_test", folder, GREY_28)
    rows, test_rows = (
        _draw(arrays, MIXMNIST[part], part, source)
        for arrays, part, source in ((mixed, "ambiguous", "mixmnist_ambiguous"), (test, "test", "mnist_test"))
    )
    own = "votes" in mixed and "parents" in mixed
    parts = [
        Part(ID, "mnist", train[order], labels[order]),
        Part(AMBIGUOUS, "mixmnist_ambiguous" if own else "nvae_mnist", mixed["images"][rows]),
        Part(OOD, "notmnist_small", letters["images"][_draw(letters, MIXMNIST["OoD"], "OoD", "notmnist_small")]),
    ]
    tested = test["images"][test_rows], test["labels"][test_rows]
    benchmark, position = assemble("mixmnist", parts, *tested, [str(digit) for digit in range(10)])
    if not own:
        return benchmark
    n, places = len(order), position[len(order) : len(order) + len(rows)]
    made, chosen = mixed["parents"][rows], mixed["votes"][rows]
    if chosen.ndim != 2 or made.shape != (len(rows), 2) or made.min() < 0 or made.max() >= n:
        raise StoreError(f"mixmnist_ambiguous.npz has votes or parents that do not fit {n} digits; build it again")
    votes, parents = np.full((len(position), chosen.shape[1]), NO_VOTE, np.uint8), np.array(benchmark.parents_N2)
    votes[places], parents[places] = chosen, position[made]
    return replace(benchmark, votes_NV=votes, parents_N2=parents)


def _digits(folder: Path):
    """MNIST's training images and labels, and the rows of those in the pool, in the order that parents count in."""
    train = _labelled("mnist_train", folder, GREY_28)
    return train["images"], train["labels"], _draw(train, MIXMNIST["iD"], "iD", "mnist_train")


@lru_cache(maxsize=1)
def _mixcifar60(folder: Path, ood: tuple[str, ...], split_seed: int | None, stamps: tuple) -> Benchmark:
    train, test = (_labelled(f"cifar100_{split}", folder, COLOUR_32) for split in ("train", "test"))
    names = split_classes(train, split_seed)
    number = {name: k for k, name in enumerate(names)}
    own, other, tested = (
        _draw(arrays, MIXCIFAR60[part], part, source, among=_is_named(arrays, names) == wanted)
        for arrays, part, source, wanted in (
            (train, "iD", "cifar100_train", True), (train, "ambiguous", "cifar100_train", False),
            (test, "test", "cifar100_test", True),
        )
    )  # fmt: skip
    parts = [
        Part(ID, "cifar100", train["images"][own], _renumbered(train, number)[own]),
        Part(AMBIGUOUS, "cifar100", train["images"][other]),
    ]
    for share, source in zip(_shares(MIXCIFAR60["OoD"], len(ood)), ood, strict=True):
        arrays = sources.read(source, folder, shape=COLOUR_32)
        parts.append(Part(OOD, source, arrays["images"][_draw(arrays, share, "OoD", source)]))
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
    members = _members(_labelled("cifar100_train", datafiles.data_folder(folder), COLOUR_32))
    own = set(benchmark.class_names)
    return [
        {"superclass": name, "iD": ", ".join(sorted(classes & own)), "ambiguous": ", ".join(sorted(classes - own))}
        for name, classes in sorted(members.items())
    ]


def _members(cifar: dict[str, np.ndarray]) -> dict[str, set[str]]:
    """Superclass -> the names of its classes."""
    members: dict[str, set[str]] = {}
    for label, coarse in np.unique(np.stack([cifar["labels"], cifar["coarse_labels"]], 1), axis=0):
        members.setdefault(str(cifar["coarse_label_names"][coarse]), set()).add(str(cifar["label_names"][label]))
    return members


def provenance(folder: Path | None = None) -> dict:
    """How MixMNIST's ambiguous digits were made, as `build_mixmnist_ambiguous` wrote it; {} for made elsewhere."""
    stored = sources.read("mixmnist_ambiguous", folder, shape=GREY_28)
    return json.loads(str(stored["provenance"])) if "provenance" in stored else {}


def _is_named(arrays, names: list[str]) -> np.ndarray:
    return np.isin(arrays["label_names"], names)[arrays["labels"]]


def _renumbered(arrays, number: dict[str, int]) -> np.ndarray:
    """Labels 0..59 of the iD classes, and -1 for the others."""
    return np.array([number.get(str(name), -1) for name in arrays["label_names"]], np.int64)[arrays["labels"]]


def _labelled(name: str, folder: Path, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    arrays = sources.read(name, folder, shape=shape)
    if missing := [key for key in ("labels", "label_names") if key not in arrays]:
        raise StoreError(f"{name}.npz holds no {' and no '.join(missing)}; delete it to have it made again")
    return arrays


def _draw(arrays, count: int, part: str, source: str, *, among: np.ndarray | None = None) -> np.ndarray:
    """Rows of `count` images (of those in the mask `among`), drawn by content: uniform, and the same every time."""
    rows = np.arange(len(arrays["images"])) if among is None else np.flatnonzero(among)
    if len(rows) < count:
        raise StoreError(
            f"{source} has {len(rows)} images for the {part} part, which needs {count}: get all of it, or another"
        )
    ties = [arrays["labels"][rows]] if "labels" in arrays else []  # some sources hold an image twice, under two labels
    return rows[content_order([arrays["images"][row] for row in rows], part, *ties)[:count]]


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (i < total % parts) for i in range(parts)]


def build_mixmnist_ambiguous(
    into: Path | None = None, *, folder: Path | None = None, recipe=ambiguous.MNIST_28PX,
    count: int = MIXMNIST["ambiguous"], seed: int = 0, device=None, progress=False,
) -> dict:  # fmt: skip
    """Make `mixmnist_ambiguous.npz` from the MNIST of the data folder, and put it there or `into` another folder.

    Returns what was measured. Trains the generator and its voters, on a GPU where there is one: many minutes on a CPU.
    Nothing is replaced before everything is made.
    """
    folder = datafiles.data_folder(folder)
    into = Path(into or folder)
    datafiles.check_writable(into)  # now, not after all the work
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    train, labels, order = _digits(folder)
    test = _labelled("mnist_test", folder, GREY_28)
    images_N1HW = train[order, None]
    made = ambiguous.build(
        images_N1HW, labels[order], test_images=test["images"][:, None], test_labels=test["labels"], count=count,
        recipe=recipe, seed=seed, device=device, progress=progress,
    )  # fmt: skip
    measured = ambiguous.measured(made, images_N1HW[:count])  # as many real images: all would take gigabytes
    provenance = {
        "made by": "alkit.mixes.build_mixmnist_ambiguous", "seed": seed, "recipe": asdict(recipe),
        "licence": sources.SOURCES["mixmnist_ambiguous"].licence,
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn")}, **measured,
    }  # fmt: skip
    datafiles.write(
        into, "mixmnist_ambiguous", compress=True, images=made.images_N1HW[:, 0], votes=made.votes_NV,
        parents=made.parents_N2.astype(np.int32), provenance=np.array(json.dumps(provenance)),
    )  # fmt: skip
    return measured
