"""MixMNIST and MixCIFAR60: what is in them, that it depends on content alone, and what is refused."""

import doctest
import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from image_files import noise, png, put
from sklearn.datasets import load_digits

from alkit import benchmarks, experiment, paths, recipes
from alkit.benchmarks import AMBIGUOUS, ASSETS, ID, NO_VOTE, OOD, Part, ambiguous, content_order, mixmnist, pool
from alkit.benchmarks import mixcifar60 as mixcifar60_module
from alkit.benchmarks.mixcifar60 import original_classes, superclasses
from alkit.benchmarks.sources import catalogue, files
from alkit.benchmarks.sources.house_numbers import house_numbers
from alkit.experiment import methods
from alkit.store import StoreError
from alkit.study import tables
from alkit.study.analysis import cost_tables, paper_table2

REAL = os.environ.get("ALKIT_DATA")  # before a test points it elsewhere
SMALL_MNIST = {"iD": 60, "ambiguous": 15, "OoD": 19, "test": 10}
SMALL_CIFAR = {"iD": 120, "ambiguous": 60, "OoD": 61, "test": 60}  # two images a class to learn from, one to test
STAND_INS = ("scenes", "signs")
real = pytest.mark.skipif(not REAL, reason="needs the public images: point ALKIT_DATA at a folder that has them")


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch, request):
    """A data folder with small sources, and benchmarks of small counts; a test of real images has the real ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.node.get_closest_marker("skipif"):
        return None
    monkeypatch.setenv("ALKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(mixmnist, "MIXMNIST", SMALL_MNIST)
    monkeypatch.setattr(mixcifar60_module, "MIXCIFAR60", SMALL_CIFAR)
    write_sources(tmp_path / "data")
    return tmp_path / "data"


def write_sources(folder, order=lambda count: np.arange(count)):
    """The small sources, their files in the order of the permutation `order(count)`; the images are always the same."""
    digits, labels = load_digits(return_X_y=True)
    digits = (digits * 15.9375).round().astype(np.uint8).reshape(-1, 8, 8).repeat(3, 1).repeat(3, 2)
    digits = np.pad(digits, ((0, 0), (2, 2), (2, 2)))
    ten = np.array(list("0123456789"))
    train, train_labels = digits[:60].copy(), labels[:60].astype(np.uint8)
    train[7], train_labels[7], train_labels[8] = train[8], 3, 5  # one image twice, under two labels
    rows = order(60)
    write(folder, "mnist_train", train[rows], train_labels[rows], ten)
    rows = order(12)
    write(folder, "mnist_test", digits[60:72][rows], labels[60:72][rows], ten)
    rows = order(19)
    write(folder, "notmnist_small", noise(19, 28, 28)[rows], np.arange(19)[rows] % 10, np.array(list("ABCDEFGHIJ")))
    mixture_of(folder, order)

    fine, coarse = (np.array([f"{kind} {i:02d}" for i in range(n)]) for kind, n in (("class", 100), ("superclass", 20)))
    group = np.random.default_rng(0).permutation(100) // 5  # the superclass of each class
    for split, each, seed in (("train", 2, 3), ("test", 1, 4)):
        rows = order(100 * each)
        images, classes = noise(100 * each, 32, 32, 3, seed=seed)[rows], np.tile(np.arange(100), each)[rows]
        more = {"coarse_labels": group[classes], "coarse_label_names": coarse}
        files.write(folder, f"cifar100_{split}", images=images, labels=classes, label_names=fine, **more)
    for name, seed in (("scenes", 5), ("signs", 6), ("lsun_fix", 7), ("svhn", 8)):
        files.write(folder, name, images=noise(70, 32, 32, 3, seed=seed)[order(70)])


def write(folder, name, images, labels, names):
    files.write(folder, name, images=images, labels=labels, label_names=names)


def mixture_of(folder, order):
    """Means of two digits each, as `build_mixmnist_ambiguous` writes them: parents count in the order of content."""
    stored = files.read(folder / "mnist_train.npz")
    sorted_rows = content_order(stored["images"], "iD", stored["labels"])
    by_content = stored["images"][sorted_rows].astype(int)
    parents = np.stack([np.arange(15), np.arange(15) + 20], 1)
    images = ((by_content[parents[:, 0]] * 2 + by_content[parents[:, 1]]) // 3).astype(np.uint8)
    votes = np.tile(np.arange(15)[:, None] % 10, (1, 4)).astype(np.uint8)
    rows = order(15)
    files.write(folder, "mixmnist_ambiguous", images=images[rows], votes=votes[rows], parents=parents[rows])


def table(benchmark):
    return {(row["part"], row["category"], row["source"]): row["images"] for row in benchmarks.counts(benchmark)}


def mixcifar60(**options):
    return benchmarks.load("mixcifar60", **{"ood": STAND_INS, **options})


# MixMNIST


def test_mixmnist_has_its_parts_and_says_where_they_are_from():
    benchmark = benchmarks.load("mixmnist")
    assert table(benchmark) == {
        ("pool", "iD", "mnist"): 60,
        ("pool", "ambiguous", "mixmnist_ambiguous"): 15,
        ("pool", "OoD", "notmnist_small"): 19,
        ("test", "iD", "mnist"): 10,
    }
    assert benchmark.pool.images_NCHW.shape == (94, 1, 28, 28) and benchmark.test_images_MCHW.shape == (10, 1, 28, 28)
    assert benchmark.class_names == tuple("0123456789") and set(benchmark.pool.source_N) <= set(catalogue.SOURCES)
    assert (benchmark.pool.labels_N[benchmark.pool.category_N != ID] == 10).all()


def test_images_of_mixmnist_keep_their_labels(data):
    train = files.read(data / "mnist_train.npz")
    known = {(image.tobytes(), label) for image, label in zip(train["images"], train["labels"], strict=True)}
    pool = benchmarks.load("mixmnist").pool
    own = pool.category_N == ID
    images, labels = pool.images_NCHW[own], pool.labels_N[own]
    assert {(image.tobytes(), label) for image, label in zip(images, labels, strict=True)} == known


def test_parents_and_votes_of_mixmnist_belong_to_their_mixture():
    benchmark = benchmarks.load("mixmnist")
    pool, mixed = benchmark.pool, np.flatnonzero(benchmark.pool.category_N == AMBIGUOUS)
    one, two = (pool.images_NCHW[benchmark.parents_N2[mixed, i]].astype(int) for i in (0, 1))
    assert np.array_equal(pool.images_NCHW[mixed], (one * 2 + two) // 3)
    assert (pool.category_N[benchmark.parents_N2[mixed]] == ID).all()
    others = pool.category_N != AMBIGUOUS
    assert (benchmark.parents_N2[others] == -1).all() and (benchmark.votes_NV[others] == NO_VOTE).all()
    votes = benchmark.votes_NV[mixed]
    assert votes.shape == (15, 4) and sorted(votes[:, 0]) == sorted(np.arange(15) % 10)


def test_images_made_elsewhere_are_taken_in_place_of_ours_and_named(data):
    files.write(data, "mixmnist_ambiguous", images=noise(40, 28, 28, seed=9))
    benchmark = benchmarks.load("mixmnist")
    assert table(benchmark)["pool", "ambiguous", "nvae_mnist"] == 15 and "nvae_mnist" in catalogue.SOURCES
    assert (benchmark.votes_NV == NO_VOTE).all() and (benchmark.parents_N2 == -1).all()


def test_ambiguous_file_of_another_mnist_is_refused(data):
    made = files.read(data / "mixmnist_ambiguous.npz")
    files.write(data, "mixmnist_ambiguous", **{**made, "parents": made["parents"] + 50})
    with pytest.raises(StoreError, match="votes or parents that do not fit 60 digits"):
        benchmarks.load("mixmnist")


def test_ambiguous_set_that_was_built_is_what_mixmnist_reads(data, monkeypatch):
    """The whole chain on a small recipe: sources, generator, vote, file, benchmark."""
    monkeypatch.setattr(ambiguous, "is_ambiguous", lambda votes: np.arange(len(votes)) % 2 == 0)  # trained for seconds
    small = {"epochs": 1, "voter_epochs": 1, "width": 8, "voter_widths": (4, 8, 8), "voters": 3, "batch": 32}
    recipe = replace(ambiguous.MNIST_28PX, **small)
    (data / "mixmnist_ambiguous.npz").unlink()
    measured = mixmnist.build_mixmnist_ambiguous(recipe=recipe, count=15, device="cpu")
    stored = files.read(data / "mixmnist_ambiguous.npz")
    assert measured.items() <= json.loads(str(stored["provenance"])).items()
    benchmark = benchmarks.load("mixmnist")
    mixed = np.flatnonzero(benchmark.pool.category_N == AMBIGUOUS)
    parents = benchmark.parents_N2[mixed]
    assert (benchmark.pool.category_N[parents] == ID).all() and (parents[:, 0] != parents[:, 1]).all()
    # grey levels are transported from digits, so that every mixture has those of one
    levels = {np.sort(image.ravel()).tobytes() for image in benchmark.pool.images_NCHW[benchmark.pool.category_N == ID]}
    assert all(np.sort(image.ravel()).tobytes() in levels for image in benchmark.pool.images_NCHW[mixed])


def test_ambiguous_set_is_not_begun_where_it_could_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(ambiguous, "build", None)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    with pytest.raises(StoreError, match="cannot write to .*closed to writing; choose another"):
        mixmnist.build_mixmnist_ambiguous(closed)


def test_shipped_ambiguous_set_is_taken_where_the_data_folder_has_none(data):
    own = data / "mixmnist_ambiguous.npz"
    assert catalogue.found("mixmnist_ambiguous", data) == own
    own.unlink()
    shipped = catalogue.found("mixmnist_ambiguous", data)
    assert shipped == ASSETS / "mixmnist_ambiguous.npz" and shipped.stat().st_size < 5e6
    arrays = catalogue.read("mixmnist_ambiguous", data, shape=(28, 28))
    assert arrays["images"].shape == (15_000, 28, 28) and ambiguous.is_ambiguous(arrays["votes"]).all()
    made = json.loads(str(arrays["provenance"]))
    assert made["shortcut AUROC"]["logistic"] <= 0.75 and min(made["voters' accuracy on the test set"]) >= 0.99
    assert made["licence"].startswith("CC BY-SA 3.0")


def test_missing_ambiguous_set_is_named_with_the_way_to_make_it(data, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "ASSETS", tmp_path)
    (data / "mixmnist_ambiguous.npz").unlink()
    with pytest.raises(StoreError, match="mixmnist_ambiguous.npz is not in .*python -m alkit data --rebuild mixmnist"):
        benchmarks.load("mixmnist")


# MixCIFAR60


def test_mixcifar60_has_its_parts_and_its_stand_ins_are_in_its_name():
    benchmark = mixcifar60()
    assert table(benchmark) == {
        ("pool", "iD", "cifar100"): 120,
        ("pool", "ambiguous", "cifar100"): 60,
        ("pool", "OoD", "scenes"): 31,
        ("pool", "OoD", "signs"): 30,
        ("test", "iD", "cifar100"): 60,
    }
    assert benchmark.name == "mixcifar60-scenes-signs" and mixcifar60(ood=STAND_INS[::-1]) is benchmark
    assert benchmark.pool.images_NCHW.shape == (241, 3, 32, 32) and benchmark.n_classes == 60
    published = benchmarks.load("mixcifar60")
    assert published.name == "mixcifar60" and published.fingerprint != benchmark.fingerprint
    assert {"lsun_fix", "svhn"} <= set(published.pool.source_N)


def test_three_classes_of_each_superclass_are_id_and_the_first_of_the_alphabet_unless_drawn(data):
    train = files.read(data / "cifar100_train.npz")
    home = {str(train["label_names"][f]): c for f, c in zip(train["labels"], train["coarse_labels"], strict=True)}
    first = {tuple(sorted(name for name in home if home[name] == c)[:3]) for c in range(20)}
    splits = [mixcifar60(split_seed=seed).class_names for seed in (None, 0, 1, 0)]
    assert {tuple(name for name in splits[0] if home[name] == c) for c in range(20)} == first
    for names in splits:
        assert list(names) == sorted(set(names)) and np.bincount([home[name] for name in names]).tolist() == [3] * 20
    assert splits[1] == splits[3] and len({*splits}) == 3
    assert mixcifar60(split_seed=1).name == "mixcifar60-scenes-signs-split1"


def test_table_of_superclasses_parts_each_into_its_id_and_its_ambiguous_classes():
    benchmark = mixcifar60(split_seed=3)
    table = superclasses(benchmark)
    own, other = (", ".join(row[kind] for row in table).split(", ") for kind in ("iD", "ambiguous"))
    assert len(table) == 20 and sorted(own) == sorted(benchmark.class_names)
    assert len(other) == len(set(other)) == 40 and not set(own) & set(other)


def test_classes_that_cifar100_gives_are_found_by_content_for_its_images_alone():
    benchmark = mixcifar60()
    class_N, superclass_N = original_classes(benchmark)
    pool = benchmark.pool
    is_id = pool.category_N == benchmarks.ID
    assert class_N[is_id].tolist() == [benchmark.class_names[label] for label in pool.labels_N[is_id]]
    assert not set(class_N[pool.category_N == benchmarks.AMBIGUOUS]) & {"", *benchmark.class_names}
    assert set(class_N[pool.category_N == benchmarks.OOD]) == {""} == set(superclass_N[class_N == ""])
    for row in superclasses(benchmark):
        members = {*row["iD"].split(", "), *row["ambiguous"].split(", ")}
        found = set(class_N[superclass_N == row["superclass"]])
        assert found and found <= members


@pytest.mark.parametrize("split_seed", [None, 4])
def test_images_of_cifar_keep_their_class_and_the_other_forty_are_ambiguous(data, split_seed):
    benchmark = mixcifar60(split_seed=split_seed)
    stored = [files.read(data / f"cifar100_{split}.npz") for split in ("train", "test")]
    named = {
        image.tobytes(): str(arrays["label_names"][label])
        for arrays in stored
        for image, label in zip(arrays["images"].transpose(0, 3, 1, 2), arrays["labels"], strict=True)
    }
    pool = benchmark.pool
    for images, labels in (
        (pool.images_NCHW[pool.category_N == ID], pool.labels_N[pool.category_N == ID]),
        (benchmark.test_images_MCHW, benchmark.test_labels_M),
    ):
        assert [named[image.tobytes()] for image in images] == [benchmark.class_names[label] for label in labels]
        assert set(labels) == set(range(60))
    mixed = {named[image.tobytes()] for image in pool.images_NCHW[pool.category_N == AMBIGUOUS]}
    assert not mixed & set(benchmark.class_names)


def test_directory_of_images_can_be_ood(data):
    put(data / "photos", {f"{i}.png": png(image) for i, image in enumerate(noise(61, 40, 36, 3))})
    benchmark = mixcifar60(ood="photos")
    assert table(benchmark)["pool", "OoD", "photos"] == 61 and benchmark.name == "mixcifar60-photos"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ood": ()}, "one source of images or more"),
        ({"ood": ("scenes", "scenes")}, "each once"),
        ({"ood": ("sceens",)}, "unknown source of images 'sceens' .did you mean 'scenes'"),
        ({"ood": ("../scenes",)}, "named without a path and without a leading dot, got '../scenes'"),
        ({"split_seed": -1}, "split_seed must be None or a whole number"),
        ({"split_seed": True}, "split_seed must be None or a whole number"),
        ({"oods": ("scenes",)}, "mixcifar60 has no option oods; it has: ood, split_seed"),
    ],
)
def test_request_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        benchmarks.load("mixcifar60", **options)


def test_mixdigits_has_no_such_option():
    with pytest.raises(ValueError, match="mixdigits has no option ood; it has: variant"):
        benchmarks.load("mixdigits", ood=("scenes",))


# both


@pytest.mark.parametrize("load", [lambda: benchmarks.load("mixmnist"), mixcifar60], ids=["mixmnist", "mixcifar60"])
def test_nothing_depends_on_the_order_in_which_a_sources_files_come(load, tmp_path, monkeypatch):
    first = load()
    write_sources(tmp_path / "other", lambda count: np.random.default_rng(3).permutation(count))
    monkeypatch.setenv("ALKIT_DATA", str(tmp_path / "other"))
    second = load()
    assert first is not second and first.fingerprint == second.fingerprint
    assert np.array_equal(first.pool.source_N, second.pool.source_N) and first.class_names == second.class_names
    assert np.array_equal(first.votes_NV, second.votes_NV) and np.array_equal(first.parents_N2, second.parents_N2)


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("mnist_train", 59, "mnist_train has 59 images for the iD part, which needs 60"),
        ("mnist_test", 9, "mnist_test has 9 images for the test part, which needs 10"),
        ("notmnist_small", 18, "notmnist_small has 18 images for the OoD part, which needs 19"),
        ("mixmnist_ambiguous", 14, "mixmnist_ambiguous has 14 images for the ambiguous part, which needs 15"),
        ("cifar100_train", 120, "cifar100_train has .. images for the iD part, which needs 120"),
        ("cifar100_test", 50, "cifar100_test has .. images for the test part, which needs 60"),
        ("scenes", 30, "scenes has 30 images for the OoD part, which needs 31"),
    ],
)
def test_source_with_too_few_images_is_named_with_both_counts(name, count, message, data):
    arrays = files.read(data / f"{name}.npz")
    per_image = ("images", "labels", "coarse_labels", "votes", "parents")
    cut = {key: array[:count] if key in per_image else array for key, array in arrays.items()}
    files.write(data, name, **cut)
    with pytest.raises(StoreError, match=message):
        mixcifar60() if name.startswith(("cifar", "scenes")) else benchmarks.load("mixmnist")


@pytest.mark.parametrize(
    ("name", "images", "message"),
    [
        ("notmnist_small", noise(19, 32, 32), "notmnist_small.npz holds images of 32x32, not 28x28"),
        ("mixmnist_ambiguous", noise(15, 28, 28, 3), "holds images of 28x28x3, not 28x28"),
        ("scenes", noise(40, 32, 32), "scenes.npz holds images of 32x32, not 32x32x3"),
        ("mnist_train", noise(60, 28, 28), "mnist_train.npz holds no labels and no label_names"),
        ("mnist_test", noise(10, 28, 28), "mnist_test.npz holds no labels"),
        ("cifar100_train", noise(200, 32, 32, 3), "cifar100_train.npz holds no labels"),
    ],
)
def test_source_of_another_size_mode_or_without_labels_is_refused(name, images, message, data):
    files.write(data, name, images=images)
    with pytest.raises(StoreError, match=message):
        mixcifar60() if name.startswith(("cifar", "scenes")) else benchmarks.load("mixmnist")


def test_cifar_without_superclasses_is_refused(data):
    arrays = files.read(data / "cifar100_train.npz")
    files.write(data, "cifar100_train", **{key: array for key, array in arrays.items() if "coarse" not in key})
    with pytest.raises(StoreError, match="no `coarse_labels` with five classes a superclass"):
        mixcifar60()


def test_benchmark_is_read_once_and_again_when_a_file_was_replaced(data):
    first = mixcifar60()
    assert mixcifar60() is first
    before = (data / "scenes.npz").stat()
    files.write(data, "scenes", images=noise(70, 32, 32, 3, seed=99))
    # by a clock that was set back meanwhile, or a file system that counts seconds
    os.utime(data / "scenes.npz", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert mixcifar60().fingerprint != first.fingerprint


def test_pool_mixed_from_a_directory_of_classes_says_what_is_wrong_with_it(data):
    """How a pool of one's own is made: iD images from a directory with a subdirectory for each class."""
    for seed, name in enumerate(("cat", "dog")):
        put(data / "pets" / name, {f"{i}.png": png(image) for i, image in enumerate(noise(4, 50, 40, 3, seed=seed))})
    pets = catalogue.read("pets", shape=(32, 32, 3))
    parts = [
        Part(ID, "pets", pets["images"], pets["labels"]),
        Part(OOD, "scenes", catalogue.read("scenes", shape=(32, 32, 3))["images"]),
    ]
    test = pets["images"], pets["labels"], pets["label_names"].tolist()
    benchmark, position = benchmarks.assemble("pets", parts, *test)
    assert benchmark.class_names == ("cat", "dog") and len(benchmark.pool) == 78
    assert np.array_equal(benchmark.pool.labels_N[position[:8]], pets["labels"])
    for bad, message in (
        (Part(ID, "pets", pets["images"]), "every iD image of 'pets' must have a label from 0 to 1"),
        (Part(ID, "pets", pets["images"], pets["labels"] + 1), "must have a label from 0 to 1"),
        (Part(ID, "pets", pets["images"], pets["labels"] / 2), "must have a label from 0 to 1"),
        (Part(OOD, "small", noise(3, 28, 28)), "of one shape, got"),
        (Part(OOD, "float", noise(3, 32, 32, 3) / 255), "must be uint8 .* those of float are float64 of shape"),
        (Part(OOD, "torch", noise(3, 3, 32, 32)), r"those of torch are uint8 of shape \(3, 3, 32, 32\)"),
    ):
        with pytest.raises(ValueError, match=message):
            benchmarks.assemble("pets", [bad], *test)
    for tested in ((pets["images"], pets["labels"] + 1), (pets["images"], pets["labels"][1:])):
        with pytest.raises(ValueError, match="every iD image of 'the test set' must have a label from 0 to 1"):
            benchmarks.assemble("pets", parts, *tested, ["cat", "dog"])
    with pytest.raises(ValueError, match="one part or more, got none"):
        benchmarks.assemble("pets", [], *test)


