"""The benchmarks: what is in MixDigits, that it is what was shipped, and that it can be made again."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from alkit import benchmarks
from alkit.benchmarks import AMBIGUOUS, ID, OOD, Pool, ambiguous
from alkit.benchmarks.mixdigits import rebuild_mixdigits, split_digits, stored
from alkit.benchmarks.sources import catalogue, glyphs
from alkit.store import StoreError

FINGERPRINT = "382ea73e11a42bfa67015b14e414860d21125d389a0cdaea1e585d6e4fdbaa32"
SMOKE = replace(ambiguous.DIGITS_8PX, epochs=1, voter_epochs=2, width=8, voter_widths=(4, 8, 8), voters=4)


@pytest.fixture(scope="module")
def mixdigits():
    return benchmarks.load("mixdigits")


def test_mixdigits_has_the_stated_counts(mixdigits):
    rows = {(row["part"], row["category"], row["source"]): row["images"] for row in benchmarks.counts(mixdigits)}
    assert rows == {
        ("pool", "iD", "digits"): 1297,
        ("pool", "ambiguous", "ambiguous"): 324,
        ("pool", "OoD", "letters"): 324,
        ("test", "iD", "digits"): 500,
    }
    assert set(mixdigits.pool.source_N) <= set(catalogue.SOURCES)
    assert len(mixdigits.pool) == 1945 and mixdigits.n_classes == 10


def test_labels_are_classes_for_id_images_and_the_auxiliary_class_for_all_others(mixdigits):
    pool = mixdigits.pool
    assert (pool.labels_N[pool.category_N != ID] == 10).all()
    assert set(pool.labels_N[pool.category_N == ID]) == set(range(10))
    everything = np.bincount(np.concatenate([pool.labels_N[pool.category_N == ID], mixdigits.test_labels_M]))
    assert np.array_equal(everything, np.bincount(catalogue.digits()[1]))
    share = np.bincount(mixdigits.test_labels_M) / everything
    assert np.ptp(share) < 0.01  # stratified


def test_no_image_occurs_twice_in_pool_and_test_set(mixdigits):
    images = np.concatenate([mixdigits.pool.images_NCHW, mixdigits.test_images_MCHW])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images) == 2445


def test_position_in_the_pool_tells_nothing_about_the_category(mixdigits):
    for category in (ID, AMBIGUOUS, OOD):
        places = np.flatnonzero(mixdigits.pool.category_N == category) / len(mixdigits.pool)
        assert abs(places.mean() - 0.5) < 0.06


def test_split_does_not_depend_on_the_order_of_the_source(monkeypatch):
    expected = split_digits()
    images, labels = catalogue.digits()
    monkeypatch.setattr(catalogue, "digits", lambda: (images[::-1], labels[::-1]))
    for a, b in zip(expected, split_digits(), strict=True):
        assert np.array_equal(a, b)


def test_shipped_votes_name_two_or_three_classes(mixdigits):
    mixed = mixdigits.pool.category_N == AMBIGUOUS
    distinct = [len(set(votes)) for votes in mixdigits.votes_NV[mixed]]
    assert mixdigits.votes_NV.shape == (1945, 10)
    assert set(distinct) == {2, 3}
    assert (mixdigits.votes_NV[mixed] < 10).all() and (mixdigits.votes_NV[~mixed] == benchmarks.NO_VOTE).all()


def test_parents_of_mixtures_are_two_id_images_of_the_pool(mixdigits):
    """And the larger share shows: a mixture is nearer to its first parent than to its second."""
    pool = mixdigits.pool
    mixed = pool.category_N == AMBIGUOUS
    parents = mixdigits.parents_N2[mixed]
    assert (mixdigits.parents_N2[~mixed] == -1).all()
    assert (pool.category_N[parents] == ID).all() and (parents[:, 0] != parents[:, 1]).all()
    flat = pool.images_NCHW.reshape(len(pool), -1).astype(float)
    first, second = (np.linalg.norm(flat[mixed] - flat[parents[:, i]], axis=1) for i in (0, 1))
    assert (first < second).mean() > 0.8


def test_blur_alone_hardly_tells_ambiguous_from_real(mixdigits):
    measured = benchmarks.shortcut(mixdigits)
    assert measured["logistic"] <= 0.75
    recorded = benchmarks.provenance("mixdigits")["shortcut AUROC"]
    assert measured == pytest.approx(recorded, abs=0.03)  # the folds fall differently


def test_voters_of_the_shipped_set_are_good():
    accuracies = benchmarks.provenance("mixdigits")["voters' accuracy on the test set"]
    assert len(accuracies) == 10 and np.mean(accuracies) >= 0.99 and min(accuracies) >= 0.985


@pytest.mark.parametrize(("name", "recipe"), [("mixdigits", ambiguous.DIGITS_8PX), ("mixmnist", ambiguous.MNIST_28PX)])
def test_shipped_file_was_made_with_the_recipe_that_a_rebuild_takes(name, recipe, tmp_path):
    """A number that the recipe did not have then is at its default, which changes nothing."""
    stored = benchmarks.provenance(name, folder=None if name == "mixdigits" else tmp_path)["recipe"]
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    assert ambiguous.GeneratorRecipe(**values) == recipe


def test_shipped_letters_are_those_that_can_be_drawn_again(mixdigits):
    asset = stored()
    for first in (0, 150, 321):
        images, labels = glyphs.letters(3, seed=benchmarks.provenance("mixdigits")["seed"], first=first)
        assert np.array_equal(asset["letter_images"][first : first + 3, 0], images)
        assert np.array_equal(asset["letter_labels"][first : first + 3], labels)


def test_arrays_of_a_benchmark_are_read_only(mixdigits):
    for array in (mixdigits.pool.images_NCHW, mixdigits.pool.labels_N, mixdigits.test_labels_M, mixdigits.votes_NV):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_pool_refuses_arrays_of_different_lengths(mixdigits):
    with pytest.raises(ValueError, match="one length"):
        replace(mixdigits.pool, labels_N=mixdigits.pool.labels_N[1:])


def test_fingerprint_is_the_published_one(mixdigits):
    """If this fails on purpose, every committed result has to be made again."""
    assert mixdigits.fingerprint == FINGERPRINT


@pytest.mark.parametrize("part", ["image", "label", "category", "order", "test image", "test label", "type", "shape"])
def test_fingerprint_changes_with_every_part(mixdigits, part):
    pool, test_images, test_labels = mixdigits.pool, mixdigits.test_images_MCHW.copy(), mixdigits.test_labels_M.copy()
    arrays = {name: array.copy() for name, array in vars(pool).items()}
    if part == "image":
        arrays["images_NCHW"][7, 0, 3, 3] ^= 1
    elif part == "label":
        arrays["labels_N"][7] += 1
    elif part == "category":
        arrays["category_N"][7] += 1
    elif part == "order":
        arrays = {name: np.concatenate([array[1:], array[:1]]) for name, array in arrays.items()}
    elif part == "test image":
        test_images[7, 0, 3, 3] ^= 1
    elif part == "test label":
        test_labels[7] += 1
    elif part == "type":
        arrays["labels_N"] = arrays["labels_N"].astype(np.int32)
    else:
        arrays["images_NCHW"] = arrays["images_NCHW"].reshape(-1, 1, 4, 16)
    assert benchmarks.fingerprint(Pool(**arrays), test_images, test_labels) != mixdigits.fingerprint
    assert benchmarks.fingerprint(pool, mixdigits.test_images_MCHW, mixdigits.test_labels_M) == mixdigits.fingerprint


def test_unknown_benchmark_is_named_beside_the_known_ones():
    with pytest.raises(ValueError, match="unknown benchmark 'mnist': known are mixcifar60, mixdigits, mixmnist"):
        benchmarks.load("mnist")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncate", "truncated or edited"),
        ("edit", "truncated or edited"),
        ("remove", "its .sha256 is missing"),
        ("remove sum", "its .sha256 is missing"),
    ],
)
def test_damaged_file_is_refused_with_the_way_to_mend_it(tmp_path, damage, message):
    folder = shutil.copytree(benchmarks.ASSETS, tmp_path / "assets")
    path = folder / "mixdigits.npz"
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[:-100])
    elif damage == "edit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        (path if damage == "remove" else path.with_suffix(".sha256")).unlink()
    with pytest.raises(StoreError, match=f"{message}.*--rebuild mixdigits"):
        benchmarks.load("mixdigits", folder=folder)


def test_loading_needs_no_matplotlib():
    code = "import sys; sys.modules['matplotlib'] = None; from alkit import benchmarks; benchmarks.load('mixdigits')"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_rebuilding_twice_writes_the_same_bytes_through_the_code_that_made_the_shipped_file(tmp_path):
    """On a small recipe; the letters, which need no training, must be the shipped ones."""
    for name in ("one", "two"):
        measured = rebuild_mixdigits(tmp_path / name, recipe=SMOKE, count=40)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1] and sorted(files[0]) == ["mixdigits.npz", "mixdigits.sha256"]
    assert files[0]["mixdigits.sha256"].decode().split()[0] == hashlib.sha256(files[0]["mixdigits.npz"]).hexdigest()

    made, shipped = (stored(folder) for folder in (tmp_path / "one", benchmarks.ASSETS))
    assert np.array_equal(made["letter_images"], shipped["letter_images"][:40])
    assert made.keys() == shipped.keys()
    assert all(made[name].dtype == shipped[name].dtype for name in made.keys() - {"provenance"})
    rebuilt = benchmarks.load("mixdigits", folder=tmp_path / "one")
    assert [row["images"] for row in benchmarks.counts(rebuilt)] == [1297, 40, 40, 500]
    assert 0 < measured["share of mixtures that pass the vote"] <= 1


def test_interrupted_rebuild_leaves_the_old_file_as_it_was(tmp_path, monkeypatch):
    folder = shutil.copytree(benchmarks.ASSETS, tmp_path / "assets")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(glyphs, "letters", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rebuild_mixdigits(folder, recipe=SMOKE, count=5)
    assert benchmarks.load("mixdigits", folder=folder).fingerprint == benchmarks.load("mixdigits").fingerprint


def test_rebuild_into_a_folder_that_cannot_be_written_ends_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    from alkit.study import cli

    monkeypatch.setattr(ambiguous, "build", lambda *_, **__: pytest.fail("trained"))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    (tmp_path / "file").write_text("mine")
    for benchmark in ("mixdigits", "mixmnist"):
        for into in (closed, closed / "new", tmp_path / "file", tmp_path / "file" / "below"):
            assert cli.main(["data", "--rebuild", benchmark, "--into", str(into)]) == 2
            said = capsys.readouterr().err
            assert f"cannot write to {into}" in said and "choose another folder (--into)" in said
            assert len(said.splitlines()) == 1
    assert not list(closed.iterdir()) and (tmp_path / "file").read_text() == "mine"


def test_provenance_of_a_benchmark_without_generated_images_is_refused():
    with pytest.raises(ValueError, match="no image of 'mixcifar60-scenes' was generated; mixdigits and mixmnist have"):
        benchmarks.provenance("mixcifar60-scenes")


def test_no_module_of_the_benchmarks_takes_anothers_private_name():
    """A private name that two modules share has no home."""
    import ast
    from pathlib import Path

    folder = Path(benchmarks.__file__).parent
    modules = {path.stem for path in folder.rglob("*.py")}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not [alias.name for alias in node.names if alias.name.startswith("_")], path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                assert not node.attr.startswith("_"), (path, node.attr)
