"""A reader's arrays as the page's columns: categories as codes, scores and coordinates in 16-bit steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
    names in just this order, code -1 for none. ValueError, naming the column, for another length than `n`, for more
    than `MOST_NAMES` names and for codes outside the names.
    """
    categories, scores = [], []
    for key, values in (table if table is not None else {}).items():
        made = _column(str(key), values, n)
        (scores if isinstance(made, Score) else categories).append(made)
    keys = [column.key for column in (*categories, *scores)]
    if len(set(keys)) < len(keys):
        raise ValueError(f"columns need names of their own, got {keys}")
    return categories, scores


def _column(key: str, values, n: int) -> Category | Score:
    if isinstance(values, tuple) and len(values) == 2 and not np.isscalar(values[0]):
        return _coded(key, np.asarray(values[0]), tuple(map(str, values[1])), n)
    values_N = np.asarray(values)
    if values_N.shape != (n,):
        raise ValueError(f"column {key!r} must hold one value for each of {n} samples, got shape {values_N.shape}")
    if values_N.dtype.kind == "b":
        return _coded(key, values_N.astype(np.int64), ("no", "yes"), n)
    if values_N.dtype.kind in "iu" and len(np.unique(values_N)) > FEW or values_N.dtype.kind == "f":
        return _score(key, values_N)
    if values_N.dtype.kind in "iu":
        names, codes_N = np.unique(values_N, return_inverse=True)
        return _coded(key, codes_N, tuple(map(str, names.tolist())), n)
    texts = ["" if value is None or value != value else str(value) for value in values_N.tolist()]
    names = sorted(set(texts) - {""})
    at = {name: code for code, name in enumerate(names)}
    return _coded(key, np.array([at.get(text, -1) for text in texts]), tuple(names), n)


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
    low, high = xy_N2.min(0), xy_N2.max(0)
    return np.rint(((xy_N2 - (low + high) / 2) / (float((high - low).max()) or 1.0) + 0.5) * 65535).astype(np.uint16)
