"""Figures of the feature space: a projection coloured by anything, and the clusters that Distance(CL) draws from."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from sklearn.neighbors import NearestNeighbors

from alkit.explorer.palette import CATEGORIES, CATEGORY_STYLE, FAINT, GREY, KIND_STYLE, PALETTE, SYMBOLS, TEXT
from alkit.study.figures.style import layout

LEGEND = 12  # names that a legend has room for
SHORT = 14  # letters of a name that may have another beside it
NEAREST, MOST = 10, 5_000  # neighbours on the map that a title counts, of so many samples
DRAWN = 400  # unlabelled samples drawn in one panel of `acquisition`


KINDS = {  # kinds of point in `acquisition`: name, colour, symbol, size
    "unlabelled": ("unlabelled", GREY, "circle", 3),
    "id": ("labelled iD", KIND_STYLE[1][1], "circle", 6),
    "non_id": ("labelled non-iD", KIND_STYLE[2][1], "x", 8),
    "inside": ("pick, inside", KIND_STYLE[3][1], "circle-open-dot", 11),
    "outside": ("pick, outside", KIND_STYLE[4][1], "diamond-open-dot", 11),
}


def feature_space(xy_N2, columns: dict[str, tuple[Sequence[int], Sequence[str]]]) -> go.Figure:
    """The same 2-D points side by side, coloured by each of up to three columns: name -> (codes_N, names of codes).

    Code -1 means "none" and is drawn grey. A column whose names are `CATEGORIES` gets the categories' fixed colours;
    one of more than 12 names shows the 11 most frequent, the others grey. Drawn with WebGL: 100,000 points are fine.
    """
    xy = np.asarray(xy_N2, np.float32)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"xy must have the shape (N, 2), got {xy.shape}")
    if not 1 <= len(columns) <= 3:
        raise ValueError(f"between 1 and 3 columns fit side by side, got {list(columns)}")
    texts = {"row": np.arange(len(xy)).astype(str)} | {
        key: _decode(key, *column, len(xy)) for key, column in columns.items()
    }
    hover, text_NT = (
        "<br>".join(f"{key} %{{customdata[{i}]}}" for i, key in enumerate(texts)),
        np.column_stack(list(texts.values())),
    )
    size, opacity = (5, 0.8) if len(xy) <= 2000 else (3.5, 0.8) if len(xy) <= 5000 else (2, 0.5)
    fig = make_subplots(1, len(columns), horizontal_spacing=0.03, subplot_titles=[f"<b>{key}</b>" for key in columns])
    depth = 0
    for panel, (codes, names) in enumerate(columns.values(), 1):
        codes, looks = _shown(np.asarray(codes), names)
        present, sizes = np.unique(codes, return_counts=True)
        short = all(len(looks[int(code)][0]) <= SHORT for code in present)
        rows = math.ceil(len(present) / 2) if short else len(present)
        depth = max(depth, rows)
        for i in np.argsort(-sizes, kind="stable"):  # small groups are drawn above large ones
            code = present[i]
            name, colour, symbol = looks[int(code)]
            at, half = codes == code, int(i >= rows)
            fig.add_trace(
                go.Scattergl(
                    x=xy[at, 0],
                    y=xy[at, 1],
                    mode="markers",
                    name=name,
                    legendrank=int(i),
                    legend=f"legend{2 * panel + half}",
                    marker=dict(color=colour, symbol=symbol, size=size, opacity=opacity),
                    customdata=text_NT[at],
                    hovertemplate=hover + "<extra></extra>",
                ),
                1,
                panel,
            )
        left, right = fig.get_subplot(1, panel).xaxis.domain
        for half in range(2):
            fig.update_layout(
                {
                    f"legend{2 * panel + half}": dict(
                        x=left + half * (right - left) / 2, y=-0.03, yanchor="top", itemsizing="constant"
                    )
                }
            )
    fig.update_xaxes(showticklabels=False, ticks="", showgrid=False, showline=True, mirror=True, matches="x")
    fig.update_yaxes(showticklabels=False, ticks="", showgrid=False, showline=True, mirror=True, matches="y")
    return layout(
        fig,
        _neighbours(xy, columns),
        f"the feature space: {len(xy):,} samples in two dimensions, one projection coloured by {', '.join(columns)}; "
        "axes have no unit",
        110 + 860 // max(2, len(columns)) + 21 * depth + 30,
        bottom=21 * depth + 30,
        left=20,
    )


def _neighbours(xy_N2: np.ndarray, columns: dict) -> str:
    """How many of a sample's nearest on the map share its code, in the column whose codes are gathered most."""
    if len(xy_N2) <= NEAREST:
        return "Feature space"
    some = np.random.default_rng(0).permutation(len(xy_N2))[:MOST]
    xy = xy_N2[some]
    near_NK = NearestNeighbors(n_neighbors=NEAREST + 1).fit(xy).kneighbors(xy, return_distance=False)[:, 1:]
    found = {}
    for key, (codes, _) in columns.items():
        codes_N = np.asarray(codes)[some]
        known_N = codes_N >= 0
        if known_N.any():
            shares = np.unique(codes_N, return_counts=True)[1] / len(codes_N)
            found[key] = float((codes_N[near_NK] == codes_N[:, None])[known_N].mean()), float((shares**2).sum())
    if not found:
        return "Feature space"
    key = next(iter(found))
    share, chance = found[key]
    return f"{100 * share:.0f} % of neighbours on the map share their {key}; by chance {100 * chance:.0f} % would"


