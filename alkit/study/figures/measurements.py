"""Figures of what was measured: losses, accuracy against annotation cost, what was bought, and seconds."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit.explorer.palette import CATEGORIES, CATEGORY_STYLE, GREY, INK, PALETTE, TEXT
from alkit.study.analysis import cost_tables, display_names
from alkit.study.analysis.curves import area, curve, staircase
from alkit.study.figures import findings
from alkit.study.figures.label_places import name_marks
from alkit.study.figures.style import RIGHT, WIDTH, highlighted, layout, method_styles, reference_styles, transparent

HATCH = dict(size=5, fillmode="overlay", fgcolor="#ffffff", fgopacity=0.55, solidity=0.3)


LOSSES = (  # column, name, colour, dash, width
    ("loss", "total", TEXT, "solid", 4),
    ("con", "L<sub>con</sub>, unlabelled images", CATEGORY_STYLE[0][0], "dash", 2),
    ("supcon", "L<sub>supcon</sub>, labelled images", CATEGORY_STYLE[2][0], "dot", 2),
)


def losses(history: Sequence[dict]) -> go.Figure:
    """Training loss and, where there are any, its parts L_con and L_supcon (Kim et al. 2023, Eq. 2) per epoch.

    One dict per epoch, in order, with `loss`, `con`, `supcon` (None or NaN where there is none, as at stage 0), `epoch`
    and, if there are several, `stage`.
    """
    table = pd.DataFrame(list(history)).reset_index(drop=True)
    table = table.assign(
        **{key: table.get(key, pd.Series(dtype=float)).astype(float) for key in ("loss", "con", "supcon")}
    )
    if len(table) == 1:
        return _one_epoch(table)
    stage = table["stage"] if "stage" in table else pd.Series(0, index=table.index)
    epoch, fig = np.arange(1, len(table) + 1), go.Figure()
    for key, name, colour, dash, width in LOSSES:
        if table[key].notna().any():
            fig.add_trace(
                go.Scatter(
                    x=epoch,
                    y=table[key],
                    name=name,
                    mode="lines",
                    line=dict(color=colour, dash=dash, width=width),
                    connectgaps=False,
                    customdata=np.column_stack([stage, table["epoch"]]),
                    hovertemplate="stage %{customdata[0]}, epoch %{customdata[1]}: %{y:.4f}",
                )
            )
    starts = np.flatnonzero(stage.diff().fillna(0) != 0)
    for start in starts:
        fig.add_vline(start + 0.5, line=dict(color=TEXT, width=1, dash="dot"))
    fig.update_xaxes(title_text="epoch, counted over all stages" if len(starts) else "epoch", showgrid=False)
    fig.update_yaxes(title_text="loss (nats per anchor)")
    fig.update_layout(legend=dict(orientation="h", y=1.02, yanchor="bottom", x=0, itemwidth=60))
    return layout(
        fig,
        findings.of_losses(table["loss"], table["con"].dropna()),
        f"training loss; {len(table):,} epochs in {stage.nunique()} stage{'s' * (len(starts) > 0)}"
        + ("; vertical lines: a new stage begins" if len(starts) else ""),
        420,
        top=120,
    )


def _one_epoch(table: pd.DataFrame) -> go.Figure:
    """The loss of one epoch and its parts as bars with their numbers: lines of one point show nothing."""
    fig = go.Figure()
    for key, name, colour, _, _ in LOSSES:
        if table[key].notna().any():
            value = float(table[key].iloc[0])
            fig.add_trace(
                go.Bar(
                    x=[value],
                    y=[name],
                    name=name,
                    orientation="h",
                    marker_color=colour,
                    showlegend=False,
                    text=[f" {value:.2f} "],
                    textposition="outside",
                    cliponaxis=False,
                    hovertemplate="%{y}: %{x:.4f}<extra></extra>",
                )
            )
    top = float(table[["loss", "con", "supcon"]].max(axis=None))
    fig.update_xaxes(title_text="loss (nats per anchor)", range=[0, 1.12 * top])
    fig.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    parts = [f"{table[key].iloc[0]:.2f} {words}" for key, words in (("con", "from unlabelled images"),
             ("supcon", "from labelled ones")) if table[key].notna().any()]  # fmt: skip
    title = f"Of the loss, {' and '.join(parts)}" if len(parts) == 2 else "The loss of one epoch"
    return layout(fig, title, "training loss of the one epoch of this stage", 140 + 45 * len(fig.data), left=40)


def origin(df: pd.DataFrame) -> str:
    """ "MixDigits, laptop profile, 5 seeds": where the runs of a figure come from, for its subtitle."""
    n = df["seed"].nunique()
    return f"{display_names.pool(df['benchmark'].iloc[0])}, {df['profile'].iloc[0]} profile, {n} seed{'s' * (n > 1)}"


def about(df: pd.DataFrame) -> str:
    """`origin` with the learner; where methods have different ones, that a difference may be the learners'."""
    learners = sorted(set(cost_tables.with_names(df)["learner_name"]))
    if len(learners) == 1:
        return f"{origin(df)}, learner {learners[0]}"
    return f"{origin(df)}; different learners ({', '.join(learners)}): a difference may be the learners'"


