"""Figures show the data they were given, in fixed and tellable colours; `save` writes them whole, once and the same."""

import base64
import io
import itertools
import json
import os
import re
import stat
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from alkit.acquisition import View
from alkit.acquisition.clusters import clusters as find_clusters
from alkit.explorer import palette
from alkit.study import figures
from alkit.study.analysis import cost_tables, curves, display_names, paired_differences, ranking
from alkit.study.figures import features, files, findings, images, recommend, style, variance

WHITE = "#ffffff"


def results(seeds=3, methods=tuple(cost_tables.PAPER_METHODS)):
    rng, rows = np.random.default_rng(0), []
    for (strategy, learner), seed, stage in itertools.product(methods, range(seeds), range(4)):
        junk = int(rng.integers(3, 9)) * (stage + 1)
        rows.append(dict(benchmark="MixDigits", profile="smoke", learner=learner, strategy=strategy, options="{}",
                         initial="shared", seed=seed, stage=stage, n_id=100 + 10 * stage, n_ambiguous=junk, n_ood=20,
                         cost=120 + 10 * stage + junk, accuracy=0.8 + stage / 30 + rng.normal(0, 0.01),
                         train_seconds=2.0, extract_seconds=0.5, choose_seconds=0.1, initial_hash=f"set{seed}",
                         fingerprint="f", device="cpu", version="0.1.0"))  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def pool():
    digits = load_digits()
    x = (digits.images[:300] * 15).astype(np.uint8)[:, None]
    category = np.repeat([0, 1, 2], [200, 60, 40]).astype(np.uint8)
    labels = np.where(category == 0, digits.target[:300], 10)
    order = np.random.default_rng(0).permutation(300)
    return SimpleNamespace(images_NCHW=x[order], category_N=category[order], labels_N=labels[order])


@pytest.fixture(scope="module")
def stage(pool):
    """Features, answers, clusters and picks as Distance(CL) has them at one stage, by a plain k-means."""
    x = pool.images_NCHW.reshape(300, -1) / 255.0
    km = KMeans(6, n_init=1, random_state=0).fit(x)
    distances = np.linalg.norm(x - km.cluster_centers_[km.labels_], axis=1)
    answers = np.where(np.random.default_rng(1).random(300) < 0.3, np.minimum(pool.labels_N, 10), -1)
    non_id = [np.flatnonzero((km.labels_ == k) & (answers == 10)) for k in range(6)]
    radius = np.array([distances[m].min() if len(m) else np.inf for m in non_id])
    radius[1] = np.inf
    clusters = SimpleNamespace(labels_N=km.labels_, centroids=km.cluster_centers_, distances_N=distances,
                               radius_K=radius, excluded=3, shares_K=np.array([2, 2, 2, 0, 2, 2]))  # fmt: skip
    free = np.flatnonzero((answers < 0) & (km.labels_ != 3))
    picks = np.random.default_rng(2).choice(free, 40, replace=False)
    radius[0] = distances[picks[km.labels_[picks] == 0][0]]  # a pick exactly on its circle counts as inside
    return x, answers, clusters, picks


@pytest.fixture(scope="module")
def gallery(pool, stage):
    return draw_all(pool, stage)


def draw_all(pool, stage):
    """Every figure once, from small real data."""
    x, answers, clusters, picks = stage
    views = np.stack([pool.images_NCHW[:5], pool.images_NCHW[5:10]])
    votes = np.random.default_rng(0).integers(0, 3, (6, 10))
    history = [dict(stage=s, epoch=e, loss=3.0 - e, con=2.0, supcon=s or None) for s in (0, 1) for e in (0, 1)]
    space = {"category": (pool.category_N, palette.CATEGORIES), "class": (pool.labels_N, [*"0123456789", "non-iD"])}
    df = results()
    return {
        "samples": figures.samples(pool.images_NCHW, pool.category_N, pool.labels_N, [str(i) for i in range(10)]),
        "ambiguous_votes": figures.ambiguous_votes(pool.images_NCHW[:6], votes, [str(i) for i in range(10)]),
        "augmentations": figures.augmentations(pool.images_NCHW[10:15], views),
        "losses": figures.losses(history),
        "feature_space": figures.feature_space(x[:, 20:22], space),
        "acquisition": figures.acquisition(x, answers, 10, clusters, picks),
        "curves": figures.curves(df),
        "curves_log": figures.curves(df, log_cost=True),
        "curves_nid": figures.curves(df, x="n_id"),
        "paired_differences": figures.paired_differences(df, "Random"),
        "win_matrix": figures.win_matrix(df),
        "performance_profile": figures.performance_profile(df),
        "composition": figures.composition(df),
        "seconds": figures.seconds(df),
    }


def decode(trace: go.Image) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(trace.source.split(",")[1]))))


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    low, high = sorted(linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (a, b))
    return (high + 0.05) / (low + 0.05)


VISION = {  # Machado, Oliveira and Fernandes (2009), severity 1
    "normal": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                        [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                        [-0.011820, 0.042940, 0.968881]]),
}  # fmt: skip


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Ottosson's (2020) perceptual space, of linear sRGB."""
    lms = np.cbrt(np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                            [0.0883024619, 0.2817188376, 0.6299787005]]) @ np.clip(rgb, 0, 1))  # fmt: skip
    return np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                     [0.0259040371, 0.7827717662, -0.8086757660]]) @ lms  # fmt: skip