def test_example_of_a_pool_of_ones_own_runs_as_it_stands_and_a_cell_on_it(data, tmp_path):
    """The docstring of `assemble` to the end: a directory becomes a benchmark that cells run on."""
    for seed, name in enumerate(("cat", "dog")):
        put(data / "pets" / name, {f"{i}.png": png(image) for i, image in enumerate(noise(40, 50, 40, 3, seed=seed))})
    names = {"benchmarks": benchmarks, "recipes": recipes, "catalogue": catalogue, "folder": data, **vars(pool)}
    (example,) = doctest.DocTestFinder().find(pool.assemble, "assemble", globs=names)
    report = io.StringIO()
    assert len(example.examples) == 6
    assert doctest.DocTestRunner().run(example, out=report.write, clear_globs=False).failed == 0, report.getvalue()
    mine = benchmarks.load("mine")
    assert mine.class_names == ("cat", "dog") and len(mine.pool) == 40 + 10 and len(mine.test_labels_M) == 40
    few = {"initial_id": 8, "stage_id": 4, "stop_id": 16, "sup_epochs": 1}
    cell = experiment.Cell("mine", "laptop", "supervised", "entropy", changes=few)
    assert [record["n_id"] for record in experiment.finish(cell, root=tmp_path)] == [8, 12, 16]