CURVES_HEIGHT, CURVES_LEFT, CURVES_BOTTOM = 560, 70, 60  # px
BANDS = 3  # more of them at a time make one blob


def curves(
    df: pd.DataFrame, *, x: str = "cost", log_cost: bool = False, highlight: Sequence[str] | None = None
) -> go.Figure:
    """Accuracy against annotation cost (or `x="n_id"`) per method (Kim et al. 2023, Figure 4), from the result table.

    Lines are `analysis.curves.curve`: means over seeds where all have values, steps over cost, as a stage counts when
    it is finished; each ends in a large marker, the mean of the last stage (as in Table 2), and has its name there.
    Bands of +- 1 sample standard deviation: of those that the title speaks of, three at most. `highlight`: the
    methods in colour, the others grey; None: all of eight or fewer, else as `style.highlighted`. Reference lines are
    broken and grey. ValueError for a name that is not there.
    """
    steps = x == "cost"
    table, last = curve(df, x, steps=steps), cost_tables.table2(df)
    lines, fig = list(last.index[last["family"] == "reference"]), go.Figure()
    ranked, names = [name for name in last.index if name not in lines], display_names.methods(last.index)
    worth = area(df, x).groupby("method")["area"].mean() if len(ranked) > 8 and highlight is None else {}
    shown = highlighted(ranked, highlight, worth)
    styles = {
        **dict.fromkeys(last.index, (GREY, "solid", "circle")),
        **method_styles([name for name in last.index if name in shown]),
        **reference_styles(lines),
    }
    n_id, several = df["n_id"].max(), df["seed"].nunique() > 1
    title, told = findings.of_ends(last.loc[ranked], names, same_labels=not steps)
    banded = list(dict.fromkeys(one for one in told if one in shown))[:BANDS]
    _add_bands(fig, table, banded if several else [], styles, steps)
    drawn = [*(name for name in ranked if name not in shown), *(name for name in ranked if name in shown), *lines]
    ends = last["cost_mean"] if steps else pd.Series(float(n_id), index=last.index)
    for name in drawn:
        rows, (colour, dash, symbol) = table[table["method"] == name], styles[name]
        plain, several_words = name not in {*shown, *lines}, " \u00b1 %{customdata:.2f}" if several else ""
        fig.add_trace(
            go.Scatter(
                x=[*rows["x"], ends[name]] if steps else rows["x"],
                y=[*(100 * rows["mean"]), last.loc[name, "accuracy_mean"]] if steps else 100 * rows["mean"],
                name=f"{names[name]} (reference line)" if name in lines else names[name],
                showlegend=False,
                legendgroup=name,
                mode="lines" if plain else "lines+markers",
                line=dict(
                    color=colour,
                    dash=dash if name in lines else "solid",
                    width=1 if plain else 2,
                    shape="hv" if steps else "linear",
                ),
                customdata=100 * rows["sd"],
                marker=dict(symbol=symbol, size=7, maxdisplayed=5),
                hovertemplate=f"{names[name]}<br>%{{x:,.0f}} samples: %{{y:.2f}}{several_words} %<extra></extra>",
            )
        )
    named = [name for name in drawn if name in {*shown, *lines}]
    for name in named:
        colour, _, symbol = styles[name]
        end = last.loc[name]
        fig.add_trace(
            go.Scatter(
                x=[ends[name]],
                y=[end["accuracy_mean"]],
                mode="markers",
                marker=dict(symbol=symbol, size=13, color=colour, line=dict(color="#ffffff", width=1)),
                legendgroup=name,
                showlegend=False,
                hovertemplate=f"{names[name]}, last stage<br>cost "
                f"{end['cost_mean']:,.0f}, accuracy {end['accuracy_mean']:.2f} %<extra></extra>",
            )
        )
    log = log_cost and steps
    across = _range([*table["x"], *ends, *([n_id] if steps else [])], 0.02, 0.1 if steps else 0.2, log=log)
    band = [100 * (table["mean"] + side * table["sd"])[table["method"].isin(banded)] for side in (-1, 1)]
    up = _range([*(100 * table["mean"]), *last["accuracy_mean"], *(band if several else [])], 0.05, 0.06)
    fig.update_xaxes(
        title_text="annotation cost (samples shown to the oracle)" if steps else "labelled iD samples",
        type="log" if log else "linear",
        range=across,
    )
    fig.update_yaxes(title_text="test accuracy (%)", range=up)
    if log:
        fig.update_xaxes(**_log_ticks(table["x"].min(), df[x].max()))
    grey, banded_names = len(ranked) - len(shown), ", ".join(names[name] for name in banded)
    subtitle = "; ".join(
        [
            about(df),
            *(["at each cost the last finished stage"] if steps else []),
            *([f"band: \u00b1 1 standard deviation ({banded_names})"] if several and banded else []),
            "large marker: mean of the last stage",
            *([f"grey: the other {grey} methods"] if grey else []),
        ]
    )
    layout(fig, title, subtitle, CURVES_HEIGHT, top=100, bottom=CURVES_BOTTOM, left=CURVES_LEFT)
    size = WIDTH - CURVES_LEFT - RIGHT, fig.layout.height - fig.layout.margin.t - CURVES_BOTTOM
    at = pd.DataFrame({"x": np.log10(ends[named]) if log else ends[named], "y": last.loc[named, "accuracy_mean"]})
    last_points = {name: (ends[name], last.loc[name, "accuracy_mean"]) for name in named}
    paths = [_points(table[table["method"] == name], last_points[name], steps, log) for name in named]
    colours = [styles[name][0] for name in named]
    name_marks(fig, at, [names[name] for name in named], colours, across, up, size, lines=paths, font=13)
    if steps:
        fig.add_vline(n_id, line=dict(color=TEXT, dash="dot", width=1.5), layer="below")
        fig.add_annotation(
            x=math.log10(n_id) if log else n_id,
            y=1,
            yref="paper",
            yanchor="bottom",
            xanchor="left",
            showarrow=False,
            font=dict(size=13, color=INK),
            text=f"floor: {n_id:,} samples, every label iD",
        )
    return fig


