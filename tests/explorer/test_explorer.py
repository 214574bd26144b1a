"""The explorer's Python side: what is written can be read back, and bad input is refused by name. No browser."""

import io
import re
from pathlib import Path

import explorer_page
import numpy as np
import pandas
import pytest
from conftest import tiny
from explorer_page import CLASSES, EVIL, TITLE, N, neighbours, pool, read, square
from PIL import Image

from alkit import experiment, explorer
from alkit.explorer import Purchases, palette
from alkit.explorer.columns import columns
from alkit.explorer.purchases import INSIDE
from alkit.explorer.spaces import aligned, nearest, neighbour_agreement, plane
from alkit.study import cli as command
from alkit.study.explore import replay


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return explorer_page.write(tmp_path_factory.mktemp("explorer") / "page.html")


@pytest.fixture(scope="module")
def written(page):
    return read(page)


def tile(meta, arrays, i):
    sheet, at = divmod(int(arrays["tile"][i]), meta["side"] ** 2)
    picture = np.asarray(Image.open(io.BytesIO(arrays[f"sheet{sheet}"].tobytes())).convert("RGB"))
    top, left = at // meta["side"] * meta["height"], at % meta["side"] * meta["width"]
    return picture[top : top + meta["height"], left : left + meta["width"]]


def test_every_tile_is_the_image_it_should_be(written):
    meta, arrays = written
    assert meta["sheets"] == 9 and sorted(arrays["tile"]) == list(range(N))
    for i in range(0, N, 23):
        assert (tile(meta, arrays, i) == pool()["images"][i].transpose(1, 2, 0)).all(), i


def test_columns_coordinates_and_scores_can_be_read_back(written):
    meta, arrays = written
    data = pool()
    assert meta["n"] == N and [space["name"] for space in meta["spaces"]] == ["learned", "pixels"]
    for s, name in enumerate(data["coordinates"]):
        xy = arrays[f"xy{s}"].reshape(N, 2) / 65535
        assert np.allclose(xy, square(data["coordinates"][name])) and xy.min() == 0 and xy.max() == 1
    assert [column["key"] for column in meta["categories"]] == ["category", "class"]
    assert tuple(meta["categories"][1]["names"]) == CLASSES
    assert (arrays["category0"] == data["category"]).all()
    assert (arrays["category1"] == np.where(data["class"] < 0, 255, data["class"])).all()
    (score,) = meta["scores"]
    found = score["low"] + arrays["score0"] / score["steps"] * (score["high"] - score["low"])
    holes = np.isnan(data["score"])
    assert (arrays["score0"][holes] == meta["none"]["score"]).all() and holes.any()
    assert np.allclose(found[~holes], data["score"][~holes], atol=(score["high"] - score["low"]) / 65534)


def test_neighbours_are_those_of_brute_force(written):
    meta, arrays = written
    for s, features in enumerate(pool()["features"].values()):
        rows = arrays[f"near{s}"].reshape(N, meta["spaces"][s]["near"])
        for i in range(0, N, 97):
            assert rows[i].tolist() == neighbours(features, i, 6)


def test_purchases_and_circles_can_be_read_back(written):
    meta, arrays = written
    assert [bought["picks"] for bought in meta["purchases"]] == [
        [picks.tolist() for picks in stages] for stages in pool()["picks"].values()
    ]
    made, shown = explorer_page.circles(2), meta["purchases"][1]["circles"]["2"]
    assert shown["radius"] == [0.5, 0.6, None] and shown["excluded"] == 0 and sum(shown["size"]) == N
    who, kinds = arrays["who1-2"], arrays["kind1-2"]
    assert (arrays["cluster1-2"] == made.labels_N).all() and (kinds == made.kinds_N[who]).all()
    assert np.allclose(arrays["polar1-2"].reshape(-1, 2)[:, 0], made.distances_N[who])
    assert set(np.flatnonzero(made.kinds_N)) <= set(who), "everything labelled or bought is drawn"