# house numbers


def test_house_number_depends_on_its_seed_and_number_alone():
    images, labels = house_numbers(6, seed=2)
    again, same = house_numbers(2, seed=2, first=3)
    assert images.shape == (6, 32, 32, 3) and images.dtype == np.uint8 and labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert np.array_equal(images[3:5], again) and same.tolist() == [3, 4]
    assert not np.array_equal(again, house_numbers(2, seed=3, first=3)[0])


def test_house_numbers_are_varied_and_can_mostly_be_read():
    """Nearest neighbours in pixels, freed of light and contrast, tell the digit in the middle: chance is 10 %."""
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    images, labels = house_numbers(600)
    grey = images.mean(3)[:, 4:28, 8:24].reshape(600, -1)
    grey = (grey - grey.mean(1, keepdims=True)) / (grey.std(1, keepdims=True) + 1)
    assert cross_val_score(KNeighborsClassifier(10), grey, labels, cv=4).mean() > 0.45
    colours = images.mean((1, 2))
    assert colours.std(0).min() > 30 and colours.max() > 200 and colours.min() < 40
    assert len({image.tobytes() for image in images}) == 600


# the public images


@real
def test_mixcifar60_of_the_public_images_has_the_published_counts():
    benchmark = benchmarks.load("mixcifar60", ood=("scenes", "house_numbers"))
    assert list(table(benchmark).values()) == [30_000, 15_000, 7_500, 7_500, 6_000] and benchmark.n_classes == 60
    pool = benchmark.pool
    assert np.bincount(pool.labels_N).tolist() == [500] * 60 + [30_000]
    assert np.bincount(benchmark.test_labels_M).tolist() == [100] * 60
    names = set(benchmark.class_names)
    assert {"apple", "bicycle", "maple_tree"} <= names and "sweet_pepper" not in names
    for category in (ID, AMBIGUOUS, OOD):
        assert abs(np.flatnonzero(pool.category_N == category).mean() / len(pool) - 0.5) < 0.01


