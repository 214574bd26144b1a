"""The page itself: one HTML file that holds data, pictures, styles and code, and loads nothing from anywhere.

Data are little-endian arrays in base64, each in a block of its own that no browser executes; what the first picture
needs stands before the code, the rest behind it. A content security policy names the hash of the one script and the one
style that may run, so that nothing in the data could.

The points are drawn by WebGL 2 code of our own (`page/points.js`), not by a library: all that is drawn is one kind of
mark, from coordinates that glide between two projections, coloured through a table of 256 colours. That is a hundred
lines; libraries for scatter plots bring some hundred kB each, keep copies of their own of the data, and none shares one
look-up between two linked views.
"""

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alkit.explorer import columns as cols
from alkit.explorer import purchases as buys
from alkit.explorer.palette import (
    CATEGORIES,
    CATEGORY_STYLE,
    DASHES,
    GREY,
    KIND_STYLE,
    PALETTE,
    RAMP,
    SYMBOLS,
    on_dark,
)
from alkit.explorer.purchases import Purchases
from alkit.explorer.sheets import SIDE, as_nhwc, sheets, z_order
from alkit.explorer.spaces import Space, spaces
from alkit.store import write_atomic

MOST = 100_000  # samples
DRAWN = 400  # unlabelled samples drawn in one circle, as in `figures.acquisition`
PAGE = Path(__file__).with_name("page")
STROKES = {  # Plotly's names of dashes, as SVG writes them
    "solid": "",
    "dot": "2 3",
    "dash": "6 4",
    "dashdot": "6 3 2 3",
    "longdash": "10 4",
    "longdashdot": "10 3 2 3",
}
SCRIPTS = (
    "data",
    "sheets",
    "colours",
    "points",
    "pane",
    "overlay",
    "labels",
    "sample",
    "legend",
    "find",
    "scores",
    "stages",
    "circles",
    "selection",
    "hash",
    "tour",
    "main",
)


def write(
    path: str | Path,
    features,
    images,
    table: Mapping[str, Sequence] | None = None,
    *,
    coordinates: Mapping | None = None,
    purchases: Sequence[Purchases] = (),
    title: str = "Feature space",
    about: str = "",
    tour: Sequence[tuple[str, str]] = (),
    neighbours: int = 8,
    projector: str | None = None,
    seed: int = 0,
) -> Path:
    """Write the explorer of N samples to the HTML file `path`; returns the path.

    `features`: (N, D), or a dict of such by name, the first shown first. `images`: uint8 (N, H, W), or with 1 or 3
    channels first or last. `table`: columns by name, see `columns.columns`: texts become categories to colour by,
    numbers scores. `coordinates`: (N, 2) by name of the features, where they are projected already; else `projector`
    ("umap", "pca", None: UMAP where it is installed) makes them, seeded. `neighbours`: how many a pinned sample shows,
    by cosine in each feature space. `purchases`: what strategies bought. `about`: a sentence under the title. `tour`:
    its steps, each a text and a view: what stands behind the # of a link that the page's "Copy link" gives.

    The same arguments give the same bytes. ValueError, naming the argument, for lengths that differ, features that are
    not finite, images of other shapes, no sample, or more than 100,000; before any work for a `path` whose folder does
    not exist, or that is a folder.
    """
    check_path(path)
    images_NHWC = as_nhwc(images)
    _check_size(len(images_NHWC))
    made = spaces(features, coordinates, neighbours=neighbours, projector=projector, seed=seed)
    return write_spaces(path, made, images_NHWC, table, purchases=purchases, title=title, about=about, tour=tour)


def write_spaces(
    path: str | Path,
    made: Sequence[Space],
    images,
    table,
    *,
    purchases: Sequence[Purchases],
    title: str,
    about: str,
    tour: Sequence[tuple[str, str]] = (),
) -> Path:
    """`write` for feature spaces whose coordinates and neighbours are known."""
    check_path(path)
    images_NHWC = as_nhwc(images)
    n = len(images_NHWC)
    _check_size(n)
    for space in made:
        if len(space.neighbours_NM) != n:
            raise ValueError(f"features {space.name!r} are of {len(space.neighbours_NM)} samples, images of {n}")
    squares = [cols.square(space.xy_N2, space.name, n) for space in made]
    categories, scores = cols.columns(table, n)
    buys.check(purchases, n)
    files, tile_N = sheets(images_NHWC, z_order(squares[0]))
    meta = _meta(made, images_NHWC, categories, scores, purchases, len(files))
    meta |= {"title": title, "about": about, "tour": [{"text": text, "view": view.lstrip("#")} for text, view in tour]}
    first = [_block(f"xy{i}", square) for i, square in enumerate(squares)]
    first += [_block(f"category{i}", column.codes_N) for i, column in enumerate(categories)]
    first += [_block(f"score{i}", column.steps_N) for i, column in enumerate(scores)]
    later = [_block("tile", tile_N)]
    later += [_block(f"near{i}", space.neighbours_NM.astype(np.uint32)) for i, space in enumerate(made)]
    later += [block for i, bought in enumerate(purchases) for block in _circle_blocks(i, bought)]
    later += [_bytes_block(f"sheet{i}", file) for i, file in enumerate(files)]
    path = Path(path)
    write_atomic(path, _html(meta, first, later).encode())
    return path


