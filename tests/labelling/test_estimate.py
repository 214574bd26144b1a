"""The estimate is unbiased whatever is drawn and bought, and its interval covers the truth as often as it says."""

import itertools

import numpy as np
import pytest
from scipy.stats import beta

from alkit.labelling import estimate
from alkit.labelling.estimate import Answers

YES = np.ones(1, bool)


def only_tests(chance, left, is_id):
    return Answers(chance, left, is_id, [], [])


def test_tests_that_are_drawn_alike_count_alike():
    drawn_M, known_M, _ = estimate.weights(only_tests([1 / 9, 1 / 8, 1 / 7], [9, 8, 7], [True] * 3))
    assert np.allclose(drawn_M + known_M, 3)  # of 9 images


def test_weights_are_lures_where_nothing_is_bought_in_between():
    """Farquhar, Gal and Rainforth 2021, Eq. 10, as it is written."""
    n, chances = 12, [0.3, 0.02, 0.5, 0.11]
    m = len(chances)
    v = [1 + (n - m) / (n - i) * (1 / ((n - i + 1) * q) - 1) for i, q in enumerate(chances, 1)]
    drawn_M, known_M, _ = estimate.weights(only_tests(chances, n - np.arange(m), [True] * m))
    assert np.allclose((drawn_M + known_M) / n, np.array(v) / m)


def test_weighted_sums_are_unbiased_while_a_strategy_takes_images_away():
    """Over all ways that three tests can fall, by their probability, with an image bought before each."""
    value_N = np.array([0.0, 1, 5, 2, 0, 7, 1])
    favour_N = np.array([1.0, 3, 1, 4, 2, 2, 1])

    def bought_after(drawn):  # the strategy takes the lowest position that is left
        return next(i for i in range(7) if i not in drawn)

    mean = total = 0.0
    for path in itertools.permutations(range(7), 3):
        gone, bought, chances, left = set(), [], [], []
        for test in path:
            bought.append(bought_after(gone))
            gone.add(bought[-1])
            if test in gone:
                break
            rest = [i for i in range(7) if i not in gone]
            chances.append(favour_N[test] / favour_N[rest].sum())
            left.append(len(rest))
            gone.add(test)
        else:
            answers = Answers(chances, left, [True] * 3, [0, 1, 2], [True] * 3)
            drawn_M, known_M, known_L = estimate.weights(answers)
            chance = np.prod(chances)
            total += chance
            mean += chance * ((drawn_M + known_M) @ value_N[list(path)] + known_L @ value_N[bought])
    assert np.isclose(total, 1)
    assert np.isclose(mean, value_N.sum())


def test_once_every_image_is_known_the_estimate_is_the_truth():
    right_M = np.array([True, False, True, True])
    found = estimate.accuracy(only_tests([0.5, 0.2, 0.4, 1], [4, 3, 2, 1], [True] * 4), right_M, [])
    assert found.value == pytest.approx(0.75) and found.high - found.low < 1e-6


def test_the_interval_is_jeffreys_where_all_are_drawn_alike_from_many():
    left_M, right_M = 10**7 - np.arange(30), np.arange(30) >= 2
    found = estimate.accuracy(only_tests(1 / left_M, left_M, [True] * 30), right_M, [])
    assert found.value == pytest.approx(28 / 30) and found.n == 30
    assert (found.low, found.high) == pytest.approx(beta.ppf([0.05, 0.95], 28.5, 2.5), abs=0.01)


def test_an_interval_holds_its_estimate_and_has_a_width_where_all_are_right():
    left_M = 1000 - np.arange(20)
    found = estimate.accuracy(only_tests(1 / left_M, left_M, [True] * 20), [True] * 20, [])
    assert (found.value, found.high) == pytest.approx((1, 1)) and 0.85 < found.low < 0.95


def test_answers_without_a_class_do_not_count():
    left_M, is_id_M = 1000 - np.arange(20), np.arange(20) % 2 == 0
    found = estimate.accuracy(only_tests(1 / left_M, left_M, is_id_M), ~is_id_M | (np.arange(20) > 9), [])
    assert found.value == pytest.approx(0.5) and found.n == 10
    assert estimate.accuracy(only_tests([0.1], [10], [False]), [True], []) is None


