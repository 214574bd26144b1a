"""Figures of what was measured: losses, accuracy against annotation cost, what was bought, and seconds."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit.explorer.palette import CATEGORIES, CATEGORY_STYLE, FAINT, PALETTE, TEXT
from alkit.study.analysis import cost_tables
from alkit.study.analysis.curves import area, curve, staircase
from alkit.study.figures.style import highlighted, layout, method_styles, reference_styles, transparent

HATCH = dict(size=5, fillmode="overlay", fgcolor="#ffffff", fgopacity=0.55, solidity=0.3)


def losses(history: Sequence[dict]) -> go.Figure:
    """Training loss and, where there are any, its parts L_con and L_supcon (Kim et al. 2023, Eq. 2) per epoch.

    One dict per epoch, in order, with `loss`, `con`, `supcon` (None or NaN where there is none, as at stage 0), `epoch`
    and, if there are several, `stage`.
    """
    table = pd.DataFrame(list(history)).reset_index(drop=True)
    table = table.assign(
        **{key: table.get(key, pd.Series(dtype=float)).astype(float) for key in ("loss", "con", "supcon")}
    )
    stage = table["stage"] if "stage" in table else pd.Series(0, index=table.index)
    epoch, fig = np.arange(1, len(table) + 1), go.Figure()
    for key, name, colour, dash, width in (
        ("loss", "total", TEXT, "solid", 4),
        ("con", "L<sub>con</sub>, unlabelled images", "#1170d8", "dash", 2),
        ("supcon", "L<sub>supcon</sub>, labelled images", "#f25c05", "dot", 2),
    ):
        if table[key].notna().any():
            fig.add_trace(
                go.Scatter(
                    x=epoch,
                    y=table[key],
                    name=name,
                    mode="lines" if len(table) > 1 else "markers",
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
        "Training loss",
        f"{len(table):,} epochs in {stage.nunique()} stage{'s' * (len(starts) > 0)}"
        + ("; vertical lines: a new stage begins" if len(starts) else ""),
        420,
        top=120,
    )


def origin(df: pd.DataFrame) -> str:
    """ "mixdigits, laptop profile, 5 seeds": where the runs of a figure come from, for its subtitle."""
    n = df["seed"].nunique()
    return f"{df['benchmark'].iloc[0]}, {df['profile'].iloc[0]} profile, {n} seed{'s' * (n > 1)}"


def about(df: pd.DataFrame) -> str:
    """`origin` with the learner; where methods have different ones, that a difference may be the learners'."""
    learners = sorted(set(cost_tables.with_names(df)["learner_name"]))
    if len(learners) == 1:
        return f"{origin(df)}, learner {learners[0]}"
    return f"{origin(df)}; different learners ({', '.join(learners)}): a difference may be the learners'"


