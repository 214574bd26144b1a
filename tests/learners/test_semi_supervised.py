"""The semi-supervised learner: where it starts, what becomes a pseudo-label, and what a fit depends on."""

import math

import numpy as np
import pytest
import torch
from conftest import TINY, tiny, tiny_benchmark

from alkit import augment, experiment, models, rng
from alkit.learners import Supervised, semi_supervised
from alkit.learners.representation import first_features, first_representation
from alkit.learners.semi_supervised import SemiSupervised, cycled, neighbours

POOL = tiny_benchmark().pool
K = 3


def make(root, *, seed=0, options=None, **changes):
    setting = experiment.setting_of(tiny("semi_supervised", seed=seed, changes=changes), root=root)
    return SemiSupervised(setting, **(options or {}))


def answers(n=40, seed=1):
    """Answers for `n` random positions."""
    given = np.full(140, -1, dtype=np.int64)
    asked = np.random.default_rng(seed).permutation(140)[:n]
    given[asked] = POOL.labels_N[asked]
    return given


def found(learner, given, stage=0):
    """(rows, labels) of the pseudo-labels of a fitted learner."""
    return tuple(part.numpy() for part in learner._pseudo_labels(given, stage))


def scores(learner):
    shown = learner.show()
    return np.concatenate([shown.features_ND, shown.probs_NC], axis=1)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_starts_between_fresh_and_stage_0_weights(share, tmp_path):
    learner = make(tmp_path, semi_share=share)
    first = first_representation(learner.setting)[0].encoder
    fresh = models.encoder(TINY, 1, seed=rng.integer(0, "model", 2))
    start = learner._start(2)
    for ours, theirs, new in zip(start.encoder.parameters(), first.parameters(), fresh.parameters(), strict=True):
        assert torch.allclose(ours, share * theirs + (1 - share) * new, atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(start.encoder.buffers(), first.buffers(), strict=True))
    assert start.linear.out_features == K + 1


def test_fit_depends_on_answers_stage_and_seed_alone(tmp_path):
    given = answers()
    fresh, used = make(tmp_path), make(tmp_path)
    used.fit(answers(60, seed=5), 0)
    for each in (fresh, used):
        each.fit(given, 1)
    assert np.array_equal(scores(fresh), scores(used))
    used.fit(given, 2)
    assert not np.array_equal(scores(fresh), scores(used))
    other = make(tmp_path, seed=1)
    other.fit(given, 1)
    assert not np.array_equal(scores(fresh), scores(other))


def test_shows_stage_0_features_before_anything_is_labelled(tmp_path):
    learner = make(tmp_path)
    shown = learner.first_shown()
    assert np.array_equal(shown.features_ND, first_features(learner.setting, "encoder")[1])
    assert np.allclose(shown.probs_NC, 1 / (K + 1))


def test_pseudo_labels_are_images_that_nobody_labelled_on_which_graph_and_net_agree(tmp_path):
    learner, given = make(tmp_path), answers()
    learner.fit(given, 0)
    rows, labels = found(learner, given)
    assert len(rows) == len(set(rows.tolist())) > 10 and (given[rows] < 0).all()
    spread_NC, probs_NC = learner._spread(given), learner.show().probs_NC
    assert np.array_equal(labels, spread_NC[rows].argmax(1)) and np.array_equal(labels, probs_NC[rows].argmax(1))
    assert (labels == POOL.labels_N[rows]).mean() > 0.7


def test_the_clearest_are_kept_equally_many_of_each_class_and_of_non_id_the_mean_of_a_class(tmp_path):
    learner, given = make(tmp_path), answers()
    learner.fit(given, 0)
    mass_NC, net_N = learner._spread(given), learner.show().probs_NC.argmax(1)
    clear_N, name_N = mass_NC.max(1) / np.maximum(mass_NC.sum(1), 1e-12), mass_NC.argmax(1)
    agreed_N = (given < 0) & (clear_N > 0) & (net_N == name_N)
    wanted = math.ceil(TINY.semi_kept * (agreed_N & (name_N < K)).sum() / K)
    rows, labels = found(learner, given)
    for label in range(K):
        before, kept = np.flatnonzero(agreed_N & (name_N == label)), rows[labels == label]
        assert len(kept) == min(wanted, len(before)) > 0 and set(kept) <= set(before)
        assert clear_N[np.setdiff1d(before, kept)].max(initial=0) <= clear_N[kept].min()
    assert (labels == K).sum() == round((labels < K).sum() / K) > 0  # of more that were clear


def test_no_more_than_the_wanted_part_of_the_pool_is_looked_at_and_another_at_each_stage(tmp_path):
    learner, given = make(tmp_path, semi_looked=30, semi_kept=1.0), answers()
    learner.fit(given, 0)
    first, second = (set(found(learner, given, stage)[0].tolist()) for stage in (0, 1))
    assert 0 < len(first) <= 30 and 0 < len(second) <= 30 and first != second
    assert first == set(found(learner, given, 0)[0].tolist())


