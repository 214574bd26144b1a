"""Figures of the introduction: the loop of active learning as a drawing, and a toy pool with numbered samples."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from alkit.explorer.palette import CATEGORIES, CATEGORY_STYLE, TEXT
from alkit.study.analysis.toy_pool import Toy
from alkit.study.figures.style import layout, transparent

BOX = (1.7, 0.5)  # half of a box's width and height
BOXES = {  # place, and what stands in it
    "pool": (0.0, 1.6, "<b>pool</b>", "images without labels:<br>iD, ambiguous, OoD"),
    "strategy": (5.0, 1.6, "<b>strategy</b>", "puts them in the order<br>in which it would ask"),
    "annotator": (10.0, 1.6, "<b>annotator</b>", "looks at one image:<br>a class, or not iD"),
    "labels": (10.0, -0.6, "<b>labels</b>", "what was paid for,<br>junk included"),
    "learner": (5.0, -0.6, "<b>learner</b>", "is trained again<br>at the end of each stage"),
    "accuracy": (0.0, -0.6, "<b>accuracy</b>", "of the K classes,<br>on iD test images"),
}
ARROWS = [  # from, to, what passes
    ("pool", "strategy", "features"),
    ("strategy", "annotator", "one question<br>costs one look"),
    ("annotator", "labels", "answer"),
    ("labels", "learner", "after 10<br>iD answers"),
    ("learner", "strategy", "features, probabilities"),
    ("learner", "accuracy", "is measured"),
]


def loop() -> go.Figure:
    """The loop of active learning: pool, strategy, annotator, labels, learner, and back to the strategy."""
    fig = go.Figure()
    for x, y, head, text in BOXES.values():
        fig.add_shape(
            type="rect",
            x0=x - BOX[0],
            x1=x + BOX[0],
            y0=y - BOX[1],
            y1=y + BOX[1],
            line=dict(color=TEXT, width=1.5),
            fillcolor=transparent(CATEGORY_STYLE[0][0], 0.12),
        )
        fig.add_annotation(x=x, y=y, text=f"{head}<br>{text}", showarrow=False)
    for start, end, text in ARROWS:
        (x0, y0), (x1, y1) = (np.array(BOXES[name][:2]) for name in (start, end))
        across = abs(x1 - x0) > abs(y1 - y0)
        side = np.sign([x1 - x0, y1 - y0]) * (BOX if not across else (BOX[0], 0))
        edge = side if across else np.array([0, side[1]])
        fig.add_annotation(
            x=x1 - edge[0],
            y=y1 - edge[1],
            ax=x0 + edge[0],
            ay=y0 + edge[1],
            xref="x",
            yref="y",
            axref="x",
            ayref="y",
            showarrow=True,
            arrowhead=2,
            arrowwidth=2,
            arrowcolor=TEXT,
            text="",
        )
        if text:
            fig.add_annotation(
                x=(x0 + x1) / 2,
                y=(y0 + y1) / 2,
                text=text,
                showarrow=False,
                xanchor="center" if across else "left",
                yanchor="bottom" if across else "middle",
                xshift=0 if across else 8,
            )
    fig.update_xaxes(visible=False, range=[-2, 12])
    fig.update_yaxes(visible=False, range=[-1.3, 2.3])
    subtitle = "the loop of active learning: one turn is a stage"
    drawn = layout(fig, "A strategy decides what an answer costs", subtitle, 400, bottom=10, left=15)
    return drawn.update_annotations(yshift=0)


def numbered_points(toy: Toy, asked: Sequence[int]) -> go.Figure:
    """The toy pool as the one who asks sees it: a number for each sample, and what was answered where one was `asked`.

    ValueError for a number that is not in the pool.
    """
    asked = np.asarray(asked, int)
    if len(asked) and not (asked.min() >= 0 and asked.max() < len(toy.points_N2)):
        raise ValueError(f"samples have the numbers 0 to {len(toy.points_N2) - 1}, got {asked.tolist()}")
    unknown = np.setdiff1d(np.arange(len(toy.points_N2)), asked)
    fig = go.Figure()
    fig.add_trace(_numbers(toy, unknown, "not asked", TEXT, "circle-open", TEXT))
    known = toy.category_N[asked]
    for code, (kind, (colour, symbol, _)) in enumerate(zip(CATEGORIES, CATEGORY_STYLE, strict=True)):
        if code == 0:
            for label in np.unique(toy.labels_N[asked[known == 0]]):
                own = asked[(known == 0) & (toy.labels_N[asked] == label)]
                fig.add_trace(_numbers(toy, own, f"iD, class {'ABC'[label]}", colour, symbol, "#ffffff", "ABC"[label]))
        elif (known == code).any():
            fig.add_trace(_numbers(toy, asked[known == code], kind, colour, symbol, "#ffffff"))
    (left, low), (right, high) = toy.points_N2.min(axis=0) - 0.3, toy.points_N2.max(axis=0) + 0.3
    fig.update_xaxes(visible=False, range=[left, right])
    fig.update_yaxes(visible=False, range=[low, high])
    fig.update_layout(legend=dict(orientation="h", x=0, y=0, yanchor="top"))
    subtitle = "every circle is a sample of the pool; filled: what an answer said"
    return layout(fig, "Whom would you ask about?", subtitle, 720, bottom=40, left=15)


def _numbers(toy: Toy, rows: np.ndarray, name: str, colour: str, symbol: str, text: str, mark: str = "") -> go.Scatter:
    return go.Scatter(
        x=toy.points_N2[rows, 0],
        y=toy.points_N2[rows, 1],
        mode="markers+text",
        name=name,
        text=[mark or str(row) for row in rows],
        textfont=dict(size=9, color=text),
        marker=dict(color=colour, symbol=symbol, size=17, line=dict(color=colour, width=1.5)),
        hovertemplate=[f"{row}: {name}<extra></extra>" for row in rows],
    )