def check_path(path: str | Path) -> None:
    """ValueError where no page can be written to `path`: it is a folder, or lies in none that exists."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the file of the page, such as {path / 'page.html'}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to; make it first")


def _check_size(n: int) -> None:
    if not n:
        raise ValueError("there is no sample: images are empty")
    if n > MOST:
        raise ValueError(
            f"the page holds at most {MOST:,} samples, got {n:,}; draw some at random, such as "
            f"keep = numpy.random.default_rng(0).permutation({n})[:{MOST}], and pass features[keep], images[keep], ..."
        )


def _meta(made, images_NHWC, categories, scores, purchases, n_sheets: int) -> dict:
    """What the page must know of the arrays, and the colours they are shown in."""
    n, height, width, _ = images_NHWC.shape
    drawn = [_stroke(i, bought) for i, bought in enumerate(purchases)]
    shown = [*PALETTE, *RAMP, GREY, *(style[0] for style in CATEGORY_STYLE), *(style[1] for style in KIND_STYLE)]
    shown += [stroke["colour"] for stroke in drawn]
    return {
        "n": n,
        "width": width,
        "height": height,
        "sheets": n_sheets,
        "side": SIDE,
        "spaces": [{"name": space.name, "near": space.neighbours_NM.shape[1]} for space in made],
        "categories": [{"key": c.key, "names": c.names, **_style(c.names)} for c in categories],
        "scores": [{"key": s.key, "low": s.low, "high": s.high, "steps": cols.STEPS} for s in scores],
        "none": {"category": cols.NONE, "score": cols.NO_SCORE},
        "purchases": [{**_bought(bought), **stroke} for bought, stroke in zip(purchases, drawn, strict=True)],
        "colours": {
            "ramp": RAMP,
            "grey": GREY,
            "kinds": KIND_STYLE,
            "clusters": _style(range(_clusters(purchases))),
            "dark": {colour: on_dark(colour) for colour in shown},
        },
    }


def _style(names: Sequence) -> dict:
    """Colours and symbols of a category column: the study's own for iD, ambiguous, OoD, else 120 pairs in turn."""
    if names == CATEGORIES:
        return {"colours": [style[0] for style in CATEGORY_STYLE], "symbols": [style[1] for style in CATEGORY_STYLE]}
    colours, symbols = len(PALETTE), len(SYMBOLS)  # 12 and 10 meet again after 60: then the symbols go on by one
    return {
        "colours": [PALETTE[i % colours] for i in range(len(names))],
        "symbols": [SYMBOLS[(i + i // math.lcm(colours, symbols)) % symbols] for i in range(len(names))],
    }


def _stroke(number: int, bought: Purchases) -> dict:
    """Colour, dashes and symbol of a strategy's curve: its own, else the `number`-th of the palette."""
    nth = (PALETTE[number % len(PALETTE)], DASHES[number % len(DASHES)], SYMBOLS[number % len(SYMBOLS)])
    colour, dash, symbol = bought.style or nth
    return {"colour": colour, "dashes": STROKES.get(dash, dash.replace("px", "")), "symbol": symbol}


def _clusters(purchases: Sequence[Purchases]) -> int:
    """The most clusters of any stage."""
    return max((len(circles.radius_K) for bought in purchases for circles in bought.circles.values()), default=0)


def _bought(bought: Purchases) -> dict:
    return {
        "name": bought.name,
        "note": bought.note,
        "picks": [np.asarray(picks, np.int64).tolist() for picks in bought.picks],
        "accuracies": [float(value) for value in bought.accuracies],
        "circles": {
            str(stage): {
                "radius": [float(r) if np.isfinite(r) else None for r in circles.radius_K],
                "setter": [int(i) for i in circles.setter_K],
                "share": [int(share) for share in circles.shares_K],
                "size": np.bincount(circles.labels_N, minlength=len(circles.radius_K)).tolist(),
                "excluded": circles.excluded,
            }
            for stage, circles in sorted(bought.circles.items())
        },
    }


def _circle_blocks(number: int, bought: Purchases) -> list[str]:
    """Per stage: every sample's cluster; and what Figure 3 draws of each cluster: who, how far, at what angle, what."""
    blocks = []
    for stage, circles in sorted(bought.circles.items()):
        name = f"{number}-{stage}"
        blocks.append(_block(f"cluster{name}", circles.labels_N.astype(np.uint8)))
        shown = []
        for k in range(len(circles.radius_K)):
            members = np.flatnonzero(circles.labels_N == k)
            idle = circles.kinds_N[members] == buys.UNLABELLED
            some = members[idle][:: -(-int(idle.sum()) // DRAWN) or 1]
            shown.append(np.concatenate([some, members[~idle]]))
        who = np.concatenate(shown)
        blocks.append(_block(f"who{name}", who.astype(np.uint32)))
        polar = np.column_stack([circles.distances_N[who], circles.angles_N[who]])
        blocks.append(_block(f"polar{name}", polar.astype(np.float32)))
        blocks.append(_block(f"kind{name}", circles.kinds_N[who].astype(np.uint8)))
    return blocks


def _block(name: str, array: np.ndarray) -> str:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return _bytes_block(name, little.tobytes(), f"{little.dtype.kind}{little.dtype.itemsize}")


def _bytes_block(name: str, data: bytes, kind: str = "u1") -> str:
    text = base64.b64encode(data).decode()
    return f'<script type="application/octet-stream;base64" id="{name}" data-kind="{kind}">{text}</script>'


def _html(meta: dict, first: list[str], later: list[str]) -> str:
    script = "\n".join((PAGE / f"{name}.js").read_text() for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}\n}})();\n'
    style = (PAGE / "page.css").read_text()
    known = json.dumps(meta, ensure_ascii=True, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = {
        "title": html.escape(meta["title"]),
        "policy": f"default-src 'none'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"script-src {_hash(script)}; style-src {_hash(style)}",
        "style": style,
        "meta": known,
        "first": "\n".join(first),
        "script": script,
        "later": "\n".join(later),
    }
    pieces = (PAGE / "page.html").read_text().split("@@")  # text, name, text, name, ..., text
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
