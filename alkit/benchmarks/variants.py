"""Variants that every benchmark has: classes of very different size, and junk that becomes a class.

| variant | pool | what is hard |
|---|---|---|
| `long_tail` | the largest class keeps all of its images, the smallest a tenth; junk as before | rare classes |
| `new_class` | the last tenth of the classes is OoD to the annotator for half of a run | junk becomes a class |

The benchmark's name ends with the variant: "mixdigits-long_tail". The test set stays whole, all classes alike.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np

from alkit import rng
from alkit.benchmarks.pool import ID, OOD, Benchmark, taken

RATIO = 10  # images of the largest class for one of the smallest
NEW = 0.1  # share of the classes that are declared late


@lru_cache(maxsize=2)
def long_tail(benchmark: Benchmark) -> Benchmark:
    """`benchmark` whose classes' sizes fall geometrically: the first keeps all of its images, the last a tenth.

    The profile is that of Cui et al. (CVPR 2019), in a fixed random order of the classes. Of each class the images
    stay that come first in the pool, whose order is decided by their content; ambiguous and OoD images all stay.
    """
    pool, k = benchmark.pool, benchmark.n_classes
    rows = [np.flatnonzero(pool.category_N != ID)]
    for place, label in enumerate(rng.numpy_stream(0, "long_tail").permutation(k)):
        own = np.flatnonzero((pool.category_N == ID) & (pool.labels_N == label))
        rows.append(own[: max(1, round(len(own) * RATIO ** (-place / max(1, k - 1))))])
    return replace(taken(benchmark, np.concatenate(rows)), name=f"{benchmark.name}-long_tail")


@lru_cache(maxsize=2)
def new_class(benchmark: Benchmark) -> Benchmark:
    """`benchmark` whose last tenth of the classes, one at least, is OoD to the annotator until they are declared.

    Their images are OoD in the pool and keep their labels below K (see `Pool`); the test set has them from the start.
    ValueError for a benchmark of one class.
    """
    pool, k = benchmark.pool, benchmark.n_classes
    if k < 2:
        raise ValueError(f"{benchmark.name} has {k} class, so that none of its classes can come later")
    late_N = (pool.category_N == ID) & (pool.labels_N >= k - max(1, round(NEW * k)))
    category_N = np.where(late_N, OOD, pool.category_N).astype(np.uint8)
    return replace(benchmark, pool=replace(pool, category_N=category_N), name=f"{benchmark.name}-new_class")


VARIANTS: dict[str, Callable[[Benchmark], Benchmark]] = {"long_tail": long_tail, "new_class": new_class}
WORDS = {"long_tail": "long tail", "new_class": "a class comes late"}  # a short description of each