def test_every_figure_is_a_plain_figure_with_a_title_sized_for_a_readme(gallery):
    for name, fig in gallery.items():
        assert type(fig) is go.Figure, name
        assert fig.layout.width == 900 and fig.layout.title.text.startswith("<b>"), name
        assert fig.layout.template.layout.paper_bgcolor == fig.layout.template.layout.plot_bgcolor == WHITE


def test_no_text_is_smaller_than_12_px(gallery):
    def sizes(node):
        if isinstance(node, dict):
            yield from (v["size"] for k, v in node.items() if "font" in k and isinstance(v, dict) and "size" in v)
            yield from itertools.chain.from_iterable(map(sizes, node.values()))
        elif isinstance(node, list):
            yield from itertools.chain.from_iterable(map(sizes, node))

    for name, fig in gallery.items():
        found = list(sizes(json.loads(fig.to_json())))
        assert found and min(found) >= 12, name


def test_axes_that_carry_numbers_have_a_title(gallery):
    for name in ("losses", "curves", "curves_log", "curves_nid"):
        assert gallery[name].layout.xaxis.title.text and gallery[name].layout.yaxis.title.text, name
    assert "%" in gallery["curves"].layout.yaxis.title.text
    assert {axis.title.text for axis in gallery["acquisition"].select_xaxes()} == {"feature distance", None}
    assert gallery["composition"].layout.yaxis.title.text and gallery["seconds"].layout.xaxis.title.text


def test_text_and_data_keep_their_contrast_on_the_white_ground_of_every_page():
    assert style.TEMPLATE.layout.font.color == palette.INK and palette.GROUND == WHITE
    assert contrast(palette.INK, WHITE) > 12 and contrast(palette.TEXT, WHITE) >= 4.5
    data = [s[0] for s in (*palette.CATEGORY_STYLE, *palette.METHOD_STYLE.values(), *palette.FAMILY_STYLE.values())]
    data += [colour for key, (_, colour, _, _) in features.KINDS.items()]
    data += [palette.GREY, *palette.PALETTE, *(look[0] for look in variance.LEARNERS.values())]
    assert min(contrast(colour, WHITE) for colour in data) >= 3


def text_colours(node, inherited=palette.INK):
    """The colours in which the texts of a figure's JSON stand."""
    if isinstance(node, dict):
        for key, value in node.items():
            if "font" in key and isinstance(value, dict) and "color" in value:
                yield from np.atleast_1d(value["color"]).tolist()
            yield from text_colours(value)
    elif isinstance(node, list):
        for value in node:
            yield from text_colours(value)


def test_texts_have_a_contrast_of_4_5_to_what_they_stand_on(gallery, many):
    more = {
        "plane": figures.plane(many),
        "scorecard": figures.scorecard(many, "random, probe", 85),
        "best": figures.best(many),
        "profile": figures.performance_profile(many),
        "bought": figures.bought(many),
    }
    for name, fig in {**gallery, **more}.items():
        for colour in text_colours(json.loads(fig.to_json())):
            if colour != WHITE:  # on a bar or a cell in colour
                assert contrast(colour, WHITE) >= 4.5, (name, colour)
    on_colour = [style[0] for style in palette.CATEGORY_STYLE]  # a pick's number
    assert min(contrast(WHITE, colour) for colour in (recommend.BETTER, recommend.WORSE)) >= 4.5
    assert min(contrast(WHITE, colour) for colour in on_colour) >= 3  # 12 px, on discs of 18


TOGETHER = (  # methods that figures show together
    ("Random", "Least confidence", "Entropy", "DDU", "DDU (spectral norm)", "Random(CL)", "Distance(CL)",
     "Cautious coverage"),
    palette.HIGHLIGHTED,
)  # fmt: skip


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("names", TOGETHER, ids=["paper", "highlighted"])
def test_methods_of_one_figure_are_told_apart_by_colour_blind_readers(vision, names):
    seen = [oklab(VISION[vision] @ linear(palette.METHOD_STYLE[name][0])) for name in names]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.1
    assert len({style[2] for style in palette.METHOD_STYLE.values()}) == len(palette.METHOD_STYLE)  # nor colour alone
    assert 5 <= len(palette.HIGHLIGHTED) <= 6


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize(
    "group",
    [
        palette.CATEGORY_STYLE,
        tuple((*look, look[1]) for look in variance.LEARNERS.values()),
    ],
    ids=["categories", "learners"],
)
def test_colours_are_told_apart_by_colour_blind_readers_and_never_stand_alone(vision, group):
    seen = [oklab(VISION[vision] @ linear(colour)) for colour, _, _ in group]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.11
    assert len({second for _, second, _ in group}) == len({third for _, _, third in group}) == len(group)


