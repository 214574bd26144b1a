"""Figures of strategies: what each asks first on the toy pool, and what it buys."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit.explorer.palette import CATEGORIES, CATEGORY_STYLE, FAMILY_STYLE, TEXT
from alkit.study.analysis import cost_tables
from alkit.study.analysis.toy_pool import Game, Toy
from alkit.study.figures.label_places import led_labels
from alkit.study.figures.measurements import HATCH, about
from alkit.study.figures.style import RIGHT, WIDTH, layout, transparent

PLANE_HEIGHT, PLANE_TOP, PLANE_BOTTOM, PLANE_LEFT = 720, 100, 130, 70  # px, of the figure and its margins


NUMBERED = 12  # picks of a panel that carry their number; more would hide each other


def toy_picks(toy: Toy, games: Mapping[str, Game], shares: Mapping[str, np.ndarray], names: Sequence[str]) -> go.Figure:
    """One panel for each of `names`: the toy pool, pale; the initial set as rings; what was bought, numbered at first.

    `games` and `shares` are `toy_pool.compare`'s. ValueError where there is no name to draw.
    """
    if not len(names):
        raise ValueError("no strategy to draw: names is empty")
    columns, rows = min(3, len(names)), math.ceil(len(names) / 3)
    titles = [
        f"<b>{name}</b><br>"
        + ", ".join(
            f"<span style='color:{style[0]}'>{share:.0%} {kind}</span>"
            for share, kind, style in zip(shares[name], CATEGORIES, CATEGORY_STYLE, strict=True)
        )
        for name in names
    ]
    fig = make_subplots(
        rows,
        columns,
        subplot_titles=titles,
        horizontal_spacing=0.02,
        vertical_spacing=52 / (52 * rows + 250 * rows),
    )
    for panel, name in enumerate(names):
        for trace in _pool(toy, panel == 0) + _bought(toy, name, games[name]):
            fig.add_trace(trace, panel // columns + 1, panel % columns + 1)
    low, high = toy.points_N2.min() - 0.2, toy.points_N2.max() + 0.2
    fig.update_xaxes(visible=False, range=[low, high])
    fig.update_yaxes(visible=False, range=[low, high])
    fig.update_layout(legend=dict(orientation="h", x=1, xanchor="right", y=1, yref="container", yanchor="top"))
    return layout(
        fig,
        "What each strategy asks first",
        "rings: the initial set; large marks: bought, numbered in order; titles: shares over all toy pools",
        150 + 300 * rows,
        top=140,
        bottom=10,
        left=15,
    )


def _pool(toy: Toy, legend: bool) -> list[go.Scatter]:
    return [
        go.Scatter(
            x=toy.points_N2[toy.category_N == code, 0].astype("f4"),
            name=kind,
            y=toy.points_N2[toy.category_N == code, 1].astype("f4"),  # a panel each: half the bytes of the page
            mode="markers",
            marker=dict(color=transparent(colour, 0.3), symbol=symbol, size=4),
            hoverinfo="skip",
            showlegend=legend,
        )
        for code, (kind, (colour, symbol, _)) in enumerate(zip(CATEGORIES, CATEGORY_STYLE, strict=True))
    ]


def _bought(toy: Toy, name: str, game: Game) -> list[go.Scatter]:
    initial_N2, picks_N2 = toy.points_N2[game.initial], toy.points_N2[game.picks]
    kinds = toy.category_N[game.picks]
    rings = go.Scatter(
        x=initial_N2[:, 0],
        y=initial_N2[:, 1],
        mode="markers",
        hoverinfo="skip",
        showlegend=False,
        marker=dict(symbol="circle-open", size=9, color=TEXT, line_width=2),
    )
    hover = [
        f"{name}, stage {stage}, pick {number}: {CATEGORIES[kind]}"
        for number, (stage, kind) in enumerate(zip(game.stage_P, kinds, strict=True), 1)
    ]
    first = np.arange(len(kinds)) < NUMBERED
    marks = [
        go.Scatter(
            x=picks_N2[own, 0],
            y=picks_N2[own, 1],
            showlegend=False,
            customdata=np.array(hover, object)[own],
            mode="markers+text" if numbered else "markers",
            hovertemplate="%{customdata}<extra></extra>",
            text=[str(i + 1) for i in np.flatnonzero(own)] if numbered else None,
            textfont=dict(size=10, color="#ffffff"),
            marker=dict(
                color=[CATEGORY_STYLE[kind][0] for kind in kinds[own]],
                size=17 if numbered else 9,
                symbol="circle" if numbered else [CATEGORY_STYLE[kind][1] for kind in kinds[own]],
                line=dict(color="#ffffff", width=1),
            ),
        )
        for numbered, own in ((False, ~first), (True, first))
    ]
    return [rings, *marks]


def bought(df: pd.DataFrame) -> go.Figure:
    """What each method bought after the initial set, mean over seeds, by category; grouped by family.

    Within a family the method that wasted least comes first.
    """
    table = cost_tables.composition(df)
    total = table[table["stage"] > 0].groupby("method", sort=False)[list(cost_tables.BOUGHT)].sum()
    total = total.assign(family=cost_tables.table2(df)["family"])
    order = {family: i for i, family in enumerate(cost_tables.FAMILIES)}
    total = total.assign(place=total["family"].map(order), all=total[list(cost_tables.BOUGHT)].sum(axis=1))
    total = total.sort_values(["place", "all"], kind="stable")
    names, fig = cost_tables.without_learner(total.index), go.Figure()
    for code, column in enumerate(cost_tables.BOUGHT):
        colour, _, hatching = CATEGORY_STYLE[code]
        fig.add_trace(
            go.Bar(
                y=[list(total["family"].map(cost_tables.FAMILIES)), names],
                x=total[column],
                name=CATEGORIES[code],
                orientation="h",
                marker=dict(color=colour, line_width=0, pattern=dict(HATCH, shape=hatching)),
                hovertemplate="%{y}<br>%{x:,.0f} " + CATEGORIES[code] + "<extra></extra>",
            )
        )
    fig.update_xaxes(title_text="samples bought after the initial set", range=_without_outliers(total["all"]))
    fig.update_yaxes(autorange="reversed", tickfont_size=12, dividercolor=TEXT, dividerwidth=1)
    fig.update_layout(barmode="stack", legend=dict(orientation="h", x=0, y=1.02, yanchor="bottom", traceorder="normal"))
    beyond = total["all"] > fig.layout.xaxis.range[1]
    note = "; off the scale: " + ", ".join(
        f"{name} {count:,.0f}" for name, count in zip(np.array(names)[beyond], total["all"][beyond], strict=True)
    )
    return layout(fig, "Who buys junk?", about(df) + (note if beyond.any() else ""), 190 + 23 * len(total), top=120)


def _without_outliers(values: pd.Series) -> list[float]:
    """A range from 0 that a few values far above the others do not stretch."""
    return [0, 1.05 * values[values <= 5 * values.median()].max()]


def plane(
    df: pd.DataFrame,
    *,
    log_cost: bool = False,
    ceiling: float | None = None,
    floor: float | None = None,
    highlight: str = "",
) -> go.Figure:
    """Annotation cost and accuracy of each method at its last stage, mean and standard deviation over seeds.

    Left and up is better; the dotted line joins the methods that no ranked other beats in both. `ceiling`: the accuracy
    (0 to 1) with all iD samples labelled, and `floor`: the least that iD labels can cost, a look each; dashed lines.
    `highlight`: what the names of the methods begin with that stand out; the others are pale.
    """
    table, fig = cost_tables.table2(df), go.Figure()
    names, ranked = cost_tables.without_learner(table.index), table["family"] != "reference"
    front = _front(table[ranked])
    fig.add_trace(
        go.Scatter(
            x=front["cost_mean"],
            y=front["accuracy_mean"],
            mode="lines",
            line=dict(color=TEXT, dash="dot", width=1.5),
            line_shape="vh",
            name="no other is better in both",
            hoverinfo="skip",
        )
    )
    for family, (colour, symbol) in FAMILY_STYLE.items():
        own = (table["family"] == family).to_numpy()
        if not own.any():
            continue
        rows = table[own]
        pale = [not name.startswith(highlight) for name in np.array(names, object)[own]]
        error = dict(thickness=1, width=0, color=transparent(colour, 0.2))
        fig.add_trace(
            go.Scatter(
                x=rows["cost_mean"],
                y=rows["accuracy_mean"],
                name=cost_tables.FAMILIES[family],
                mode="markers",
                text=np.array(names, object)[own],
                cliponaxis=False,
                marker=dict(
                    color=colour,
                    symbol=symbol,
                    size=[10 if p or not highlight else 14 for p in pale],
                    opacity=[0.45 if p else 1 for p in pale],
                    line_color=colour,
                    line_width=2 * ("open" in symbol),
                ),
                error_x=dict(array=rows["cost_sd"], **error),
                error_y=dict(array=rows["accuracy_sd"], **error),
                hovertemplate="%{text}<br>cost %{x:,.0f}, accuracy %{y:.2f} %<extra></extra>",
            )
        )
    ends = table["cost_mean"] if floor is None else pd.concat([table["cost_mean"], pd.Series([floor])])
    ends = np.log10(ends) if log_cost else ends
    room = 0.06 * max(np.ptp(ends), 1e-9)
    across = ends.min() - room, ends.max() + room
    tops = [table["accuracy_mean"].max()] + ([100 * ceiling] if ceiling is not None else [])
    room = 0.06 * max(max(tops) - table["accuracy_mean"].min(), 1e-9)
    up = table["accuracy_mean"].min() - room, max(tops) + room
    _name_marks(fig, table, names, front, across, up, log_cost=log_cost, highlight=highlight)
    fig.update_xaxes(title_text="annotation cost at the last stage (samples shown to the oracle)", range=across)
    if log_cost:
        fig.update_xaxes(type="log", tickvals=[m * 10**k for k in range(6) for m in (1, 2, 3, 5)])
    fig.update_yaxes(title_text="test accuracy at the last stage (%)", range=up)
    if ceiling is not None:
        text = f"all iD samples of the pool labelled: {100 * ceiling:.1f} %"
        at = dict(annotation_text=text, annotation_position="top", annotation_font=dict(size=11, color=TEXT))
        fig.add_hline(y=100 * ceiling, line=dict(color=TEXT, dash="dash", width=1), **at)
    if floor is not None:
        fig.add_vline(x=floor, line=dict(color=TEXT, dash="dash", width=1))
        fig.add_annotation(
            x=np.log10(floor) if log_cost else floor,
            y=0.02,
            yref="paper",
            text=f"floor: {floor:,.0f} looks",
            textangle=-90,
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            xshift=-2,
        )
    fig.update_layout(legend=dict(orientation="h", x=0, y=-0.13, yanchor="top"))
    return layout(
        fig,
        _finding(table[ranked]),
        f"{about(df)}; bars: 1 standard deviation over seeds",
        PLANE_HEIGHT,
        top=PLANE_TOP,
        bottom=PLANE_BOTTOM,
        left=PLANE_LEFT,
    )


def _name_marks(fig: go.Figure, table: pd.DataFrame, names, front, across, up, *, log_cost: bool, highlight: str):
    """Write the name of each row of `table` near its mark, with a line that leads there; `across`, `up`: axes' ends.

    `front`: the rows that a stepped line joins, which names keep off.
    """
    size = WIDTH - PLANE_LEFT - RIGHT, PLANE_HEIGHT - PLANE_TOP - PLANE_BOTTOM

    def places(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Where rows lie, in the axes' units and in pixels from the lower left."""
        x = (np.log10(rows["cost_mean"]) if log_cost else rows["cost_mean"]).to_numpy()
        y = rows["accuracy_mean"].to_numpy()
        both = zip((x, y), (across, up), size, strict=True)
        return x, y, *((value - low) / (high - low) * side for value, (low, high), side in both)

    x, y, *marks = places(table)
    right, above = places(front)[2:]
    level = np.stack([right[:-1], above[1:], right[1:], above[1:]], axis=1)
    upright = np.stack([right[:-1], above[:-1], right[:-1], above[1:]], axis=1)
    shift_N2 = led_labels(*marks, names, *size, lines_L4=np.concatenate([level, upright]))
    for i, (right, above) in enumerate(shift_N2):
        colour = FAMILY_STYLE[table["family"].iloc[i]][0]
        bold = highlight and names[i].startswith(highlight)
        fig.add_annotation(
            x=x[i],
            y=y[i],
            ax=right,
            ay=-above,
            text=f"<b>{names[i]}</b>" if bold else names[i],
            font=dict(size=11, color=colour),
            name="mark",
            arrowhead=0,
            arrowwidth=0.8,
            arrowcolor=transparent(colour, 0.6),
            standoff=5,
            borderpad=1,
        )


def _finding(ranked: pd.DataFrame) -> str:
    """What the plane says in a sentence: who ends highest, how far above random choice, and for how many looks."""
    names = cost_tables.without_learner(ranked.index)
    base = [i for i, name in enumerate(names) if name.lower() in ("random", "random, probe", "random, supervised")]
    best = int(ranked["accuracy_mean"].to_numpy().argmax())
    if not base or best == base[0]:
        return "Nobody ends above random choice" if base else "What a strategy costs, and what it is worth"
    gain = ranked["accuracy_mean"].iloc[best] - ranked["accuracy_mean"].iloc[base[0]]
    ratio = ranked["cost_mean"].iloc[best] / ranked["cost_mean"].iloc[base[0]]
    return f"{names[best]} ends highest, {gain:.1f} points above random, for {ratio:.1f} times the looks"


def _front(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that no other row beats in both mean cost and mean accuracy, by cost."""
    by_cost = table.sort_values(["cost_mean", "accuracy_mean"], ascending=[True, False])
    return by_cost[by_cost["accuracy_mean"] > by_cost["accuracy_mean"].cummax().shift(fill_value=-np.inf)]
