"""The reference line BoSS: which proposed batch it takes, and that hidden labels reach it in the loop alone."""

import csv
import dataclasses
import io
from itertools import islice

import numpy as np
import pytest
from conftest import tables, tiny, tiny_benchmark
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from alkit import acquisition, experiment, learners, recipes, rng
from alkit.acquisition import references
from alkit.benchmarks import ID
from alkit.experiment import best_of, loop


@pytest.fixture
def stage(tmp_path):
    """A view of the tiny pool after its initial labels, made anew at each call, the pool, and the recipe."""
    cell, benchmark = tiny("probe", "boss"), tiny_benchmark()
    learner = learners.Probe(loop.setting_of(cell, root=tmp_path / "stage", benchmark=benchmark))
    answers_N = loop.initial_answers(cell)
    learner.fit(answers_N, 0)
    shown = learner.show()

    def view(answers_N=answers_N):
        stream = np.random.default_rng(3)
        return acquisition.View(
            shown.features_ND, shown.probs_NC, answers_N, benchmark.n_classes, 4, stream, shown.head
        )

    return view, benchmark.pool, recipes.changed(cell.recipe, {})


def batches(view, pool, wanted):
    return [list(islice((i for i in order if pool.category_N[i] == ID), wanted))
            for order in references.proposals(view)]  # fmt: skip


def test_batch_is_the_proposal_after_which_the_classifier_is_best_on_what_is_left(stage):
    make, pool, recipe = stage
    view, judged = make(), []
    unit = normalize(view.head.features_ND)
    known = [i for i in np.flatnonzero(view.answers_N >= 0) if view.answers_N[i] < view.n_classes]
    for batch in batches(make(), pool, 4):
        rows = [*known, *batch]
        rest = [i for i in view.unlabelled if pool.category_N[i] == ID and i not in batch]
        with threadpool_limits(1):
            fitted = LogisticRegression(C=recipe.probe_c, tol=1e-8, max_iter=10_000)
            fitted.fit(unit[rows].astype(float), pool.labels_N[rows])
        judged.append((fitted.predict(unit[rest]) == pool.labels_N[rest]).mean())
    assert len(judged) == 20 and len(set(judged)) > 3
    assert best_of.best_batch(make(), 4, pool, recipe) == batches(make(), pool, 4)[int(np.argmax(judged))]


def test_proposals_are_ten_strategies_on_two_parts_and_go_on_over_the_whole_pool(stage):
    view = stage[0]()
    orders = references.proposals(view)
    assert len(orders) == 20 and len(set(references.PROPOSERS)) == 10
    for items in orders:
        assert sorted(items) == view.unasked.tolist()
    few = dataclasses.replace(view, candidates_N=np.arange(len(view.answers_N)) == view.unasked[0])
    assert [list(items) for items in references.proposals(few)] == [[int(view.unasked[0])]] * 20


def test_the_last_batch_is_all_that_is_left(stage):
    make, pool, recipe = stage
    left = np.flatnonzero((pool.category_N == ID) & (make().answers_N < 0))
    answers_N = np.where(pool.category_N == ID, pool.labels_N, 3).astype(np.int64)
    answers_N[left[:3]] = -1
    assert sorted(best_of.best_batch(make(answers_N), 4, pool, recipe)) == sorted(left[:3].tolist())


def test_other_hidden_labels_make_another_batch_the_best(stage):
    make, pool, recipe = stage
    hidden = np.flatnonzero((make().answers_N < 0) & (pool.category_N == ID))
    labels_N = pool.labels_N.copy()
    labels_N[hidden] = np.random.default_rng(0).permutation(labels_N[hidden])
    other = dataclasses.replace(pool, labels_N=labels_N)
    assert best_of.best_batch(make(), 4, other, recipe) != best_of.best_batch(make(), 4, pool, recipe)


def test_runs_buy_the_best_batch_and_are_alike(stage, tmp_path):
    make, pool, recipe = stage
    bought = []
    for root in (tmp_path / "one", tmp_path / "other"):
        records = experiment.finish(tiny("probe", "boss"), root=root)
        assert [r["n_id"] for r in records] == [8, 12, 16, 20]
        rows = csv.DictReader(io.StringIO(tables(root)["picks.csv"].decode()))
        bought.append([int(row["index"]) for row in rows if row["stage"] != "0"])
    assert bought[0] == bought[1] and len(bought[0]) == 12
    stream = rng.numpy_stream(tiny("probe", "boss").seed, "strategy", 1)
    view = dataclasses.replace(make(), rng=stream)
    assert bought[0][:4] == best_of.best_batch(view, 4, pool, recipe)