@pytest.mark.parametrize("channels, dtype", [(1, np.uint8), (3, np.uint8), (1, np.float32)])
def test_sample_tiles_hold_the_pixels_of_their_pool_image(channels, dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (40, channels, 28, 28)).astype(dtype)
    x = x / np.float32(255) if dtype == np.float32 else x
    category = np.repeat([0, 1, 2], [20, 13, 7])
    before = x.copy()
    fig = figures.samples(x, category, per_category=6, seed=1)
    assert (x == before).all()
    pictures, texts = [t for t in fig.data if t.type == "image"], [t for t in fig.data if t.type == "scatter"]
    for code, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        assert picture.zsmooth is False
        sheet, scale = decode(picture), 64 // 28
        chosen = [int(t.split("<br>")[0].removeprefix("pool index ")) for t in text.text]
        assert len(set(chosen)) == 6 and (category[chosen] == code).all()
        for i, index in enumerate(chosen):
            top, left = (k * (28 * scale + images.FRAME) + images.FRAME for k in divmod(i, 2))
            tile = sheet[top : top + 28 * scale, left : left + 28 * scale]
            want = np.rint(x[index] * 255) if dtype == np.float32 else x[index]
            assert (tile[::scale, ::scale, :3] == np.broadcast_to(want, (3, 28, 28)).transpose(1, 2, 0)).all()
            assert (tile[..., 3] == 255).all()
            assert (text.x[i], text.y[i]) == (left + (28 * scale - 1) / 2, top + (28 * scale - 1) / 2)


def test_samples_of_a_pool_without_a_category_and_with_few_images(pool):
    fig = figures.samples(pool.images_NCHW[:7], np.zeros(7, int), pool.labels_N[:7], ["a"])
    assert [a.text.split(", ")[-1] for a in fig.layout.annotations] == ["7 of 7", "0 of 0", "0 of 0"]
    labels = [t.split("<br>")[-1] for t in fig.data[1].text]
    assert labels == sorted(labels, key=lambda t: int(t.split()[-1].replace("a", "0")))


@pytest.mark.parametrize("bad", [np.zeros((4, 2, 8, 8)), np.zeros((4, 8, 8)), np.full((4, 1, 8, 8), 7.0)])
def test_images_of_a_wrong_shape_or_range_are_refused(bad):
    with pytest.raises(ValueError, match="shape|lie in"):
        figures.samples(bad, np.zeros(4, int))


def test_bars_are_the_votes_under_their_image(pool):
    votes = np.array([[0] * 7 + [6] * 2 + [8], [3] * 5 + [5] * 5])
    fig = figures.ambiguous_votes(pool.images_NCHW[:2], votes, [str(i) for i in range(10)])
    bars = [t for t in fig.data if t.type == "bar"]
    assert [list(bar.y) for bar in bars] == [[7, 0, 0, 0, 0, 0, 2, 0, 1, 0], [0, 0, 0, 5, 0, 5, 0, 0, 0, 0]]
    pictures = [decode(t) for t in fig.data if t.type == "image"]
    f, step = images.FRAME, 256 // 8
    for picture, image in zip(pictures, pool.images_NCHW, strict=False):
        assert (picture[f:-f:step, f:-f:step, 0] == image[0]).all()
    votes[1, 5:] = 255  # for none of the classes
    fig = figures.ambiguous_votes(pool.images_NCHW[:2], votes, [str(i) for i in range(10)])
    assert [sum(bar.y) for bar in fig.data if bar.type == "bar"] == [10, 5]
    with pytest.raises(ValueError, match="one per class name; got none"):
        figures.ambiguous_votes(pool.images_NCHW[:1], votes[1:, 5:], ["0", "1"])
    with pytest.raises(ValueError, match="one per class name; got 0..8"):
        figures.ambiguous_votes(pool.images_NCHW[:2], votes, ["0", "1"])
    with pytest.raises(ValueError, match="as many images as rows of votes"):
        figures.ambiguous_votes(pool.images_NCHW[:1], votes, ["0"])


def test_augmentations_show_each_view_under_its_original(gallery, pool):
    sheet, step, f = decode(gallery["augmentations"].data[0]), 64 + images.FRAME, images.FRAME
    rows = [pool.images_NCHW[10:15], pool.images_NCHW[:5], pool.images_NCHW[5:10]]
    for r, c in itertools.product(range(3), range(5)):
        tile = sheet[f + r * step : f + r * step + 64 : 8, f + c * step : f + c * step + 64 : 8, 0]
        assert (tile == rows[r][c, 0]).all()
    assert list(gallery["augmentations"].layout.yaxis.ticktext) == ["original", "view 1", "view 2"]
    with pytest.raises(ValueError, match="views must have the shape"):
        figures.augmentations(pool.images_NCHW[:2], pool.images_NCHW[:2])


def test_losses_count_epochs_over_stages_and_leave_gaps_where_there_is_no_supcon(gallery):
    total, con, supcon = gallery["losses"].data
    assert list(total.x) == [1, 2, 3, 4] and list(total.y) == [3, 2, 3, 2] and list(con.y) == [2] * 4
    assert np.isnan(supcon.y[:2]).all() and list(supcon.y[2:]) == [1, 1] and supcon.connectgaps is False
    assert [shape.x0 for shape in gallery["losses"].layout.shapes] == [2.5]
    plain = figures.losses([dict(epoch=e, loss=1.0) for e in range(3)])  # a supervised learner's history has no parts
    assert [t.name for t in plain.data] == ["total"] and list(plain.data[0].y) == [1, 1, 1]
    only = figures.losses([dict(epoch=0, loss=1.0, con=1.0, supcon=float("nan"))])  # bars: a line has two points
    assert [(bar.type, bar.x[0], bar.text[0].strip()) for bar in only.data] == [("bar", 1.0, "1.00")] * 2


