"""The variants of MixDigits: what is in them, that each is one fixed pool, and that nothing leaks between its parts."""

import numpy as np
import pytest

from alkit import benchmarks, experiment, recipes
from alkit.benchmarks import AMBIGUOUS, ID, NO_VOTE, OOD, ambiguous, harder_mixdigits
from alkit.benchmarks.sources import catalogue
from alkit.experiment import Cell, Oracle

FINGERPRINTS = {
    "id90": "bcf36902", "id50": "f2499a98", "id30": "8fb30c31", "id10": "a9410ac8", "ambiguous_heavy": "1af802d8",
    "ood_heavy": "b1d4ee9a", "near_ood": "ad9d7c06", "two_classes": "a95c4565", "errors5": "57b503f5",
}  # fmt: skip
COMPOSITIONS = {  # iD, ambiguous, OoD, test
    "id90": (1297, 72, 72, 500), "id50": (648, 324, 324, 500), "id30": (278, 324, 324, 500),
    "id10": (72, 324, 324, 500), "ambiguous_heavy": (324, 324, 40, 500), "ood_heavy": (324, 40, 324, 500),
    "near_ood": (650, 58, 647, 251), "two_classes": (258, 86, 86, 99), "errors5": (1284, 316, 345, 500),
}  # fmt: skip


@pytest.fixture(scope="module")
def mixdigits():
    return benchmarks.load("mixdigits")


@pytest.fixture(scope="module")
def pools():
    return {name: benchmarks.load(f"mixdigits-{name}") for name in harder_mixdigits.VARIANTS}


@pytest.fixture(params=list(FINGERPRINTS))
def name(request):
    return request.param


def rows_in(benchmark, pool):
    """Positions in `pool` of the images of a benchmark's pool."""
    place = {image.tobytes(): row for row, image in enumerate(pool.images_NCHW)}
    return np.array([place[image.tobytes()] for image in benchmark.pool.images_NCHW])


def test_every_variant_is_tested_here():
    assert list(FINGERPRINTS) == list(COMPOSITIONS) == list(harder_mixdigits.VARIANTS)


def test_variant_has_the_stated_composition_and_its_name(pools, name):
    pool = pools[name]
    counts = np.bincount(pool.pool.category_N, minlength=3)
    assert (*counts, len(pool.test_labels_M)) == COMPOSITIONS[name]
    assert pool.name == f"mixdigits-{name}" == benchmarks.load("mixdigits", variant=name).name
    if name.startswith("id"):
        assert 100 * counts[ID] / counts.sum() == pytest.approx(int(name[2:]), abs=0.05)
        assert abs(int(counts[AMBIGUOUS]) - int(counts[OOD])) == 0


def test_fingerprint_is_the_published_one_whatever_the_order_of_the_source(pools, name, monkeypatch):
    """If this fails on purpose, every committed result of the variant has to be made again."""
    assert pools[name].fingerprint.startswith(FINGERPRINTS[name])
    images, labels = catalogue.digits()
    monkeypatch.setattr(catalogue, "digits", lambda: (images[::-1], labels[::-1]))
    assert benchmarks.load(f"mixdigits-{name}").fingerprint == pools[name].fingerprint


def test_images_are_mixdigits_own_and_stay_in_their_part(pools, mixdigits, name):
    pool, source = pools[name], {part: set() for part in ("pool", "test")}
    for part, images in (("pool", mixdigits.pool.images_NCHW), ("test", mixdigits.test_images_MCHW)):
        source[part] |= {image.tobytes() for image in images}
    assert {image.tobytes() for image in pool.pool.images_NCHW} <= source["pool"]
    assert {image.tobytes() for image in pool.test_images_MCHW} <= source["test"]
    rows = rows_in(pool, mixdigits.pool)
    assert (np.diff(rows) > 0).all()  # in MixDigits' order, each once: a position tells nothing about a category
    assert np.array_equal(pool.pool.source_N, mixdigits.pool.source_N[rows])


def test_labels_are_the_digits_and_the_auxiliary_class_for_all_others(pools, mixdigits, name):
    """Of the pool by what MixDigits says of the same image, but for the annotator's errors; of the test set always."""
    made, rows = pools[name], rows_in(pools[name], mixdigits.pool)
    k, named = made.n_classes, np.array([*made.class_names, "junk"])
    assert (made.pool.labels_N[made.pool.category_N != ID] == k).all()
    assert set(made.pool.labels_N[made.pool.category_N == ID]) == set(range(k)) == set(made.test_labels_M)
    digit_of = {
        image.tobytes(): str(label)
        for image, label in zip(mixdigits.test_images_MCHW, mixdigits.test_labels_M, strict=True)
    }
    assert [digit_of[image.tobytes()] for image in made.test_images_MCHW] == list(named[made.test_labels_M])
    if name != "errors5":
        was = np.array([*mixdigits.class_names, "junk"])[mixdigits.pool.labels_N[rows]]
        expected = np.where(np.isin(was, made.class_names), was, "junk")
        assert np.array_equal(named[made.pool.labels_N], expected)


def test_votes_and_parents_follow_their_images(pools, mixdigits, name):
    made, rows = pools[name], rows_in(pools[name], mixdigits.pool)
    voted = np.array([*mixdigits.class_names])
    own, before = made.votes_NV, mixdigits.votes_NV[rows]
    assert ((own == NO_VOTE) == ~np.isin(np.append(voted, "")[np.minimum(before, 10)], made.class_names)).all()
    cast = own != NO_VOTE
    assert np.array_equal(np.array(made.class_names)[own[cast]], voted[before[cast]])
    has = (made.parents_N2 >= 0).all(axis=1)
    assert (made.parents_N2[~has] == -1).all()
    assert np.array_equal(rows[made.parents_N2[has]], mixdigits.parents_N2[rows[has]])
    both_here = np.isin(mixdigits.parents_N2[rows], rows).all(axis=1)
    assert np.array_equal(has, both_here)


