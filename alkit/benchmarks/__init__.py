"""The benchmarks: an unlabelled pool of in-distribution, ambiguous and out-of-distribution images, and a test set.

| | MixDigits | MixMNIST | MixCIFAR60 |
|---|---|---|---|
| iD | 1,297 digits of scikit-learn, 8x8 | MNIST's 60,000 training images | 30,000 of CIFAR-100: 60 classes |
| ambiguous | 324 mixtures of two of them | 15,000 mixtures of two of them | 15,000 of CIFAR-100: the other 40 classes |
| OoD | 324 letters drawn from fonts | notMNIST's 18,724 letters | 7,500 scenes (LSUN-FIX), 7,500 numbers (SVHN) |
| test | the other 500 digits | MNIST's 10,000 | the 60 classes' 6,000 |

`load("mixdigits")` reads what ships with alkit: it needs no network and no matplotlib. MixMNIST and MixCIFAR60 are
those of Kim, Kim and Hwang, 2023 (arXiv:2303.14433); their sources are kept in a data folder (`paths.data_folder`), and
read or downloaded by `sources.catalogue.read`. `assemble` makes a benchmark from images of your own; `own.save` keeps
it, or what was labelled in notebook 8, as "own-<name>" in the data folder, where `load` finds it in every process.
"""

import inspect
import json
from pathlib import Path

import numpy as np

from alkit import paths
from alkit.benchmarks import blur_check, harder_mixdigits, mixcifar60, mixdigits, mixmnist, own, variants
from alkit.benchmarks.pool import (
    AMBIGUOUS,
    CATEGORIES,
    ID,
    NO_VOTE,
    OOD,
    Benchmark,
    Part,
    Pool,
    assemble,
    content_order,
    fingerprint,
    subpool,
)
from alkit.benchmarks.sources import catalogue
from alkit.runtime import threads

__all__ = [
    "AMBIGUOUS",
    "ASSETS",
    "BENCHMARKS",
    "CATEGORIES",
    "ID",
    "NAMED",
    "NO_VOTE",
    "OOD",
    "Benchmark",
    "Part",
    "Pool",
    "assemble",
    "blur_check",
    "content_order",
    "counts",
    "fingerprint",
    "harder_mixdigits",
    "load",
    "mixcifar60",
    "mixdigits",
    "mixmnist",
    "own",
    "provenance",
    "shortcut",
    "subpool",
    "variants",
]
ASSETS = catalogue.ASSETS
SHORTCUT_IMAGES = 15_000  # of each kind, at most: the check takes 50 kB of memory an image


def load(name: str, *, folder: Path | None = None, share: float = 1.0, **options) -> Benchmark:
    """The benchmark called `name`, with `options` of its own (see the functions in `BENCHMARKS`).

    A name can carry the options: "mixcifar60-house_numbers-scenes-split3" is `ood=["house_numbers", "scenes"]` and
    `split_seed=3` of mixcifar60, "mixdigits-id10" is `variant="id10"` of mixdigits; any name may end with one of
    `variants.VARIANTS`, as in "mixmnist-long_tail". `share`: only that share of the
    pool (`subpool`), all of the test set. `folder` is where its files are: by default what ships with alkit for
    MixDigits, `paths.data_folder()` for the others. ValueError for an unknown name or option; StoreError for files that
    are missing or damaged: it says how to get them.
    """
    whole, _, last = name.rpartition("-")
    if whole and last in variants.VARIANTS:
        return subpool(variants.VARIANTS[last](load(whole, folder=folder, **options)), share)
    family, *variant = name.split("-")
    if family not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {name!r}: known are {', '.join(sorted(BENCHMARKS))}")
    known = [option for option in inspect.signature(BENCHMARKS[family]).parameters if option != "folder"]
    if unknown := [option for option in options if option not in known]:
        raise ValueError(f"{family} has no option {', '.join(unknown)}; it has: {', '.join(known) or 'none'}")
    if variant and family not in NAMED:
        every = " or ".join(f"{family}-{one}" for one in variants.VARIANTS)
        raise ValueError(f"{family} has no variants, so there is no {name!r}; take {family!r}, or its {every}")
    given = NAMED[family](variant) if variant else {}
    benchmark = BENCHMARKS[family](folder, **{**given, **options})
    if variant and not options and benchmark.name != name:
        raise ValueError(f"{name!r} is written {benchmark.name!r}, so that a pool has one name")
    return subpool(benchmark, share)


def counts(benchmark: Benchmark) -> list[dict]:
    """One row for each category and source: `part` ("pool" or "test"), `category`, `source`, `images`."""
    pool = benchmark.pool
    pairs, sizes = np.unique(np.stack([pool.category_N.astype(str), pool.source_N]), axis=1, return_counts=True)
    rows = [
        {"part": "pool", "category": CATEGORIES[int(category)], "source": str(source), "images": int(size)}
        for (category, source), size in zip(pairs.T, sizes, strict=True)
    ]
    with_class = [row for row in rows if row["category"] == CATEGORIES[ID]]
    source = max(with_class, key=lambda row: row["images"])["source"]  # an annotator's errors call a few others iD
    test = {"part": "test", "category": CATEGORIES[ID], "source": source, "images": len(benchmark.test_labels_M)}
    return [*rows, test]


def shortcut(benchmark: Benchmark) -> dict[str, float]:
    """How well blur alone tells ambiguous from iD images: AUROC (0.5: not at all) of each model of `blur_check`."""
    pool = benchmark.pool
    real, mixed = (
        pool.images_NCHW[np.flatnonzero(pool.category_N == category)[:SHORTCUT_IMAGES]] for category in (ID, AMBIGUOUS)
    )
    with threads(1):  # the boosted trees' threads wait for each other, for minutes on a busy machine
        return {model: blur_check.shortcut_auroc(real, mixed, model=model) for model in ("logistic", "boosting")}


def provenance(name: str, *, folder: Path | None = None) -> dict:
    """How a benchmark's generated images were made: seed, recipe, versions of the libraries, and what was measured."""
    family = name.partition("-")[0]
    if family == "mixmnist":
        return mixmnist.provenance(folder)
    if family != "mixdigits":
        raise ValueError(f"no image of {name!r} was generated; mixdigits and mixmnist have some")
    return json.loads(str(mixdigits.stored(folder)["provenance"]))


BENCHMARKS = {
    "mixdigits": mixdigits.mixdigits,
    "mixmnist": mixmnist.mixmnist,
    "mixcifar60": mixcifar60.mixcifar60,
    paths.OWN: own.own,
}
NAMED = {  # the options that parts of a benchmark's name stand for
    "mixdigits": harder_mixdigits.options,
    "mixcifar60": mixcifar60.variant,
    paths.OWN: own.variant,
}
