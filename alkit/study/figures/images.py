"""Figures that show images: a pool's contact sheet, ambiguous images with their votes, augmented views."""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots

from alkit.benchmarks import NO_VOTE
from alkit.explorer.palette import CATEGORIES, CATEGORY_STYLE, INK
from alkit.rng import numpy_stream
from alkit.study.figures.style import layout

FRAME = 5  # pixels of the frame around each image of a sheet


def _rgba(images_NCHW) -> np.ndarray:
    images = np.asarray(images_NCHW)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images must have the shape (N, 1 or 3, H, W), got {images.shape}")
    if images.dtype != np.uint8:
        if images.size and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(f"{images.dtype} images must lie in [0, 1], got [{images.min():g}, {images.max():g}]")
        images = np.rint(images * 255).astype(np.uint8)
    colour = np.broadcast_to(images, (len(images), 3, *images.shape[2:]))
    return np.concatenate([colour, np.full_like(colour[:, :1], 255)], axis=1).transpose(0, 2, 3, 1)


def _add_sheet(
    fig: go.Figure, images_NCHW, hover: Sequence[str], columns: int, row: int, col: int, *, tile: int = 64
) -> tuple[int, int]:
    """Draw images as one lossless picture, `columns` a row, each in a frame; return its height and width in pixels.

    Pixels of small images are repeated to about `tile` a side, so that frames are thin beside them; none is ever mixed.
    """
    images_NHWC = _rgba(images_NCHW)
    scale = max(1, tile // images_NHWC.shape[1])
    tiles_NHWC = images_NHWC.repeat(scale, axis=1).repeat(scale, axis=2)
    n, h, w, _ = tiles_NHWC.shape
    sheet_HWC = np.zeros((math.ceil(n / columns) * (h + FRAME) + FRAME, columns * (w + FRAME) + FRAME, 4), np.uint8)
    sheet_HWC[:] = (122, 122, 122, 100)
    tops, lefts = np.arange(n) // columns * (h + FRAME) + FRAME, np.arange(n) % columns * (w + FRAME) + FRAME
    sheet_HWC[tops[-1] :, lefts[-1] + w + FRAME :] = 0
    for tile, y, x in zip(tiles_NHWC, tops, lefts, strict=True):
        sheet_HWC[y : y + h, x : x + w] = tile
    png = io.BytesIO()
    Image.fromarray(sheet_HWC).save(png, "PNG")
    source = "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()
    fig.add_trace(go.Image(source=source, zsmooth=False, hoverinfo="skip"), row, col)
    fig.add_trace(
        go.Scatter(  # an image's own hover would need one text per pixel: invisible markers need one per tile
            x=lefts + (w - 1) / 2,
            y=tops + (h - 1) / 2,
            text=list(hover),
            mode="markers",
            showlegend=False,
            marker=dict(size=20, opacity=0),
            hovertemplate="%{text}<extra></extra>",
        ),
        row,
        col,
    )
    height, width = sheet_HWC.shape[:2]
    fig.update_xaxes(visible=False, range=[-0.5, width - 0.5], constrain="domain", row=row, col=col)
    fig.update_yaxes(
        visible=False,
        range=[height - 0.5, -0.5],
        constrain="domain",
        constraintoward="top",
        scaleanchor=fig.data[-1].xaxis or "x",
        row=row,
        col=col,
    )
    return height, width


def samples(
    images_NCHW,
    category_N,
    labels_N=None,
    class_names: Sequence[str] | None = None,
    *,
    per_category: int = 24,
    seed: int = 0,
) -> go.Figure:
    """Contact sheet of a pool: up to `per_category` random images of each category, iD ones in order of their class.

    `category_N` holds 0 (iD), 1 (ambiguous), 2 (OoD); `labels_N` and `class_names` only feed the hover texts and the
    order.
    """
    category, columns = np.asarray(category_N), math.ceil(math.sqrt(per_category * 2 / 3))
    labels = None if labels_N is None else np.asarray(labels_N)
    rng, totals = numpy_stream(seed, "figure"), [int((category == code).sum()) for code in range(3)]
    titles = [
        f"<span style='color:{colour}'>\u25a0</span> <b>{name}</b>, {min(n, per_category)} of {n:,}"
        for name, n, (colour, _, _) in zip(CATEGORIES, totals, CATEGORY_STYLE, strict=True)
    ]
    fig, ratio = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.04), 0.0
    for code, total in enumerate(totals):
        if not total:
            fig.update_xaxes(visible=False, col=code + 1).update_yaxes(visible=False, col=code + 1)
            continue
        chosen = np.sort(rng.choice(np.flatnonzero(category == code), min(total, per_category), replace=False))
        if labels is not None:
            chosen = chosen[np.argsort(labels[chosen], kind="stable")]
        hover = [f"pool index {i}<br>{CATEGORIES[code]}" + _class(i, labels, class_names) for i in chosen]
        height, width = _add_sheet(fig, np.asarray(images_NCHW)[chosen], hover, columns, 1, code + 1)
        ratio = max(ratio, height / width)
    share = ", ".join(f"{n / max(len(category), 1):.0%} {name}" for n, name in zip(totals, CATEGORIES, strict=True))
    return layout(
        fig,
        f"{100 * (1 - totals[0] / max(len(category), 1)):.0f} % of the pool has no class to learn",
        f"the unlabelled pool: {len(category):,} images, {share}; drawn at random",
        round(105 + ratio * 275 + 20),
        top=105,
        bottom=20,
        left=25,
    )