def _decode(key: str, codes, names, n: int) -> np.ndarray:
    codes = np.asarray(codes)
    if codes.shape != (n,) or (n and (codes.min() < -1 or codes.max() >= len(names))):
        raise ValueError(
            f"column {key!r} needs {n} codes in -1..{len(names) - 1}, "
            f"got shape {codes.shape}, values {np.unique(codes)[:9]}"
        )
    return np.array([*map(str, names), "none"])[codes]


def _shown(codes_N: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, dict[int, tuple[str, str, str]]]:
    """Codes as they are drawn, and the name, colour and symbol of each; of many names the rarer ones are one code."""
    looks = {-1: ("none", FAINT, "circle")}
    if tuple(names) == CATEGORIES:
        styles = zip(CATEGORIES, CATEGORY_STYLE, strict=True)
        return codes_N, looks | {code: (name, *style[:2]) for code, (name, style) in enumerate(styles)}
    present, sizes = np.unique(codes_N[codes_N >= 0], return_counts=True)
    order = present if len(names) <= LEGEND else np.sort(present[np.argsort(-sizes, kind="stable")][: LEGEND - 1])
    for i, code in enumerate(order):
        at = int(code) if len(names) <= LEGEND else i
        looks[int(code)] = (str(names[code]).replace("_", " "), PALETTE[at % len(PALETTE)], SYMBOLS[at % len(SYMBOLS)])
    if not (rarer := set(present.tolist()) - set(order.tolist())):
        return codes_N, looks
    looks[len(names)] = (f"{len(rarer)} others", GREY, "circle")
    return np.where(np.isin(codes_N, list(rarer)), len(names), codes_N), looks


