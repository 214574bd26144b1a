"""One figure for each benchmark, in the study's look, drawn from its table alone."""

import math
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit.explorer.palette import PALETTE, SYMBOLS, TEXT
from alkit.paths import runs_folder
from alkit.study import figures
from alkit.study.analysis import display_names
from alkit.study.figures.style import layout

NETS = {"mixdigits": "MixDigits net, 8 px", "mixmnist": "MixMNIST net, 28 px", "mixcifar60": "ResNet-18, 32 px"}
OURS, THEIRS, OTHER = PALETTE[1], PALETTE[0], PALETTE[2]


def save(fig: go.Figure, name: str, folder: Path) -> None:
    """The page `<name>.html` among the runs and, where there is a browser, a picture in `folder`/speed."""
    figures.save(fig, name, runs_folder() / "figures" / "speed", copy_to=folder / "speed")


def of(table: pd.DataFrame) -> str:
    """The processor, from the column that says all of the machine."""
    return table["machine"].iloc[0].split(", load")[0]


def contrastive(table: pd.DataFrame) -> go.Figure:
    """Views a second of three ways to train SimCLR, net by net, and how much of it is waiting for views."""
    nets = [net for net in NETS if net in set(table["net"])]
    fig = make_subplots(1, len(nets), subplot_titles=[NETS[net] for net in nets], horizontal_spacing=0.09)
    styles = {"ours": (OURS, ""), "lightly": (THEIRS, "/"), "plain": (OTHER, "x")}
    for column, net in enumerate(nets, 1):
        mine = table[table["net"] == net].set_index("contestant")
        for contestant, (colour, hatch) in styles.items():
            rate, ratio = mine.loc[contestant, ["views_per_second", "ours_is_times_as_fast"]]
            fig.add_trace(
                go.Bar(
                    x=[contestant], y=[rate], marker=dict(color=colour, pattern_shape=hatch), showlegend=False,
                    text=f"{rate:,.0f}" + ("" if contestant == "ours" else f"<br>ours {ratio:.1f}x"),
                    textposition="outside", cliponaxis=False, hovertemplate="%{x}: %{y:,.0f} views/s<extra></extra>",
                ),
                1, column,
            )  # fmt: skip
            limit = mine.loc[f"{contestant}, views only", "views_per_second"]
            top = 1.25 * mine.loc[list(styles), "views_per_second"].max()
            if limit < top:
                fig.add_trace(
                    go.Scatter(
                        x=[contestant], y=[limit], mode="markers", name="making the views alone, without a net",
                        marker=dict(symbol="line-ew-open", size=44, color=TEXT, line_width=3),
                        legendgroup="views", showlegend=not any(trace.legendgroup == "views" for trace in fig.data),
                        hovertemplate="views alone: %{y:,.0f}/s<extra></extra>",
                    ),
                    1, column,
                )  # fmt: skip
        fig.update_yaxes(range=[0, top], row=1, col=column)
    fig.update_yaxes(title_text="views per second", col=1)
    fig.update_layout(legend=dict(orientation="h", y=-0.1, yanchor="top", x=0))
    faster = table[table["contestant"] == "lightly"]["ours_is_times_as_fast"]
    title = f"Contrastive training is {faster.min():.1f} to {faster.max():.1f} times as fast as with lightly"
    return layout(fig, title, f"the same net, batch and augmentation; {of(table)}", 460, top=120, bottom=80)


def floor(table: pd.DataFrame) -> go.Figure:
    """A step in forward and backward passes, and its parts, each timed alone: in a step they can take less."""
    fig, kinds = go.Figure(), {"contrastive": "contrastive", "classifier": "classifier"}
    table = table.assign(
        label=[f"{NETS[row.net]}<br>{kinds[row.training]}, {row.precision}" for row in table.itertuples()]
    )
    known = table[["augmentation_ms", "loss_ms", "optimiser_ms"]].fillna(0)
    rest = (table["step_ms"] - table["floor_ms"] - known.sum(axis=1)).clip(lower=0)
    parts = (
        ("forward and backward pass (the floor)", table["floor_ms"], PALETTE[0], ""),
        ("augmentation", known["augmentation_ms"], PALETTE[2], "/"), ("loss", known["loss_ms"], PALETTE[1], "x"),
        ("optimiser", known["optimiser_ms"], PALETTE[3], "."), ("everything else", rest, TEXT, "-"),
    )  # fmt: skip
    for name, milliseconds, colour, hatch in parts:
        fig.add_trace(
            go.Bar(
                y=table["label"], x=milliseconds / table["floor_ms"], name=name, orientation="h",
                marker=dict(color=colour, pattern_shape=hatch), customdata=milliseconds,
                hovertemplate="%{customdata:.1f} ms<extra>" + name + "</extra>",
            )
        )  # fmt: skip
    fig.add_trace(
        go.Scatter(
            y=table["label"], x=table["times_the_floor"], mode="markers", name="the whole step",
            marker=dict(symbol="line-ns-open", size=26, color=TEXT, line_width=4),
            hovertemplate="%{x:.2f} passes<extra>the whole step</extra>",
        )
    )  # fmt: skip
    ends = 1 + (known.sum(axis=1) + rest) / table["floor_ms"]
    for row, end in zip(table.itertuples(), ends, strict=True):
        fig.add_annotation(
            y=row.label, x=max(end, 1.25), text=f"{float(f'{row.step_ms:.3g}'):,g} ms, {row.times_the_floor:.2f}x",
            showarrow=False, xanchor="left", xshift=8,
        )  # fmt: skip
    fig.add_vline(1.25, line=dict(color=TEXT, dash="dash", width=1))
    fig.update_xaxes(
        title_text="time of a step, in forward and backward passes (dashed: 1.25)", range=[0, 1.3 * ends.max()]
    )
    fig.update_yaxes(autorange="reversed")
    fig.update_layout(barmode="stack", legend=dict(traceorder="normal", orientation="h", y=-0.16, yanchor="top", x=0))
    low, high = table["times_the_floor"].min(), table["times_the_floor"].max()
    title = f"A training step takes {low:.2f} to {high:.2f} times its forward and backward pass"
    return layout(fig, title, of(table), 540, top=90, bottom=130)


