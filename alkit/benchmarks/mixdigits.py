"""MixDigits: scikit-learn's digits, mixtures of two of them, and letters drawn from fonts. Embedded: no download."""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from alkit.benchmarks import ambiguous, harder_mixdigits
from alkit.benchmarks.pool import AMBIGUOUS, ID, NO_VOTE, OOD, Benchmark, Pool, content_order
from alkit.benchmarks.sources import catalogue, files, glyphs
from alkit.benchmarks.sources.catalogue import ASSETS
from alkit.runtime import threads
from alkit.store import StoreError

TEST_DIGITS = 500  # of load_digits' 1,797; the rest is the iD part of the pool
EXTRA_DIGITS = 324  # ambiguous images, and as many letters: a quarter of the 1,297 iD images


def mixdigits(folder: Path | None = None, *, variant: str | None = None) -> Benchmark:
    """MixDigits: 1,297 digits of `load_digits`, 324 ambiguous digits, 324 letters A to J; the other 500 digits test.

    The images' content decides everything, the order in which a source's files come nothing. `variant`: one of
    `harder_mixdigits.VARIANTS`, harder pools made of the same images. `folder` holds mixdigits.npz; the default is what
    ships with alkit. StoreError where that file is missing or damaged.
    """
    asset = stored(folder)
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
    return benchmark if variant is None else harder_mixdigits.made(benchmark, variant)


def split_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 1, 8, 8) and labels of the 1,297 digits of the pool, then of the 500 of the test set.

    Stratified: of every class, its share of the 500 (largest remainders), and those that come first by content.
    """
    images, labels = catalogue.digits()
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
    """Make mixdigits.npz, which MixDigits reads, from nothing but its sources; returns what was measured on the way.

    Trains the generator and its voters and draws the letters: minutes on one core, with one thread, so that a machine
    always writes the same bytes. Needs matplotlib. Nothing is replaced before everything is made; StoreError, before
    anything is trained, where `folder` cannot be written to.
    """
    folder = folder or ASSETS
    files.check_writable(folder, "--into")
    images, labels, test_images, test_labels = split_digits()
    with threads(1):  # so that a machine always writes the same bytes
        made = ambiguous.build(
            images,
            labels,
            test_images=test_images,
            test_labels=test_labels,
            count=count,
            recipe=recipe,
            seed=seed,
            progress=progress,
        )
    letter_images, letter_labels = glyphs.letters(count, seed=seed)
    measured = ambiguous.measured(made, images)
    provenance = {
        "made by": "alkit.benchmarks.mixdigits.rebuild_mixdigits",
        "seed": seed,
        "recipe": asdict(recipe),
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn", "matplotlib", "pillow")},
        **measured,
    }
    files.write(
        folder,
        "mixdigits",
        compress=True,
        ambiguous_images=made.images_N1HW,
        ambiguous_votes=made.votes_NV,
        ambiguous_parents=made.parents_N2.astype(np.int16),  # rows of `split_digits`' first array
        letter_images=letter_images[:, None],
        letter_labels=letter_labels.astype(np.uint8),
        provenance=np.array(json.dumps(provenance)),
    )
    return measured


def stored(folder: Path | None = None) -> dict[str, np.ndarray]:
    """The arrays of mixdigits.npz, checked against its SHA-256. StoreError where either is missing or they differ."""
    path = (folder or ASSETS) / "mixdigits.npz"
    remedy = "restore both from the repository, or make them anew: python -m alkit data --rebuild mixdigits"
    if not (path.is_file() and path.with_suffix(".sha256").is_file()):
        raise StoreError(f"{path} or its .sha256 is missing; {remedy}")
    return files.read_arrays(path, remedy)
