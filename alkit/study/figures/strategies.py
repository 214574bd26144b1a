"""Figures of strategies: what each asks first on the toy pool, and what it buys."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit import acquisition
from alkit.explorer.palette import CATEGORIES, CATEGORY_STYLE, FAMILY_STYLE, GREY, INK, TEXT
from alkit.study.analysis import cost_tables, display_names
from alkit.study.analysis.toy_pool import Game, Toy
from alkit.study.figures import findings
from alkit.study.figures.label_places import name_marks
from alkit.study.figures.measurements import HATCH, about
from alkit.study.figures.style import RIGHT, WIDTH, highlighted, layout, method_styles, transparent

PLANE_HEIGHT, PLANE_TOP, PLANE_BOTTOM, PLANE_LEFT = 800, 100, 130, 70  # px, of the figure and its margins


NUMBERED = 12  # picks of a panel that may carry their number: the first ones
APART = 0.62  # of the plane's units, between two numbers at least; one nearer to an earlier one is not written


def toy_picks(toy: Toy, games: Mapping[str, Game], shares: Mapping[str, np.ndarray], names: Sequence[str]) -> go.Figure:
    """One panel for each of `names`: the toy pool, pale; the initial set as rings; what was bought, numbered at first.

    `games` and `shares` are `toy_pool.compare`'s. ValueError where there is no name to draw.
    """
    if not len(names):
        raise ValueError("no strategy to draw: names is empty")
    columns, rows = min(3, len(names)), math.ceil(len(names) / 3)
    titles = [
        f"<b>{display_names.strategy(name)}</b><br>"
        + ", ".join(f"{100 * share:.0f} % {kind}" for share, kind in zip(shares[name], CATEGORIES, strict=True))
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
    height = 150 + 300 * rows
    fig.update_layout(
        legend=dict(orientation="h", x=1, xanchor="right", y=1 - 66 / height, yref="container", yanchor="top")
    )
    return layout(
        fig,
        _shares_of_id(shares, names),
        "toy pool; pale: not asked; rings: the initial set; large: bought, the first ones numbered where there is "
        "room; above: shares over all toy pools",
        height,
        top=140,
        bottom=10,
        left=15,
    )


def _shares_of_id(shares: Mapping[str, np.ndarray], names: Sequence[str]) -> str:
    """Who buys the largest share of iD samples on the toy pools, and who the smallest; reference lines apart."""
    own = [name for name in names if acquisition.family(name.partition(", ")[0], {}) != "reference"] or list(names)
    ranked = sorted(own, key=lambda name: -shares[name][0])
    said = [f"{display_names.strategy(name)}, {100 * shares[name][0]:.0f} %" for name in ranked]
    return f"Most iD samples: {said[0]}" + (f"; fewest: {said[-1]}" if len(said) > 1 else "")


def _pool(toy: Toy, legend: bool) -> list[go.Scatter]:
    return [
        go.Scatter(
            x=toy.points_N2[toy.category_N == code, 0].astype("f4"),
            name=kind,
            y=toy.points_N2[toy.category_N == code, 1].astype("f4"),  # a panel each: half the bytes of the page
            mode="markers",
            marker=dict(color=transparent(colour, 0.4), symbol=symbol, size=5),
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
    first = _with_room(picks_N2)
    marks = [
        go.Scatter(
            x=picks_N2[own, 0],
            y=picks_N2[own, 1],
            showlegend=False,
            customdata=np.array(hover, object)[own],
            mode="markers+text" if numbered else "markers",
            hovertemplate="%{customdata}<extra></extra>",
            text=[str(i + 1) for i in np.flatnonzero(own)] if numbered else None,
            textfont=dict(size=12, color="#ffffff"),
            marker=dict(
                color=[CATEGORY_STYLE[kind][0] for kind in kinds[own]],
                size=18 if numbered else 10,
                symbol="circle" if numbered else [CATEGORY_STYLE[kind][1] for kind in kinds[own]],
                line=dict(color="#ffffff", width=1),
            ),
        )
        for numbered, own in ((False, ~first), (True, first))
    ]
    return [rings, *marks]


def _with_room(picks_P2: np.ndarray) -> np.ndarray:
    """Which of the first picks get their number (bool, P): those that keep `APART` from every earlier one with one."""
    shown_P = np.zeros(len(picks_P2), bool)
    for i, pick_2 in enumerate(picks_P2[:NUMBERED]):
        shown_P[i] = (np.linalg.norm(picks_P2[shown_P] - pick_2, axis=1) >= APART).all()
    return shown_P


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
    shown = display_names.methods(total.index)
    names, fig = [shown[name] for name in total.index], go.Figure()
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
    return layout(
        fig,
        findings.of_purchases(df),
        f"what was bought; {about(df)}" + (note if beyond.any() else ""),
        190 + 23 * len(total),
        top=120,
    )


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

    Left and up is better; the dotted line joins the methods that no ranked other beats in both. In colour, with bars:
    those of `style.highlighted`, or the methods whose names begin with `highlight`; the others are grey and have the
    symbol of their family. `ceiling`: the accuracy (0 to 1) with all iD samples labelled, and `floor`: the least that
    iD labels can cost, a look each; dashed lines.
    """
    table, fig = cost_tables.table2(df), go.Figure()
    shown, ranked = display_names.methods(table.index), table["family"] != "reference"
    front, names = _front(table[ranked]), np.array([shown[name] for name in table.index], object)
    if highlight:
        strong = {name for name in table.index if name.startswith(highlight)}
    else:
        strong = highlighted(list(table.index[ranked]), None, table["accuracy_mean"].to_dict())
    styles = method_styles([name for name in table.index if name in strong])
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
    hover = "%{text}<br>cost %{x:,.0f}, accuracy %{y:.2f} %<extra></extra>"
    for family, (_, symbol) in FAMILY_STYLE.items():
        own = ((table["family"] == family) & ~table.index.isin(strong)).to_numpy()
        if own.any():
            fig.add_trace(
                go.Scatter(
                    x=table["cost_mean"][own],
                    y=table["accuracy_mean"][own],
                    name=cost_tables.FAMILIES[family],
                    mode="markers",
                    text=names[own],
                    cliponaxis=False,
                    marker=dict(color=GREY, symbol=symbol, size=9, line_color=GREY, line_width=2 * ("open" in symbol)),
                    hovertemplate=hover,
                )
            )
    for name in table.index[table.index.isin(strong)]:
        (colour, _, symbol), row = styles[name], table.loc[name]
        error = dict(thickness=1.2, width=0, color=transparent(colour, 0.6))
        fig.add_trace(
            go.Scatter(
                x=[row["cost_mean"]],
                y=[row["accuracy_mean"]],
                mode="markers",
                text=[shown[name]],
                showlegend=False,
                cliponaxis=False,
                marker=dict(color=colour, symbol=symbol, size=14, line=dict(color="#ffffff", width=1)),
                error_x=dict(array=[row["cost_sd"]], **error),
                error_y=dict(array=[row["accuracy_sd"]], **error),
                hovertemplate=hover,
            )
        )
    ends = table["cost_mean"] if floor is None else pd.concat([table["cost_mean"], pd.Series([floor])])
    ends = np.log10(ends) if log_cost else ends
    room = 0.06 * max(np.ptp(ends), 1e-9)
    across = ends.min() - room, ends.max() + room
    tops = [table["accuracy_mean"].max()] + ([100 * ceiling] if ceiling is not None else [])
    room = 0.06 * max(max(tops) - table["accuracy_mean"].min(), 1e-9)
    up = table["accuracy_mean"].min() - room, max(tops) + room
    spot = front["cost_mean"].to_numpy(), front["accuracy_mean"].to_numpy()
    corner = np.stack([np.repeat(spot[0], 2)[:-1], np.repeat(spot[1], 2)[1:]], axis=1)  # up, then to the right
    at = pd.DataFrame({"x": table["cost_mean"], "y": table["accuracy_mean"]})
    if log_cost:
        at["x"], corner[:, 0] = np.log10(at["x"]), np.log10(corner[:, 0])
    bold = [name in strong for name in table.index]
    colours = [styles[name][0] if name in strong else GREY for name in table.index]
    size = WIDTH - PLANE_LEFT - RIGHT, PLANE_HEIGHT - PLANE_TOP - PLANE_BOTTOM
    spread = table[["cost_sd", "accuracy_sd"]].fillna(0)
    bars = [_bar(table.loc[name], spread.loc[name], axis, log_cost) for name in strong for axis in (0, 1)]
    limits = [np.array([[across[0], 100 * ceiling], [across[1], 100 * ceiling]])] if ceiling is not None else []
    if floor is not None:
        limits.append(np.array([[np.log10(floor) if log_cost else floor, end] for end in up]))
    name_marks(fig, at, list(names), colours, across, up, size, lines=[corner, *bars, *limits], bold=bold)
    fig.update_xaxes(title_text="annotation cost at the last stage (samples shown to the oracle)", range=across)
    if log_cost:
        fig.update_xaxes(type="log", tickvals=[m * 10**k for k in range(6) for m in (1, 2, 3, 5)])
    fig.update_yaxes(title_text="test accuracy at the last stage (%)", range=up)
    if ceiling is not None:
        text = f"all iD samples of the pool labelled: {100 * ceiling:.1f} %"
        at = dict(annotation_text=text, annotation_position="top", annotation_font=dict(size=12, color=INK))
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
        findings.of_ends(table[ranked], shown)[0],
        f"{about(df)}; cost and accuracy at the last stage; bars: 1 standard deviation over seeds",
        PLANE_HEIGHT,
        top=PLANE_TOP,
        bottom=PLANE_BOTTOM,
        left=PLANE_LEFT,
    )


def _bar(row: pd.Series, spread: pd.Series, axis: int, log_cost: bool) -> np.ndarray:
    """The ends (2, 2) of the bar of one standard deviation along an axis, in the units of the axes."""
    ends = np.tile([row["cost_mean"], row["accuracy_mean"]], (2, 1))
    ends[:, axis] += [-spread.iloc[axis], spread.iloc[axis]]
    if log_cost:
        ends[:, 0] = np.log10(np.maximum(ends[:, 0], 1))
    return ends


def _front(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that no other row beats in both mean cost and mean accuracy, by cost."""
    by_cost = table.sort_values(["cost_mean", "accuracy_mean"], ascending=[True, False])
    return by_cost[by_cost["accuracy_mean"] > by_cost["accuracy_mean"].cummax().shift(fill_value=-np.inf)]