def al_run(table: pd.DataFrame) -> go.Figure:
    """Seconds that a run has taken by each stage, for each contestant."""
    fig, styles = go.Figure(), ((OURS, "solid", "star"), (THEIRS, "dash", "square"), (OTHER, "dot", "diamond"))
    total = table.groupby("contestant", sort=False)["seconds"].sum()
    for (contestant, seconds), (colour, dash, symbol) in zip(total.items(), styles, strict=False):
        mine = table[table["contestant"] == contestant]
        says = f"{seconds:,.0f} s" + ("" if contestant == "ours" else f", ours {seconds / total['ours']:.1f}x as fast")
        fig.add_trace(
            go.Scatter(
                x=mine["stage"], y=mine["seconds"].cumsum(), name=f"{contestant}: {says}", mode="lines+markers",
                line=dict(color=colour, dash=dash), marker=dict(symbol=symbol, size=8),
            )
        )  # fmt: skip
    fig.update_xaxes(title_text="stage (0: the initial set)", dtick=2)
    fig.update_yaxes(title_text="seconds since the start", rangemode="tozero")
    fig.update_layout(legend=dict(x=0.02, y=0.98))
    others = total.drop("ours") / total["ours"]
    title = f"A whole run is {others.min():.1f} to {others.max():.1f} times as fast as others' code"
    if len(others) == 1:
        title = f"A whole run is {others.iloc[0]:.1f} times as fast as with {others.index[0]}"
    return layout(fig, title, f"active learning on MixMNIST by entropy; {of(table)}", 440)


def parts(table: pd.DataFrame) -> go.Figure:
    """Seconds of single parts, each beside its target where it has one."""
    labels = [f"{row.what}<br>{row.rows:,} rows" for row in table.itertuples()]
    fig = go.Figure(
        go.Bar(
            y=labels, x=table["seconds"], orientation="h", marker=dict(color=THEIRS), showlegend=False,
            text=[f"{seconds:.3g} s" for seconds in table["seconds"]], textposition="outside", cliponaxis=False,
            hovertemplate="%{y}: %{x:.3g} s<extra></extra>",
        )
    )  # fmt: skip
    fig.add_trace(
        go.Scatter(
            y=labels, x=table["target_seconds"], mode="markers", name="target: below this", hoverinfo="x",
            marker=dict(symbol="line-ns-open", size=22, color=OURS, line_width=3),
        )
    )  # fmt: skip
    fig.update_xaxes(title_text="seconds", type="log", dtick=1)
    fig.update_yaxes(autorange="reversed")
    fig.update_layout(legend=dict(orientation="h", y=-0.18, yanchor="top", x=0))
    aims = table[table["target_seconds"].notna()]
    kept = int((aims["seconds"] <= aims["target_seconds"]).sum())
    title = f"{kept} of {len(aims)} parts that runs wait for take less than their target"
    return layout(fig, title, of(table), 480, top=90, bottom=110)


def growth(table: pd.DataFrame) -> go.Figure:
    """Seconds and memory of each phase over the number of images, both axes logarithmic."""
    fig = make_subplots(1, 2, subplot_titles=["seconds", "MiB beyond the pool and the result"], horizontal_spacing=0.1)
    for number, (phase, mine) in enumerate(table.groupby("phase", sort=False)):
        colour, symbol = PALETTE[number % len(PALETTE)], SYMBOLS[number % len(SYMBOLS)]
        for column, name in ((1, "seconds"), (2, "mib_beyond")):
            fig.add_trace(
                go.Scatter(
                    x=mine["rows"], y=mine[name].clip(lower=0.001 if column == 1 else 0.1), mode="lines+markers",
                    name=f"{phase}: {mine['slope'].iloc[0]:.2f}", legendgroup=phase, showlegend=column == 1,
                    line=dict(color=colour), marker=dict(symbol=symbol, size=8),
                ),
                1, column,
            )  # fmt: skip
    fig.update_xaxes(type="log", title_text="images in the pool", dtick=1, exponentformat="SI")
    fig.update_yaxes(type="log", dtick=1)
    fig.update_layout(
        legend=dict(orientation="h", y=-0.2, yanchor="top", x=0, entrywidth=0.31, entrywidthmode="fraction")
    )
    return layout(
        fig, f"Time grows with the pool to the power {table['slope'].max():.2f} at most",
        f"{of(table)}; beside each phase, its power of n", 600,
        top=110, bottom=200,
    )  # fmt: skip