def _class(i: int, labels, class_names) -> str:
    if labels is None:
        return ""
    inside = class_names is not None and 0 <= labels[i] < len(class_names)
    return f"<br>class {class_names[labels[i]]}" if inside else f"<br>label {labels[i]}"


def ambiguous_votes(images_N1HW, votes_NV, class_names: Sequence[str], *, n: int = 8) -> go.Figure:
    """The first `n` images, each above the votes of its V classifiers (Kim et al. 2023, Figure 2).

    `votes_NV` holds class numbers, and `benchmarks.NO_VOTE` for what is none of the classes, which is not drawn.
    ValueError if another number has no name.
    """
    images, votes, names = np.asarray(images_N1HW)[:n], np.asarray(votes_NV)[:n], [str(name) for name in class_names]
    if len(images) != len(votes) or not len(votes):
        raise ValueError(f"need as many images as rows of votes, at least one; got {len(images)} and {len(votes)}")
    cast = votes[votes != NO_VOTE]
    if not cast.size or cast.min() < 0 or cast.max() >= len(names):
        got = f"{cast.min()}..{cast.max()}" if cast.size else "none"
        raise ValueError(f"votes must lie in 0..{len(names) - 1}, one per class name; got {got}")
    columns, voters = min(4, len(images)), votes.shape[1]
    blocks = math.ceil(len(images) / columns)
    fig = make_subplots(
        3 * blocks,
        columns,
        row_heights=[0.66, 0.3, 0.04] * blocks,
        vertical_spacing=0.03 / blocks,
        horizontal_spacing=0.03,
        specs=([[{}] * columns] * 2 + [[None] * columns]) * blocks,
    )
    counts = np.stack([np.bincount(row[row != NO_VOTE], minlength=len(names)) for row in votes])
    agreed = int((counts.max(axis=1) == voters).sum()) or "none"
    for i, count in enumerate(counts):
        at = dict(row=3 * (i // columns) + 1, col=i % columns + 1)
        _add_sheet(fig, images[i : i + 1], [f"image {i}"], 1, **at, tile=256)
        at["row"] += 1
        voted = np.flatnonzero(count) if len(names) > 10 else np.arange(len(names))
        fig.add_trace(
            go.Bar(
                x=[names[k] for k in voted],
                y=count[voted],
                showlegend=False,
                cliponaxis=False,
                text=[str(c) if c else "" for c in count[voted]],
                textposition="outside",
                textangle=0,
                textfont=dict(size=13, color=INK),
                marker_color=CATEGORY_STYLE[1][0],
                hovertemplate=f"%{{y}} of {voters} classifiers say %{{x}}<extra></extra>",
            ),
            **at,
        )
        fig.update_xaxes(type="category", tickfont_size=12, ticks="", showgrid=False, **at)
        fig.update_yaxes(visible=False, range=[0, counts.max() * 1.25], **at)
    return layout(
        fig,
        f"The {voters} classifiers agree on {agreed} of these {len(images)} ambiguous images",
        f"below each image: how many of {voters} independently trained classifiers name which class",
        90 + 315 * blocks,
        top=80,
        bottom=15,
        left=25,
    )


def augmentations(originals_BCHW, views_VBCHW) -> go.Figure:
    """B originals in the first row; below, V rows of their augmented views, each under its own original."""
    originals, views = np.asarray(originals_BCHW), np.asarray(views_VBCHW)
    if views.ndim != 5 or views.shape[1:] != originals.shape:
        raise ValueError(
            f"views must have the shape (V, *originals.shape) = (V, *{originals.shape}), got {views.shape}"
        )
    names = ["original", *(f"view {v + 1}" for v in range(len(views)))]
    tiles = np.concatenate([originals[None], views.astype(originals.dtype)]).reshape(-1, *originals.shape[1:])
    hover = [f"{name} of image {b}" for name in names for b in range(len(originals))]
    fig = make_subplots(1, 1)
    height, width = _add_sheet(fig, tiles, hover, len(originals), 1, 1)
    step = height / len(names)
    fig.update_yaxes(
        visible=True,
        showgrid=False,
        showline=False,
        ticks="",
        ticktext=names,
        tickvals=(np.arange(len(names)) + 0.5) * step,
        tickfont_size=13,
    )
    return layout(
        fig,
        "What stays the same in two views is what the features learn",
        "each column: one image and the random views that contrastive learning pulls together",
        round(95 + height / width * min(790, 100 * len(originals))),
        top=80,
        bottom=15,
        left=85,
    )
