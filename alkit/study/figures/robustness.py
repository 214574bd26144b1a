"""The heat map of the robustness cases: on which pools a method is ahead of random, level with it or behind."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from alkit.explorer.palette import TEXT
from alkit.study.analysis import cost_tables, display_names, robustness
from alkit.study.figures import findings
from alkit.study.figures.style import layout

WORSE, EVEN, BETTER = "#a8390a", "#f4f1ec", "#14507f"  # not transparent: a text must keep its contrast on any page


INK, PAPER = "#24292f", "#ffffff"


DARK = 0.65  # share of the scale's end from which a cell is dark


ROW = 52  # px


COLUMN = 12  # letters that fit one


def robustness_map(cases: Mapping[str, pd.DataFrame], *, baseline: str = "random") -> go.Figure:
    """A row per case, a column per method: `robustness.against_baseline` on that case, with its interval.

    `cases`: result tables by name, as `robustness.read` gives them; what stands behind ": " in a name is set small.
    Blue is better than the baseline, orange worse, on one scale around 0. Bold: p < 0.05 by the study's test (signed
    rank over seeds, Holm's correction over the methods of the case); in brackets: p is larger. A cell without a
    colour has a method that was not run there, or that shares no cost with the baseline in some seeds: it ends before
    the baseline begins, or begins after its end. ValueError as `robustness.compared`.
    """
    found = robustness.compared(cases, baseline=baseline)
    family = dict(zip(found["method"], found["family"], strict=True))
    methods = sorted(
        family, key=lambda name: list(cost_tables.FAMILIES).index(family[name])
    )  # stable: else as they came
    wide = found.pivot(index="case", columns="method", values="mean").reindex(index=list(cases), columns=methods)
    end = float(np.nanmax(np.abs(wide.to_numpy()), initial=0)) or 1.0
    x, y = {name: _broken(name) for name in methods}, {name: _small(name) for name in cases}
    fig = go.Figure(
        go.Heatmap(
            z=wide.to_numpy(),
            x=list(x.values()),
            y=list(y.values()),
            zmin=-end,
            zmax=end,
            xgap=2,
            ygap=2,
            colorscale=[[0, WORSE], [0.5, EVEN], [1, BETTER]],
            showscale=False,
            hoverinfo="skip",
        )
    )
    missing = set(map(tuple, wide.stack(future_stack=True).index)) - set(zip(found["case"], found["method"]))
    for colour, rows in found.groupby(_text_colours(found["mean"], end)):
        fig.add_trace(
            go.Scatter(
                x=rows["method"].map(x),
                y=rows["case"].map(y),
                mode="text",
                text=[_cell_text(row) for row in _rows(rows)],
                textfont=dict(size=14, color=colour),
                showlegend=False,
                cliponaxis=False,
                hovertext=[_hover(row, baseline) for row in _rows(rows)],
                hoverinfo="text",
            )
        )
    for name, method in sorted(missing):
        fig.add_annotation(x=x[method], y=y[name], text="not run", showarrow=False)
    fig.update_xaxes(side="top", showgrid=False, ticks="", tickangle=0, tickfont_size=12, linecolor="rgba(0,0,0,0)")
    fig.update_yaxes(autorange="reversed", showgrid=False, ticks="", linecolor="rgba(0,0,0,0)")
    seeds = sorted(set(found["n_seeds"]))
    span = " to ".join(map(str, sorted({seeds[0], seeds[-1]}))) + " seed" + "s" * (seeds[-1] > 1)
    return layout(
        fig,
        findings.of_cases(robustness.tally(found), len(cases), display_names.strategy(baseline)),
        f"mean accuracy over the costs that both cover, minus {display_names.strategy(baseline)}'s (points); "
        f"{_origin(cases)}, {span}, "
        "paired<br>blue: better, orange: worse; small: 95 % bootstrap interval. <b>Bold</b>: p < 0.05; "
        "(in brackets): may be chance<br>signed-rank test over seeds, Holm's correction over the methods of a row",
        220 + ROW * len(cases),
        top=195,
        bottom=20,
    )


def _rows(found: pd.DataFrame):
    return found.itertuples(index=False)


def _origin(cases: Mapping[str, pd.DataFrame]) -> str:
    """ "probe, laptop profile": of the runs of all cases."""
    tables = list(cases.values())
    learners, profiles = (
        ", ".join(sorted(set().union(*(table[column] for table in tables)))) for column in ("learner", "profile")
    )
    return f"{learners}, {profiles} profile"


def _text_colours(mean: pd.Series, end: float) -> np.ndarray:
    on_colour = np.where(mean.abs() > DARK * end, PAPER, INK)
    return np.where(mean.isna(), TEXT, on_colour)


def _cell_text(row) -> str:
    if np.isnan(row.mean):
        why = [f"ends before: {row.before}"] * (row.before > 0) + [f"begins after: {row.after}"] * (row.after > 0)
        return _two_lines("no number", f"{', '.join(why)} of {row.n_seeds}")
    number = f"<b>{row.mean:+.1f}</b>" if row.sure else f"({row.mean:+.1f})"
    return number if np.isnan(row.low) else _two_lines(number, f"{row.low:+.1f} to {row.high:+.1f}")


def _two_lines(large: str, small: str) -> str:
    return f"{large}<br><span style='font-size:11px'>{small}</span>"


def _hover(row, baseline: str) -> str:
    head = f"{row.case.partition(': ')[0]}<br>{display_names.strategy(row.method)}"
    baseline = display_names.strategy(baseline)
    if np.isnan(row.mean):
        return (
            f"{head} shares no cost with {baseline}: of {row.n_seeds} seeds, it ends before {baseline} begins in "
            f"{row.before} and begins after {baseline}'s end in {row.after}"
        )
    interval = "" if np.isnan(row.low) else f", 95 % interval {row.low:+.2f} to {row.high:+.2f}"
    return f"{head}: {row.mean:+.2f} points{interval}, p after Holm {row.p_holm:.2g}"


def _small(name: str) -> str:
    words, _, pool = name.partition(": ")
    return _two_lines(f"<b>{words}</b>", pool) if pool else f"<b>{words}</b>"


def _broken(name: str) -> str:
    """A method's name in lines that fit a column."""
    own, *rest = display_names.strategy(name).split(", ")
    lines = [own.replace(" ", "<br>") if len(own) > COLUMN else own, *rest]
    return ",<br>".join(lines).replace("buys its first labels", "buys its<br>first labels")
