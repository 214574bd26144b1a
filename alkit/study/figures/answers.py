"""The figures of notebook 9: other bills, annotators who err, tests and the choice of a classifier, self-labelling."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit.explorer.palette import PALETTE, TEXT
from alkit.study.analysis import answers, display_names
from alkit.study.figures.style import layout, method_styles, transparent

BILLS = {
    "looks": "looks",
    "typed": "seconds, typed",
    "candidate_set": "bits, candidate<br>set",
    "yes_no": "bits, yes<br>or no",
}

WAYS = {  # colour, dash, symbol
    "one answer": (PALETTE[1], "solid", "circle"),
    "two that agree": (PALETTE[2], "dash", "square"),
    "majority of 3": (PALETTE[4], "dot", "diamond"),
    "Dawid-Skene of 3": (PALETTE[9], "dashdot", "triangle-up"),
    "ActiveLab": (PALETTE[3], "longdash", "star"),
    "no errors": (TEXT, "dot", "circle-open"),
}
BANDED = ("one answer", "two that agree", "ActiveLab")  # more bands than these hide each other
ERRORS = {"symmetric": "any other answer", "votes": "what voters mix up"}

DRAWS = {  # words, colour, symbol
    "alike": ("all alike", PALETTE[1], "diamond"),
    "errors": ("where errors are likely", PALETTE[3], "star"),
    "differences": ("where the classifiers differ", PALETTE[2], "square"),
}


def cheapest(table: pd.DataFrame, *, target: float) -> go.Figure:
    """What each strategy paid until it reached `target` (%), over what random paid: left, by the bill; right, by how
    long an ambiguous image takes.

    `table`: rows of `analysis.answers.bills`. Medians over seeds. A ring: the cheapest of a bill. A strategy of which
    half of the runs never reached the target is not drawn, and named in the subtitle.
    """
    found = answers.relative_bills(table, target)
    never = [name for name in found.index if not np.isfinite(found.loc[name, "looks"])]
    found = found.drop(index=never)
    fig = make_subplots(
        1,
        2,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        column_widths=[0.55, 0.45],
        subplot_titles=["how an answer is paid for", "typed, an ambiguous image takes ... times as long"],
    )
    styles = method_styles(list(found.index))
    ratios = [f"ambiguous x {ratio:g}" for ratio in answers.RATIOS]
    for name, row in found.iterrows():
        colour, dash, symbol = styles[name]
        line = dict(
            name=display_names.strategy(name),
            legendgroup=name,
            mode="lines+markers",
            line=dict(color=colour, dash=dash, width=2),
            marker=dict(color=colour, symbol=symbol, size=10),
        )
        for column, (x, keys) in enumerate(((list(BILLS.values()), list(BILLS)), (list(answers.RATIOS), ratios)), 1):
            fig.add_trace(
                go.Scatter(
                    x=x,
                    y=row[keys],
                    showlegend=column == 1,
                    **line,
                    hovertemplate="%{y:.2f} x random<extra>" + display_names.strategy(name) + "</extra>",
                ),
                1,
                column,
            )
    rings = dict(
        mode="markers",
        name="cheapest",
        legendgroup="cheapest",
        hoverinfo="skip",
        marker=dict(symbol="circle-open", size=20, color=TEXT, line=dict(width=2)),
    )
    fig.add_trace(go.Scatter(x=list(BILLS.values()), y=found[list(BILLS)].min(), **rings), 1, 1)
    fig.add_trace(go.Scatter(x=answers.RATIOS, y=found[ratios].min(), showlegend=False, **rings), 1, 2)
    fig.update_yaxes(tickformat=".1f")
    fig.update_yaxes(title_text="cost, random = 1", col=1)
    fig.update_xaxes(showgrid=False)
    fig.update_xaxes(type="log", tickvals=answers.RATIOS, col=2)
    left_out = (
        f"; not drawn, as half of their runs ended below: {', '.join(map(display_names.strategy, never))}"
        if never
        else ""
    )
    return layout(
        fig,
        _cheapest(found),
        f"{_pool(table)}: what was paid until the test accuracy was {target:g} %, median of {table['seed'].nunique()} "
        f"runs{left_out}",
        520,
    )


def _cheapest(found: pd.DataFrame) -> str:
    """Who is cheapest under most bills, and under how many of them."""
    counts = found[list(BILLS)].idxmin().value_counts()
    name, number = counts.index[0], int(counts.iloc[0])
    of_all = f"all {len(BILLS)} bills" if number == len(BILLS) else f"{number} of {len(BILLS)} bills"
    return f"{display_names.strategy(name)} is cheapest under {of_all}"


def per_answer(table: pd.DataFrame) -> go.Figure:
    """Test accuracy against the number of answers, for each way to spend them.

    `table`: rows of `analysis.answers.spending`; a column for each kind of errors, a row for each share of them. Means
    over seeds at each stage, bands of a standard error for three of them.
    """
    kinds = [kind for kind in ERRORS if kind in set(table["errors"])]
    shares = sorted(set(table["share"]))
    titles = [f"{share:.0%} errors: {ERRORS[kind]}" for share in shares for kind in kinds]
    fig = make_subplots(len(shares), len(kinds), shared_yaxes="rows", shared_xaxes=True, horizontal_spacing=0.04,
                        vertical_spacing=0.09, subplot_titles=titles)  # fmt: skip
    for row, share in enumerate(shares, 1):
        for column, kind in enumerate(kinds, 1):
            own = table[(table["errors"] == kind) & (table["share"] == share)]
            for way, style in WAYS.items():
                mine = own[own["way"] == way]
                _line(
                    fig,
                    mine.groupby(mine.groupby("seed").cumcount()),
                    "answers",
                    "accuracy",
                    way,
                    style,
                    column,
                    row=row,
                    band=way in BANDED,
                )
    fig.update_xaxes(showgrid=False)
    fig.update_xaxes(title_text="answers", row=len(shares))
    fig.update_yaxes(title_text="test accuracy (%)", col=1)
    return layout(
        fig,
        _highest(table),
        f"{_pool(table)}; {len(answers.ERRORS_J)} annotators who err on {shares[0]:.0%} of all images in the mean, or "
        f"on {shares[-1]:.0%};<br>mean and standard error of {table['seed'].nunique()} seeds",
        760,
        top=125,
    )


def _highest(table: pd.DataFrame) -> str:
    """Which way to spend answers ends highest most often, of those with errors."""
    last = table[table["way"] != "no errors"].groupby(["errors", "share", "way", "seed"]).tail(1)
    ends = last.groupby(["errors", "share", "way"])["accuracy"].mean().unstack("way")
    counts = ends.idxmax(axis=1).value_counts()
    way = {"one answer": "One answer an image", "two that agree": "Asking until two agree"}
    name = way.get(counts.index[0], counts.index[0])
    return f"{name} ends highest in {counts.iloc[0]} of {len(ends)} cases"


def few_tests(testing: pd.DataFrame, choosing: pd.DataFrame) -> go.Figure:
    """Left, how far an estimate of accuracy is off; right, what a choice between classifiers loses; against tests.

    Rows of `analysis.answers.testing` and `choosing`; left root mean squares over draws, right means; a line for each
    way to draw tests, means over seeds, bands of a standard error.
    """
    fig = make_subplots(
        1,
        2,
        horizontal_spacing=0.1,
        subplot_titles=["one classifier: error of the estimate", "nine classifiers: loss by the choice"],
    )
    off = testing.assign(number=(testing["value"] - testing["true"]) ** 2)
    lost = choosing.assign(number=choosing["best"] - choosing["chosen"])
    for column, rows in enumerate((off, lost), 1):
        for draw in [draw for draw in DRAWS if draw in set(rows["draw"])]:
            words, colour, symbol = DRAWS[draw]
            means = rows[rows["draw"] == draw].groupby(["tests", "seed"], as_index=False)["number"].mean()
            means["number"] **= 0.5 if column == 1 else 1
            _line(fig, means.groupby("tests"), "tests", "number", words, (colour, "solid", symbol), column)
    fig.update_xaxes(title_text="test questions", showgrid=False, type="log", tickvals=answers.TESTED)
    fig.update_yaxes(title_text="points of accuracy", rangemode="tozero")
    fig.update_layout(legend_title_text="tests are drawn")
    return layout(
        fig,
        _choice(choosing),
        f"{_pool(testing)}, {testing['seed'].nunique()} seeds x {testing['repeat'].nunique()} draws; "
        "left root mean square, right mean, with the standard error over seeds",
        460,
    )


def _choice(choosing: pd.DataFrame) -> str:
    """What a choice loses after tests where the classifiers differ: so many as bring most over tests drawn alike."""
    lost = 100 * (choosing["best"] - choosing["chosen"]).groupby([choosing["draw"], choosing["tests"]]).mean()
    if not {"differences", "alike"} <= set(choosing["draw"]):
        return "How good, and which one, from a few test questions?"
    tests = (lost["alike"] - lost["differences"]).idxmax()
    ours, theirs = (f"{lost[draw][tests]:.1f} points" for draw in ("differences", "alike"))
    return f"{tests} tests where classifiers differ: a choice loses {ours}, after as many drawn alike {theirs}"


def self_labelling(table: pd.DataFrame, strategies: Sequence[str]) -> go.Figure:
    """What pseudo-labels change in test accuracy, against the share of unlabelled images that get one.

    `table`: rows of `analysis.answers.self_labelling`, answers bought by each strategy. A column for each pool, a row
    for each of whom the surest get a pseudo-label. Means over seeds, bands of a standard error.
    """
    pools = {"with junk": "the pool as it is", "iD alone": "its unlabelled junk taken out"}
    titles = [f"surest {choice}, {words}" for choice in answers.CHOICES for words in pools.values()]
    fig = make_subplots(2, 2, shared_yaxes="rows", shared_xaxes=True, horizontal_spacing=0.04, vertical_spacing=0.09,
                        subplot_titles=titles)  # fmt: skip
    run = ["pool", "choice", "strategy", "seed"]
    none = table[table["share"] == 0].set_index(run)["accuracy"]
    change = table.assign(change=table["accuracy"] - none.reindex(pd.MultiIndex.from_frame(table[run])).to_numpy())
    change["percent"] = 100 * change["share"]
    styles = method_styles([name for name in strategies if name != "first labels"])
    styles["first labels"] = (TEXT, "solid", "circle")
    banded = [strategies[0], strategies[-1]]  # more bands than these hide each other
    for row, choice in enumerate(answers.CHOICES, 1):
        for column, pool in enumerate(pools, 1):
            own = change[(change["pool"] == pool) & (change["choice"] == choice)]
            for name in strategies:
                mine = own[own["strategy"] == name].groupby("share")
                shown = display_names.strategy(name)
                _line(fig, mine, "percent", "change", shown, styles[name], column, row=row, band=name in banded)
            fig.add_hline(0, row=row, col=column, line=dict(color=TEXT, width=1.5, dash="dot"), layer="below")
    fig.update_xaxes(showgrid=False)
    fig.update_xaxes(title_text="unlabelled images with a pseudo-label (%)", row=2)
    fig.update_yaxes(title_text="change in test accuracy<br>(points)", col=1)
    return layout(
        fig,
        _gain(change),
        f"{_pool(table)}: four rounds, a regression trained anew in each; mean and standard error of "
        f"{table['seed'].nunique()} seeds",
        720,
        left=75,
    )


def _gain(change: pd.DataFrame) -> str:
    """What pseudo-labels for all bring in the mean, of each class, with junk and without."""
    whole = change[(change["share"] == change["share"].max()) & (change["choice"] == "of each class")]
    mean = 100 * whole.groupby("pool")["change"].mean()
    return f"Pseudo-labels bring {mean['iD alone']:+.1f} points without junk, {mean['with junk']:+.1f} with it"


def _pool(table: pd.DataFrame) -> str:
    """The pool and the learner that the rows are of."""
    return f"{display_names.pool(table['benchmark'].iloc[0])}, learner probe"


def _line(
    fig, groups, x: str, y: str, name: str, style: tuple[str, str, str], column: int, *, row: int = 1, band: bool = True
) -> None:
    """A line of means of the groups of rows, in percent, and a `band` of a standard error; in the legend once."""
    colour, dash, symbol = style
    at, mean, error = groups[x].mean(), 100 * groups[y].mean(), 100 * groups[y].sem().fillna(0)
    if band:
        fig.add_trace(
            go.Scatter(
                x=[*at, *at[::-1]],
                y=[*(mean + error), *(mean - error)[::-1]],
                fill="toself",
                mode="none",
                fillcolor=transparent(colour, 0.15),
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            ),
            row,
            column,
        )
    fig.add_trace(
        go.Scatter(
            x=at,
            y=mean,
            name=name,
            legendgroup=name,
            mode="lines+markers",
            showlegend=not any(trace.name == name for trace in fig.data),
            line=dict(color=colour, dash=dash, width=2),
            marker=dict(color=colour, symbol=symbol, size=7),
            hovertemplate="%{y:.1f}<extra>" + name + "</extra>",
        ),
        row,
        column,
    )