def test_feature_space_draws_every_point_once_per_column_in_its_colour(gallery, stage, pool):
    fig, xy = gallery["feature_space"], stage[0][:, 20:22].astype(np.float32)
    assert {t.type for t in fig.data} == {"scattergl"}
    for axis, codes in (("x", pool.category_N), ("x2", pool.labels_N)):
        traces = [t for t in fig.data if t.xaxis == axis]
        rows = np.concatenate([t.customdata[:, 0].astype(int) for t in traces])
        assert sorted(rows) == list(range(300))
        assert len({(t.marker.color, t.marker.symbol) for t in traces}) == len(traces) == len(np.unique(codes))
        for trace in traces:
            at = trace.customdata[:, 0].astype(int)
            assert (np.column_stack([trace.x, trace.y]) == xy[at]).all() and len(set(codes[at])) == 1
            assert (trace.customdata[:, 1] == np.array(palette.CATEGORIES)[pool.category_N[at]]).all()
    assert all(key in fig.data[0].hovertemplate for key in ("row", "category", "class"))
    drawn = {t.name: (t.marker.color, t.marker.symbol) for t in fig.data if t.xaxis == "x"}
    assert drawn == {name: palette.CATEGORY_STYLE[i][:2] for i, name in enumerate(palette.CATEGORIES)}


def test_feature_space_of_100_000_points_and_60_classes_is_fast_and_names_the_most_frequent():
    rng, start = np.random.default_rng(0), time.perf_counter()
    codes = rng.integers(-1, 60, 100_000)
    fig = figures.feature_space(rng.normal(size=(100_000, 2)), {"class": (codes, list(range(60)))})
    assert len(fig.to_json()) < 8e6 and time.perf_counter() - start < 20
    often = np.unique(codes[codes >= 0], return_counts=True)[1].argsort(kind="stable")[::-1][:9]
    names = {t.name for t in fig.data}
    assert {*map(str, often), "none", "49 others"} <= names and len(names) == 13
    assert (
        sum(len(t.x) for t in fig.data) == 100_000 and len({(t.marker.color, t.marker.symbol) for t in fig.data}) == 13
    )


@pytest.mark.parametrize(
    "columns",
    [{}, {str(i): ([0] * 4, ["a"]) for i in range(4)}, {"a": ([0, 1, 2, 0], ["x"])}, {"a": ([0] * 3, ["x"])}],
)
def test_feature_space_refuses_columns_that_do_not_fit(columns):
    with pytest.raises(ValueError, match="columns|needs 4 codes"):
        figures.feature_space(np.zeros((4, 2)), columns)


def test_acquisition_puts_every_sample_at_its_real_distance_once(gallery, stage):
    _, answers, clusters, picks = stage
    seen = {}
    for trace in gallery["acquisition"].data:
        if trace.customdata is not None:
            for x, y, (index, distance, _) in zip(trace.x, trace.y, trace.customdata, strict=True):
                assert distance == clusters.distances_N[int(index)] == pytest.approx(np.hypot(x, y), rel=1e-5)
                assert int(index) not in seen
                seen[int(index)] = trace.legendgroup
    assert sorted(seen) == list(range(300))
    inside = clusters.distances_N <= clusters.radius_K[clusters.labels_N]
    for index, kind in seen.items():
        if index in picks:
            assert kind == ("inside" if inside[index] else "outside")
        else:
            assert kind == ("unlabelled" if answers[index] < 0 else "id" if answers[index] < 10 else "non_id")
    assert {"inside", "outside"} <= set(seen.values())


def test_acquisition_circles_have_radius_d_k_and_none_is_drawn_without_a_labelled_non_id(gallery, stage):
    fig, radius = gallery["acquisition"], stage[2].radius_K
    circles = {t.xaxis: np.hypot(t.x, t.y) for t in fig.data if t.legendgroup == "circle"}
    assert "x2" not in circles and len(circles) == np.isfinite(radius).sum() == 5
    for axis, distance in circles.items():
        assert distance == pytest.approx(radius[int(axis[1:] or 1) - 1])
    assert "no labelled non-iD" in fig.layout.annotations[1].text


def test_acquisition_greys_the_excluded_cluster_and_scales_all_axes_alike(gallery):
    fig = gallery["acquisition"]
    assert "excluded" in fig.layout.annotations[3].text
    colours = {t.marker.color for t in fig.data if t.xaxis == "x4" and t.mode == "markers" and t.legendgroup}
    assert colours <= {palette.TEXT, palette.FAINT}
    axes = list(fig.select_xaxes()) + list(fig.select_yaxes())
    assert len({axis.range for axis in axes}) == 1
    anchors = {axis.scaleanchor for axis in fig.select_yaxes()}
    assert anchors == {axis.anchor.replace("y", "x") for axis in fig.select_xaxes()}


