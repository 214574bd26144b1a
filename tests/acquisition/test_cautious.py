"""cautious_coverage: its parts against plain code, and that it does what it claims; its answers within a stage."""

import functools
import inspect
import itertools

import numpy as np
import pytest
from conftest import register, run_folder, tables, tiny
from reference import ours as references_ours
from scipy.special import expit

from alkit import acquisition, experiment
from alkit.acquisition import View, cautious, registry
from alkit.acquisition._neighbourhood import Purity, graph, most_probable, nearest_neighbours
from alkit.study.analysis import toy_pool

order = functools.partial(acquisition.order, auxiliary_filter=False)  # definitions know no filter

N_CLASSES = 2


def crowd(seed=0):
    """Two classes, an OoD cluster as large, and thin ambiguous samples between the classes; labels and kinds."""
    rng = np.random.default_rng(seed)
    directions = np.eye(8)
    parts = [directions[k] + 0.1 * rng.normal(size=(60, 8)) for k in (0, 1, 2)]
    between = (directions[0] + directions[1]) / 2 + 0.25 * rng.normal(size=(40, 8))
    labels = np.repeat([0, 1, 2, 2], [60, 60, 60, 40])
    return np.concatenate([*parts, between]).astype(np.float32), labels, np.repeat([0, 0, 2, 1], [60, 60, 60, 40])


def view_of(features, answers, *, probs=None, quota=10, live=None):
    probs = np.full((len(answers), N_CLASSES + 1), 1 / 3, np.float32) if probs is None else probs
    return View(features, probs, answers, N_CLASSES, quota, np.random.default_rng(0), live_N=live)


def ask(features, labels, answers, questions, *, options=None, **more):
    """Positions asked, with every answer given as soon as the question is put."""
    live, asked = answers.copy(), []
    view = view_of(features, answers, live=live, **more)
    for index in itertools.islice(order("cautious_coverage", view, **(options or {})), questions):
        live[index] = labels[index]
        asked.append(index)
    return np.array(asked)


def stage_of_toy(answered, quota, seed=5):
    """A view of the toy pool with so many samples answered at random, its live answers, and what they will be."""
    pool = toy_pool.pool(seed)
    answers = np.full(len(pool.labels_N), -1)
    some = np.random.default_rng(seed).permutation(len(answers))[:answered]
    answers[some] = pool.labels_N[some]
    if answered:
        return toy_pool.view(pool, answers, quota, seed, 1), answers, pool.labels_N
    probs = np.full((len(answers), toy_pool.N_CLASSES + 1), 0.25, np.float32)
    view = View(
        pool.features_N3, probs, answers.copy(), toy_pool.N_CLASSES, quota, np.random.default_rng(2), live_N=answers
    )
    return view, answers, pool.labels_N


def answered_in_turn(questions, live, labels, count):
    asked = []
    for index in itertools.islice(questions, count):
        live[index] = labels[index]
        asked.append(index)
    return asked


@pytest.mark.parametrize(
    "options", [{}, {"caution": 2.0}, {"doubt": 0.0}, {"neighbours": 1}, {"candidates": 60}], ids=str
)
@pytest.mark.parametrize(("answered", "quota"), [(0, 9), (15, 10), (80, 10), (200, 100)])
def test_picks_are_those_of_the_strategy_as_it_was_frozen(answered, quota, options):
    """What was added since must not change one pick, up to the last of the pool."""
    count = 700 if "candidates" in options else 250
    one, other = (stage_of_toy(answered, quota) for _ in range(2))
    now = answered_in_turn(order("cautious_coverage", one[0], **options), *one[1:], count)
    frozen = answered_in_turn(references_ours.frozen(other[0], **options), *other[1:], count)
    assert now == frozen and len(now) == min(count, 640 - answered)


def test_the_algorithm_is_forty_lines_at_most():
    lines = inspect.getsource(cautious.moments).splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 120