def acquisition(features_ND, answers_N, n_classes: int, clusters, picks: Sequence[int]) -> go.Figure:
    """Distance(CL)'s next round on the real features (Kim et al. 2023, Figure 3), one panel per cluster.

    A point's radius is its real distance to the centroid; its angle is its direction in the plane of the cluster's
    first two principal components. So circles are exact, and angles only separate the points. `features_ND` are the
    features that k-means saw; `answers_N` those before the round (-1 not asked, 0..K-1, K non-iD); `clusters` is
    what `alkit.acquisition.clusters.clusters` returns for them; `picks` are pool positions in order. Shown are at most
    12 clusters, the excluded one and those with most picks, and in each at most `DRAWN` unlabelled samples, evenly
    spaced in pool order. ValueError if a pick was asked before, or if `clusters` is not of these features.
    """
    answers, labels, picks = np.asarray(answers_N), np.asarray(clusters.labels_N), np.asarray(picks, dtype=np.int64)
    if (asked := picks[answers[picks] >= 0]).size:
        raise ValueError(f"picks {asked[:5].tolist()} were already asked; pass the answers from before the round")
    distances, radius = np.asarray(clusters.distances_N), np.asarray(clusters.radius_K)
    features, centroids = np.asarray(features_ND), np.asarray(clusters.centroids)
    if not np.allclose(np.linalg.norm(features - centroids[labels], axis=1), distances, rtol=1e-3, atol=1e-4):
        raise ValueError(
            "features and clusters do not belong together: pass the features as k-means saw them (normalised)"
        )
    order = np.full(len(answers), -1)
    order[picks] = np.arange(len(picks))
    kind = np.where(answers < 0, "unlabelled", np.where(answers < n_classes, "id", "non_id"))
    kind[picks] = np.where(distances[picks] <= radius[labels[picks]], "inside", "outside")
    shown = _shown_clusters(labels, picks, len(radius), clusters.excluded)
    columns = min(4, math.ceil(math.sqrt(len(shown))))
    rows = math.ceil(len(shown) / columns)
    fig = make_subplots(
        rows,
        columns,
        horizontal_spacing=0.03,
        vertical_spacing=0.16 / max(rows - 1, 1) if rows > 1 else 0,
        subplot_titles=[_cluster_title(k, clusters, labels) for k in shown],
    )
    limit = 1.06 * max(float(distances[np.isin(labels, shown)].max()), 1e-12)
    legend = set()
    for panel, k in enumerate(shown):
        at = dict(row=panel // columns + 1, col=panel % columns + 1)
        members = np.flatnonzero(labels == k)
        xy = directions(features[members], centroids[k]) * distances[members, None]
        for key in KINDS:
            here = np.flatnonzero(kind[members] == key)
            if key == "unlabelled":  # a disc of thousands of points would show nothing but itself
                here = here[:: math.ceil(len(here) / DRAWN) or 1]
            if len(here):
                _add_kind(
                    fig,
                    key,
                    xy[here],
                    members[here],
                    distances,
                    order,
                    grey=k == clusters.excluded,
                    legend=legend,
                    **at,
                )
        if np.isfinite(radius[k]):
            _add_circle(fig, float(radius[k]), legend, **at)
        fig.add_trace(
            go.Scatter(
                x=[0],
                y=[0],
                mode="markers",
                marker=dict(symbol="cross-thin", size=10, line=dict(color=TEXT, width=2)),
                showlegend=False,
                hovertemplate=f"centroid of cluster {k}<extra></extra>",
            ),
            **at,
        )
        below, first = panel + columns >= len(shown), at["col"] == 1
        fig.update_xaxes(range=[-limit, limit], constrain="domain", showticklabels=below, **at)
        fig.update_yaxes(
            range=[-limit, limit],
            constrain="domain",
            scaleanchor=fig.data[-1].xaxis or "x",
            showticklabels=first,
            **at,
        )
        fig.update_xaxes(title_text="feature distance" if below else None, title_standoff=2, **at)
        fig.update_yaxes(title_text="feature distance" if first else None, title_standoff=2, **at)
    fig.update_xaxes(showgrid=False, showline=True, mirror=True, nticks=5, title_font_size=13)
    fig.update_yaxes(showgrid=False, showline=True, mirror=True, nticks=5, title_font_size=13)
    height = 165 + rows * (860 // columns + 48)
    fig.update_layout(
        legend=dict(
            orientation="h",
            x=0,
            y=1 - 78 / height,
            yref="container",
            yanchor="top",
            traceorder="normal",
            itemsizing="constant",
        )
    )
    some = f"; {len(shown)} of {len(radius)} clusters" if len(shown) < len(radius) else ""
    if np.bincount(labels[kind == "unlabelled"]).max(initial=0) > DRAWN:
        some += f"; at most {DRAWN} unlabelled drawn"
    return layout(
        fig,
        _asked_inside(kind),
        "radius: real distance to the centroid; angle: only spreads the points; "
        f"d<sub>k</sub>: closest labelled non-iD{some}",
        height,
        top=155,
        left=50,
    )


def _asked_inside(kind: np.ndarray) -> str:
    """How many of the next questions lie within the distance of the closest labelled non-iD sample."""
    inside, outside = (int((kind == key).sum()) for key in ("inside", "outside"))
    if not inside + outside:
        return "Which samples Distance(CL) asks about next"
    count = f"All {inside}" if not outside else f"{inside} of {inside + outside}"
    return f"{count} next questions of Distance(CL) lie inside the circle of their cluster"


def _shown_clusters(labels: np.ndarray, picks: np.ndarray, n: int, excluded: int | None) -> list[int]:
    weight = np.bincount(labels[picks], minlength=n).astype(float)
    if excluded is not None:
        weight[excluded] = np.inf
    return sorted(np.argsort(-weight, kind="stable")[:12].tolist())


def _cluster_title(k: int, clusters, labels: np.ndarray) -> str:
    first = f"<b>cluster {k}</b>: {(labels == k).sum():,} samples<br>"
    if k == clusters.excluded:
        return first + "excluded as the non-iD cluster"
    nothing = "" if np.isfinite(clusters.radius_K[k]) else ", no labelled non-iD"
    return first + f"{int(clusters.shares_K[k])} a round{nothing}"


def directions(members_MD: np.ndarray, centroid_D: np.ndarray) -> np.ndarray:
    """Unit vectors (M, 2): directions from the centroid in the plane of the first two principal components."""
    centred = members_MD - members_MD.mean(0)
    axes_D2 = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1].astype(float)
    axes_D2 *= np.sign(axes_D2[np.abs(axes_D2).argmax(0), np.arange(axes_D2.shape[1])])  # eigenvectors have no sign
    plane = (members_MD - centroid_D) @ axes_D2
    plane = np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))
    angle = np.arctan2(plane[:, 1], plane[:, 0])
    return np.column_stack([np.cos(angle), np.sin(angle)])