def test_acquisition_angle_is_the_direction_in_the_plane_of_the_principal_components():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 2)) * [5, 1]  # a rotated plane in five dimensions, nothing outside of it
    basis, _ = np.linalg.qr(rng.normal(size=(5, 2)))
    xy = features.directions(points @ basis.T, np.zeros(5)) * np.linalg.norm(points, axis=1)[:, None]
    gram, want = xy @ xy.T, points @ points.T  # equal up to a rotation and reflection of the plane
    assert np.allclose(gram, want)
    assert features.directions(np.ones((1, 3)), np.zeros(3)).shape == (1, 2)
    assert np.allclose(features.directions(np.array([[1.0], [3.0]]), np.array([2.0])), [[-1, 0], [1, 0]])


def test_acquisition_of_many_clusters_shows_twelve_with_the_excluded_one(stage):
    x, *_ = stage
    rng = np.random.default_rng(0)
    labels, centroids = rng.integers(0, 30, 300), rng.normal(size=(30, 64))
    distances = np.linalg.norm(x - centroids[labels], axis=1)
    clusters = SimpleNamespace(labels_N=labels, centroids=centroids, distances_N=distances,
                               radius_K=np.full(30, np.inf), excluded=29, shares_K=np.ones(30, int))  # fmt: skip
    fig = figures.acquisition(x, np.full(300, -1), 29, clusters, rng.permutation(300)[:60])
    assert len(fig.layout.annotations) == 12 and "12 of 30 clusters" in fig.layout.title.text
    assert any("cluster 29" in a.text for a in fig.layout.annotations)


def test_acquisition_of_a_large_pool_draws_all_that_matters_and_says_that_the_rest_is_a_part():
    rng = np.random.default_rng(0)
    x, answers = rng.normal(size=(3000, 4)), np.full(3000, -1)
    answers[rng.choice(3000, 300, replace=False)] = rng.integers(0, 3, 300)
    distances, free = np.linalg.norm(x, axis=1), np.flatnonzero(answers < 0)
    clusters = SimpleNamespace(labels_N=np.zeros(3000, int), centroids=np.zeros((1, 4)), distances_N=distances,
                               radius_K=distances[answers == 2].min(keepdims=True), excluded=None,
                               shares_K=np.array([50]))  # fmt: skip
    fig = figures.acquisition(x, answers, 2, clusters, free[:50])
    count = {kind: sum(len(t.x) for t in fig.data if t.legendgroup == kind) for kind in features.KINDS}
    assert count["id"] == (answers >= 0).sum() - (answers == 2).sum() and count["non_id"] == (answers == 2).sum()
    assert count["inside"] + count["outside"] == 50 and features.DRAWN // 2 <= count["unlabelled"] <= features.DRAWN
    assert "at most 400" in fig.layout.title.text and {t.type for t in fig.data} == {"scatter"}


def test_acquisition_refuses_features_that_k_means_did_not_see(stage):
    x, answers, clusters, picks = stage
    with pytest.raises(ValueError, match="do not belong together"):
        figures.acquisition(x * 2, answers, 10, clusters, picks)


def test_acquisition_takes_the_clusters_of_the_strategy_itself(pool):
    rng = np.random.default_rng(0)
    x = (pool.images_NCHW.reshape(300, -1) / 255).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    answers = np.where(rng.random(300) < 0.3, pool.labels_N, -1)
    view = View(x, np.full((300, 11), 1 / 11, np.float32), answers, 10, 10, rng)
    picks = np.flatnonzero(answers < 0)[:10]
    fig = figures.acquisition(x, answers, 10, find_clusters(view), picks)
    assert len(fig.layout.annotations) == 11 and sum("excluded" in a.text for a in fig.layout.annotations) == 1


def test_acquisition_refuses_picks_that_were_already_asked(stage):
    x, answers, clusters, _ = stage
    with pytest.raises(ValueError, match="already asked"):
        figures.acquisition(x, answers, 10, clusters, np.flatnonzero(answers >= 0)[:2])


def named(fig):
    """The names that are written at marks."""
    return [note.text for note in fig.layout.annotations if note.name == "mark"]


def test_curves_draw_the_mean_and_end_in_their_last_stage_with_the_bands_of_the_title_alone():
    df = results()
    fig, table, last = figures.curves(df), curves.curve(df), cost_tables.table2(df)
    lines = {t.name: t for t in fig.data if t.mode == "lines+markers"}
    bands = {t.legendgroup: t for t in fig.data if t.fill == "toself"}
    ends = {t.legendgroup: t for t in fig.data if t.mode == "markers"}
    assert list(lines) == list(cost_tables.PAPER_METHODS.values()) == list(ends) and sorted(named(fig)) == sorted(lines)
    assert 1 <= len(bands) <= 3 and all(name in fig.layout.title.text for name in bands)
    assert findings.of_ends(last, {name: name for name in last.index})[1] == list(bands)
    for name, rows in table.groupby("method"):
        end = tuple(last.loc[name, ["cost_mean", "accuracy_mean"]])
        assert lines[name].y == pytest.approx([*(rows["mean"] * 100), end[1]])
        assert lines[name].x == pytest.approx([*rows["x"], end[0]]) and lines[name].line.shape == "hv"
        assert (ends[name].x[0], ends[name].y[0]) == end  # so that no marker is off its curve
        assert (lines[name].line.color, lines[name].marker.symbol) == palette.METHOD_STYLE[name][::2]
        if name in bands:
            half = len(bands[name].y) // 2
            for side, part in ((1, slice(None, half)), (-1, slice(None, half - 1, -1))):
                x, y = curves.staircase(rows["x"].to_numpy(), (rows["mean"] + side * rows["sd"]).to_numpy() * 100)
                assert bands[name].x[part] == pytest.approx(x) and bands[name].y[part] == pytest.approx(y)
    floor = next(note for note in fig.layout.annotations if "floor" in note.text)
    assert fig.layout.shapes[0].x0 == 130 == floor.x
    assert "3 seeds" in fig.layout.title.text and "standard deviation" in fig.layout.title.text
    assert "different learners (contrastive, supervised, supervised_sn): a difference" in fig.layout.title.text


