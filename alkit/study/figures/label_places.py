"""Where the names of many marks stand in one figure, so that few of them meet."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from alkit.explorer.palette import INK, TEXT
from alkit.study.figures.style import transparent

LETTER_HEIGHT, MARK = 13, 6  # px: of a line of text, and half of a mark's side


def name_marks(
    fig: go.Figure,
    at: pd.DataFrame,
    names: Sequence[str],
    colours: Sequence[str],
    across: tuple[float, float],
    up: tuple[float, float],
    size: tuple[float, float],
    *,
    lines: Sequence[np.ndarray] = (),
    bold: Sequence[bool] = (),
    font: int = 11,
) -> None:
    """Write its name near each mark of `at` (columns x, y, in the units of the axes), with a line that leads to it.

    `across` and `up`: the ends of the axes; `size`: of their area in pixels; `colours`: of the lines; `lines`: points
    (P, 2) of level and upright lines that names keep off. A mark without a name ("") only takes its own room.
    """
    low_2, side_2 = np.array([across[0], up[0]]), np.array([across[1] - across[0], up[1] - up[0]])

    def pixel(points_P2) -> np.ndarray:
        return (np.asarray(points_P2, float) - low_2) / side_2 * size

    marks_N2 = pixel(at[["x", "y"]].to_numpy())
    paths = [pixel(line) for line in lines]
    pieces = [np.concatenate([np.minimum(p[:-1], p[1:]), np.maximum(p[:-1], p[1:])], axis=1) for p in paths]
    kept_L4 = np.concatenate(pieces) if pieces else None
    half_N = np.where([(bool(bold) and bold[i]) or not bold for i in range(len(names))], 9.0, MARK)
    shift_N2 = led_labels(
        *marks_N2.T, names, *size, lines_L4=kept_L4, letter=0.57 * font, height_of_text=font + 2, mark=half_N
    )
    for i, (right, above) in enumerate(shift_N2):
        if not names[i]:
            continue
        strong = bool(bold) and bold[i]
        fig.add_annotation(
            x=at["x"].iloc[i],
            y=at["y"].iloc[i],
            ax=right,
            ay=-above,
            text=f"<b>{names[i]}</b>" if strong else names[i],
            font=dict(size=font, color=INK if strong or not bold else TEXT),
            name="mark",
            arrowhead=0,
            arrowwidth=0.8,
            arrowcolor=transparent(colours[i], 0.7),
            standoff=5,
            borderpad=1,
        )


def led_labels(
    across_N: np.ndarray,
    up_N: np.ndarray,
    names: Sequence[str],
    width: float,
    height: float,
    *,
    lines_L4: np.ndarray | None = None,
    letter: float = 6.0,
    height_of_text: float = LETTER_HEIGHT,
    mark: float | np.ndarray = MARK,
) -> np.ndarray:
    """Shifts (N, 2), in pixels, from each mark to the middle of its name: near, but on no other name and no mark.

    Marks lie at (`across_N`, `up_N`) in an area of `width` x `height`, which no name leaves; a line is to lead from a
    mark to its name, past the other marks. `mark`: half of a mark's side in pixels, one for all or each its own.
    `lines_L4`: upright or level lines that names keep off, as left, lower, right and upper end. Each name in turn,
    those with most room first, takes the best place on rings around its mark; twice, so that the first can make way
    for the last.
    """
    marks_N2, n = np.stack([across_N, up_N], axis=1).astype(float), len(names)
    side_N2 = np.broadcast_to(np.reshape(mark, (-1, 1)), (n, 2))
    half_N2 = np.stack([[letter * _letters(name) / 2 for name in names], np.full(n, height_of_text / 2)], axis=1)
    turn = np.arange(0, 2 * np.pi, np.pi / 12)
    ring_R = np.arange(4.0, 184.0, 9.0)  # beyond a mark's own edge
    direction_T2 = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    apart_NN = np.linalg.norm(marks_N2[:, None] - marks_N2, axis=2) + 1e9 * np.eye(n)
    order = np.argsort(-np.sort(apart_NN, axis=1)[:, : min(4, n)].mean(axis=1), kind="stable")
    shift_N2, placed = np.zeros((n, 2)), list[int]()
    for i in [*order, *order]:
        others = np.array([j for j in placed if j != i], int)
        # of a ring, the places whose box just leaves a circle around the mark
        shift_P2 = (
            (ring_R + side_N2[i, 0])[:, None, None] * direction_T2 + direction_T2 * half_N2[i] * [1, 0]
        ).reshape(-1, 2)
        low_P2, high_P2 = marks_N2[i] + shift_P2 - half_N2[i], marks_N2[i] + shift_P2 + half_N2[i]
        outside_P = (np.maximum(-low_P2, 0) + np.maximum(high_P2 - [width, height], 0)).sum(axis=1)
        cost_P = 100 * outside_P + np.linalg.norm(shift_P2 - np.clip(shift_P2, -half_N2[i], half_N2[i]), axis=1)
        cost_P += 15 * _shared(low_P2, high_P2, marks_N2 - side_N2, marks_N2 + side_N2).sum(axis=1)
        led_P = _points(marks_N2[i], marks_N2[i] + shift_P2)
        rest = np.arange(n) != i
        cost_P += 30 * _within(led_P, (marks_N2 - side_N2)[rest], (marks_N2 + side_N2)[rest]).any(axis=1).sum(axis=1)
        if lines_L4 is not None:
            cost_P += 8 * _shared(low_P2, high_P2, lines_L4[:, :2] - 1, lines_L4[:, 2:] + 1).sum(axis=1)
        if len(others):
            middle_O2 = marks_N2[others] + shift_N2[others]
            cost_P += 50 * _shared(low_P2, high_P2, middle_O2 - half_N2[others], middle_O2 + half_N2[others]).sum(1)
            ends = marks_N2[i], marks_N2[i] + shift_P2, marks_N2[others], middle_O2
            cost_P += 40 * _crossing(*ends).sum(axis=1)
            along_O = _points(*ends[2:])
            struck_P = _within(led_P, middle_O2 - half_N2[others], middle_O2 + half_N2[others]).any(axis=1).sum(1)
            strikes_P = _within(along_O, low_P2, high_P2).any(axis=1).sum(axis=0)
            cost_P += 200 * (struck_P + strikes_P)
        shift_N2[i] = shift_P2[cost_P.argmin()]
        placed.append(i)
    return shift_N2


def _letters(name: str) -> float:
    """How many letters of mean width a name is as wide as: capitals are wider."""
    return sum(1.25 if letter.isupper() else 1.0 for letter in name)


def _shared(low_P2, high_P2, low_O2, high_O2) -> np.ndarray:
    """The areas (P, O) that boxes, given by their corners, share with other boxes."""
    side_PO2 = np.minimum(high_P2[:, None], high_O2) - np.maximum(low_P2[:, None], low_O2)
    return np.clip(side_PO2, 0, None).prod(axis=2)


def _points(start, end) -> np.ndarray:
    """Points (B, 9, 2) along lines from start to end, either of them B x 2 or one for all."""
    share = np.linspace(0.1, 1, 9)[:, None]
    return (1 - share) * np.atleast_2d(start)[:, None] + share * np.atleast_2d(end)[:, None]


def _within(points_BS2, low_C2, high_C2) -> np.ndarray:
    """Whether points (B, S) lie in boxes, (B, S, C)."""
    points = points_BS2[:, :, None]
    return ((points > low_C2) & (points < high_C2)).all(axis=3)


def _crossing(start_2, end_P2, start_O2, end_O2) -> np.ndarray:
    """Whether the lines (P, O) from one start to P ends cross each of O others."""

    def left(a, b, c):
        return np.sign(
            (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
        )

    a, b, c, d = start_2[None, None], end_P2[:, None], start_O2[None], end_O2[None]
    return (left(a, b, c) * left(a, b, d) < 0) & (left(c, d, a) * left(c, d, b) < 0)
