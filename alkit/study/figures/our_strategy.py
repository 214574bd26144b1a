"""Figures of `cautious_coverage`: its state at a question on the toy pool, what an answer changes, its ablations."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from alkit.acquisition import NOT_ASKED
from alkit.explorer.palette import CATEGORIES, CATEGORY_STYLE, METHOD_STYLE, PALETTE, TEXT
from alkit.study.analysis import paired_differences, select_runs
from alkit.study.analysis.our_strategy import Snapshot, ablation_runs
from alkit.study.analysis.our_strategy import ablation as ablation_table
from alkit.study.analysis.paired_differences import LEVEL
from alkit.study.analysis.toy_pool import N_CLASSES, Toy
from alkit.study.figures import findings
from alkit.study.figures.comparison import AXIS_TITLES, ROW
from alkit.study.figures.measurements import about
from alkit.study.figures.style import layout

LOW, HIGH = "#dfe3e8", PALETTE[0]  # colours of low and high values


ASKED = "#e0a400"  # of the next question; a star besides


SHOWN = {  # of a snapshot: title, lowest and highest value of the colours (None: the samples' own)
    "density_N": ("How crowded is it here?", -2, 1),
    "share_N": ("What did answers nearby say?", 0, 1),
    "purity_N": ("Together: P(iD)", 0, 1),
    "doubt_N": ("Where is the classifier in doubt?", 0, 1),
    "covered_N": ("What do iD answers cover?", 0, 1),
    "left_N": ("So: what is left to learn?", 0, None),
    "score_N": ("What is a question worth?", 0, None),
}


ROWS = {"purity_N": "P(iD)", "covered_N": "covered by iD answers", "score_N": "worth of a question"}


def toy_idea(pool: Toy, state: Snapshot) -> go.Figure:
    """Everything behind one question, panel by panel: the pool; crowding, answers, P(iD); doubt, cover, rest, score."""
    names = [None, *SHOWN]
    titles = [f"<b>{n}.</b> {SHOWN[name][0] if name else 'What only you can see'}" for n, name in enumerate(names, 1)]
    fig = make_subplots(2, 4, subplot_titles=titles, horizontal_spacing=0.015, vertical_spacing=0.09)
    for place, name in enumerate(names):
        traces = (_values(pool, state, name) if name else _kinds(pool)) + _answers(pool, state)
        fig.add_traces(traces, rows=place // 4 + 1, cols=place % 4 + 1)
    fig.add_traces(_question(pool, state), rows=2, cols=4)
    return _planes(
        fig,
        pool,
        _next(state),
        "what it knows before it asks; upper row: is it iD? lower row: is it worth asking? Strong colour: much<br>"
        "discs and crosses: answers so far, "
        "iD and not; star: the next question",
        610,
    )


def toy_moments(pool: Toy, states: Mapping[str, Snapshot]) -> go.Figure:
    """P(iD), the cover and the score before several questions; `states`: title -> snapshot, a column each."""
    return _grid(
        pool,
        states,
        ("purity_N", "covered_N", "score_N"),
        _growth,
        "before three questions; strong colour: much (last row: for that moment); "
        "discs and crosses: answers, iD and not; star: the next question",
        common=False,
    )


def toy_answer(pool: Toy, states: Mapping[str, Snapshot]) -> go.Figure:
    """P(iD) and the score before a question and after either answer; `states`: title -> snapshot, a column each."""
    return _grid(
        pool,
        states,
        ("purity_N", "score_N"),
        _change,
        "before a question and after either answer; strong colour: much, on one scale in each row; "
        "star: the next question. Nothing is trained in between",
        common=True,
    )


def _next(state: Snapshot) -> str:
    """What is known of the sample that is asked about next: P(iD), its cover, and how its doubt stands in the pool."""
    likely, covered = (f"{100 * values_N[state.asked]:.0f} %" for values_N in (state.purity_N, state.covered_N))
    doubted = f"{100 * np.mean(state.doubt_N < state.doubt_N[state.asked]):.0f} %"
    return f"The next question: {likely} likely iD, {covered} covered, in more doubt than {doubted} of the pool"


def _growth(states: Mapping[str, Snapshot]) -> str:
    """How much more of the pool the iD answers cover from the first moment to the last."""
    first, last = (
        100 * float(np.mean(state.covered_N)) for state in (list(states.values())[0], list(states.values())[-1])
    )
    return f"Answers cover {first:.0f} % of the pool at first and {last:.0f} % at last"


def _change(states: Mapping[str, Snapshot]) -> str:
    """What an answer does to P(iD) of the samples that it moves most."""
    before, *after = (state.purity_N for state in states.values())
    if len(after) < 2:
        return "What one answer changes"
    moved = np.argsort(-np.abs(after[0] - after[-1]))[: max(len(before) // 20, 1)]
    low, high = sorted(100 * float(np.mean(one[moved])) for one in after)
    return f"One answer decides a neighbourhood: P(iD) is {high:.0f} % after yes, {low:.0f} % after no"


def _grid(
    pool: Toy, states: Mapping[str, Snapshot], rows: Sequence[str], title: Callable, subtitle: str, *, common: bool
):
    """A row per array of the snapshots, a column per snapshot; `common`: colours of a row on one scale."""
    if not states:
        raise ValueError("no moment to draw: states is empty")
    fig = make_subplots(
        len(rows),
        len(states),
        column_titles=[f"<b>{name}</b>" for name in states],
        row_titles=[ROWS[row] for row in rows],
        horizontal_spacing=0.02,
        vertical_spacing=0.03,
    )
    highest = max(_top(state.score_N) for state in states.values()) if common else None
    for col, state in enumerate(states.values(), 1):
        for row, what in enumerate(rows, 1):
            traces = _values(pool, state, what, highest) + _answers(pool, state) + _question(pool, state)
            fig.add_traces(traces, rows=row, cols=col)
    return _planes(fig, pool, title(states), subtitle, 130 + 280 * len(rows))


def _planes(fig: go.Figure, pool: Toy, title: str, subtitle: str, height: int) -> go.Figure:
    low, high = pool.points_N2.min() - 0.3, pool.points_N2.max() + 0.3
    fig.update_xaxes(visible=False, range=[low, high])
    fig.update_yaxes(visible=False, range=[low, high])
    fig.update_traces(showlegend=False)
    return layout(fig, title, subtitle, height, top=120, bottom=15, left=15)


def _kinds(pool: Toy) -> list[go.Scatter]:
    return [
        _marks(pool, pool.category_N == code, color=colour, symbol=symbol, size=5, name=kind)
        for code, (kind, (colour, symbol, _)) in enumerate(zip(CATEGORIES, CATEGORY_STYLE, strict=True))
    ]


def _values(pool: Toy, state: Snapshot, what: str, highest: float | None = None) -> list[go.Scatter]:
    """What can be asked, coloured by an array of the snapshot; `highest`: where colours end, unless `SHOWN` says."""
    (title, low, high), free = SHOWN[what], state.answers_N == NOT_ASKED
    value_N = getattr(state, what)
    high = high or highest or _top(value_N)
    trace = _marks(
        pool,
        free,
        name=title,
        color=value_N[free],
        size=5.5,
        colorscale=[[0, LOW], [1, HIGH]],
        cmin=low,
        cmax=high,
        showscale=False,
    )
    trace.update(customdata=np.round(value_N[free], 3), hoverinfo=None)
    return [trace.update(hovertemplate=f"{title} %{{customdata}}<extra></extra>")]


def _top(value_N: np.ndarray) -> float:
    """Where colours end: not at the largest value, which may stand alone."""
    return max(float(np.quantile(value_N, 0.98)), 1e-12)


def _answers(pool: Toy, state: Snapshot) -> list[go.Scatter]:
    """The answers so far, iD ones and others: what the strategy was told, not the two kinds of junk."""
    is_id, other = (state.answers_N >= 0) & (state.answers_N < N_CLASSES), state.answers_N == N_CLASSES
    return [
        _marks(pool, is_id, color=CATEGORY_STYLE[0][0], symbol="circle", size=8, line=dict(color="#ffffff", width=1)),
        _marks(pool, other, color=CATEGORY_STYLE[2][0], symbol="x", size=7, line=dict(color="#ffffff", width=0.5)),
    ]


def _question(pool: Toy, state: Snapshot) -> list[go.Scatter]:
    where = np.arange(len(pool.points_N2)) == state.asked
    return [_marks(pool, where, color=ASKED, symbol="star", size=19, line=dict(color="#24292f", width=1.2))]


def _marks(pool: Toy, own: np.ndarray, *, name: str = "", **marker) -> go.Scatter:
    x, y = pool.points_N2[own].T.astype("f4")
    return go.Scatter(x=x, y=y, mode="markers", marker=marker, name=name, hoverinfo="skip")


def ablation(df: pd.DataFrame, numbers: Sequence[str] = ("area", "cost")) -> go.Figure:
    """What each ablation does to several numbers, paired by seed, with intervals; a panel per number.

    Filled: p < 0.05 after Holm. ValueError as `analysis.our_strategy.ablation`, and for one seed: it has no interval.
    """
    tables = {number: ablation_table(df, number) for number in numbers}
    first = tables[numbers[0]]
    if (n_seeds := int(first["n_seeds"].iloc[0])) < 2:
        raise ValueError("a paired difference needs an interval, and so several seeds; these runs have one")
    colour, _, symbol = METHOD_STYLE["Cautious coverage"]
    fig = make_subplots(1, len(numbers), shared_yaxes=True, horizontal_spacing=0.04)
    for col, (number, table) in enumerate(tables.items(), 1):
        fig.add_trace(
            go.Scatter(
                x=table["mean"],
                y=list(table.index),
                mode="markers",
                showlegend=False,
                marker=dict(
                    color=colour,
                    size=11,
                    line=dict(width=2, color=colour),
                    symbol=[symbol + "-open" * (not p < LEVEL) for p in table["p_holm"]],
                ),
                error_x=dict(
                    type="data",
                    symmetric=False,
                    array=table["high"] - table["mean"],
                    arrayminus=table["mean"] - table["low"],
                    color=colour,
                    thickness=2,
                    width=5,
                ),
                customdata=table[["low", "high", "p_holm"]],
                hovertemplate="%{y}<br>%{x:+.3g}, 95 % interval %{customdata[0]:+.3g} to %{customdata[1]:+.3g}<br>"
                "p after Holm %{customdata[2]:.2g}<extra></extra>",
            ),
            1,
            col,
        )
        wins = "more is better" if paired_differences.NUMBERS[number] else "less is better"
        fig.update_xaxes(title_text=f"{AXIS_TITLES[number]}<br>minus the whole strategy's; {wins}", row=1, col=col)
        fig.add_vline(0, line=dict(color=TEXT, width=1.5, dash="dot"), row=1, col=col)
    fig.update_yaxes(autorange="reversed", showgrid=False)
    notes = [
        paired_differences.seeds_note(n_seeds, len(first)),
        select_runs.development_note(df["benchmark"].iloc[0]),
    ]
    return layout(
        fig,
        findings.of_ablation(first, LEVEL),
        f"{about(ablation_runs(df))}; mean and 95 % bootstrap interval, paired by seed; filled: p < 0.05 after "
        "Holm<br>"
        f"<span style='font-size:12px'>{'<br>'.join(filter(None, notes))}</span>",
        235 + int(1.3 * ROW) * len(first),
        top=135,
        bottom=80,
    )