@real
def test_mixmnist_of_the_public_images_has_the_published_counts():
    if not catalogue.found("mixmnist_ambiguous", paths.data_folder()):
        pytest.skip("no mixmnist_ambiguous.npz in ALKIT_DATA: python -m alkit data --rebuild mixmnist")
    benchmark = benchmarks.load("mixmnist")
    assert list(table(benchmark).values()) == [60_000, 15_000, 18_724, 10_000]
    pool = benchmark.pool
    paper_table2 = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(pool.labels_N).tolist() == [*paper_table2, 15_000 + 18_724]


@real
def test_public_mnist_and_notmnist_are_what_they_should_be():
    letters = catalogue.read("notmnist_small", shape=(28, 28))
    assert sorted(np.bincount(letters["labels"])) == [1872] * 6 + [1873] * 4
    assert "".join(letters["label_names"]) == "ABCDEFGHIJ"
    train, test = (catalogue.read(f"mnist_{split}", shape=(28, 28))["images"] for split in ("train", "test"))
    assert len(test) == 10_000 and round(train.mean() / 255, 4) == 0.1307


# variants and shares


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mixcifar60", {}),
        ("mixcifar60-scenes-signs", {"ood": ("signs", "scenes")}),
        ("mixcifar60-signs", {"ood": "signs"}),
        ("mixcifar60-split2", {"split_seed": 2}),
        ("mixcifar60-scenes-svhn-split0", {"ood": ["svhn", "scenes"], "split_seed": 0}),
    ],
)
def test_name_of_a_variant_loads_it(name, options):
    benchmark = benchmarks.load(name)
    assert benchmark.name == name
    assert benchmark.fingerprint == benchmarks.load("mixcifar60", **options).fingerprint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mixcifar60-signs-scenes", "is written 'mixcifar60-scenes-signs'"),
        ("mixcifar60-lsun_fix-svhn", "is written 'mixcifar60'"),
        ("mixcifar60-split1-signs", "is written 'mixcifar60-signs-split1'"),
        ("mixcifar60-split1-split2", "at most one split<seed>"),
        ("mixcifar60-", "names sources"),
        ("mixcifar60-sceens", "unknown source of images 'sceens'"),
        ("mixmnist-scenes", "mixmnist has no variants"),
        ("mixcifar-scenes", "unknown benchmark 'mixcifar-scenes'"),
    ],
)
def test_variant_that_is_none_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        benchmarks.load(name)