def test_same_arguments_give_the_same_bytes(page, tmp_path):
    assert explorer_page.write(tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_page_holds_no_address_and_nothing_from_the_data_as_markup(page):
    text = re.sub(r'<script type="application/octet.*?</script>', "", page.read_text(), flags=re.S)
    assert re.findall(r"https?://[^\"' ]*", text.replace("http://www.w3.org/2000/svg", "")) == []
    assert EVIL not in text and "\\u003cimg src=x" in text
    assert TITLE not in text and "<script>alert" not in text
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "sha256-" in policy


def test_scripts_are_short_and_all_are_used():
    from alkit.explorer.page import PAGE, SCRIPTS

    assert {path.stem for path in PAGE.glob("*.js")} == set(SCRIPTS)
    assert [path.name for path in PAGE.iterdir() if len(path.read_text().splitlines()) > 300] == []


images = np.zeros((4, 8, 8), np.uint8)
features = np.arange(12.0).reshape(4, 3)
BAD = {
    "a text for a table": (dict(table="abc"), "table must be a dict of columns by name, or a DataFrame, got str"),
    "an array for a table": (dict(table=np.zeros((4, 2))), "table must be a dict .*, got ndarray"),
    "a column of rows that differ": (dict(table={"class": [[1], [1, 2], [3], [4]]}), "column 'class' must hold one"),
    "codes without names": (dict(table={"class": ([0, 1, 2, 3], 4)}), "'class' must be a pair of codes and their"),
    "a score beyond all numbers": (dict(table={"loss": [-1.7e308, 1.7e308, 0.0, 1.0]}), "score 'loss' runs from -1.7e"),
    "a text for coordinates": (dict(coordinates="abc"), "coordinates must be a dict of .* by name, got str"),
    "a text for features": (dict(features="abc"), r"features 'features' must be numbers of shape \(N, D\)"),
    "features of rows that differ": (dict(features=[[1], [1, 2], [3], [4]]), "must be numbers .* rows that differ"),
    "features of 1e300": (dict(features=features * 1e300), r"'features' are beyond 1e\+12 in 4 rows, first \[0, 1,"),
    "an infinite feature": (dict(features=np.where(features == 4, -np.inf, features)), r"not finite in 1 rows, first"),
    "coordinates of 1e300": (dict(coordinates={"features": np.full((4, 2), 1e300)}), r"beyond 1e\+12 at 4 samples"),
    "lengths differ": (dict(features=features[:3]), "of 3 samples, images of 4"),
    "features of one axis": (dict(features=np.zeros(4)), r"must be numbers of shape \(4, D\)"),
    "features that are not finite": (dict(features=np.full((4, 3), np.nan)), "not finite in 4 rows"),
    "coordinates that are not finite": (dict(coordinates={"features": np.full((4, 2), np.inf)}), "not finite at 4"),
    "coordinates of another length": (dict(coordinates={"features": np.zeros((3, 2))}), r"shape \(4, 2\)"),
    "coordinates of no features": (dict(coordinates={"other": np.zeros((4, 2))}), r"name \['other'\]"),
    "float images": (dict(images=images / 255.0), "must be uint8, got float64"),
    "images with alpha": (dict(images=np.zeros((4, 8, 8, 4), np.uint8)), "grey or RGB"),
    "images of two axes": (dict(images=images[0]), "grey or RGB"),
    "huge images": (dict(images=np.zeros((4, 300, 300), np.uint8)), "1 to 256 pixels"),
    "no sample": (dict(images=images[:0], features=features[:0]), "there is no sample"),
    "too many": (
        dict(images=np.zeros((100_001, 1, 1), np.uint8), features=np.zeros((100_001, 1))),
        r"at most 100,000 samples, got 100,001; draw some at random, such as keep = ",
    ),
    "column of another length": (dict(table={"class": ["a"] * 3}), r"column 'class' must hold one value for each of 4"),
    "column of two axes": (dict(table={"class": np.zeros((4, 2))}), "column 'class' must hold one value"),
    "codes beyond the names": (dict(table={"class": ([0, 1, 2, 3], "ab")}), r"'class' must lie in -1..1, got 0..3"),
    "a score of nothing": (dict(table={"loss": [np.nan] * 4}), "score 'loss' holds no finite number"),
    "unknown projector": (dict(projector="tsne"), "'umap', 'pca' or None, got 'tsne'"),
    "negative neighbours": (dict(neighbours=-1), "neighbours must be 0 or more"),
    "a pick outside": (dict(purchases=[Purchases("r", [np.array([9])])]), "'r' at stage 0 must be positions in 0..3"),
    "a pick twice": (dict(purchases=[Purchases("r", [np.array([1]), np.array([1])])]), r"bought \[1\] more than once"),
    "accuracies": (dict(purchases=[Purchases("r", [np.array([1])], [0.5, 0.6])]), "2 accuracies for 1 stages"),
    "names twice": (dict(purchases=[Purchases("r", [np.array([1])])] * 2), "names of their own"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "said"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_name(given, said, tmp_path):
    arguments = {"features": features, "images": images, **given}
    with pytest.raises(ValueError, match=said):
        explorer.write(tmp_path / "page.html", arguments.pop("features"), arguments.pop("images"), **arguments)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("place", "said"),
    [("", "is a folder; name the file"), ("no/such/page.html", "there is no folder .*such to write page")],
)
def test_place_where_no_page_can_be_is_refused_before_any_work(place, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("alkit.explorer.page.as_nhwc", lambda images: pytest.fail("began to work"))
    with pytest.raises(ValueError, match=said):
        explorer.write(tmp_path / place, features, images)
    monkeypatch.setattr("alkit.experiment.finished", lambda *a, **b: pytest.fail("began to work"))
    into = str(tmp_path / place)
    assert command.main(["explore", "--benchmark", "tiny", "--profile", "smoke", "--into", into]) == 2
    err = capsys.readouterr().err
    assert re.search(said, err) and "free some space" not in err
    assert list(tmp_path.rglob("*.html")) == []


def test_missing_values_are_none_in_every_kind_of_column():
    """None, NaN and pandas' NA, in lists, arrays and frames; they make neither a class "nan" nor numbers into texts."""
    gone = float("nan")
    categories, scores = columns({
        "texts": ["a", gone, "b"], "texts and None": ["a", None, ""], "flags": [True, None, False],
        "digits": [3, None, 7], "losses": [0.5, None, 1.5], "infinite": [0.5, np.inf, 1.5],
        "NA": pandas.array(["a", pandas.NA, "b"]),
        "dates": np.array(["2020-01-01", "NaT", "2021-01-01"], dtype="datetime64[D]"), "nothing": [None, None, None],
    }, 3)  # fmt: skip
    assert {c.key: (c.names, c.codes_N.tolist()) for c in categories} == {
        "texts": (("a", "b"), [0, 255, 1]), "texts and None": (("a",), [0, 255, 255]),
        "flags": (("no", "yes"), [1, 255, 0]), "digits": (("3", "7"), [0, 255, 1]),
        "NA": (("a", "b"), [0, 255, 1]),
        "dates": (("2020-01-01", "2021-01-01"), [0, 255, 1]), "nothing": ((), [255, 255, 255]),
    }  # fmt: skip
    assert {s.key: (s.low, s.high, s.steps_N.tolist()) for s in scores} == {
        "losses": (0.5, 1.5, [0, 65535, 65534]), "infinite": (0.5, 1.5, [0, 65535, 65534]),
    }  # fmt: skip


def test_colours_symbols_and_dashes_are_defined_in_the_palette_alone():
    from alkit.explorer.page import PAGE

    defined = set(re.findall("#[0-9a-f]{6}", Path(palette.__file__).read_text().lower()))
    files = [path for path in Path(palette.__file__).parent.glob("*.py") if path.name != "palette.py"]
    for path in [*files, *PAGE.glob("*.js")]:
        assert re.findall("#[0-9a-f]{6}", path.read_text().lower()) == [], path.name
    assert not defined - {palette.GROUND} & set(re.findall("#[0-9a-f]{6}", (PAGE / "page.css").read_text().lower()))
    known = re.search("SYMBOL_NUMBERS = {(.*?)}", (PAGE / "colours.js").read_text(), re.S)[1]
    assert re.findall(r'"?([\w-]+)"?: \d', known) == list(palette.SYMBOLS)
    shapes = re.search("SHAPES = {(.*?)};", (PAGE / "colours.js").read_text(), re.S)[1]
    drawn = set(re.findall(r'"?([\w-]+)"?: "M', shapes))
    assert {*palette.SYMBOLS, *(style[2] for style in palette.METHOD_STYLE.values())} <= drawn


def test_neighbour_agreement_by_hand_and_at_chance():
    """Two bundles of directions: each image's neighbours share its bundle; with codes drawn at random they do not."""
    stream = np.random.default_rng(0)
    bundle_N = np.repeat([0, 1], 200)
    features_ND = np.eye(8)[bundle_N] * stream.uniform(1, 9, (400, 1)) + 0.01 * stream.normal(size=(400, 8))
    assert neighbour_agreement(features_ND, bundle_N) == 1
    assert neighbour_agreement(features_ND, stream.permutation(bundle_N)) == pytest.approx(0.5, abs=0.03)
    line_ND = np.array([[1, 0], [1, 0.1], [0, 1.0], [0.3, 1]])  # neighbours: 0-1, 2-3, and the ends' next: 1-3
    assert neighbour_agreement(line_ND, [0, 0, 0, 1], k=1) == 0.5
    for k in (0, 4):
        with pytest.raises(ValueError, match="between 1 and 3"):
            neighbour_agreement(line_ND, [0, 0, 0, 1], k=k)


def test_too_many_names_are_refused_with_advice():
    with pytest.raises(ValueError, match="'file' has 300 different names; a legend holds at most 254: group them"):
        columns({"file": [str(i) for i in range(300)]}, 300)


def test_frames_texts_truth_values_and_numbers_become_the_right_columns():
    frame = pandas.DataFrame({"kind": ["b", None, "a"], "seen": [True, False, True], "digit": [3, 7, 3],
                              "loss": [0.5, 0.25, 1.0], "id": [0, 1, 2]})  # fmt: skip
    categories, scores = columns(frame, 3)
    assert {c.key: (c.names, c.codes_N.tolist()) for c in categories} == {
        "kind": (("a", "b"), [1, 255, 0]), "seen": (("no", "yes"), [1, 0, 1]),
        "digit": (("3", "7"), [0, 1, 0]), "id": (("0", "1", "2"), [0, 1, 2]),
    }  # fmt: skip
    assert [(s.key, s.low, s.high) for s in scores] == [("loss", 0.25, 1.0)]
    assert columns({"rank": np.arange(30)}, 30)[1][0].steps_N[-1] == 65534


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1, 8, 8), (1, 8, 8, 3)])
def test_a_single_sample_is_a_page(shape, tmp_path):
    picture = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    meta, arrays = read(explorer.write(tmp_path / "one.html", np.ones((1, 5)), picture))
    assert meta["n"] == 1 and arrays["xy0"].tolist() == [32768, 32768] and meta["spaces"][0]["near"] == 0
    grey = picture.reshape(8, 8, -1)[..., :3]
    assert (tile(meta, arrays, 0) == np.broadcast_to(grey, (8, 8, 3))).all()