def test_ambiguous_images_lie_between_classes_that_are_id_or_look_like_one(pools):
    for name in harder_mixdigits.VARIANTS:
        pool = pools[name]
        assert ambiguous.is_ambiguous(pool.votes_NV[pool.pool.category_N == AMBIGUOUS]).all(), name
    near, two = (pool.votes_NV[pool.pool.category_N == AMBIGUOUS] for pool in (pools["near_ood"], pools["two_classes"]))
    assert (near != NO_VOTE).all() and ((two != NO_VOTE).sum(axis=1) >= 5).all()


def test_classes_keep_their_shares_where_the_id_part_is_cut(pools, mixdigits):
    whole = np.bincount(mixdigits.pool.labels_N[mixdigits.pool.category_N == ID])
    for name in harder_mixdigits.COUNTS:
        own = np.bincount(pools[name].pool.labels_N[pools[name].pool.category_N == ID])
        assert np.abs(own - whole * own.sum() / whole.sum()).max() <= 1, name


def test_smaller_pools_are_parts_of_larger_ones(pools):
    """So that what differs between the shares is the share, not the luck of another draw."""
    images = {name: {image.tobytes() for image in pool.pool.images_NCHW} for name, pool in pools.items()}
    assert images["id10"] < images["id30"] < images["id50"]


def test_far_digits_are_ood_beside_digits_that_are_id(pools):
    pool = pools["near_ood"].pool
    assert set(pool.source_N[pool.category_N == OOD]) == {"digits"} and "letters" not in pool.source_N
    test = benchmarks.counts(pools["near_ood"])[-1]
    assert test == {"part": "test", "category": "iD", "source": "digits", "images": 251}


def test_annotator_errs_on_5_percent_in_the_stated_ways(pools, mixdigits):
    pool, true = pools["errors5"].pool, mixdigits.pool
    wrong = (pool.labels_N != true.labels_N) | (pool.category_N != true.category_N)
    was_id = true.category_N == ID
    assert wrong.sum() == 97 == round(0.05 * len(pool))
    assert was_id[wrong].mean() == pytest.approx(was_id.mean(), abs=0.1)
    missed, confused = (wrong & was_id & (pool.category_N == kind) for kind in (OOD, ID))
    assert abs(int(missed.sum()) - int(confused.sum())) <= 1 and missed.sum() + confused.sum() == (wrong & was_id).sum()
    assert (pool.labels_N[confused] != true.labels_N[confused]).all()
    junk = wrong & ~was_id
    assert (pool.category_N[junk] == ID).all() and len(set(pool.labels_N[junk])) > 5
    assert benchmarks.counts(pools["errors5"])[-1]["source"] == "digits"  # of the test set: most of what is called iD


def test_oracle_answers_with_the_error_every_time(pools, mixdigits):
    pool = pools["errors5"].pool
    wrong = np.flatnonzero(pool.labels_N != mixdigits.pool.labels_N)
    oracle = Oracle(pool)
    for index in wrong:
        said = oracle.ask(int(index))
        assert (10 if said.label is None else said.label) == pool.labels_N[index] != mixdigits.pool.labels_N[index]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("mixdigits-id9", r"no variant 'id9' \(did you mean 'id90'\?\); it has: id90, id50, .*errors5"),
        ("mixdigits-scenes", "no variant 'scenes'; it has: id90"),
        ("mixdigits-id10-id30", "one of id90, .*errors5; got 'id10-id30'"),
        ("mixdigits-", "no variant ''; it has: id90"),
    ],
)
def test_unknown_variant_is_refused_with_those_there_are(asked, said):
    with pytest.raises(ValueError, match=said):
        benchmarks.load(asked)
    with pytest.raises(ValueError, match=said):
        experiment.check(Cell(asked, "laptop", "probe", "random"))


def test_a_pool_with_too_few_images_is_refused(mixdigits):
    small = harder_mixdigits.made(mixdigits, "id10")
    with pytest.raises(ValueError, match="needs 648 images of a kind of which MixDigits has 72"):
        harder_mixdigits.made(small, "id50")


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_variant_runs_at_every_profile_on_the_quotas_it_has_images_for(pools, name, profile):
    cell = Cell(f"mixdigits-{name}", profile, "probe", "random")
    experiment.check(cell, benchmark=pools[name])
    recipes.check(cell.recipe)
    own = [key for key, value in vars(cell.recipe).items() if value != vars(recipes.recipe("mixdigits", profile))[key]]
    assert set(own) <= set(recipes.QUOTAS)
    if profile == "smoke":
        assert cell.recipe.stop_id == cell.recipe.initial_id + 2 * cell.recipe.stage_id


def test_share_of_a_variant_is_a_share_of_each_of_its_kinds(pools):
    for name in ("near_ood", "errors5"):
        half = benchmarks.load(f"mixdigits-{name}", share=0.5)
        assert len(half.pool) == pytest.approx(len(pools[name].pool) / 2, abs=30)
        assert np.array_equal(half.test_labels_M, pools[name].test_labels_M)


def test_votes_of_a_rebuilt_set_come_from_mixdigits(pools):
    assert benchmarks.provenance("mixdigits-id10") == benchmarks.provenance("mixdigits")
