"""Variants of MixDigits, each harder in one respect: pools that a strategy was not tuned on.

| variant | pool | what is hard |
|---|---|---|
| `id90`, `id50`, `id30`, `id10` | that share (%) of iD images, the rest half ambiguous, half OoD | more or less junk |
| `ambiguous_heavy`, `ood_heavy` | 324 iD images, 324 of the one kind, 40 of the other | one kind of junk alone |
| `near_ood` | digits 0 to 4 are iD (K = 5), digits 5 to 9 OoD, no letters | OoD drawn by the same pens as iD |
| `two_classes` | 3 and 8 (K = 2), a fifth ambiguous images, a fifth letters | few and similar classes |
| `errors5` | MixDigits, of which the annotator gets 5 % wrong | answers that mislead |

The benchmark's name carries the variant: "mixdigits-id10". Like MixDigits itself, all are decided by the images'
content: what is drawn is what comes first in the pool, whose order is that of a hash of the images.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from alkit import rng
from alkit.benchmarks.pool import AMBIGUOUS, ID, NO_VOTE, OOD, Benchmark, content_order, taken
from alkit.options import closest

COUNTS = {  # iD, ambiguous and OoD images, of MixDigits' 1,297, 324 and 324
    "id90": (1297, 72, 72),
    "id50": (648, 324, 324),
    "id30": (278, 324, 324),
    "id10": (72, 324, 324),
    "ambiguous_heavy": (324, 324, 40),
    "ood_heavy": (324, 40, 324),
}


WORDS = {  # a short description of each variant
    **{name: f"{name[2:]} % iD" for name in COUNTS if name.startswith("id")},
    "ambiguous_heavy": "heavy on ambiguous",
    "ood_heavy": "heavy on OoD",
    "near_ood": "near-OoD (K = 5)",
    "two_classes": "two classes (K = 2)",
    "errors5": "oracle errs on 5 %",
}


NEAR_OOD = (0, 1, 2, 3, 4)  # the digits that are iD
TWO_CLASSES = (3, 8)  # alike but for two gaps in the stroke
ERRORS = 0.05  # share of the annotator's answers that are wrong


def options(parts: Sequence[str]) -> dict:
    """The option of `mixdigits.mixdigits` that the parts of a benchmark's name stand for; ValueError for several."""
    if len(parts) != 1:
        raise ValueError(f"a variant of mixdigits is one of {', '.join(VARIANTS)}; got {'-'.join(parts)!r}")
    return {"variant": parts[0]}


def made(benchmark: Benchmark, variant: str) -> Benchmark:
    """That variant of MixDigits, from MixDigits itself. ValueError where there is none of that name."""
    if variant not in VARIANTS:
        hint = closest(str(variant), VARIANTS)
        raise ValueError(f"mixdigits has no variant {variant!r}{hint}; it has: {', '.join(VARIANTS)}")
    return replace(VARIANTS[variant](benchmark), name=f"{benchmark.name}-{variant}")


def composed(benchmark: Benchmark, n_id: int, n_ambiguous: int, n_ood: int) -> Benchmark:
    """As many images of each category. The iD ones keep the classes' shares, so that nothing else gets harder."""
    category_N = benchmark.pool.category_N
    rows = [_in_class_shares(benchmark.pool.labels_N, np.flatnonzero(category_N == ID))]
    rows += [np.flatnonzero(category_N == category) for category in (AMBIGUOUS, OOD)]
    counts = (n_id, n_ambiguous, n_ood)
    return taken(benchmark, np.concatenate([_first(own, count) for own, count in zip(rows, counts)]))


