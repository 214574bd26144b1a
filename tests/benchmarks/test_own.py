"""Pools of one's own: saved once, found by name in every process, and never trusted further than their fingerprint."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import python, tiny_benchmark

from alkit import benchmarks, experiment, paths, recipes
from alkit.benchmarks import ID, own
from alkit.store import StoreError


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """The file of "own-mine", the tiny benchmark in a data folder of the test's own."""
    monkeypatch.setenv("ALKIT_DATA", str(tmp_path / "data"))
    return own.save(replace(tiny_benchmark(), name="own-mine"))


def rewrite(path, **changes):
    """Write the file again with some arrays changed; None leaves one out."""
    with np.load(path) as stored:
        arrays = {**stored, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def test_saved_pool_is_what_was_saved_and_alone_in_its_folder(saved):
    found, tiny = benchmarks.load("own-mine"), tiny_benchmark()
    assert saved.name == "mine.npz" and [path.name for path in saved.parent.iterdir()] == ["mine.npz"]
    assert (found.name, found.fingerprint, found.class_names) == ("own-mine", tiny.fingerprint, tiny.class_names)
    assert np.array_equal(found.pool.source_N, tiny.pool.source_N) and benchmarks.load("own-mine") is found


@pytest.mark.slow
def test_another_process_finds_it_by_name(saved):
    done = python("from alkit import benchmarks; print(benchmarks.load('own-mine').fingerprint)")
    assert done.stdout.split() == [tiny_benchmark().fingerprint], done.stderr


def test_pool_that_is_saved_again_replaces_the_first(saved):
    before = benchmarks.load("own-mine")
    own.save(benchmarks.pool.taken(before, np.arange(100)))
    assert len(before.pool) == 140 and len(benchmarks.load("own-mine").pool) == 100


@pytest.mark.parametrize("ask", [benchmarks.load, lambda name: recipes.recipe(name, "smoke")])
def test_unknown_pool_is_refused_with_the_names_of_all(saved, ask):
    own.save(replace(tiny_benchmark(), name="own-cats"))
    with pytest.raises(
        ValueError, match=r"there is no pool 'own-min' \(did you mean 'own-mine'\?\) in .*own-cats, own-"
    ):
        ask("own-min")
    for name in ("own", "own-", "own-a-b", "own-Mine", "own-../mine"):
        with pytest.raises(ValueError, match="there is no pool|a pool of your own is called"):
            ask(name)


def test_without_a_pool_the_error_says_how_one_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"there are: none; notebook 8 makes one, and benchmarks\.own\.save"):
        benchmarks.load("own-mine")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels_N": None}, "holds no `labels_N`"),
        ({"labels_N": np.zeros(140)}, "`labels_N` must be int64 in 1 dimensions, got float64"),
        ({"labels_N": np.full(140, 3)}, "labels of iD images must be from 0 to 2, got 3"),
        ({"labels_N": np.zeros(140, np.int64)}, "not iD must be 3"),
        ({"labels_N": np.zeros(9, np.int64)}, "one for each of the pool's 140 images"),
        ({"category_N": np.full(140, 3, np.uint8)}, "categories must be from 0 to 2, got 3"),
        ({"category_N": np.ones(140, np.uint8)}, "no image of its pool has a class"),
        ({"images_NCHW": np.zeros((140, 1, 9, 9), np.uint8)}, "pool's and test set's alike"),
        ({"images_NCHW": np.zeros((140, 8, 8), np.uint8)}, "`images_NCHW` must be uint8 in 4 dimensions"),
        ({"test_labels_M": np.full(60, -1)}, "labels of test images must be from 0 to 2, got -1"),
        ({"test_labels_M": np.zeros(59, np.int64)}, "59 labels for the test set's 60 images"),
        ({"class_names": np.array(["0"])}, "two classes or more, each of its own name, got 0"),
        ({"class_names": np.array(["0", "1", "1"])}, "each of its own name, got 0, 1, 1"),
        ({"class_names": np.array(["0", None, "2"], object)}, "cannot be read"),  # would have to be unpickled
        ({"fingerprint": np.array("0")}, "other images or labels than its fingerprint says"),
    ],
)
def test_file_that_is_no_sound_pool_is_refused(saved, changes, said):
    rewrite(saved, **changes)
    with pytest.raises(StoreError, match=f"{said}.*; delete it, and save the pool again"):
        benchmarks.load("own-mine")


@pytest.mark.parametrize("ask", [benchmarks.load, lambda name: recipes.recipe(name, "smoke")])
@pytest.mark.parametrize("length", [0, 100, -50])
def test_truncated_file_is_refused_by_name(saved, ask, length):
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(StoreError, match=r"mine\.npz .*; delete it, and save the pool again"):
        ask("own-mine")


def test_what_is_no_sound_pool_is_not_saved(saved):
    before, one = saved.read_bytes(), replace(tiny_benchmark(), name="own-mine", class_names=("0",))
    for wrong, said in ((one, "two classes or more"), (tiny_benchmark(), "called own-<name>")):
        with pytest.raises(ValueError, match=said):
            own.save(wrong)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("profile", ["smoke", "laptop"])
@pytest.mark.parametrize(("side", "net"), [(8, "convnet"), (31, "convnet"), (32, "resnet18")])
def test_recipe_follows_the_size_of_the_pool(saved, profile, side, net):
    tiny = tiny_benchmark()
    images = [np.zeros((len(some), 3, side, side), np.uint8) for some in (tiny.pool, tiny.test_labels_M)]
    pool = replace(tiny.pool, images_NCHW=images[0])
    own.save(replace(tiny, name="own-mine", pool=pool, test_images_MCHW=images[1]))
    found = recipes.recipe("own-mine", profile)
    assert (found.initial_id, found.stop_id, found.share, found.con_batch, found.net) == (20, 40, 1.0, 35, net)
    assert found.stage_id == {"smoke": 10, "laptop": 4}[profile]
    recipes.check(found)


def test_recipe_of_the_smallest_pool_has_quotas_that_it_can_fill(saved):
    tiny = tiny_benchmark()
    rows = np.flatnonzero(tiny.pool.category_N == ID)[:2]
    own.save(replace(benchmarks.pool.taken(tiny, rows), name="own-mine"))
    recipes.check(recipes.recipe("own-mine", "smoke"))
    experiment.cell.check(experiment.Cell("own-mine", "smoke", "probe", "random"))


def test_recipe_has_two_profiles_and_says_so(saved):
    with pytest.raises(ValueError, match="unknown profile 'paper' of own-mine; known: smoke, laptop"):
        recipes.recipe("own-mine", "paper")
    with pytest.raises(ValueError, match="known: .*mixdigits.*own-mine"):
        recipes.recipe("mine", "smoke")
    assert paths.own_pools() == ["own-mine"]
