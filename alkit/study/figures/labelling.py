"""The figure of how honest an estimate of accuracy is: how often its interval holds the truth, how far it is off."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit.explorer.palette import METHOD_STYLE, TEXT
from alkit.study.analysis import display_names
from alkit.study.analysis.labelling import DEFAULT, KNOWN, coverage
from alkit.study.figures.style import layout, transparent

OURS, OTHER = display_names.strategy(DEFAULT), display_names.strategy(KNOWN)
SERIES = {  # (strategy, estimator): name, colour, symbol
    (DEFAULT, "active"): (f"tests, {OURS} (default)", METHOD_STYLE[OURS][0], METHOD_STYLE[OURS][2]),
    (KNOWN, "active"): (f"tests, {OTHER}", METHOD_STYLE[OTHER][0], METHOD_STYLE[OTHER][2]),
    (KNOWN, "naive"): (f"what {OTHER} asks, not weighted", METHOD_STYLE[OTHER][0], METHOD_STYLE[OTHER][2] + "-open"),
}
OFFSET = 4  # between the marks of one number of tests
WANTED = (85, 95)


def estimate_coverage(tables: Mapping[str, pd.DataFrame]) -> go.Figure:
    """A column for each pool: above, how often the 90 % interval held the truth; below, how far the estimate was off.

    `tables`: rows of `analysis.labelling.checks` by pool, as its `read("estimates")` gives them. Bars above: 95 %
    intervals for the share of runs; below: from the 5th to the 95th percentile of the runs, the mark at their median.
    """
    titles = [display_names.POOLS.get(name, name) for name in tables]
    fig = make_subplots(2, len(tables), shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.07,
                        horizontal_spacing=0.05)  # fmt: skip
    runs: dict[str, set] = {}
    for column, rows in enumerate(tables.values(), 1):
        found = coverage(rows)
        for place, ((strategy, name), (label, colour, symbol)) in enumerate(SERIES.items()):
            own = found.xs((strategy, name), level=("strategy", "estimator"))
            runs.setdefault(strategy, set()).update(own["runs"])
            x = own.index + OFFSET * (place - 1)
            style = dict(
                mode="markers", name=label, legendgroup=name,
                marker=dict(color=colour, symbol=symbol, size=11, line=dict(width=1, color=colour)),
            )  # fmt: skip
            low, high = _share_interval(own["covered"], own["runs"])
            fig.add_trace(
                go.Scatter(
                    x=x, y=100 * own["covered"], error_y=_bar(100 * own["covered"], 100 * low, 100 * high, colour),
                    showlegend=column == 1, hovertemplate="%{y:.1f} % of runs<extra>" + label + "</extra>", **style,
                ), row=1, col=column,
            )  # fmt: skip
            mine = rows[(rows["estimator"] == name) & (rows["strategy"] == strategy)]
            off = (100 * (mine["value"] - mine["truth"])).groupby(mine["tests"]).quantile([0.05, 0.5, 0.95]).unstack()
            fig.add_trace(
                go.Scatter(
                    x=x, y=off[0.5], error_y=_bar(off[0.5], off[0.05], off[0.95], colour),
                    showlegend=False, hovertemplate="%{y:+.1f} points<extra>" + label + "</extra>", **style,
                ), row=2, col=column,
            )  # fmt: skip
        fig.add_hrect(*WANTED, row=1, col=column, fillcolor=transparent(TEXT, 0.18), line_width=0, layer="below")
        fig.add_hline(0, row=2, col=column, line=dict(color=TEXT, width=1.5, dash="dot"), layer="below")
    fig.update_xaxes(tickvals=sorted(found.index.unique(level="tests")), showgrid=False)
    fig.update_xaxes(title_text="test questions", row=2)
    fig.update_yaxes(range=[-4, 104], row=1)
    fig.update_yaxes(title_text="runs whose interval<br>holds the truth (%)", row=1, col=1)
    fig.update_yaxes(title_text="estimate less truth<br>(points)", row=2, col=1)
    fig.update_layout(legend=dict(orientation="h", x=0, y=1.08, yanchor="bottom"))
    count = " and ".join(
        f"{min(some)}{f' to {max(some)}' if len(some) > 1 else ''} by {display_names.strategy(strategy)}"
        for strategy, some in runs.items()
    )
    return layout(
        fig,
        _honest(tables),
        f"Simulated sessions a mark: {count}; one question in ten a test; grey: 85 to 95 %<br>"
        "truth: accuracy on all iD images of the pool, each by a classifier that did not learn it",
        650,
        top=180,
        left=85,
    )


def _honest(tables: Mapping[str, pd.DataFrame]) -> str:
    """In which shares of runs the interval of the default strategy's tests held the truth, over pools and numbers."""
    found = [
        coverage(rows).xs((DEFAULT, "active"), level=("strategy", "estimator"))["covered"] for rows in tables.values()
    ]
    shares = 100 * pd.concat(found)
    return f"The 90 % interval holds the truth in {shares.min():.0f} to {shares.max():.0f} % of sessions"


def _bar(middle, low, high, colour: str) -> dict:
    return dict(
        type="data", symmetric=False, array=high - middle, arrayminus=middle - low, color=transparent(colour, 0.7),
        thickness=1.8, width=0,
    )  # fmt: skip


def _share_interval(share, runs):
    """Wilson's 95 % interval of a share."""
    z = 1.96
    centre, half = share + z**2 / (2 * runs), z * np.sqrt(share * (1 - share) / runs + z**2 / (4 * runs**2))
    return (centre - half) / (1 + z**2 / runs), (centre + half) / (1 + z**2 / runs)
