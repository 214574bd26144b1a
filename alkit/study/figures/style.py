"""The look that all figures share: colours, symbols, dashes, hatchings and the layout template."""

import re
import zlib
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from alkit.explorer.palette import (
    DASHES,
    FAINT,
    FAMILY_STYLE,
    GREY,
    GROUND,
    HIGHLIGHTED,
    INK,
    METHOD_STYLE,
    PALETTE,
    SYMBOLS,
    TEXT,
)
from alkit.study.analysis import display_names

_AXIS = dict(
    gridcolor=FAINT,
    linecolor=TEXT,
    zeroline=False,
    tickcolor=TEXT,
    ticks="outside",
    automargin=True,
    title=dict(standoff=8),
)


TEMPLATE = go.layout.Template(
    layout=dict(
        font=dict(family="Helvetica, Arial, Liberation Sans, sans-serif", size=13, color=INK),
        title=dict(x=0.01, xanchor="left", yanchor="top", yref="container", font=dict(size=19)),
        paper_bgcolor=GROUND,
        plot_bgcolor=GROUND,
        xaxis=_AXIS,
        yaxis=_AXIS,
        hovermode="closest",
        hoverlabel=dict(bgcolor=INK, bordercolor=TEXT, font=dict(color="#ffffff", size=13)),
        legend=dict(bgcolor="rgba(0,0,0,0)", font=dict(size=13)),
        bargap=0.15,
    )
)


LINE, LINE_HEIGHT = 138, 20  # characters of a subtitle's line; px
TITLE, TITLE_HEIGHT = 84, 25  # of a title's


WIDTH, RIGHT = 900, 25  # px, of a figure and its right margin; a README shows the PNG at about this width


def layout(
    fig: go.Figure, title: str, subtitle: str, height: int, *, top: int = 100, bottom: int = 60, left: int = 60
) -> go.Figure:
    """Give `fig` the study's look: title and subtitle, a white ground, nearly black text; margins in pixels.

    The title is the finding, in plain words and from the numbers that are drawn, and where no sentence holds what the
    figure asks. The subtitle is what is drawn: pool, profile, seeds, learner, marks. The ground is opaque and white on
    every page, GitHub's dark one and a notebook's included, so that a picture reads the same wherever it stands: text
    has a contrast of at least 4.5 to it, lines and marks have 3. A line of title or subtitle that is too long for the
    width (a pool may have a long name) goes on in another; figure and margin grow by it.
    """
    heads = _fitting(title, TITLE)
    lines = [part for line in subtitle.split("<br>") for part in _fitting(line)]
    subtitle, more = "<br>".join(lines), LINE_HEIGHT * (len(lines) - subtitle.count("<br>") - 1)
    more += TITLE_HEIGHT * (len(heads) - 1)
    height, top = height + more, top + more
    fig.update_annotations(font=dict(size=13, color=INK), yshift=5, selector=lambda one: one.name != "mark")
    return fig.update_layout(
        template=TEMPLATE,
        width=WIDTH,
        height=height,
        margin=dict(t=top, b=bottom, l=left, r=RIGHT),
        title_y=1 - 32 / height,
        title_text=f"<b>{'<br>'.join(heads)}</b><br><span style='font-size:14px'>{subtitle}</span>",
    )


def _fitting(line: str, most: int = LINE) -> list[str]:
    """`line` in pieces of at most `most` characters, broken after the last semicolon, comma or space that fits.

    A line with markup stays whole: its characters are not those that are seen.
    """
    if len(line) <= most or re.search(r"<[\w/]", line):
        return [line]
    cut = next((i for mark in ("; ", ", ", " ") if (i := line.rfind(mark, 0, most)) > 0), None)
    if cut is None:
        return [line]
    return [line[: cut + 1].rstrip(), *_fitting(line[cut + 1 :].lstrip(), most)]


def method_styles(names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """(colour, dash, symbol) per method: those of `METHOD_STYLE` wherever they are, by name for others, distinct."""
    styles, taken, shown = {}, set(), strategy_names(names)
    for name in names:
        if shown[name] in METHOD_STYLE:
            styles[name] = METHOD_STYLE[shown[name]]
            continue
        slot = zlib.crc32(name.encode()) % len(PALETTE)
        while slot in taken and len(taken) < len(PALETTE):
            slot = (slot + 1) % len(PALETTE)
        taken.add(slot)
        styles[name] = (PALETTE[slot], DASHES[slot % len(DASHES)], SYMBOLS[slot % len(SYMBOLS)])
    return styles


def strategy_names(names: Sequence[str]) -> dict[str, str]:
    """What the strategies of these methods are called, whatever their learner; by it they have their colours.

    Two methods of one strategy keep their learners, as one colour for both would hide which is which.
    """
    shown = display_names.methods(names)
    alone = {name: shown[name].replace(f", {display_names.learner(name)}", "") for name in names}
    return {name: alone[name] if list(alone.values()).count(alone[name]) == 1 else shown[name] for name in names}


def marks(names: Sequence[str], families: Sequence[str]) -> tuple[list[str], list[str]]:
    """Colours and symbols of methods that are drawn as one mark each: their own of those in `HIGHLIGHTED`, else grey
    and their family's.
    """
    shown = strategy_names(names)
    own = {name: METHOD_STYLE[shown[name]] for name in names if shown[name] in HIGHLIGHTED}
    colours = [own[name][0] if name in own else GREY for name in names]
    pairs = zip(names, families, strict=True)
    return colours, [own[name][2] if name in own else FAMILY_STYLE[family][1] for name, family in pairs]


REFERENCE_DASHES = ("dash", "dot", "dashdot")  # of reference lines, which have no colour of their own


def reference_styles(names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """(colour, dash, symbol) of reference lines: grey and broken, so that none looks like a method."""
    return {name: (TEXT, REFERENCE_DASHES[i % len(REFERENCE_DASHES)], "circle-open") for i, name in enumerate(names)}


def highlighted(
    names: Sequence[str], wanted: Sequence[str] | None, worth: Mapping[str, float], *, few: int = 8, most: int = 6
) -> set[str]:
    """Which of `names` are drawn in colour: the `wanted`; where none are said, all of a `few`, else those of
    `HIGHLIGHTED`, filled up to `most` with those of most `worth`. ValueError for a wanted name that is not there.
    """
    if wanted is None:
        if len(names) <= few:
            return set(names)
        shown = strategy_names(names)
        known = [name for name in names if shown[name] in HIGHLIGHTED]
        rest = [name for name in sorted(names, key=lambda name: -worth[name]) if name not in known]
        return {*known, *rest[: max(0, most - len(known))]}
    if unknown := [name for name in wanted if name not in names]:
        raise ValueError(f"no method {', '.join(map(repr, unknown))} to highlight; there are: {'; '.join(names)}")
    return set(wanted)


def transparent(colour: str, alpha: float) -> str:
    return "rgba({},{},{},{})".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)), alpha)