@pytest.mark.parametrize("gates", ["answers", "density"])
def test_a_gate_alone_knows_one_kind_of_junk(gates):
    features, labels, kinds = crowd()
    purity = Purity(*nearest_neighbours(features, 20), np.random.default_rng(0), gates=gates)
    answered = np.zeros(len(labels), bool)
    answered[[0, 1, 60, 61, 120, 121]] = True
    is_id, is_other = answered & (kinds == 0), answered & (kinds != 0)
    iD, ambiguous, ood = (purity(is_id, is_other)[~answered & (kinds == kind)] for kind in range(3))
    if gates == "answers":
        np.testing.assert_array_equal(purity(is_id & False, is_other & False), 0.5)  # nothing is known before an answer
        assert ood.max() < iD.min()
    else:
        assert ambiguous.mean() < iD.mean() - 0.2 and abs(ood.mean() - iD.mean()) < 0.1
        before = purity(is_id, is_other)
        np.testing.assert_array_equal(purity(is_other, is_id), before)  # whatever was answered


def test_answers_kept_to_the_end_of_the_stage_change_nothing_within_it():
    features, labels, kinds = crowd()
    answers = np.full(len(labels), -1)
    answers[:180:13] = labels[:180:13]
    later, unheard = (ask(features, told, answers, 40, options={"at_once": False}) for told in (labels, 0 * labels))
    np.testing.assert_array_equal(later, unheard)
    assert not np.array_equal(later, ask(features, labels, answers, 40))
    nobody = list(itertools.islice(order("cautious_coverage", view_of(features, answers)), 40))
    np.testing.assert_array_equal(later, nobody)  # what it does where nobody answers


def test_a_moment_is_what_the_next_question_was_chosen_by():
    view, live, labels = stage_of_toy(30, 10)
    nodes = np.random.default_rng(0).permutation(view.unasked)
    for number, moment in enumerate(itertools.islice(cautious.moments(view, nodes, caution=2.0), 12)):
        score = (moment.gain_M + 1e-12) * moment.purity_M**2
        asked = live[nodes] != -1
        assert moment.asked == np.where(asked, -1, score).argmax() and asked.sum() == number
        np.testing.assert_array_equal(moment.is_id_M | moment.is_other_M, asked)
        assert (moment.covered_M[moment.is_id_M] == 1).all()
        live[nodes[moment.asked]] = labels[nodes[moment.asked]]


@pytest.mark.parametrize("n", [1, 2, 7, 300])
def test_nearest_neighbours_are_those_of_all_cosines(n):
    rows = np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32)
    similarity, index = nearest_neighbours(rows, 6)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    assert similarity.shape == index.shape == (n, min(6, n - 1))
    np.testing.assert_allclose(similarity, -np.sort(-cosine, axis=1)[:, : min(6, n - 1)], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(cosine, index, axis=1), similarity, atol=1e-5)
    edges = graph(similarity, index)
    assert (edges != edges.T).nnz == 0 and not edges.diagonal().any()


def test_purity_knows_ood_from_answers_and_ambiguous_from_density():
    features, labels, kinds = crowd()
    purity = Purity(*nearest_neighbours(features, 20), np.random.default_rng(0))
    nothing = np.zeros(len(labels), bool)
    before = purity(nothing, nothing)
    assert before[kinds == 1].mean() < before[kinds == 0].mean() - 0.2  # nothing is answered yet
    answered = np.zeros(len(labels), bool)
    answered[[0, 1, 60, 61, 120, 121]] = True
    after = purity(answered & (kinds == 0), answered & (kinds != 0))
    assert after[kinds == 2].max() < after[kinds == 0].min()
    assert abs(before[kinds == 2].mean() - before[kinds == 0].mean()) < 0.1  # it took the answers


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_calibration_moves_the_purity_to_what_the_answers_say(share):
    """Features that tell nothing, with a share of iD answers far from what (1, 1, 0) expects."""
    rng = np.random.default_rng(1)
    purity = Purity(*nearest_neighbours(rng.normal(size=(600, 6)).astype(np.float32), 20), rng)
    is_id, answered = rng.random(600) < share, np.arange(600) < 300
    given = answered & is_id, answered & ~is_id

    def loss():
        p = purity(*given)[300:]
        return -np.where(is_id[300:], np.log(p), np.log(1 - p)).mean()

    before = loss()
    purity.calibrate(*given)
    assert loss() < before - 0.02
    weights = purity.weights.copy()
    purity.calibrate(np.arange(600) < 19, np.zeros(600, bool))  # too few to say anything
    np.testing.assert_array_equal(purity.weights, weights)


