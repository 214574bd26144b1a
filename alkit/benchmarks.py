"""The benchmarks: an unlabelled pool of in-distribution, ambiguous and out-of-distribution images, and a test set.

`load("mixdigits")` reads what is installed: no network, no matplotlib. `rebuild_mixdigits` makes the file that it reads
anew, from nothing but scikit-learn's digits and matplotlib's fonts. The others (`mixes`) need a data folder.
"""

import hashlib
import inspect
import io
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from . import ambiguous, mixes, sources, variants
from .pools import (  # noqa: F401  (a benchmark and what it is made of are known by this module's name)
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
)  # fmt: skip
from .store import write_atomic
from .training import threads

ASSETS = sources.ASSETS

TEST_DIGITS = 500  # of load_digits' 1,797; the rest is the iD part of the pool
SHORTCUT_IMAGES = 15_000  # of each kind, at most: the check takes 50 kB of memory an image
EXTRA_DIGITS = 324  # ambiguous images, and as many letters: a quarter of the 1,297 iD images


def load(name: str, *, folder: Path | None = None, share: float = 1.0, **options) -> Benchmark:
    """The benchmark called `name`, with `options` of its own (see the functions in `BENCHMARKS`).

    A name can carry the options: "mixcifar60-house_numbers-scenes-split3" is `ood=["house_numbers", "scenes"]` and
    `split_seed=3` of mixcifar60, "mixdigits-id10" is `variant="id10"` of mixdigits (`variants`). `share`: only that
    share of the pool (`pools.subpool`), all of the test set. `folder` is where its files are; the default is what ships
    with alkit for MixDigits, and `sources.data_folder()` for the others. ValueError for an unknown name or option, or
    for a file of MixDigits that is not the one that was written; StoreError for images that are missing or damaged: it
    says how to get them.
    """
    family, *variant = name.split("-")
    if family not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {name!r}: known are {', '.join(sorted(BENCHMARKS))}")
    known = [option for option in inspect.signature(BENCHMARKS[family]).parameters if option != "folder"]
    if unknown := [option for option in options if option not in known]:
        raise ValueError(f"{family} has no option {', '.join(unknown)}; it has: {', '.join(known) or 'none'}")
    if variant and family not in NAMED:
        raise ValueError(f"{family} has no variants, so there is no {name!r}; take {family!r}")
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
    own = [row for row in rows if row["category"] == CATEGORIES[ID]]
    source = max(own, key=lambda row: row["images"])["source"]  # an annotator's errors call a few others iD
    test = {"part": "test", "category": CATEGORIES[ID], "source": source, "images": len(benchmark.test_labels_M)}
    return [*rows, test]


def shortcut(benchmark: Benchmark) -> dict[str, float]:
    """`ambiguous.shortcut_auroc` of the pool's ambiguous against its iD images, for both of its models."""
    pool = benchmark.pool
    real, mixed = (
        pool.images_NCHW[np.flatnonzero(pool.category_N == category)[:SHORTCUT_IMAGES]] for category in (ID, AMBIGUOUS)
    )
    with threads(1):  # the boosted trees' threads wait for each other, for minutes on a busy machine
        return {model: ambiguous.shortcut_auroc(real, mixed, model=model) for model in ("logistic", "boosting")}


def mixdigits(folder: Path | None = None, *, variant: str | None = None) -> Benchmark:
    """MixDigits: 1,297 digits of `load_digits`, 324 ambiguous digits, 324 letters A to J; the other 500 digits test.

    Everything is decided by the images' content, nothing by the order in which a source's files come. `variant`: one of
    `variants.VARIANTS`, harder pools made of the same images.
    """
    asset = _read(folder or ASSETS, "mixdigits")
    images, labels, test_images, test_labels = split_digits()
    n, n_mixed, n_letters = len(images), len(asset["ambiguous_images"]), len(asset["letter_images"])
    n_other = n_mixed + n_letters
    images = np.concatenate([images, asset["ambiguous_images"], asset["letter_images"]])
    votes = np.full((len(images), asset["ambiguous_votes"].shape[1]), NO_VOTE, np.uint8)
    votes[n : n + n_mixed] = asset["ambiguous_votes"]

    order = content_order(images, "pool")  # so that a position tells nothing about a category
    position = np.argsort(order)
    parents = np.full((len(images), 2), -1, np.int64)
    parents[n : n + n_mixed] = position[asset["ambiguous_parents"]]
    pool = Pool(
        images[order],
        np.concatenate([labels, np.full(n_other, 10, np.int64)])[order],
        np.repeat(np.array([ID, AMBIGUOUS, OOD], np.uint8), [n, n_mixed, n_letters])[order],
        np.repeat(["digits", "ambiguous", "letters"], [n, n_mixed, n_letters])[order],
    )
    names = tuple("0123456789")
    benchmark = Benchmark("mixdigits", pool, test_images, test_labels, names, votes[order], parents[order])
    return benchmark if variant is None else variants.made(benchmark, variant)