def test_labels_spread_to_each_image_from_its_side_of_the_graph(tmp_path, monkeypatch):
    """Two far groups of points: each takes the one label given in it, non-iD included, whatever the net says."""
    learner = make(tmp_path)
    stream = np.random.default_rng(0)
    group_N = np.arange(140) % 2
    points_ND = np.eye(4, dtype=np.float32)[group_N] + 0.05 * stream.normal(size=(140, 4)).astype(np.float32)
    monkeypatch.setattr(semi_supervised, "first_features", lambda *_: (None, points_ND))
    given = np.full(140, -1)
    given[[0, 1]] = [2, K]
    mass_NC = learner._spread(given)
    reached = mass_NC.sum(1) > 0
    assert reached.mean() > 0.9 and np.array_equal(mass_NC[reached].argmax(1), np.where(group_N, K, 2)[reached])
    assert not mass_NC[:, [0, 1]].any()


def test_neighbours_are_the_nearest_others_across_chunks(monkeypatch):
    monkeypatch.setattr(semi_supervised, "ROWS", 7)
    points_ND = torch.randn(40, 5, generator=rng.torch_stream(0, "test"))
    similarity_Nk, index_Nk = neighbours(points_ND, 6)
    unit_ND = points_ND.numpy() / np.linalg.norm(points_ND.numpy(), axis=1, keepdims=True)
    all_NN = unit_ND @ unit_ND.T
    np.fill_diagonal(all_NN, -np.inf)
    assert np.array_equal(index_Nk.numpy(), np.argsort(-all_NN, axis=1)[:, :6])
    assert np.allclose(similarity_Nk.numpy(), -np.sort(-all_NN, axis=1)[:, :6], atol=1e-6)
    assert neighbours(points_ND[:3], 6)[1].shape == (3, 2)


def test_neighbours_are_found_once_for_all_learners_of_a_seed(tmp_path, monkeypatch):
    searched, search = [], semi_supervised.neighbours
    monkeypatch.setattr(semi_supervised, "neighbours", lambda *a: (searched.append(a[1]), search(*a))[1])
    for changes in ({}, {"semi_kept": 0.3}, {"semi_neighbours": 5}):
        make(tmp_path, **changes).fit(answers(), 0)
    assert searched == [TINY.semi_neighbours, 5]


def test_each_part_trains_on_its_images_with_affine_views_unless_told_otherwise(tmp_path, monkeypatch):
    make(tmp_path).first_shown()  # trains the representation, which augments too
    seen, labelled = [], augment.labelled
    monkeypatch.setattr(augment, "labelled", lambda *a: (seen.append((len(a[0]), a[3])), labelled(*a))[1])
    steps = math.ceil(TINY.semi_views / TINY.semi_batch)
    for options, kind in (({}, "affine"), ({"augment": "none"}, "none")):
        history = make(tmp_path, options=options).fit(answers(), 0)
        assert seen == [(TINY.semi_batch, kind)] * 2 * steps
        assert [row["part"] for row in history] == ["labelled", "pseudo-labelled"]
        seen.clear()


def test_a_pool_with_nothing_left_to_ask_has_no_second_part(tmp_path):
    learner = make(tmp_path)
    assert [row["part"] for row in learner.fit(POOL.labels_N.copy(), 0)] == ["labelled"]
    assert np.isfinite(scores(learner)).all()


@pytest.mark.parametrize(("n", "wanted"), [(5, 3), (5, 5), (5, 12), (1, 4)])
def test_cycled_shows_every_position_equally_often_up_to_one(n, wanted):
    positions = cycled(n, wanted, rng.torch_stream(0, "test"))
    counts = np.bincount(positions.numpy(), minlength=n)
    assert len(positions) == wanted and counts.max() - counts.min() <= 1


def test_learns_the_tiny_pool_better_than_the_classifier_from_scratch(tmp_path):
    pool, given = tiny_benchmark(), answers(24, seed=3)
    test = torch.from_numpy(pool.test_images_MCHW.copy())
    accuracies = []
    for learner in (make(tmp_path), Supervised(make(tmp_path, sup_epochs=100).setting, augment="affine")):
        learner.fit(given, 0)
        accuracies.append((learner.predict(test)[:, :K].argmax(1) == pool.test_labels_M).mean())
    assert accuracies[0] > max(0.9, accuracies[1])


@pytest.mark.parametrize("strategy", ["badge", "distance_cl"])
def test_runs_in_the_loop_and_a_strategy_may_choose_the_initial_set(strategy, tmp_path):
    records = experiment.finish(tiny("semi_supervised", strategy, initial="strategy"), root=tmp_path)
    assert [record["n_id"] for record in records] == [8, 12, 16, 20]