def _in_class_shares(labels_N: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`rows` in an order whose every beginning holds each class in its share, to within an image."""
    place = np.empty(len(rows))
    for label in np.unique(labels_N[rows]):
        own = labels_N[rows] == label
        place[own] = (np.arange(own.sum()) + 0.5) / own.sum()
    return rows[np.argsort(place, kind="stable")]


def _first(rows: np.ndarray, count: int) -> np.ndarray:
    if len(rows) < count:
        raise ValueError(f"this variant needs {count} images of a kind of which MixDigits has {len(rows)}; rebuild it")
    return rows[:count]


def near_ood(benchmark: Benchmark) -> Benchmark:
    """The digits 0 to 4 are iD; the digits 5 to 9 are OoD, in place of the letters.

    An ambiguous image stays where all of its voters name one of the digits 0 to 4: it lies between iD classes, as all
    of MixDigits' do. One between a 3 and a 5 would be as much OoD as ambiguous, and is left out. (Its parents decide
    less: a mixture of two digits may look like a third.)
    """
    pool = benchmark.pool
    between = np.isin(benchmark.votes_NV, NEAR_OOD).all(axis=1)
    rows = np.flatnonzero((pool.category_N == ID) | (pool.category_N == AMBIGUOUS) & between)
    return _narrowed(taken(benchmark, rows), NEAR_OOD)


def two_classes(benchmark: Benchmark) -> Benchmark:
    """All images of the digits 3 and 8, and a third as many ambiguous images and letters each; no other digits.

    Too few ambiguous images lie between these two alone (11). So they are drawn from those that at least half of their
    voters call a 3 or an 8: more like a class than not, but not clear.
    """
    pool = benchmark.pool
    own = np.flatnonzero(np.isin(pool.labels_N, TWO_CLASSES))
    like = np.isin(benchmark.votes_NV, TWO_CLASSES).mean(axis=1) >= 0.5
    mixed, letters = np.flatnonzero((pool.category_N == AMBIGUOUS) & like), np.flatnonzero(pool.category_N == OOD)
    count = len(own) // 3
    rows = np.concatenate([own, _first(mixed, count), _first(letters, count)])
    return _narrowed(taken(benchmark, rows), TWO_CLASSES)


def _narrowed(benchmark: Benchmark, classes: Sequence[int]) -> Benchmark:
    """`benchmark` with those classes only, numbered 0..K-1, in pool, votes and test set; the others' images are OoD."""
    pool, k = benchmark.pool, len(classes)
    number = np.full(benchmark.n_classes + 1, k)
    number[list(classes)] = np.arange(k)
    votes = np.full(NO_VOTE + 1, NO_VOTE, np.uint8)
    votes[list(classes)] = np.arange(k)
    labels = number[pool.labels_N]
    category = np.where((pool.category_N == ID) & (labels == k), OOD, pool.category_N).astype(np.uint8)
    tested = np.isin(benchmark.test_labels_M, classes)
    return replace(
        benchmark,
        pool=replace(pool, labels_N=labels, category_N=category),
        test_images_MCHW=benchmark.test_images_MCHW[tested],
        test_labels_M=number[benchmark.test_labels_M[tested]],
        class_names=tuple(benchmark.class_names[label] for label in classes),
        votes_NV=votes[benchmark.votes_NV],
    )


def errors5(benchmark: Benchmark) -> Benchmark:
    """MixDigits as an annotator sees it who gets 5 % of all images wrong, the same ones whenever asked.

    Labels and categories of the pool are what the annotator *says*; so are the counts of what a run bought, and the iD
    labels that its quota counts. Of the iD images that are wrong, every second is called OoD (none of the classes),
    the others another class; a non-iD image that is wrong is called a class at random. `source_N` tells what an image
    really is; the test set is clean.
    """
    pool, k = benchmark.pool, benchmark.n_classes
    wrong = content_order(pool.images_NCHW, "errors")[: round(ERRORS * len(pool))]
    stream = rng.numpy_stream(0, "errors")
    is_id = pool.category_N[wrong] == ID
    missed, confused, junk = wrong[is_id][::2], wrong[is_id][1::2], wrong[~is_id]
    labels, category = pool.labels_N.copy(), pool.category_N.copy()
    labels[missed], category[missed] = k, OOD
    labels[confused] = (labels[confused] + stream.integers(1, k, len(confused))) % k
    labels[junk], category[junk] = stream.integers(0, k, len(junk)), ID
    return replace(benchmark, pool=replace(pool, labels_N=labels, category_N=category))


VARIANTS = {
    **{name: lambda benchmark, counts=counts: composed(benchmark, *counts) for name, counts in COUNTS.items()},
    "near_ood": near_ood,
    "two_classes": two_classes,
    "errors5": errors5,
}