def test_curves_on_a_log_axis_put_the_floors_text_and_the_names_at_their_places(gallery):
    fig = gallery["curves_log"]
    assert fig.layout.xaxis.type == "log" and fig.layout.shapes[0].x0 == 130
    floor = next(note for note in fig.layout.annotations if "floor" in note.text)
    assert floor.x == pytest.approx(np.log10(130))  # annotations take exponents, shapes values
    assert all(fig.layout.xaxis.range[0] < note.x < fig.layout.xaxis.range[1] for note in fig.layout.annotations)


def test_curves_of_one_seed_have_no_band_and_over_n_id_no_floor():
    fig = figures.curves(results(seeds=1), x="n_id")
    assert {t.line.shape for t in fig.data if t.name} == {"linear"}
    assert not any(t.fill for t in fig.data) and not fig.layout.shapes and "deviation" not in fig.layout.title.text
    assert all("customdata" not in t.hovertemplate for t in fig.data)


@pytest.mark.parametrize("draw", [figures.curves, figures.composition, figures.seconds])
def test_figures_refuse_mixed_fingerprints(draw):
    df = results()
    df.loc[df["strategy"] == "ddu", "fingerprint"] = "another"
    with pytest.raises(ValueError, match="different fingerprints"):
        draw(df)


def test_a_method_keeps_its_style_whatever_it_is_drawn_with():
    others = [f"strategy{i}, probe" for i in range(8)]
    together = style.method_styles(["Random", *others])
    assert together["Random"] == palette.METHOD_STYLE["Random"] == style.method_styles(["Random"])["Random"]
    assert len({together[name] for name in others}) == len(others)
    assert style.method_styles([others[0]])[others[0]] == together[others[0]]
    both = style.method_styles(["Distance(CL)", "Distance(CL), filter=off"])
    assert both["Distance(CL), filter=off"] == palette.METHOD_STYLE["Distance(CL)"] != both["Distance(CL)"]


def test_composition_stacks_the_means_of_metrics_without_the_initial_set():
    df = results()
    fig, table = figures.composition(df), cost_tables.composition(df)
    assert fig.layout.barmode == "stack" and len(fig.data) == 3 * len(cost_tables.PAPER_METHODS)
    for panel, name in enumerate(cost_tables.PAPER_METHODS.values()):
        own = table[(table["method"] == name) & (table["stage"] > 0)]
        for code, column in enumerate(cost_tables.BOUGHT):
            bar = fig.data[3 * panel + code]
            assert list(bar.x) == [1, 2, 3] and list(bar.y) == pytest.approx(list(own[column]))
            assert (bar.marker.color, bar.marker.pattern.shape) == palette.CATEGORY_STYLE[code][::2]
        assert f"<b>{name}</b>" in fig.layout.annotations[panel].text
    assert fig.layout.yaxis2.matches and "own scale" not in fig.layout.title.text
    wild = df.assign(n_ood=np.where(df["strategy"] == "entropy", df["stage"] * 3000, 20))
    assert figures.composition(wild).layout.yaxis2.matches is None
    assert "own scale" in figures.composition(wild).layout.title.text


MANY = [
    (name, "probe")
    for name in [
        "random",
        "margin",
        "entropy",
        "badge",
        "bald",
        "coreset",
        "ldm",
        "typiclust",
        "lfosa",
        "ccal",
        "oracle_margin",
    ]
]


@pytest.fixture(scope="module")
def many():
    """Eleven methods of four families, one of them a reference line, of six seeds."""
    return results(seeds=6, methods=MANY)


def test_curves_of_many_methods_colour_a_few_and_break_the_reference_lines(many):
    worth = curves.area(many).groupby("method")["area"].mean().drop("oracle_margin, probe")
    known = {f"{name}, probe" for name in ("random", "margin", "badge", "typiclust")}
    shown = display_names.methods(worth.index)
    coloured = {shown[name] for name in known | {*worth.drop(list(known)).nlargest(2).index}}
    fig = figures.curves(many)
    lines = {trace.name: trace for trace in fig.data if trace.name}
    grey = {name for name, trace in lines.items() if trace.line.color == palette.GREY}
    assert len(lines) == len(MANY) and grey == {*shown.values()} - coloured
    assert sorted(named(fig)) == sorted({*coloured, "Oracle margin"})
    reference = lines["Oracle margin (reference line)"]
    assert reference.line.dash == "dash" and reference.line.color == palette.TEXT
    chosen = figures.curves(many, highlight=["lfosa, probe"])
    assert [trace.name for trace in chosen.data if trace.name and trace.line.color != palette.GREY] == [
        "LfOSA", "Oracle margin (reference line)"]  # fmt: skip
    assert "grey: the other 9 methods" in chosen.layout.title.text
    for name in ("lfossa, probe", "oracle_margin, probe"):
        with pytest.raises(ValueError, match=f"no method '{name}' to highlight; there are: entropy, probe; random"):
            figures.curves(many, highlight=[name])