def test_plane_is_seeded_and_its_default_is_umap_only_for_pools(monkeypatch):
    points = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    assert np.allclose(plane(points[:20]), plane(points[:20], projector="pca"))
    monkeypatch.setattr("alkit.explorer.spaces.find_spec", lambda name: None)
    assert np.array_equal(plane(points), plane(points, projector="pca"))
    assert plane(points[:, :1]).shape == (60, 2)


def test_neighbours_of_equal_samples_are_others():
    rows = nearest(np.ones((5, 3)), 3)
    assert rows.shape == (5, 3) and all(i not in row and len(set(row)) == 3 for i, row in enumerate(rows.tolist()))
    assert nearest(np.ones((3, 2)), 8).shape == (3, 2)


def test_projection_is_turned_to_lie_like_the_first():
    onto = np.random.default_rng(1).normal(size=(50, 2))
    turned = (onto * [1, -1]) @ np.array([[0.6, -0.8], [0.8, 0.6]]) + [3, 4]
    assert np.allclose(aligned(turned, onto), onto - onto.mean(0), atol=1e-5)


def test_run_seen_again_chooses_what_it_bought():
    """The features of each stage are the run's own: Distance(CL), asked again, names the same samples."""
    cell = tiny("contrastive", "distance_cl", auxiliary_filter=False)
    stages = experiment.finish(cell)
    bought = replay.with_circles(replay.read(cell, "ours"), cell)
    assert [len(picks) for picks in bought.picks] == np.diff([0, *(row["cost"] for row in stages)]).tolist()
    assert f"{len(stages) - 1} of {len(stages) - 1} stages" in bought.note
    assert sorted(bought.circles) == list(range(1, len(stages)))
    for stage, circles in bought.circles.items():
        now = bought.picks[stage]
        inside = circles.distances_N[now] <= circles.radius_K[circles.labels_N[now]]
        assert ((circles.kinds_N[now] == INSIDE) == inside).all()
        for k in np.flatnonzero(circles.setter_K >= 0):
            assert np.isclose(circles.distances_N[circles.setter_K[k]], circles.radius_K[k])
    wrong = Purchases("ours", [bought.picks[0], bought.picks[1][:-1], *bought.picks[2:]])
    assert f"{len(stages) - 1} of" not in replay.with_circles(wrong, cell).note