def _add_kind(
    fig: go.Figure, key: str, xy, members, distances, order, *, grey: bool, legend: set, row: int, col: int
) -> None:
    name, colour, symbol, size = KINDS[key]
    pick = "pick %{customdata[2]}, " if key in ("inside", "outside") else ""
    fig.add_trace(
        go.Scatter(
            x=xy[:, 0].astype(np.float32),
            y=xy[:, 1].astype(np.float32),
            mode="markers",
            name=name,
            legendgroup=key,
            showlegend=key not in legend and not grey,
            legendrank=list(KINDS).index(key),
            customdata=np.column_stack([members, distances[members], order[members] + 1]),
            marker=dict(
                color=FAINT if grey and key == "unlabelled" else TEXT if grey else colour,
                symbol=symbol,
                size=size,
                line_width=2 if pick else 0,
            ),
            hovertemplate=f"{name}<br>{pick}pool index %{{customdata[0]}}<br>"
            "distance %{customdata[1]:.3f}<extra></extra>",
        ),
        row,
        col,
    )
    if not grey:
        legend.add(key)


def _add_circle(fig: go.Figure, radius: float, legend: set, *, row: int, col: int) -> None:
    turn = np.linspace(0, 2 * np.pi, 121)
    fig.add_trace(
        go.Scatter(
            x=radius * np.cos(turn),
            y=radius * np.sin(turn),
            mode="lines",
            line=dict(color=KIND_STYLE[2][1], width=2),
            name="d<sub>k</sub>",
            legendgroup="circle",
            showlegend="circle" not in legend,
            legendrank=len(KINDS),
            hovertemplate=f"d<sub>k</sub> = {radius:.3f}<extra></extra>",
        ),
        row,
        col,
    )
    legend.add("circle")
