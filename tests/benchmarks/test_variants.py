"""Variants that every benchmark has: a long tail, and junk that becomes a class halfway through a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import tiny_benchmark

from alkit import benchmarks, experiment, learners, recipes
from alkit.benchmarks import AMBIGUOUS, ID, OOD, variants
from alkit.experiment import Cell, Oracle

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def mixdigits():
    return benchmarks.load("mixdigits")


def test_classes_of_a_long_tail_fall_geometrically_to_a_tenth_and_junk_stays(mixdigits):
    pool, whole = benchmarks.load("mixdigits-long_tail").pool, mixdigits.pool
    own, before = (np.bincount(p.labels_N[p.category_N == ID]) for p in (pool, whole))
    shares = np.sort(own / before)[::-1]
    assert np.allclose(shares, 10.0 ** (-np.arange(10) / 9), atol=0.5 / before.min())
    for kind in (AMBIGUOUS, OOD):
        assert (pool.category_N == kind).sum() == (whole.category_N == kind).sum()
    test = benchmarks.load("mixdigits-long_tail").test_labels_M
    assert np.array_equal(test, mixdigits.test_labels_M)  # whole: every class counts alike


def test_a_class_that_comes_later_is_ood_in_the_pool_and_in_the_test_set_from_the_start(mixdigits):
    made = benchmarks.load("mixdigits-new_class")
    nines = mixdigits.pool.labels_N == 9
    assert (made.pool.category_N[nines] == OOD).all() and (made.pool.labels_N[nines] == 9).all()
    assert np.array_equal(made.pool.category_N[~nines], mixdigits.pool.category_N[~nines])
    assert made.n_classes == 10 and 9 in made.test_labels_M
    assert made.fingerprint != mixdigits.fingerprint


def test_no_other_pool_has_junk_with_a_class():
    for name in ("mixdigits", *(f"mixdigits-{one}" for one in benchmarks.harder_mixdigits.VARIANTS)):
        made = benchmarks.load(name)
        assert (made.pool.labels_N[made.pool.category_N != ID] == made.n_classes).all(), name


def test_variants_end_a_name_and_one_class_cannot_come_later():
    for name, words in variants.WORDS.items():
        assert words and benchmarks.load(f"mixdigits-near_ood-{name}").name == f"mixdigits-near_ood-{name}"
    assert list(variants.WORDS) == list(variants.VARIANTS)
    with pytest.raises(ValueError, match="has 1 class, so that none of its classes can come later"):
        variants.new_class(replace(tiny_benchmark(), class_names=("one",)))


def test_quotas_of_mixcifar60_shrink_with_its_long_tail():
    quotas = [recipes.recipe(f"mixcifar60{end}", "laptop") for end in ("", "-long_tail")]
    assert [(one.initial_id, one.stage_id, one.stop_id) for one in quotas] == [(200, 450, 2000), (80, 180, 800)]


def test_declared_images_are_named_again_for_no_look_and_later_ones_when_asked():
    pool, k = benchmarks.load("mixdigits-new_class").pool, 10
    late, junk = np.flatnonzero(pool.labels_N == 9), np.flatnonzero((pool.category_N == OOD) & (pool.labels_N == k))
    oracle = Oracle(pool)
    before = [oracle.ask(index) for index in (late[0], junk[0])]
    assert [(one.label, one.kind) for one in before] == [(None, OOD), (None, OOD)] and not oracle.is_id(late[1])
    assert oracle.declare(k) == {late[0]: 9}
    assert oracle.cost == 2 and oracle.is_id(late[1]) and oracle.ask(late[1]).label == 9
    assert oracle.ask(junk[1]).kind == OOD and oracle.declare(k) == {}


CHANGES = {"initial_id": 60, "stage_id": 20, "stop_id": 140, "con_first_epochs": 1, "con_warmup": 0}


def test_a_run_learns_the_new_class_at_half_of_its_quota_and_resumes_past_it(tmp_path, monkeypatch):
    learned, fit = [], learners.get("probe").fit
    monkeypatch.setattr(learners.get("probe"), "fit", lambda self, a, *rest: (learned.append(a), fit(self, a, *rest)))
    cell = Cell("mixdigits-new_class", "smoke", "probe", "random", 0, changes=CHANGES)
    whole = experiment.finish(cell, root=tmp_path / "whole", device=CPU)
    pool = benchmarks.load("mixdigits-new_class").pool
    counts = [row["n_id"] for row in whole]
    half = next(i for i, n in enumerate(counts) if n >= 100)
    assert counts[:half] == [60, 80] and counts[half] > 100  # the nines among the junk are iD labels now
    picks = np.loadtxt(next((tmp_path / "whole").glob("cells/*/*/picks.csv")), delimiter=",", skiprows=1, dtype=str)
    bought = picks[picks[:, 0].astype(int) <= half][:, 2].astype(int)
    assert counts[half] - 100 == (pool.labels_N[bought] == 9).sum() > 0
    nines = [int((answers_N == 9).sum()) for answers_N in learned]
    assert nines[:half] == [0] * half and nines[half] == counts[half] - 100 and nines[-1] >= nines[half]

    for row in experiment.run(cell, root=tmp_path / "cut", device=CPU):
        if row["stage"] == half:
            break
    again = experiment.finish(cell, root=tmp_path / "cut", device=CPU)
    assert [r["accuracy"] for r in again] == [r["accuracy"] for r in whole] and [r["n_id"] for r in again] == counts