def test_command_writes_the_page_of_finished_runs_and_says_where(capsys, tmp_path):
    assert command.main(["explore", "--benchmark", "tiny", "--profile", "smoke"]) == 0
    out, err = capsys.readouterr()
    assert "no run of this seed is finished" in err and Path(out.strip()).parts[-2:] == ("tiny", "smoke-explorer.html")
    cells = [tiny("contrastive", "distance_cl", auxiliary_filter=False), tiny("supervised", "entropy")]
    cells += [tiny("probe", strategy) for strategy in ("typiclust", "margin", "cautious_coverage")]
    for cell in cells:
        experiment.finish(cell)
    assert (
        command.main(["explore", "--benchmark", "tiny", "--profile", "smoke", "--into", str(tmp_path / "x.html")]) == 0
    )
    meta, arrays = read(tmp_path / "x.html")
    names = ["Entropy", "Distance(CL)", "Cautious coverage", "Margin", "TypiClust"]  # as figures and tables have them
    assert [bought["name"] for bought in meta["purchases"]] == names and len(meta["tour"]) == 3
    styles = [palette.METHOD_STYLE[name] for name in names]
    assert [(b["colour"], b["symbol"]) for b in meta["purchases"]] == [style[::2] for style in styles]
    assert [space["name"] for space in meta["spaces"]][1:] == ["contrastive, last stage", "raw pixels"]
    assert "cluster1-1" in arrays and len(meta["scores"]) == 4