def curves(
    df: pd.DataFrame, *, x: str = "cost", log_cost: bool = False, highlight: Sequence[str] | None = None
) -> go.Figure:
    """Accuracy against annotation cost (or `x="n_id"`) per method (Kim et al. 2023, Figure 4), from the result table.

    Lines and bands are `analysis.curves.curve`: mean and +- 1 sample standard deviation over seeds where all seeds have
    values; steps over cost, as a stage counts when it is finished, and straight between stages over labels. A large
    marker is the mean of the last stage, the row of Table 2. `highlight`: the methods in colour, the others grey; None:
    all of eight or fewer, else the six of the largest area. Reference lines are broken grey lines without a band, named
    as such. ValueError for a name that is not there.
    """
    steps = x == "cost"
    table, last = curve(df, x, steps=steps), cost_tables.table2(df)
    lines, fig = list(last.index[last["family"] == "reference"]), go.Figure()
    ranked = [name for name in last.index if name not in lines]
    worth = area(df, x).groupby("method")["area"].mean() if len(ranked) > 8 and highlight is None else {}
    shown = highlighted(ranked, highlight, worth)
    styles = {
        **dict.fromkeys(last.index, (FAINT, "solid", "circle")),
        **method_styles([name for name in last.index if name in shown]),
        **reference_styles(lines),
    }
    n_id, several = df["n_id"].max(), df["seed"].nunique() > 1
    spread = " \u00b1 %{customdata:.2f}" if several else ""
    for name, rows in table.groupby("method", sort=False):
        if several and name in shown:
            edges = [(rows["x"].to_numpy(), (rows["mean"] + side * rows["sd"]).to_numpy()) for side in (1, -1)]
            (x_up, up), (x_down, down) = (staircase(*edge) if steps else edge for edge in edges)
            fig.add_trace(
                go.Scatter(
                    x=np.concatenate([x_up, x_down[::-1]]),
                    y=100 * np.concatenate([up, down[::-1]]),
                    fill="toself",
                    mode="lines",
                    line_width=0,
                    fillcolor=transparent(styles[name][0], 0.18),
                    legendgroup=name,
                    showlegend=False,
                    hoverinfo="skip",
                )
            )
    for name, rows in sorted(table.groupby("method", sort=False), key=lambda part: part[0] in {*shown, *lines}):
        colour, dash, symbol = styles[name]
        fig.add_trace(
            go.Scatter(
                x=rows["x"],
                y=rows["mean"] * 100,
                name=f"{name} (reference line)" if name in lines else name,
                showlegend=None if name in {*shown, *lines} else False,
                legendgroup=name,
                mode="lines+markers" if name in {*shown, *lines} else "lines",
                line=dict(
                    color=colour,
                    dash=dash,
                    width=2.5 if name in {*shown, *lines} else 1.5,
                    shape="hv" if steps else "linear",
                ),
                customdata=rows["sd"] * 100,
                marker=dict(symbol=symbol, size=8, maxdisplayed=7),
                hovertemplate=f"{name}<br>%{{x:,.0f}} samples: %{{y:.2f}}{spread} %<extra></extra>",
            )
        )
        if name not in {*shown, *lines}:
            continue
        end = last.loc[name]
        fig.add_trace(
            go.Scatter(
                x=[end["cost_mean"] if x == "cost" else n_id],
                y=[end["accuracy_mean"]],
                mode="markers",
                marker=dict(symbol=symbol, size=15, color=colour, line=dict(color=TEXT, width=1.5)),
                legendgroup=name,
                showlegend=False,
                hovertemplate=f"{name}, last stage<br>cost "
                f"{end['cost_mean']:,.0f}, accuracy {end['accuracy_mean']:.2f} %<extra></extra>",
            )
        )
    if x == "cost":
        fig.add_vline(n_id, line=dict(color=TEXT, dash="dot", width=1.5), layer="below")
        fig.add_annotation(
            x=math.log10(n_id) if log_cost else n_id,
            y=1,
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            text=f"floor: {n_id:,} samples, every label iD",
        )
    fig.update_xaxes(
        title_text="annotation cost (samples shown to the oracle)" if x == "cost" else "labelled iD samples",
        type="log" if log_cost else "linear",
    )
    fig.update_yaxes(title_text="test accuracy (%)")
    fig.update_layout(legend=dict(orientation="h", x=0, y=-0.18, yanchor="top", itemwidth=55))
    if log_cost:
        fig.update_xaxes(**_log_ticks(table["x"].min(), df[x].max()))
    step = "at each cost the last finished stage; " if steps else ""
    band = "band: mean \u00b1 1 standard deviation where all seeds have values; " if several else ""
    grey = len(ranked) - len(shown)
    return layout(
        fig,
        f"Accuracy against {'annotation cost' if x == 'cost' else 'labelled iD samples'}",
        f"{about(df)}; {step}{band}large marker: mean of the last stage"
        + (f"<br>grey: the other {grey} methods" if grey else ""),
        540,
        top=125 if grey else 105,
        bottom=130,
        left=70,
    )


def _log_ticks(low: float, high: float) -> dict:
    values = [m * 10**k for k in range(12) for m in (1, 2, 5) if low <= m * 10**k <= high]  # not plotly's tiny 2, 3, 4
    return dict(tickvals=values, ticktext=[f"{value:,}" for value in values])


def composition(df: pd.DataFrame) -> go.Figure:
    """What each stage after the initial set bought: mean new samples of each category, one panel per method."""
    table = cost_tables.composition(df)
    names = list(dict.fromkeys(table["method"]))
    totals = table.assign(total=table[list(cost_tables.BOUGHT)].sum(axis=1))
    peaks = totals[totals["stage"] > 0].groupby("method")["total"].max()
    shared = bool(peaks.max() <= 8 * peaks.min())
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    titles = [
        f"<b>{name}</b><br>{own.loc[own['stage'] == 0, 'total'].sum():,.0f} at first, "
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
                    hovertemplate=f"{name}, stage %{{x}}<br>%{{y:.1f}} {CATEGORIES[code]}<extra></extra>",
                ),
                panel // columns + 1,
                panel % columns + 1,
            )
    fig.update_xaxes(title_text="stage", row=rows).update_yaxes(title_text="samples bought", col=1)
    fig.update_layout(
        barmode="stack", legend=dict(orientation="h", x=1, xanchor="right", y=1, yref="container", yanchor="top")
    )
    return layout(
        fig,
        "What the annotation budget bought",
        f"{about(df)}; mean per stage after the initial set" + ("" if shared else "; each panel has its own scale"),
        150 + 250 * rows,
        top=135,
    )


def seconds(df: pd.DataFrame) -> go.Figure:
    """Seconds of one whole run per method, stacked by phase (mean over seeds)."""
    table, fig = cost_tables.seconds(df)[::-1], go.Figure()
    for column, colour, hatching in zip(
        cost_tables.PHASES, (PALETTE[0], PALETTE[2], PALETTE[3]), ("", "/", "x"), strict=True
    ):
        name = column.removesuffix("_seconds")
        fig.add_trace(
            go.Bar(
                y=list(table.index),
                x=table[column],
                name=name,
                orientation="h",
                hovertemplate="%{y}<br>" + name + ": %{x:,.1f} s<extra></extra>",
                marker=dict(color=colour, pattern=dict(HATCH, shape=hatching)),
            )
        )
    fig.update_xaxes(title_text="seconds per run")
    fig.update_layout(barmode="stack", legend=dict(orientation="h", x=0, y=1.02, yanchor="bottom", traceorder="normal"))
    return layout(
        fig,
        "Where the time goes",
        f"{about(df)}; on {' and '.join(sorted(set(df['device'])))}",
        190 + 36 * len(table),
        top=120,
    )