def test_forest_plot_draws_each_difference_and_interval_by_family_best_on_top(many):
    table = paired_differences.differences(paired_differences.per_run(many), "random, probe")
    fig = figures.paired_differences(many, "random, probe")
    drawn, code = {}, {shown: name for name, shown in display_names.methods(table.index).items()}
    for trace in fig.data:
        assert list(trace.x) == sorted(trace.x, reverse=True)
        for name, x, up, down, symbol in zip(
            trace.y, trace.x, trace.error_x.array, trace.error_x.arrayminus, trace.marker.symbol, strict=True
        ):
            drawn[code[name]] = x, x - down, x + up
            assert symbol.endswith("-open") == (table.loc[code[name], "p_holm"] >= 0.05)
    assert set(drawn) == set(table.index) and "oracle_margin, probe" not in drawn
    for name, numbers in drawn.items():
        assert numbers == pytest.approx(tuple(table.loc[name, ["mean", "low", "high"]]))
    assert [trace.name for trace in fig.data] == ["the paper's strategies", "classic", "for open sets"]
    assert list(fig.layout.yaxis.categoryarray) == [name for trace in fig.data for name in trace.y]
    assert "no difference can reach 0.05" in fig.layout.title.text  # six seeds, nine methods
    assert "learner probe" in fig.layout.title.text and "another learner" not in fig.layout.title.text
    two = pd.concat([many[many["strategy"] == "random"], results(6, [("margin", "supervised")])])
    text = figures.paired_differences(two, "random, probe").layout.title.text
    assert "Of another learner than Random, probe" in text and "Margin, supervised" in text
    cost = figures.paired_differences(many, "random, probe", "cost")
    assert all(list(trace.x) == sorted(trace.x) for trace in cost.data)


def test_win_matrix_says_who_beats_whom_on_its_axes(many):
    share, heat = ranking.win_matrix(many), figures.win_matrix(many).data[0]
    for row, column in (("margin, probe", "badge, probe"), ("ldm, probe", "random, probe")):
        first, second = (display_names.strategy(name.partition(",")[0]) for name in (row, column))
        drawn = heat.z[list(heat.y).index(first)][list(heat.x).index(second)]
        assert drawn == pytest.approx(100 * share.loc[row, column])
    fig = figures.win_matrix(many)
    assert (fig.layout.yaxis.title.text, fig.layout.xaxis.title.text) == ("this method ...", "... beats this one")
    assert "%{y} beats %{x}" in heat.hovertemplate and "Oracle margin" not in heat.x and ", probe" not in str(heat.x)


def test_profile_draws_every_method_and_colours_a_few(many):
    fig = figures.performance_profile(many, highlight=["margin, probe"])
    shown = display_names.methods(set(cost_tables.method(many)) - {"oracle_margin, probe"})
    assert sorted(trace.name for trace in fig.data) == sorted(shown.values())
    table, code = ranking.performance_profile(many), {name: key for key, name in shown.items()}
    for trace in fig.data:
        assert list(trace.y) == pytest.approx(100 * table[table["method"] == code[trace.name]]["share"])
        assert (trace.line.color == palette.GREY) == (trace.name != "Margin") and trace.line.shape == "hv"
    assert sum(trace.line.color != palette.GREY for trace in figures.performance_profile(many).data) == 6


def test_composition_of_many_methods_has_room_for_all():
    assert len(figures.composition(results(seeds=1, methods=MANY + [(n, "supervised") for n, _ in MANY])).data) == 66


def test_seconds_stack_one_runs_phases_and_name_the_device(gallery):
    train, extract, choose = gallery["seconds"].data
    assert (
        set(train.x) == {6.0}  # without the first training, which the runs of a seed share
        and set(extract.x) == {2.0}
        and choose.x == pytest.approx([0.4] * len(cost_tables.PAPER_METHODS))
    )
    assert list(train.y)[::-1] == list(cost_tables.PAPER_METHODS.values())
    assert "on cpu" in gallery["seconds"].layout.title.text


def test_drawing_changes_none_of_its_inputs(pool, stage):
    x, answers, clusters, picks = stage
    df = results()
    arrays = [pool.images_NCHW, pool.category_N, pool.labels_N, x, answers, picks, *vars(clusters).values()]
    before, table = [np.copy(a) for a in arrays], df.copy()
    figures.samples(pool.images_NCHW, pool.category_N, pool.labels_N)
    figures.feature_space(x[:, :2], {"category": (pool.category_N, palette.CATEGORIES)})
    figures.acquisition(x, answers, 10, clusters, picks)
    for draw in (figures.curves, figures.composition, figures.seconds):
        draw(df)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
    pd.testing.assert_frame_equal(df, table)


# ---- save ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nonexistent/browser")


def small():
    return go.Figure(go.Scatter(x=[1, 2], y=[3, 4]), layout=dict(width=300, height=200))