def _add_bands(fig: go.Figure, table: pd.DataFrame, banded: Sequence[str], styles, steps: bool) -> None:
    for name in banded:
        rows = table[table["method"] == name]
        edges = [(rows["x"].to_numpy(), (rows["mean"] + side * rows["sd"]).to_numpy()) for side in (1, -1)]
        (x_up, up), (x_down, down) = (staircase(*edge) if steps else edge for edge in edges)
        fig.add_trace(
            go.Scatter(
                x=np.concatenate([x_up, x_down[::-1]]),
                y=100 * np.concatenate([up, down[::-1]]),
                fill="toself",
                mode="lines",
                line_width=0,
                fillcolor=transparent(styles[name][0], 0.12),
                legendgroup=name,
                showlegend=False,
                hoverinfo="skip",
            )
        )


def _points(rows: pd.DataFrame, end: tuple[float, float], steps: bool, log: bool) -> np.ndarray:
    """The points (P, 2) of a line as it is drawn, up to its `end`, in the units of the axes."""
    x, y = np.append(rows["x"].to_numpy(float), end[0]), np.append(100 * rows["mean"].to_numpy(float), end[1])
    x, y = staircase(x, y) if steps else (x, y)
    return np.stack([np.log10(x) if log else x, y], axis=1)


def _range(values, below: float, above: float, *, log: bool = False) -> tuple[float, float]:
    """The ends of an axis that shows these values, with room as shares of their span."""
    flat = np.concatenate([np.ravel(np.asarray(value, float)) for value in values])
    flat = flat[np.isfinite(flat)]
    low, high = np.log10((flat.min(), flat.max())) if log else (flat.min(), flat.max())
    span = max(high - low, 1e-9)
    return low - below * span, high + above * span


