"""Where the names of many marks stand in one figure, so that few of them meet."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

PLACES = {  # where a text stands: its shift from the mark, in the text's own width and in lines
    "middle right": (0.62, 0),
    "middle left": (-0.62, 0),
    "top center": (0, 1.1),
    "bottom center": (0, -1.1),
    "top right": (0.55, 0.9),
    "top left": (-0.55, 0.9),
    "bottom right": (0.55, -0.9),
    "bottom left": (-0.55, -0.9),
}


def text_positions(
    across_N: np.ndarray,
    up_N: np.ndarray,
    names: Sequence[str],
    *,
    letter: float = 6.2,
    places: Sequence[str] = tuple(PLACES),
    left: float = -np.inf,
) -> list[str]:
    """For each mark, given in pixels, the place around it where its text meets the fewest marks and earlier texts.

    A mark without a text (an empty name) only takes its own room. `letter`: the mean width of one, in pixels;
    `places`: those of `PLACES` to try, in turn. `left`: where the figure ends, in pixels; what leaves it meets a wall.
    """
    taken = [(a - 6, a + 6, b - 6, b + 6) for a, b in zip(across_N, up_N, strict=True)]
    taken.append((-np.inf, left, -np.inf, np.inf))
    spots = []
    for a, b, name in zip(across_N, up_N, names, strict=True):
        width = letter * len(name)
        boxes = {
            spot: (
                a + dx * width + 8 * np.sign(dx) - width / 2,
                a + dx * width + 8 * np.sign(dx) + width / 2,
                b + 13 * dy - 6,
                b + 13 * dy + 6,
            )
            for spot in places
            for dx, dy in [PLACES[spot]]
        }
        best = min(boxes, key=lambda spot: sum(_overlap(boxes[spot], other) for other in taken))
        if name:
            taken.append(boxes[best])
        spots.append(best)
    return spots


def pixels(mean: pd.Series, spread: pd.Series, size: float, *, log: bool = False) -> np.ndarray:
    """About where the means lie, in pixels, on an axis of that size that shows them with their spreads."""
    low, high = (mean - spread.fillna(0)).min(), (mean + spread.fillna(0)).max()
    low, high, mean = (np.log(value) for value in (low, high, mean)) if log else (low, high, mean)
    return ((mean - low) / max(high - low, 1e-9) * size).to_numpy()


def _overlap(one: tuple, other: tuple) -> float:
    """The area that two boxes (left, right, bottom, top) share."""
    width, height = min(one[1], other[1]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[2], other[2])
    return max(0.0, width) * max(0.0, height)