def test_directory_whose_name_would_be_mistaken_for_a_variant_is_refused(data):
    for name in ("my-photos", "split7"):
        put(data / name, {f"{i}.png": png(noise(1, 32, 32, 3, seed=i)[0]) for i in range(3)})
        with pytest.raises(ValueError, match=f"{name} cannot be part of a benchmark's name: rename it"):
            mixcifar60(ood=name)


@pytest.mark.parametrize("name", ["mixmnist", "mixcifar60"])
def test_share_of_a_pool_keeps_that_share_of_every_class_and_source_and_all_of_the_test_set(name):
    whole, half = benchmarks.load(name), benchmarks.load(name, share=0.5)
    assert benchmarks.load(name, share=0.5) is half and benchmarks.load(name, share=1.0) is whole
    assert np.array_equal(half.test_images_MCHW, whole.test_images_MCHW) and half.fingerprint != whole.fingerprint
    kinds = {(c, s, k) for c, s, k in zip(whole.pool.category_N, whole.pool.source_N, whole.pool.labels_N, strict=True)}
    for category, source, label in kinds:
        before, after = (
            b.pool.images_NCHW[
                (b.pool.category_N == category) & (b.pool.source_N == source) & (b.pool.labels_N == label)
            ]
            for b in (whole, half)
        )
        assert len(after) == max(1, round(len(before) / 2)) and np.array_equal(after, before[: len(after)])


