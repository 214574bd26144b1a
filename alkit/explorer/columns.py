"""A reader's arrays as the page's columns: categories as codes, scores and coordinates in 16-bit steps."""

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LARGEST = 1e12  # of features and coordinates: sums of squares of larger ones may exceed what a float32 can hold
NONE = 255  # the code of "no category"
MOST_NAMES = 254
NO_SCORE = 65535
STEPS = 65534  # of a score's range
FEW = 20  # whole numbers of at most so many distinct values are categories, of more a score


@dataclass(frozen=True)
class Category:
    """A column of names: `codes_N` uint8 into `names`, `NONE` where a sample has none."""

    key: str
    codes_N: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """A column of numbers: `low` + `steps_N` / `STEPS` * (`high` - `low`), `NO_SCORE` where there is none."""

    key: str
    steps_N: np.ndarray  # uint16
    low: float
    high: float


def columns(table: Mapping[str, Sequence] | None, n: int) -> tuple[list[Category], list[Score]]:
    """The columns of `table` (a dict or a DataFrame): texts and truth values are categories, numbers are scores.

    Whole numbers of at most `FEW` distinct values are categories. A pair (codes_N, names) is a category of just these
    names in just this order, code -1 for none. None, NaN, NA and the empty text are missing values: the page shows
    "none"; so it does for infinite numbers. ValueError, naming the column, for another length than `n`, more than
    `MOST_NAMES` names, codes outside the names, and scores without a finite number.
    """
    if table is not None and not hasattr(table, "items"):
        raise ValueError(f"table must be a dict of columns by name, or a DataFrame, got {type(table).__name__}")
    categories, scores = [], []
    for key, values in (table if table is not None else {}).items():
        made = _column(str(key), values, n)
        (scores if isinstance(made, Score) else categories).append(made)
    keys = [column.key for column in (*categories, *scores)]
    if len(set(keys)) < len(keys):
        raise ValueError(f"columns need names of their own, got {keys}")
    return categories, scores


def _column(key: str, values, n: int) -> Category | Score:
    if isinstance(values, tuple) and len(values) == 2 and np.iterable(values[0]) and not isinstance(values[0], str):
        if not np.iterable(values[1]):
            raise ValueError(f"column {key!r} must be a pair of codes and their names, got {values[1]!r} for the names")
        return _coded(key, np.asarray(values[0]), tuple(map(str, values[1])), n)
    values_N = _one_axis(values)
    if values_N.shape != (n,):
        raise ValueError(f"column {key!r} must hold one value for each of {n} samples, got shape {values_N.shape}")
    if values_N.dtype.kind == "O":
        return _of_objects(key, values_N, n)
    if values_N.dtype.kind == "b":
        return _coded(key, values_N.astype(np.int64), ("no", "yes"), n)
    if values_N.dtype.kind == "f" or values_N.dtype.kind in "iu" and len(np.unique(values_N)) > FEW:
        return _score(key, values_N)
    if values_N.dtype.kind in "iu":
        names, codes_N = np.unique(values_N, return_inverse=True)
        return _coded(key, codes_N, tuple(map(str, names.tolist())), n)
    return _of_objects(key, values_N.astype(object), n)


def _one_axis(values) -> np.ndarray:
    """`values` as an array; a list of texts and NaN as objects, since NumPy would make NaN the text "nan"."""
    try:
        values_N = np.asarray(values)
    except ValueError:  # rows of different lengths
        return np.empty(0)
    if values_N.dtype.kind in "US" and not hasattr(values, "dtype"):
        return np.asarray(values, dtype=object)
    return values_N