def test_ninety_percent_intervals_cover_the_truth_in_about_ninety_percent():
    """A classifier that is right in 92 % of 600 iD images of 1,000, and its doubt a poor guide."""
    stream = np.random.default_rng(3)
    is_id_N, right_N = np.arange(1000) < 600, np.arange(1000) >= 48
    doubt_N = np.clip(stream.normal(np.where(right_N, 0.2, 0.4), 0.15), 0.01, 0.6)
    probs_NC = np.stack([1 - doubt_N, doubt_N * 0.6, doubt_N * 0.4], 1)
    chance_N, covered, values = estimate.proposal(probs_NC, np.arange(1000)), 0, []
    for _ in range(150):
        drawn = np.argsort(-np.log(chance_N) - stream.gumbel(size=1000))[:30]  # one after the other, by `chance_N`
        rest_M = 1 - np.append(0, np.cumsum(chance_N[drawn])[:-1])
        answers = only_tests(chance_N[drawn] / rest_M, 1000 - np.arange(30), is_id_N[drawn])
        found = estimate.accuracy(answers, right_N[drawn], [])
        covered += found.low <= 0.92 <= found.high
        values.append(found.value)
    assert 0.84 <= covered / 150 <= 0.97
    assert abs(np.mean(values) - 0.92) < 0.02


def test_classifiers_are_compared_on_the_same_replicates():
    left_M, right = 500 - np.arange(25), np.arange(25) % 5 > 0
    answers = Answers(1 / left_M, left_M, [True] * 25, [3, 25], [True, False])
    value_S, sample_RS = estimate.accuracies(answers, np.stack([right, right]), np.zeros((2, 2), bool))
    assert value_S[0] == value_S[1]
    assert np.abs(sample_RS[:, 0] - sample_RS[:, 1]).mean() < 0.2 * sample_RS[:, 0].std()


def test_likely_errors_are_drawn_more_often_junk_less_and_every_image_sometimes():
    probs_NC = np.array([[0.98, 0.01, 0.01], [0.5, 0.4, 0.1], [0.03, 0.02, 0.95], [0.1, 0.1, 0.8]])
    chance_C = estimate.proposal(probs_NC, np.array([0, 1, 2]))
    assert chance_C.sum() == pytest.approx(1) and chance_C.min() >= estimate.UNIFORM / 3
    assert chance_C.argmax() == 1
    assert np.allclose(estimate.proposal(np.eye(3)[[0, 0, 2]], np.arange(3)), 1 / 3)  # nothing is doubted
    with pytest.raises(ValueError, match="no candidate"):
        estimate.proposal(probs_NC, np.array([], int))


def test_a_class_out_of_fold_comes_from_a_classifier_without_that_answer():
    answers_N, seen = np.array([0, 1, -1, 2, 0, 1, 2, 0, 1, -1, 0]), []

    def classes_of(learned_N):
        seen.append(learned_N)
        assert set(learned_N[[2, 9]]) == {-1} and ((learned_N == answers_N) | (learned_N == -1)).all()
        return np.where(learned_N >= 0, 99, 1)  # 99 for what was learned

    found_N = estimate.out_of_fold(classes_of, answers_N, 2, folds=3)
    assert found_N.tolist() == np.where(answers_N >= 0, 1, -1).tolist()
    assert len(seen) == 3 and sum((one != answers_N).sum() for one in seen) == 9


def test_near_duplicates_are_out_of_the_same_fold():
    answers_N, groups_N, seen = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 1, 0, 1, 4, 5]), []

    def classes_of(learned_N):
        seen.append(frozenset(np.flatnonzero(learned_N == -1)))
        return np.zeros(6, int)

    estimate.out_of_fold(classes_of, answers_N, 2, groups_N=groups_N, folds=4)
    assert set(seen) == {frozenset({0, 2}), frozenset({1, 3}), frozenset({4}), frozenset({5})}


def test_a_fold_without_an_id_answer_to_learn_from_has_no_class():
    found_N = estimate.out_of_fold(lambda learned_N: np.zeros(3, int), np.array([0, 2, 2]), 2, folds=3)
    assert found_N.tolist() == [-1, 0, 0]


def test_the_naive_share_has_wilsons_interval():
    found = estimate.naive(np.arange(25) < 20, np.arange(25) % 10 > 0)
    assert (found.value, found.n) == (0.9, 20)
    assert (found.low, found.high) == pytest.approx((0.7379, 0.9664), abs=1e-3)
    assert estimate.naive([False], [True]) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([0.1], [5, 4], YES, [], []), "one length"),
        (([0.1, 0.2], [5, 5], [True, True], [], []), "must fall"),
        (([0.0], [5], YES, [], []), "chances"),
        (([0.1], [5], YES, [2], YES), "before_L counts tests"),
    ],
)
def test_answers_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Answers(*given)


def test_without_a_test_there_is_nothing_to_estimate_from():
    with pytest.raises(ValueError, match="no test question"):
        estimate.accuracies(Answers([], [], [], [], []), np.zeros((1, 0)), np.zeros((1, 0)))