def split_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 1, 8, 8) and labels of the 1,297 digits of the pool, then of the 500 of the test set.

    Stratified: of every class, its share of the 500 (largest remainders), and those that come first by content.
    """
    images, labels = sources.digits()
    order = content_order(images, "split")
    images, labels = images[order, None], labels[order]
    exact = np.bincount(labels) * (TEST_DIGITS / len(labels))
    quota = np.floor(exact).astype(int)
    quota[np.argsort(quota - exact, kind="stable")[: TEST_DIGITS - quota.sum()]] += 1
    test = np.zeros(len(labels), dtype=bool)
    for label, size in enumerate(quota):
        test[np.flatnonzero(labels == label)[:size]] = True
    return images[~test], labels[~test], images[test], labels[test]


def rebuild_mixdigits(
    folder: Path | None = None, *, recipe=ambiguous.DIGITS_8PX, count: int = EXTRA_DIGITS, seed: int = 0, progress=False
) -> dict:
    """Make the file that MixDigits reads, from nothing but its sources; returns what was measured on the way.

    Trains the generator and its voters and draws the letters: minutes on one core, with one thread, so that a machine
    always writes the same bytes. Needs matplotlib. Nothing is replaced before everything is made.
    """
    images, labels, test_images, test_labels = split_digits()
    with threads(1):  # so that a machine always writes the same bytes
        made = ambiguous.build(
            images, labels, test_images=test_images, test_labels=test_labels, count=count, recipe=recipe, seed=seed,
            progress=progress,
        )  # fmt: skip
    letter_images, letter_labels = sources.letters(count, seed=seed)
    measured = ambiguous.measured(made, images)
    provenance = {
        "made by": "alkit.benchmarks.rebuild_mixdigits",
        "seed": seed,
        "recipe": asdict(recipe),
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn", "matplotlib", "pillow")},
        **measured,
    }
    _write(
        folder or ASSETS,
        "mixdigits",
        ambiguous_images=made.images_N1HW,
        ambiguous_votes=made.votes_NV,
        ambiguous_parents=made.parents_N2.astype(np.int16),  # rows of `split_digits`' first array
        letter_images=letter_images[:, None],
        letter_labels=letter_labels.astype(np.uint8),
        provenance=np.array(json.dumps(provenance)),
    )
    return measured


def provenance(name: str, *, folder: Path | None = None) -> dict:
    """How a benchmark's generated images were made: seed, recipe, versions of the libraries, and what was measured."""
    family = name.partition("-")[0]
    if family == "mixmnist":
        return mixes.provenance(folder)
    return json.loads(str(_read(folder or ASSETS, family)["provenance"]))


def _write(folder: Path, name: str, **arrays: np.ndarray) -> None:
    """Write `name`.npz and its SHA-256 beside it, each whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    content = buffer.getvalue()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{name}.npz", content)
    write_atomic(folder / f"{name}.sha256", f"{hashlib.sha256(content).hexdigest()}  {name}.npz\n".encode())


def _read(folder: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of `name`.npz, after a check against its SHA-256."""
    path = Path(folder) / f"{name}.npz"
    remedy = f"restore it from the repository, or make it anew: python -m alkit data --rebuild {name}"
    try:
        content, expected = path.read_bytes(), path.with_suffix(".sha256").read_text().split()[0]
    except (FileNotFoundError, IndexError) as error:
        raise ValueError(f"{path} or its .sha256 is missing or empty; {remedy}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ValueError(f"{path} was truncated or edited: its SHA-256 is {found}, not {expected}; {remedy}")
    with np.load(io.BytesIO(content)) as arrays:
        return dict(arrays)


BENCHMARKS = {"mixdigits": mixdigits, "mixmnist": mixes.mixmnist, "mixcifar60": mixes.mixcifar60}
NAMED = {"mixdigits": variants.options, "mixcifar60": mixes.variant}  # the options that parts of a name stand for