def _of_objects(key: str, values_N: np.ndarray, n: int) -> Category | Score:
    """A column of any objects, of which some may be missing: numbers are a score or few whole numbers, else texts."""
    missing_N = np.array([_is_missing(value) for value in values_N])
    known = values_N[~missing_N].tolist()
    if known and all(isinstance(value, bool | np.bool_) for value in known):
        known, names = [int(value) for value in known], ("no", "yes")
    elif known and all(isinstance(value, numbers.Real) for value in known):
        whole = all(isinstance(value, numbers.Integral) for value in known)
        if not whole or len(set(known)) > FEW:
            return _score(
                key, np.array([np.nan if gone else value for gone, value in zip(missing_N, values_N, strict=True)])
            )
        ordered = sorted(set(known))
        known, names = [ordered.index(value) for value in known], tuple(map(str, ordered))
    else:
        names = tuple(sorted(set(map(str, known))))
        at = {name: code for code, name in enumerate(names)}
        known = [at[str(value)] for value in known]
    codes_N = np.full(n, -1)
    codes_N[~missing_N] = known
    return _coded(key, codes_N, names, n)


def _is_missing(value) -> bool:
    """Whether `value` is None, "", NaN, NaT or pandas' NA: what is not equal to itself, without importing pandas."""
    if value is None or isinstance(value, str) and value == "":
        return True
    same = value == value
    return not (isinstance(same, bool | np.bool_) and same)


def _coded(key: str, codes_N: np.ndarray, names: tuple[str, ...], n: int) -> Category:
    if len(names) > MOST_NAMES:
        raise ValueError(
            f"column {key!r} has {len(names):,} different names; a legend holds at most {MOST_NAMES}: "
            "group them, or give numbers as floats to make it a score"
        )
    if codes_N.shape != (n,) or codes_N.dtype.kind not in "iu":
        raise ValueError(f"column {key!r} needs {n} whole-number codes, got {codes_N.dtype} of shape {codes_N.shape}")
    if codes_N.min(initial=0) < -1 or codes_N.max(initial=-1) >= len(names):
        span = f"{codes_N.min()}..{codes_N.max()}"
        raise ValueError(f"codes of column {key!r} must lie in -1..{len(names) - 1}, got {span}")
    return Category(key, np.where(codes_N < 0, NONE, codes_N).astype(np.uint8), names)


def _score(key: str, values_N: np.ndarray) -> Score:
    values_N = values_N.astype(np.float64)
    known = np.isfinite(values_N)
    if not known.any():
        raise ValueError(f"score {key!r} holds no finite number; leave it out")
    low, high = float(values_N[known].min()), float(values_N[known].max())
    if not np.isfinite(high - low):
        raise ValueError(f"score {key!r} runs from {low:g} to {high:g}, more than a number can hold; scale it")
    share_N = (np.where(known, values_N, low) - low) / ((high - low) or 1.0)
    return Score(key, np.where(known, np.rint(share_N * STEPS), NO_SCORE).astype(np.uint16), low, high)


def square(xy_N2, name: str, n: int) -> np.ndarray:
    """Coordinates (N, 2) as uint16 in one square, both axes to one scale, centred. ValueError naming what is wrong."""
    xy_N2 = np.asarray(xy_N2, np.float64)
    if xy_N2.shape != (n, 2):
        raise ValueError(f"coordinates of {name!r} must have the shape ({n}, 2), got {xy_N2.shape}")
    if not np.isfinite(xy_N2).all():
        bad = np.flatnonzero(~np.isfinite(xy_N2).all(1))
        raise ValueError(f"coordinates of {name!r} are not finite at {len(bad)} samples, first {bad[:5].tolist()}")
    if np.abs(xy_N2).max(initial=0) > LARGEST:
        bad = np.flatnonzero((np.abs(xy_N2) > LARGEST).any(1))
        where = f"{len(bad)} samples, first {bad[:5].tolist()}"
        raise ValueError(f"coordinates of {name!r} lie beyond {LARGEST:g} at {where}; scale them")
    low, high = xy_N2.min(0), xy_N2.max(0)
    return np.rint(((xy_N2 - (low + high) / 2) / (float((high - low).max()) or 1.0) + 0.5) * 65535).astype(np.uint16)