def test_mixture_in_a_share_of_the_pool_keeps_its_parents_where_both_are_in_it():
    half = benchmarks.load("mixmnist", share=0.5)
    mixed = np.flatnonzero(half.pool.category_N == AMBIGUOUS)
    known = mixed[(half.parents_N2[mixed] >= 0).all(1)]
    assert 0 < len(known) < len(mixed) and (half.parents_N2[np.setdiff1d(mixed, known)] == -1).all()
    one, two = (half.pool.images_NCHW[half.parents_N2[known, i]].astype(int) for i in (0, 1))
    assert np.array_equal(half.pool.images_NCHW[known], (one * 2 + two) // 3)
    assert (half.votes_NV[mixed] != NO_VOTE).all()


# the published recipes on a CPU, with fewer epochs and labels alone


SHORT = {
    "sup_epochs": 1, "con_first_epochs": 1, "con_epochs": 1, "con_warmup": 0, "tune_epochs": 1, "stage_id": 5,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "profile", "changes"),
    [
        ("mixmnist", "paper", {"initial_id": 20, "stop_id": 25}),
        ("mixmnist", "laptop", {"initial_id": 20, "stop_id": 25}),
        ("mixcifar60-scenes-signs", "short", {"initial_id": 60, "stop_id": 65, "net_width": 8, "projection": (8, 8)}),
        ("mixcifar60-scenes-signs", "paper", {"initial_id": 60, "stop_id": 65, "net_width": 8, "projection": (8, 8)}),
    ],
)
def test_all_methods_of_the_paper_run_on_its_pools_under_its_recipes(name, profile, changes, tmp_path):
    """What a GPU is to run for hours must not meet its first error there."""
    cells = methods.cells_of(name, profile, [], 0, 1, changes={**SHORT, **changes})
    assert len(cells) == 6
    rows = []
    for cell in cells:
        rows += [{**tables.about(cell), **record} for record in experiment.finish(cell)]
    table = tables.write_results(rows, tmp_path)
    cost_tables.check_comparable(table)
    last = table[table.stage == table.stage.max()]
    assert (last.n_id == changes["stop_id"]).all() and (last.cost <= len(benchmarks.load(name).pool)).all()
    assert set(table.fingerprint) == {benchmarks.load(name).fingerprint} and set(table.benchmark) == {name}
    beside = paper_table2.beside(table)
    assert len(beside) == 6 and ("420" if name == "mixmnist" else "34,560") in set(beside["cost", "paper"])
    told = "; ".join(paper_table2.pool_departures(table, 1.0))
    assert ("not by NVAE" in told) if name == "mixmnist" else ("stand-ins: scenes, signs" in told)
