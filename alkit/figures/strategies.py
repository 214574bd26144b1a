"""Figures of strategies: what each asks first on the toy pool, and what it buys."""

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit.figures.style import CATEGORIES, CATEGORY_STYLE, TEXT, layout, transparent
from alkit.toy import Game, Toy

NUMBERED = 12  # picks of a panel that carry their number; more would hide each other


def toy_picks(toy: Toy, games: Mapping[str, Game], shares: Mapping[str, np.ndarray], *, columns: int = 3) -> go.Figure:
    """One panel per strategy: the toy pool, pale; the initial set as rings; what was bought, the first picks numbered.

    `shares`: per strategy, (3,) mean shares of iD, ambiguous and OoD samples among its picks, for the titles.
    """
    columns, rows = min(columns, len(games)), math.ceil(len(games) / min(columns, len(games)))
    titles = [f"<b>{name}</b><br>" + ", ".join(
        f"<span style='color:{style[0]}'>{share:.0%} {kind}</span>"
        for share, kind, style in zip(shares[name], CATEGORIES, CATEGORY_STYLE, strict=True)
    ) for name in games]  # fmt: skip
    fig = make_subplots(
        rows, columns, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=52 / (52 * rows + 250 * rows),
    )  # fmt: skip
    for panel, (name, game) in enumerate(games.items()):
        for trace in _pool(toy, panel == 0) + _bought(toy, name, game):
            fig.add_trace(trace, panel // columns + 1, panel % columns + 1)
    low, high = toy.points_N2.min() - 0.2, toy.points_N2.max() + 0.2
    fig.update_xaxes(visible=False, range=[low, high])
    fig.update_yaxes(visible=False, range=[low, high])
    fig.update_layout(legend=dict(orientation="h", x=1, xanchor="right", y=1, yref="container", yanchor="top"))
    return layout(
        fig, "What each strategy asks first",
        "rings: the initial set; large marks: bought, numbered in order; titles: shares over all toy pools",
        150 + 300 * rows, top=140, bottom=10, left=15,
    )  # fmt: skip


def _pool(toy: Toy, legend: bool) -> list[go.Scatter]:
    return [
        go.Scatter(
            x=toy.points_N2[toy.category_N == code, 0], y=toy.points_N2[toy.category_N == code, 1], name=kind,
            mode="markers", marker=dict(color=transparent(colour, 0.3), symbol=symbol, size=4), hoverinfo="skip",
            showlegend=legend,
        )
        for code, (kind, (colour, symbol, _)) in enumerate(zip(CATEGORIES, CATEGORY_STYLE, strict=True))
    ]  # fmt: skip


def _bought(toy: Toy, name: str, game: Game) -> list[go.Scatter]:
    initial_N2, picks_N2 = toy.points_N2[game.initial], toy.points_N2[game.picks]
    kinds = toy.category_N[game.picks]
    rings = go.Scatter(
        x=initial_N2[:, 0], y=initial_N2[:, 1], mode="markers", hoverinfo="skip", showlegend=False,
        marker=dict(symbol="circle-open", size=9, color=TEXT, line_width=2),
    )  # fmt: skip
    hover = [
        f"{name}, stage {stage}, pick {number}: {CATEGORIES[kind]}"
        for number, (stage, kind) in enumerate(zip(game.stage_P, kinds, strict=True), 1)
    ]
    first = np.arange(len(kinds)) < NUMBERED
    marks = [
        go.Scatter(
            x=picks_N2[own, 0], y=picks_N2[own, 1], showlegend=False, customdata=np.array(hover, object)[own],
            mode="markers+text" if numbered else "markers", hovertemplate="%{customdata}<extra></extra>",
            text=[str(i + 1) for i in np.flatnonzero(own)] if numbered else None,
            textfont=dict(size=10, color="#ffffff"),
            marker=dict(
                color=[CATEGORY_STYLE[kind][0] for kind in kinds[own]], size=17 if numbered else 9,
                symbol="circle" if numbered else [CATEGORY_STYLE[kind][1] for kind in kinds[own]],
                line=dict(color="#ffffff", width=1),
            ),
        )
        for numbered, own in ((False, ~first), (True, first))
    ]  # fmt: skip
    return [rings, *marks]