def test_without_a_browser_html_alone_is_written_quietly_and_the_same_every_time(
    gallery, pool, stage, tmp_path, no_browser
):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for folder, drawn in (("a", gallery), ("b", draw_all(pool, stage))):
            for name, fig in drawn.items():
                assert figures.save(fig, name, tmp_path / folder) == [tmp_path / folder / f"{name}.html"]
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"plotly.min.js", *(f"{name}.html" for name in gallery)}
    page = (tmp_path / "a" / "curves.html").read_text()
    assert 'src="plotly.min.js"' in page and 'id="curves"' in page and "color-scheme" in page and len(page) < 100_000


def test_an_unchanged_page_is_not_written_again_and_a_changed_one_loses_its_old_picture(tmp_path, no_browser):
    page, *_ = figures.save(small(), "a", tmp_path)
    picture = tmp_path / "a.png"
    picture.write_bytes(b"drawn earlier")
    written = page.stat().st_mtime_ns
    assert figures.save(small(), "a", tmp_path) == [page, picture]
    assert page.stat().st_mtime_ns == written and picture.read_bytes() == b"drawn earlier"
    assert figures.save(small().update_layout(title="new"), "a", tmp_path) == [page]


def test_a_copy_is_of_the_picture_alone_and_never_of_an_older_figure(tmp_path, no_browser):
    pages, pictures = tmp_path / "runs", tmp_path / "committed"
    figures.save(small(), "a", pages)
    (pages / "a.png").write_bytes(b"drawn")
    figures.save(small(), "a", pages, copy_to=pictures)
    assert [path.name for path in pictures.iterdir()] == ["a.png"] and (pictures / "a.png").read_bytes() == b"drawn"
    figures.save(small().update_layout(title="new"), "a", pages, copy_to=pictures)
    assert list(pictures.iterdir()) == []


def test_a_write_that_fails_half_way_leaves_the_old_page_and_no_litter(tmp_path, no_browser, monkeypatch):
    page, *_ = figures.save(small(), "a", tmp_path)
    old = page.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match=f"cannot write figure 'a' into the folder {tmp_path}: No space left"):
        figures.save(small().update_layout(title="new"), "a", tmp_path)
    assert page.read_bytes() == old and {p.name for p in tmp_path.iterdir()} == {"a.html", "plotly.min.js"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path, no_browser):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write figure 'a' into the folder .*file/deep"):
        figures.save(small(), "a", tmp_path / "file" / "deep")


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a b", "a.html"])
def test_names_that_are_no_plain_file_names_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="a figure's name may hold"):
        figures.save(small(), name, tmp_path)


@pytest.mark.parametrize("behaviour", ["exit 3", "exec sleep 300"])
@pytest.mark.skipif(os.name == "nt", reason="the fake browser is a shell script")
def test_a_browser_that_fails_or_hangs_costs_one_warning_and_leaves_no_process(behaviour, tmp_path, monkeypatch):
    pytest.importorskip("kaleido")
    fake, pid = tmp_path / "browser", tmp_path / "pid"
    fake.write_text(f"#!/bin/sh\necho $$ > {pid}\n{behaviour}\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("BROWSER_PATH", str(fake))
    out, start = tmp_path / "out", time.perf_counter()
    with pytest.warns(UserWarning, match="drew no PNG of 'a'") as caught:
        assert figures.save(small(), "a", out, timeout=3) == [out / "a.html"]
        assert figures.save(small(), "b", out, timeout=3) == [out / "b.html"]
    assert len(caught) == 1 and time.perf_counter() - start < 25
    assert sorted(p.name for p in out.iterdir()) == ["a.html", "b.html", "plotly.min.js"]
    deadline = time.perf_counter() + 5
    while alive(int(pid.read_text())) and time.perf_counter() < deadline:
        time.sleep(0.05)
    assert not alive(int(pid.read_text()))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # a killed process that nobody has waited for yet is not alive
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_with_a_browser_the_picture_is_drawn_at_2x_and_kept_while_the_page_is_unchanged(tmp_path):
    if files.find_browser() is None:
        pytest.skip("no Chrome or Chromium (or no kaleido) here to draw a PNG with")
    page, picture = figures.save(small(), "a", tmp_path)
    with Image.open(picture) as image:
        assert image.size == (600, 400) and image.mode == "RGBA"
    drawn = picture.stat().st_mtime_ns
    start = time.perf_counter()
    assert figures.save(small(), "a", tmp_path) == [page, picture]
    assert picture.stat().st_mtime_ns == drawn and time.perf_counter() - start < 1


def test_long_lines_of_a_subtitle_go_on_in_another_and_the_figure_grows():
    name = "mixcifar60-house_numbers-scenes, laptop profile, 11 seeds"
    long = f"{name}; 95 % bootstrap interval, paired by seed; {'more is better; ' * 3}filled: p < 0.05 after Holm<br>b"
    short, tall = (style.layout(go.Figure(), "t", text, 400, top=100) for text in ("a<br>b", long))
    assert "a<br>b" in short.layout.title.text and (short.layout.height, short.layout.margin.t) == (400, 100)
    assert (tall.layout.height, tall.layout.margin.t) == (420, 120)
    shown = re.sub(r"<(?!br)[/\w][^>]*>", "", tall.layout.title.text).split("<br>")[1:]
    assert " ".join(shown) == long.replace("<br>", " ") and len(shown) == 3
    assert shown[0].endswith(";") and all(len(line) <= style.LINE for line in shown)