@pytest.mark.parametrize("sure", [1, 30, 1000])
def test_calibration_finds_the_most_probable_weights_however_wrong_the_prior_was(sure):
    """Where the prior is sure and wrong there is next to no curvature: whole Newton steps end anywhere but there."""
    rng = np.random.default_rng(sure)
    inputs = np.stack([sure * rng.normal(size=80), rng.standard_t(2, 80), np.ones(80)], axis=1)
    target, prior = rng.random(80) < expit(-inputs[:, 0] / sure), np.array([1.0, 1.0, 0.0])
    found = most_probable(inputs, target, prior)
    np.testing.assert_allclose(found, references_ours.most_probable(inputs, target, prior), atol=1e-5)
    slope = inputs.T @ (expit(inputs @ found) - target) + found - prior
    assert np.abs(slope).max() < 1e-6 * sure


def test_first_pick_is_the_largest_score_by_plain_code():
    features, labels, _ = crowd()
    rng = np.random.default_rng(3)
    probs = rng.dirichlet(np.ones(3), len(labels)).astype(np.float32)
    answers = np.full(len(labels), -1)
    answers[:180:13] = labels[:180:13]
    pick = next(order("cautious_coverage", view_of(features, answers, probs=probs), neighbours=20))

    similarity, index = nearest_neighbours(features, 20)
    edges = graph(similarity, index).toarray() + np.eye(len(labels))
    is_id = (answers == 0) | (answers == 1)
    p = Purity(similarity, index, rng)(is_id, answers == 2)  # fewer answers than calibration takes
    two = probs[:, :2] / probs[:, :2].sum(axis=1, keepdims=True)
    doubt = np.maximum(1 - abs(two[:, 0] - two[:, 1]), 0.05) ** 3
    covered, free = edges[is_id].max(axis=0), answers == -1
    gain = [(np.maximum(row - covered, 0) * p * doubt * free).sum() for row in edges]
    assert pick == np.where(free, p * gain, -1).argmax()


def test_gains_kept_up_within_a_stage_are_those_computed_anew():
    """Of a quota below 20 every answer refreshes all; a quota of 100 makes it go 5 answers on updates alone."""
    features, labels, kinds = crowd()
    answers, all_id = np.full(len(labels), -1), np.where(kinds == 0, labels, 0)
    probs = np.full((len(labels), 3), 1 / 3, np.float32)
    always, seldom = (ask(features, all_id, answers, 5, probs=probs, quota=quota) for quota in (10, 100))
    assert len(set(always)) == len(set(seldom)) == 5
    assert {tuple(features[i]) for i in seldom} == {tuple(features[i]) for i in set(seldom.tolist())}
    assert {labels[i] for i in seldom} == {0, 1, 2}  # covers what is not covered


def test_answers_within_a_stage_turn_it_away_from_an_ood_cluster():
    features, labels, kinds = crowd()
    nothing = np.full(len(labels), -1)
    told, untold = ask(features, labels, nothing, 40), ask(features, np.zeros_like(labels), nothing, 40)
    second_told, second_untold = (np.flatnonzero(kinds[asked] == 2)[1] for asked in (told, untold))
    assert second_told >= 2 * second_untold
    assert (kinds[told] != 0).sum() <= 0.6 * (kinds[untold] != 0).sum()
    assert {0, 1} <= set(labels[told])


def test_where_nobody_answers_an_asked_sample_counts_as_id():
    features, labels, _ = crowd()
    nothing = np.full(len(labels), -1)
    picks = list(itertools.islice(order("cautious_coverage", view_of(features, nothing)), 30))
    assert len(set(labels[picks[:6]])) == 3  # spread, not one place


