"""Cost models: prices by hand, candidate sets that keep their promise, and bills of a run as it was recorded."""

import numpy as np
import pytest
from conftest import tiny

from alkit.benchmarks import AMBIGUOUS, ID, OOD
from alkit.experiment import benchmark_of, costs, finish
from alkit.experiment.costs import COSTS, Asked, bill
from alkit.store import StoreError


def asked(probs_QC, answer_Q, stage_Q=None, kind_Q=None):
    n = len(answer_Q)
    stages = np.ones(n, int) if stage_Q is None else np.asarray(stage_Q)
    kinds = np.zeros(n, int) if kind_Q is None else np.asarray(kind_Q)
    return Asked(stages, np.arange(n), kinds, np.asarray(answer_Q), np.asarray(probs_QC, float))


def drawn(n, seed, n_answers=5):
    """Questions whose answers are drawn by their probabilities, in two stages of `n`, after `n` without a learner."""
    rng = np.random.default_rng(seed)
    probs_QC = rng.dirichlet(np.full(n_answers, 0.3), 3 * n)
    answer_Q = (rng.random((3 * n, 1)) > probs_QC.cumsum(1)).sum(1).clip(0, n_answers - 1)
    probs_QC[:n] = np.nan
    return asked(probs_QC, answer_Q, np.repeat([0, 1, 2], n))


def test_looks_and_seconds_are_those_of_each_kind():
    some = asked(np.full((3, 4), 0.25), [0, 3, 3], kind_Q=[ID, AMBIGUOUS, OOD])
    assert bill("looks", some).tolist() == [1, 1, 1]
    assert bill("typed", some).tolist() == [2, 6, 2]
    assert bill("typed", some, clear=1.0, ambiguous=9.0, ood=0.5).tolist() == [1, 9, 0.5]


@pytest.mark.parametrize(
    ("shown", "answer", "price"),
    [
        ([1, 0, 0, 0, 0], 0, 1),  # one candidate or not it: a bit
        ([1, 0, 0, 0, 0], 3, 1 + 2),  # four are left
        ([1, 1, 1, 0, 0], 2, 2),
        ([1, 1, 1, 0, 0], 4, 2 + 1),
        ([1, 1, 1, 1, 0], 4, np.log2(5)),  # one is left, and needs no answer
        ([1, 1, 1, 1, 1], 4, np.log2(5)),  # nobody says "none of these" when all are shown
        ([0, 0, 0, 0, 0], 4, np.log2(5)),
    ],
)
def test_bits_of_picking_from_a_set(shown, answer, price):
    assert costs.bits(np.array([shown], bool), np.array([answer])) == pytest.approx([price])


def test_yes_or_no_is_the_candidate_set_of_the_likeliest_answer():
    some = asked([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [np.nan] * 3], [0, 1, 1])
    assert bill("yes_no", some) == pytest.approx([1, 1 + 1, np.log2(3)])


def test_the_bar_is_the_quantile_that_conformal_prediction_asks_for():
    score_M = np.array([0.5, 0.1, 0.9, 0.3])
    assert costs.threshold(score_M, 0.2) == 0.9  # ceil(5 * 0.8) = 4th
    assert costs.threshold(score_M, 0.4) == 0.5
    assert costs.threshold(score_M, 0.1) == np.inf  # too few to promise that
    assert costs.threshold(score_M[:0], 0.5) == np.inf
    assert costs.threshold(score_M, 1.0) == 0.1


@pytest.mark.parametrize("miss", [0.05, 0.1, 0.3])
def test_candidate_sets_hold_the_answer_as_often_as_promised(miss):
    """Exchangeable questions: coverage lies between 1 - miss and 1 - miss + 1 / (n + 1), over many draws of both."""
    n, hits = 40, []
    for seed in range(400):
        some = drawn(n, seed)
        shown_QC, last_Q = costs.candidates(some, miss=miss), some.stage_Q == 2
        hits.append(shown_QC[last_Q, some.answer_Q[last_Q]].mean())
    error = np.std(hits) / np.sqrt(len(hits))
    assert 1 - miss - 3 * error <= np.mean(hits) <= 1 - miss + 1 / (n + 1) + 3 * error


def test_a_set_is_chosen_without_its_own_answer_or_later_ones():
    some = drawn(40, 0)
    other = asked(some.probs_QC, np.where(some.stage_Q == 2, 4, some.answer_Q), some.stage_Q)
    assert np.array_equal(costs.candidates(some), costs.candidates(other))
    assert costs.candidates(some)[some.stage_Q < 2].all()  # before there is anything to calibrate on
    assert not costs.candidates(some)[some.stage_Q == 2].all()


def test_every_cost_model_bills_every_answer_and_says_its_unit():
    some = drawn(10, 1)
    for name, model in COSTS.items():
        price_Q = bill(name, some)
        assert price_Q.shape == (30,) and (price_Q >= 0).all() and model.unit and model.words


def test_bad_names_options_and_shapes_are_refused():
    some = drawn(5, 1)
    with pytest.raises(ValueError, match="unknown cost model 'lokks' \\(did you mean 'looks'\\?\\)"):
        bill("lokks", some)
    with pytest.raises(ValueError, match="cost model 'typed' has no option 'clera' \\(did you mean 'clear'\\?\\)"):
        bill("typed", some, clera=1.0)
    with pytest.raises(ValueError, match="miss must be a number from 0 to 1"):
        bill("candidate_set", some, miss=1.5)
    with pytest.raises(ValueError, match="ambiguous must be a number"):
        bill("typed", some, ambiguous=-1.0)
    with pytest.raises(ValueError, match="each array must have a row for each question"):
        Asked(np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(3), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="stages must not fall"):
        asked(np.zeros((2, 4)), [0, 1], [1, 0])


def test_a_recorded_run_is_billed_with_what_its_learner_said_then(tmp_path):
    cell = tiny("probe", "margin", 3)
    with pytest.raises(StoreError, match="no finished run"):
        costs.recorded(cell, root=tmp_path)
    records = finish(cell, root=tmp_path)
    found = costs.recorded(cell, root=tmp_path)
    assert bill("looks", found).sum() == records[-1]["cost"]
    assert [(found.kind_Q == kind).sum() for kind in (ID, AMBIGUOUS, OOD)] == [
        records[-1][name] for name in ("n_id", "n_ambiguous", "n_ood")
    ]
    assert np.isnan(found.probs_QC[found.stage_Q == 0]).all()
    plain = costs.recorded(cell, root=tmp_path, with_probs=False)
    assert np.isnan(plain.probs_QC).all() and np.array_equal(plain.index_Q, found.index_Q)
    labels_N = benchmark_of(cell).pool.labels_N
    assert np.array_equal(found.answer_Q, labels_N[found.index_Q]) and len(set(found.index_Q)) == len(found.index_Q)
    later = found.probs_QC[found.stage_Q > 0]
    assert np.allclose(later.sum(1), 1) and len(later)
    # margin asks about the smallest margin first: of what the auxiliary class does not claim, in this order
    top = np.sort(found.probs_QC[found.stage_Q == 1], 1)
    claimed = found.probs_QC[found.stage_Q == 1].argmax(1) == found.n_answers - 1
    margins = (top[:, -1] - top[:, -2])[~claimed]
    assert len(margins) > 2 and (np.diff(margins) >= -1e-6).all()
