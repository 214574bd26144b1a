"""What strategies bought, stage by stage, and what Distance(CL) saw when it chose."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

UNLABELLED, LABELLED_ID, LABELLED_NON_ID, INSIDE, OUTSIDE = range(5)


@dataclass(frozen=True)
class Circles:
    """The clusters of one stage as Distance(CL) used them (Kim, Kim and Hwang 2023, Algorithm 1 and Figure 3).

    Arrays ending in _N hold one entry per sample, those in _K one per cluster. `labels_N` the cluster; `distances_N` to
    its centroid; `angles_N` in radians, which only spreads the points; `kinds_N` one of `UNLABELLED`, `LABELLED_ID`,
    `LABELLED_NON_ID`, `INSIDE`, `OUTSIDE` (the last two: bought at this stage); `radius_K` inf where nothing draws a
    circle, `setter_K` the sample that draws it, or -1; `shares_K` samples per round; `excluded` a cluster or None.
    """

    labels_N: np.ndarray
    distances_N: np.ndarray
    angles_N: np.ndarray
    kinds_N: np.ndarray
    radius_K: np.ndarray
    setter_K: np.ndarray
    shares_K: np.ndarray
    excluded: int | None


@dataclass(frozen=True)
class Purchases:
    """What one strategy bought: `picks[stage]` are pool positions in the order asked, stage 0 the initial set.

    `accuracies`: one per stage, in 0..1, or empty. `circles`: by stage, for the stages that have them. `note`: a
    sentence on where they come from, shown beside them. `style`: colour, dash (as Plotly names them) and symbol of the
    curve; None for the palette's next.
    """

    name: str
    picks: Sequence[np.ndarray]
    accuracies: Sequence[float] = ()
    circles: dict[int, Circles] = field(default_factory=dict)
    note: str = ""
    style: tuple[str, str, str] | None = None


def check(purchases: Sequence[Purchases], n: int) -> None:
    """ValueError, naming strategy and stage, for positions outside 0..n-1 or bought twice, or lists of odd lengths."""
    names = [bought.name for bought in purchases]
    if len(set(names)) < len(names):
        raise ValueError(f"purchases need names of their own, got {names}")
    for bought in purchases:
        if not len(bought.picks):
            raise ValueError(f"purchases of {bought.name!r} have no stage; leave them out")
        if len(bought.accuracies) not in (0, len(bought.picks)):
            raise ValueError(
                f"purchases of {bought.name!r}: {len(bought.accuracies)} accuracies for {len(bought.picks)} stages"
            )
        for stage, picks in enumerate(bought.picks):
            picks = np.asarray(picks)
            if picks.size and (picks.ndim != 1 or picks.dtype.kind not in "iu" or picks.min() < 0 or picks.max() >= n):
                raise ValueError(f"picks of {bought.name!r} at stage {stage} must be positions in 0..{n - 1}")
        everything = np.concatenate([np.asarray(picks, np.int64) for picks in bought.picks])
        found, times = np.unique(everything, return_counts=True)
        if (times > 1).any():
            raise ValueError(f"{bought.name!r} bought {found[times > 1][:5].tolist()} more than once")
        for stage, circles in bought.circles.items():
            _check_circles(circles, n, f"circles of {bought.name!r} at stage {stage}")
            if stage not in range(len(bought.picks)):
                raise ValueError(
                    f"{bought.name!r} has circles for stage {stage}, but stages 0..{len(bought.picks) - 1}"
                )


def _check_circles(circles: Circles, n: int, what: str) -> None:
    for name in ("labels_N", "distances_N", "angles_N", "kinds_N"):
        if np.shape(getattr(circles, name)) != (n,):
            raise ValueError(f"{what}: {name} must have the shape ({n},), got {np.shape(getattr(circles, name))}")
    k = len(circles.radius_K)
    if k > 254 or len(circles.setter_K) != k or len(circles.shares_K) != k:
        raise ValueError(f"{what}: needs one radius, setter and share for each of at most 254 clusters")
    if np.min(circles.labels_N) < 0 or np.max(circles.labels_N) >= k:
        raise ValueError(f"{what}: labels must lie in 0..{k - 1}")