def study(table: pd.DataFrame) -> go.Figure:
    """Seconds and peak memory of each notebook of the study, what its runs spend, and what imports cost.

    All times are seconds, on a logarithmic axis, as the longest is thousands of times the shortest.
    """
    fig = make_subplots(1, 2, column_widths=[0.68, 0.32], horizontal_spacing=0.06, shared_yaxes=True,
                        subplot_titles=["seconds", "most memory at once, MB"])  # fmt: skip
    for column, name in ((1, "seconds"), (2, "peak_MB")):
        known = table[table[name].notna()]
        fig.add_trace(
            go.Scatter(
                y=known["part"], x=known[name], mode="markers+text", textposition="middle right",
                marker=dict(color=THEIRS if column == 1 else OTHER, size=11),
                text=[f" {value:,.3g} s" if value < 100 and column == 1 else f" {value:,.0f}" + " s" * (column == 1)
                      for value in known[name]],
                cliponaxis=False, showlegend=False, hoverinfo="x+y",
            ),
            1, column,
        )  # fmt: skip
    low, high = table["seconds"].min(), table["seconds"].max()
    fig.update_xaxes(type="log", range=[math.log10(low) - 0.2, math.log10(high) + 0.9], dtick=1, col=1)
    fig.update_xaxes(range=[0, 1.4 * table["peak_MB"].max()], col=2)
    fig.update_yaxes(autorange="reversed", categoryarray=list(table["part"]), categoryorder="array", showgrid=False)
    notebooks = table[table["part"].str.startswith("notebook")].set_index("part")["seconds"]
    longest = notebooks.idxmax()
    title = f"{longest.capitalize()} takes {notebooks[longest]:.0f} of the {notebooks.sum():.0f} seconds of the study"
    subtitle = f"MixDigits, headless, from nothing; seconds on a logarithmic axis; {of(table)}"
    return layout(fig, title, subtitle, 190 + 28 * len(table), top=110)


def strategies(table: pd.DataFrame) -> go.Figure:
    """Seconds of a stage of each strategy: at 11 and 61 outputs, and over 10,000 to 1,000,000 rows."""
    panels = {
        "stage": ("columns", "50,000 rows, 11 and 61 outputs", ((11, "circle"), (61, "diamond"))),
        "growth": ("rows", "11 outputs, 10,000 to 1,000,000 rows",
                   ((10_000, "circle"), (100_000, "square"), (1_000_000, "star"))),
    }  # fmt: skip
    table = table.assign(strategy=table["strategy"].str.replace(",", ", ").map(display_names.strategy))
    order = table[table["table"] == "stage"].groupby("strategy")["seconds"].max().sort_values().index
    fig = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04,
                        subplot_titles=[title for _, title, _ in panels.values()])  # fmt: skip
    for column, (name, (what, _, marks)) in enumerate(panels.items(), 1):
        mine = table[table["table"] == name].pivot(index="strategy", columns=what, values="seconds")
        mine = mine.reindex(order).dropna()
        for strategy, row in mine.iterrows():
            fig.add_trace(
                go.Scatter(x=[row.min(), row.max()], y=[strategy] * 2, mode="lines", line=dict(color=TEXT, width=1),
                           showlegend=False, hoverinfo="skip"), 1, column,
            )  # fmt: skip
        for value, symbol in marks:
            unit = "outputs" if what == "columns" else "rows"
            fig.add_trace(
                go.Scatter(
                    x=mine[value], y=mine.index, mode="markers", name=f"{value:,} {unit}",
                    marker=dict(symbol=symbol, size=9, color=THEIRS if what == "columns" else OURS),
                    hovertemplate="%{y}: %{x:.3g} s<extra></extra>",
                ),
                1, column,
            )  # fmt: skip
    fig.add_vline(10, line=dict(color=TEXT, dash="dash", width=1), row=1, col=1)
    fig.update_xaxes(type="log", title_text="seconds", dtick=1)
    fig.update_layout(legend=dict(orientation="h", y=-0.1, yanchor="top", x=0))
    slowest = table[(table["table"] == "stage")].groupby("strategy")["seconds"].max()
    title = (
        f"{int((slowest < 10).sum())} of {len(slowest)} strategies choose 300 of 50,000 images in less than 10 seconds"
    )
    return layout(fig, title, f"a stage of 300 questions; {of(table)}; dashed: the limit of 10 s", 760,
                  left=220, top=110, bottom=110)  # fmt: skip