def test_samples_beyond_the_candidates_come_last_and_none_is_lost():
    features, labels, _ = crowd()
    answers = np.full(len(labels), -1)
    answers[:20] = labels[:20]
    picks = list(order("cautious_coverage", view_of(features, answers, quota=1), candidates=30))
    assert sorted(picks) == list(range(20, 220))


@pytest.mark.parametrize(
    ("option", "value"), [("doubt", -1.0), ("caution", -0.1), ("neighbours", 0), ("candidates", 0)]
)
def test_options_out_of_range_are_refused(option, value):
    kind = "number from 0" if option in ("doubt", "caution") else "whole number from 1"
    with pytest.raises(ValueError, match=f"{option} of strategy 'cautious_coverage' must be a {kind} up, got {value}"):
        order("cautious_coverage", None, **{option: value})


@pytest.mark.parametrize(
    ("option", "value", "wanted"),
    [("gates", "none", "one of both, answers, density"), ("at_once", 1, "True or False")],
)
def test_options_of_another_kind_are_refused(option, value, wanted):
    with pytest.raises(ValueError, match=f"{option} of strategy 'cautious_coverage' must be {wanted}, got {value!r}"):
        acquisition.check_options("cautious_coverage", {option: value})


def test_live_answers_must_begin_as_the_stages_answers():
    features, labels, _ = crowd()
    with pytest.raises(ValueError, match="live answers must begin as the stage's answers"):
        view_of(features, np.full(len(labels), -1), live=labels)


def test_loop_shows_each_answer_once_the_strategy_is_resumed(tmp_path, monkeypatch):
    register()
    monkeypatch.setattr(registry, "STRATEGIES", dict(acquisition.STRATEGIES))
    heard, pool = [], experiment.benchmark_of(tiny()).pool

    @acquisition.strategy("listening", citation="none", needs=())
    def listening(view):
        for index in view.unasked.tolist():
            assert view.live_N[index] == -1
            yield index
            assert view.answers_N[index] == -1
            heard.append(view.live_N[index] == pool.labels_N[index])

    experiment.finish(tiny(strategy="listening"), root=tmp_path)
    assert heard and all(heard)


@pytest.mark.parametrize("strategy", ["random", "cautious_coverage", "oracle_random"])
def test_strategy_may_buy_the_initial_set_and_pays_for_it(strategy, tmp_path):
    register()
    cell = tiny("probe", strategy, initial="strategy")
    records = experiment.finish(cell, root=tmp_path)
    shared = experiment.finish(tiny("probe", strategy), root=tmp_path / "shared")
    assert [r["n_id"] for r in records] == [r["n_id"] for r in shared]
    assert all(r["cost"] == r["n_id"] + r["n_ambiguous"] + r["n_ood"] for r in records)
    assert {r["initial_hash"] for r in records}.isdisjoint(r["initial_hash"] for r in shared)
    if strategy == "oracle_random":
        assert records[-1]["cost"] == records[-1]["n_id"]  # the floor itself


def test_run_that_bought_its_initial_set_goes_on_where_it_stopped(tmp_path):
    register()
    cell = tiny("probe", "cautious_coverage", initial="strategy")
    whole = experiment.finish(cell, root=tmp_path / "whole")
    for _ in range(len(whole)):
        run = experiment.run(cell, root=tmp_path / "parts")
        for _ in range(run_stages(tmp_path / "parts") + 1):
            next(run)
        run.close()
    assert tables(tmp_path / "parts") == tables(tmp_path / "whole")


def run_stages(root):
    """Stages on disk below `root`."""
    return len((run_folder(root) / "stages.csv").read_text().splitlines()) - 1 if root.exists() else 0


def test_learner_without_features_before_a_label_cannot_buy_the_initial_set(tmp_path):
    register()
    with pytest.raises(ValueError, match="learner 'supervised' has no features before a label"):
        experiment.finish(tiny("supervised", "random", initial="strategy"), root=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
