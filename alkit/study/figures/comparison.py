"""Figures that compare methods: paired differences to a baseline, who beats whom, how close each comes to the best."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from alkit.explorer.palette import FAINT, GREY, PALETTE, TEXT
from alkit.study.analysis import cost_tables, display_names, ranking
from alkit.study.analysis.paired_differences import LEVEL, NUMBERS, differences, learner_note, per_run, seeds_note
from alkit.study.figures import findings
from alkit.study.figures.measurements import about
from alkit.study.figures.style import RIGHT, highlighted, layout, marks, method_styles

AXIS_TITLES = {  # of the numbers of a run
    "area": "mean accuracy over the common costs (points)",
    "area_labels": "mean accuracy over the labelled iD samples (points)",
    "accuracy": "final accuracy (points)",
    "cost": "annotation cost (samples)",
    "cost_per_accuracy": "cost per 1 % of accuracy (samples)",
    "purity": "share of iD among what was bought",
    "ambiguous_share": "share of ambiguous among what was bought",
    "seconds": "seconds of a run",
}


ROW = 24  # px
FAMILY_WIDTH = 150  # px, right of a plot, for the names of families
WIN_ROW = 16  # px, of the matrix


def paired_differences(df: pd.DataFrame, baseline: str, number: str = "area") -> go.Figure:
    """Forest plot of `differences` to `baseline`: a mean and its interval per method, by family, best on top.

    Filled: p < 0.05 after Holm's correction. Methods of another learner than the baseline are named. `number`: one of
    `NUMBERS`. ValueError as `analysis.paired_differences.differences`.
    """
    table = differences(per_run(df), baseline, number)
    table = _sorted_within_families(table, better_is_more=NUMBERS[number])
    families, shown = list(dict.fromkeys(table["family"])), display_names.methods([*table.index, baseline])
    fig, zero = go.Figure(), shown[baseline]
    for family in families:
        rows = table[table["family"] == family]
        colours, symbols = marks(list(rows.index), list(rows["family"]))
        significant = rows["p_holm"] < LEVEL
        fig.add_trace(
            go.Scatter(
                x=rows["mean"],
                y=[shown[name] for name in rows.index],
                name=cost_tables.FAMILIES[family],
                mode="markers",
                showlegend=False,
                marker=dict(
                    color=colours,
                    size=11,
                    line=dict(width=2, color=colours),
                    symbol=[symbol + "-open" * (not yes) for symbol, yes in zip(symbols, significant, strict=True)],
                ),
                error_x=dict(
                    type="data",
                    symmetric=False,
                    array=rows["high"] - rows["mean"],
                    arrayminus=rows["mean"] - rows["low"],
                    color=GREY,
                    thickness=1.5,
                    width=0,
                ),
                customdata=rows[["low", "high", "p", "p_holm"]],
                hovertemplate="%{y}<br>%{x:+.3g}, 95 % interval %{customdata[0]:+.3g} to %{customdata[1]:+.3g}<br>"
                "p %{customdata[2]:.2g}, after Holm %{customdata[3]:.2g}<extra></extra>",
            )
        )
        if len(families) > 1:
            fig.add_annotation(
                x=1.01,
                xref="paper",
                xanchor="left",
                y=shown[rows.index[0]],
                text=f"<i>{cost_tables.FAMILIES[family]}</i>",
                showarrow=False,
            )
            fig.add_hline(list(table.index).index(rows.index[0]) - 0.5, line=dict(color=FAINT, width=1))
    fig.add_vline(0, line=dict(color=TEXT, width=1.5, dash="dot"))
    fig.update_xaxes(title_text=f"{AXIS_TITLES[number]}, minus {zero}'s")
    order = [shown[name] for name in table.index]
    fig.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=order, showgrid=False)
    notes = [seeds_note(int(table["n_seeds"].iloc[0]), len(table)), learner_note(table, baseline)]
    note = "<br>".join(filter(None, notes))
    wins = "more is better" if NUMBERS[number] else "less is better"
    layout(
        fig,
        findings.of_differences(table, zero, more=NUMBERS[number], level=LEVEL),
        f"{about(df)}; differences paired by seed, mean and 95 % bootstrap interval; {wins}; "
        "filled: p < 0.05 after Holm<br>"
        f"<span style='font-size:12px'>{note}</span>",
        190 + ROW * len(table),
        top=135,
    )
    return fig.update_layout(margin_r=FAMILY_WIDTH if len(families) > 1 else RIGHT)


def _sorted_within_families(table: pd.DataFrame, *, better_is_more: bool) -> pd.DataFrame:
    place = table["family"].map(list(cost_tables.FAMILIES).index)
    order = np.lexsort((-table["mean"] if better_is_more else table["mean"], place))
    return table.iloc[order]


def win_matrix(*tables: pd.DataFrame, checkpoints: int = 10) -> go.Figure:
    """Heat map of `ranking.win_matrix`, methods by the difference of their wins and losses, most on top."""
    share = ranking.win_matrix(*tables, checkpoints=checkpoints)
    balance = share.mean(axis=1) - share.mean(axis=0).to_numpy()
    names = list(balance.sort_values(ascending=False, kind="stable").index)
    share, shown = share.loc[names, names], display_names.methods(names)
    fig = go.Figure(
        go.Heatmap(
            z=100 * share.to_numpy(),
            x=[shown[name] for name in names],
            y=[shown[name] for name in names],
            zmin=0,
            zmax=100,
            colorscale=[[0, "rgba(34,102,153,0.06)"], [1, PALETTE[0]]],
            xgap=1,
            ygap=1,
            colorbar=dict(title="% of settings", thickness=14),
            hovertemplate="%{y} beats %{x}<br>in %{z:.0f} % of the settings<extra></extra>",
        )
    )
    fig.update_yaxes(title_text="this method ...", autorange="reversed", showgrid=False)
    fig.update_xaxes(title_text="... beats this one", tickangle=-90, showgrid=False)
    fig.update_layout(xaxis=dict(dtick=1, tickfont_size=12), yaxis=dict(dtick=1, tickfont_size=12))
    settings = checkpoints * len(tables)
    return layout(
        fig,
        findings.of_wins(share, shown),
        f"{'; '.join(about(table) for table in tables)}<br>share of {settings} settings (costs) in which the row's "
        "mean accuracy is above the column's, two-sided paired t test, p < 0.05",
        320 + WIN_ROW * len(names),
        top=120,
    )


def performance_profile(
    *tables: pd.DataFrame, highlight: Sequence[str] | None = None, checkpoints: int = 10
) -> go.Figure:
    """Step lines of `ranking.performance_profile`: how often a method's error is within a factor of the best one's.

    `highlight`: the methods in colour, the others grey; None: the six with the largest area under their line, or all
    if there are no more than eight. ValueError for a name that is not there.
    """
    table = ranking.performance_profile(*tables, checkpoints=checkpoints)
    names = list(dict.fromkeys(table["method"]))
    done = table[table["share"] >= 0.97].groupby("method")["factor"].min()
    end = float(min(table["factor"].max(), max(done.max(), 1.2), 3))
    shown = highlighted(names, highlight, table.groupby("method").apply(_area_to, end, include_groups=False).to_dict())
    styles, fig = method_styles([name for name in names if name in shown]), go.Figure()
    called = display_names.methods(names)
    for name in sorted(names, key=lambda name: name in shown):
        rows, (colour, dash, symbol) = table[table["method"] == name], styles.get(name, (GREY, "solid", "circle"))
        fig.add_trace(
            go.Scatter(
                x=rows["factor"],
                y=100 * rows["share"],
                name=called[name],
                mode="lines+markers" if name in shown else "lines",
                line=dict(color=colour, dash=dash, width=2 if name in shown else 1, shape="hv"),
                marker=dict(symbol=symbol, size=9, maxdisplayed=9),
                showlegend=name in shown,
                legendrank=-float(_area_to(rows, end)),
                opacity=1 if name in shown else 0.5,
                hovertemplate=f"{called[name]}<br>"
                "within %{x:.2f} times the best error: %{y:.0f} % of cases<extra></extra>",
            )
        )
    fig.update_xaxes(title_text="error, as a multiple of the best method's in the same case", range=[1, end])
    fig.update_yaxes(title_text="% of cases", range=[0, 101])
    fig.update_layout(legend=dict(orientation="h", x=0, y=-0.18, yanchor="top", itemwidth=55))
    rest = "" if len(shown) == len(names) else f"; grey: the other {len(names) - len(shown)} methods"
    return layout(
        fig,
        findings.of_profile(table, called),
        f"{'; '.join(about(table) for table in tables)}; a case: one seed at one of {checkpoints} costs{rest}",
        500,
        bottom=120,
        left=70,
    )


def _area_to(rows: pd.DataFrame, end: float) -> float:
    inside = rows[rows["factor"] < end]
    return float((np.diff([*inside["factor"], end]) * inside["share"]).sum())