def _log_ticks(low: float, high: float) -> dict:
    values = [m * 10**k for k in range(12) for m in (1, 2, 5) if low <= m * 10**k <= high]  # not plotly's tiny 2, 3, 4
    return dict(tickvals=values, ticktext=[f"{value:,}" for value in values])


def composition(df: pd.DataFrame) -> go.Figure:
    """What each stage after the initial set bought: mean new samples of each category, one panel per method."""
    table = cost_tables.composition(df)
    names = list(dict.fromkeys(table["method"]))
    shown = display_names.methods(names)
    totals = table.assign(total=table[list(cost_tables.BOUGHT)].sum(axis=1))
    peaks = totals[totals["stage"] > 0].groupby("method")["total"].max()
    shared = bool(peaks.max() <= 8 * peaks.min())
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    titles = [
        f"<b>{shown[name]}</b><br>{own.loc[own['stage'] == 0, 'total'].sum():,.0f} at first, "
        f"{own.loc[own['stage'] > 0, 'total'].sum():,.0f} more"
        for name in names
        for own in [totals[totals["method"] == name]]
    ]
    fig = make_subplots(
        rows,
        columns,
        subplot_titles=titles,
        shared_yaxes="all" if shared else False,
        horizontal_spacing=0.04 if shared else 0.09,
        vertical_spacing=0.22 * 2 / max(2, rows) if rows > 1 else 0,
    )
    for panel, name in enumerate(names):
        own = table[(table["method"] == name) & (table["stage"] > 0)]
        for code, column in enumerate(cost_tables.BOUGHT):
            colour, _, hatching = CATEGORY_STYLE[code]
            fig.add_trace(
                go.Bar(
                    x=own["stage"],
                    y=own[column],
                    name=CATEGORIES[code],
                    legendgroup=column,
                    showlegend=panel == 0,
                    marker=dict(color=colour, line_width=0, pattern=dict(HATCH, shape=hatching)),
                    hovertemplate=f"{shown[name]}, stage %{{x}}<br>%{{y:.1f}} {CATEGORIES[code]}<extra></extra>",
                ),
                panel // columns + 1,
                panel % columns + 1,
            )
    fig.update_xaxes(title_text="stage", row=rows).update_yaxes(title_text="samples bought", col=1)
    height = 150 + 250 * rows
    fig.update_layout(
        barmode="stack",
        legend=dict(orientation="h", x=1, xanchor="right", y=1 - 66 / height, yref="container", yanchor="top"),
    )
    return layout(
        fig,
        findings.of_purchases(df),
        f"{about(df)}; what was bought, mean per stage after the initial set"
        + ("" if shared else "; each panel has its own scale"),
        height,
        top=135,
    )


def seconds(df: pd.DataFrame) -> go.Figure:
    """Seconds of a run per method, stacked by phase (mean over seeds), without the first training.

    The runs of a seed and learner share that one, and whichever of them came first has its seconds on its clock.
    """
    table, fig = cost_tables.seconds(df)[::-1], go.Figure()
    shown = display_names.methods(table.index)
    for column, colour, hatching in zip(
        cost_tables.PHASES, (PALETTE[0], PALETTE[2], PALETTE[3]), ("", "/", "x"), strict=True
    ):
        name = column.removesuffix("_seconds")
        fig.add_trace(
            go.Bar(
                y=[shown[name] for name in table.index],
                x=table[column],
                name=name,
                orientation="h",
                hovertemplate="%{y}<br>" + name + ": %{x:,.1f} s<extra></extra>",
                marker=dict(color=colour, pattern=dict(HATCH, shape=hatching)),
            )
        )
    fig.update_xaxes(title_text="seconds per run, without the first training")
    fig.update_layout(barmode="stack", legend=dict(orientation="h", x=0, y=1.02, yanchor="bottom", traceorder="normal"))
    return layout(
        fig,
        findings.of_seconds(table, shown),
        f"{about(df)}; the first training, which the runs of a seed share, is left out; "
        f"on {' and '.join(sorted(set(df['device'])))}",
        190 + 36 * len(table),
        top=120,
    )
