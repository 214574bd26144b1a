"""Figures for a recommendation: all numbers of all methods, the probability of being best, the seeds needed."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit.explorer.palette import GREY, GROUND, INK, PALETTE, TEXT
from alkit.study.analysis import display_names, paired_differences, ranking, recommend
from alkit.study.figures import findings
from alkit.study.figures.comparison import AXIS_TITLES, ROW
from alkit.study.figures.measurements import about
from alkit.study.figures.style import highlighted, layout, marks, transparent

BETTER, NEITHER, WORSE = PALETTE[0], GROUND, "#a8390a"


SCORECARD = {  # of the scorecard: title, format
    "area": ("<b>accuracy for<br>the same money</b>", "{:.1f}"),
    "accuracy": ("accuracy<br>at the end", "{:.1f}"),
    "cost": ("looks", "{:,.0f}"),
    "to_target": ("looks to<br>{target:g} %", "{:,.0f}"),
    "purity": ("share of iD", "{:.0f} %"),
    "seconds": ("seconds", "{:,.1f}"),
}


DIFFERENCES = np.geomspace(0.2, 5, 13)  # points of accuracy, or any other number's unit


def scorecard(df: pd.DataFrame, baseline: str, target: float) -> go.Figure:
    """`recommend.scores` as a table, a row per method; what is better or worse than the baseline is marked.

    First and in colour the one number that the study compares by, accuracy for the same money, by which the methods of
    a family are ordered; the others beside it, plain. `target`: the accuracy (%) whose price is asked.
    """
    table = recommend.scores(df, baseline, target)
    shown = display_names.methods([*table.index, baseline])
    names, fig = [shown[name] for name in table.index], go.Figure()
    strong = highlighted(list(table.index), None, table["area"].to_dict())
    marks = (
        table[[f"better_{column}" for column in SCORECARD if column != "to_target"]]
        .rename(columns=lambda name: name.removeprefix("better_"))
        .reindex(columns=list(SCORECARD), fill_value=0)
    )
    fig.add_trace(
        go.Heatmap(
            z=marks[["area"]].to_numpy(),
            x=[0],
            y=names,
            zmin=-1,
            zmax=1,
            showscale=False,
            xgap=3,
            ygap=2,
            colorscale=[[0, WORSE], [0.4, WORSE], [0.4, NEITHER], [0.6, NEITHER], [0.6, BETTER], [1, BETTER]],
            hoverinfo="skip",
        )
    )
    for mark, sign in ((1, "\u25b2 "), (-1, "\u25bc "), (0, "")):
        spots = [(r, c) for r in range(len(table)) for c in range(len(SCORECARD)) if marks.iat[r, c] == mark]
        colours = [GROUND if mark and not c else {1: BETTER, -1: WORSE, 0: INK}[mark] for _, c in spots]
        fig.add_trace(
            go.Scatter(
                x=[c for _, c in spots],
                y=[names[r] for r, _ in spots],
                text=[sign + _cell(table.iloc[r], list(SCORECARD)[c]) for r, c in spots],
                mode="text",
                showlegend=False,
                textfont=dict(size=13, color=colours),
                hoverinfo="skip",
            )
        )
    fig.update_xaxes(
        tickvals=list(range(len(SCORECARD))),
        ticktext=[title.format(target=target) for title, _ in SCORECARD.values()],
        side="top",
        tickangle=0,
        showgrid=False,
        ticks="",
        range=[-0.75, len(SCORECARD) - 0.5],
    )
    fig.update_yaxes(
        range=[len(table) - 0.5, -0.5],
        showgrid=False,
        ticks="",
        tickvals=names,
        ticktext=[f"<b>{shown[name]}</b>" if name in strong else shown[name] for name in table.index],
    )
    last = table["family"].to_numpy()
    for row in np.flatnonzero(last[1:] != last[:-1]):
        fig.add_hline(row + 0.5, line=dict(color=GREY, width=1))
    ranked = table[table["family"] != "reference"].drop(index=baseline, errors="ignore")
    sign = ranked["better_area"]
    title = (
        f"{(sign > 0).sum()} of {len(ranked)} strategies give more accuracy for the same money than {shown[baseline]}"
    )
    return layout(
        fig,
        title + (f", {(sign < 0).sum()} less" if (sign < 0).any() else ", none less"),
        f"{about(df)}; means. \u25b2 blue: better than {shown[baseline]}, \u25bc orange: worse, paired "
        "by seed, p < 0.05 after Holm<br>looks: samples shown to the oracle; to reach "
        f"{target:g} %: median, '-' where fewer than half got there (not tested); lines part the families<br>"
        "seconds: of a run, without its first training, which the runs of a seed share",
        200 + ROW * len(table),
        top=175,
        bottom=25,
    )


def _cell(row: pd.Series, column: str) -> str:
    value = 100 * row[column] if column == "purity" else row[column]
    return SCORECARD[column][1].format(value) if np.isfinite(value) else "-"


def best(df: pd.DataFrame, *, least: float = 0.02) -> go.Figure:
    """`ranking.probability_of_best` for each of `recommend.WANTED`, a panel each; methods that reach `least` in one."""
    runs = paired_differences.per_run(df)
    chances = pd.DataFrame({number: ranking.probability_of_best(runs, number) for number in recommend.WANTED})
    chances = chances[(chances >= least).any(axis=1)]
    family = runs.drop_duplicates("method").set_index("method")["family"]
    shown = display_names.methods(chances.index)
    names = [shown[name] for name in chances.index]
    fig = make_subplots(
        1,
        len(recommend.WANTED),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[_wrapped(text) for text in recommend.WANTED.values()],
    )
    for panel, number in enumerate(recommend.WANTED, 1):
        values = 100 * chances[number]
        fig.add_trace(
            go.Bar(
                x=values,
                y=names,
                orientation="h",
                showlegend=False,
                marker_color=marks(list(chances.index), [family[name] for name in chances.index])[0],
                text=[f"{value:.0f}" if value >= 0.5 else "" for value in values],
                textposition="outside",
                textfont=dict(size=12, color=INK),
                cliponaxis=False,
                hovertemplate="%{y}<br>best in %{x:.1f} % of draws<extra></extra>",
            ),
            1,
            panel,
        )
    fig.update_xaxes(range=[0, 118], tickvals=[0, 50, 100], title_text="%")
    fig.update_yaxes(autorange="reversed", showgrid=False, ticks="")
    hidden = runs.loc[runs["family"] != "reference", "method"].nunique() - len(chances)
    rest = f"; {hidden} others are below {100 * least:g} % everywhere" if hidden else ""
    return layout(
        fig,
        findings.of_chances(chances["area"], shown),
        f"{about(df)}; probability of the best mean, seeds drawn again with replacement{rest}",
        215 + ROW * len(chances),
        top=125,
    )


def _wrapped(text: str) -> str:
    """In two lines, broken at the space nearest to the middle."""
    spaces = [i for i, letter in enumerate(text) if letter == " "]
    cut = min(spaces, key=lambda i: abs(i - len(text) / 2))
    return f"{text[:cut]}<br>{text[cut + 1 :]}"


def seeds_for(df: pd.DataFrame, baseline: str, number: str = "area") -> go.Figure:
    """How many seeds would show a difference to `baseline` of a given size, with the spread that was observed.

    `paired_differences.seeds_needed` (power 80 %, p < 0.05) over a range of differences: the median of all methods and
    the band between their 10th and 90th percentile, for one comparison alone and after Holm's correction for all. Ticks
    at the bottom: the differences that were observed. ValueError for one seed, as there is no spread then.
    """
    runs = paired_differences.per_run(df)
    n_seeds = runs["seed"].nunique()
    if n_seeds < 2:
        raise ValueError("how many seeds a difference needs is read off the spread over seeds; this table has one")
    found, fig = paired_differences.differences(runs, baseline, number), go.Figure()
    shown = display_names.methods([*found.index, baseline])
    wide = paired_differences.pairs(runs, baseline, number)
    by_spread = wide[wide.std().sort_values(kind="stable").index]  # more spread needs more seeds: one method for all
    three = [by_spread.iloc[:, round(share * (by_spread.shape[1] - 1))] for share in (0.1, 0.5, 0.9)]
    for comparisons, name, colour, dash in (
        (1, "one comparison alone", PALETTE[0], "dash"),
        (len(found), f"after Holm's correction over {len(found)}", PALETTE[1], "solid"),
    ):
        low, middle, high = (
            [paired_differences.seeds_of(one, size, comparisons) for size in DIFFERENCES] for one in three
        )
        fig.add_trace(
            go.Scatter(
                x=[*DIFFERENCES, *DIFFERENCES[::-1]],
                y=[*low, *high[::-1]],
                fill="toself",
                mode="lines",
                line_width=0,
                fillcolor=transparent(colour, 0.18),
                showlegend=False,
                hoverinfo="skip",
                legendgroup=name,
            )
        )
        fig.add_trace(
            go.Scatter(
                x=DIFFERENCES,
                y=middle,
                name=name,
                mode="lines",
                line=dict(color=colour, dash=dash, width=2.5),
                legendgroup=name,
                hovertemplate=f"{name}<br>a difference of %{{x:.2f}}: %{{y:.0f}} seeds<extra></extra>",
            )
        )
    for family in dict.fromkeys(found["family"]):
        own = found[found["family"] == family]
        colours, _ = marks(list(own.index), list(own["family"]))
        fig.add_trace(
            go.Scatter(
                x=own["mean"].abs(),
                y=np.full(len(own), 2.3),
                mode="markers",
                showlegend=False,
                marker=dict(symbol="line-ns-open", size=14, color=colours, line=dict(width=2, color=colours)),
                text=[shown[name] for name in own.index],
                hovertemplate="observed: %{text}, %{x:.2f}<extra></extra>",
            )
        )
    fig.add_hline(n_seeds, line=dict(color=TEXT, dash="dot", width=1.5))
    fig.add_annotation(
        x=1,
        xref="paper",
        xanchor="right",
        y=np.log10(n_seeds),
        yanchor="bottom",
        showarrow=False,
        text=f"these tables: {n_seeds} seeds",
    )
    ticks = [0.2, 0.5, 1, 2, 5]
    fig.update_xaxes(
        type="log",
        title_text=f"true difference to {shown[baseline]}: {AXIS_TITLES[number]}",
        tickvals=ticks,
        range=np.log10([DIFFERENCES[0], DIFFERENCES[-1]]).tolist(),
    )
    fig.update_yaxes(
        type="log",
        title_text="seeds needed",
        tickvals=[2, 6, 10, 20, 50, 100, 200, 500, 1000],
        range=np.log10([2, 1000]).tolist(),
    )
    fig.update_layout(legend=dict(orientation="h", x=0, y=1.01, yanchor="bottom"))
    return layout(
        fig,
        findings.of_seeds(n_seeds, DIFFERENCES, middle),
        f"{about(df)}; seeds that a difference needs: power 80 %, p < 0.05, from the observed spread of pairs<br>"
        "lines: the median method, bands: 10th to 90th percentile; ticks at the bottom: differences observed",
        540,
        top=130,
        left=75,
    )
