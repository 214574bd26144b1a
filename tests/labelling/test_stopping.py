"""The sentence says no more than the answers carry, and each rule stops where it should and not before."""

import numpy as np
import pytest

from alkit.labelling import stopping

LOOKS = [100, 150, 200, 250, 300, 350, 400]


def curve(gain_per_doubling, spread, *, looks=LOOKS, replicates=400):
    """Replicates of a curve that rises by so much each time looks double, its slope known up to `spread`."""
    slopes = gain_per_doubling + spread * np.random.default_rng(0).normal(size=replicates)
    return 0.7 + slopes[:, None] * np.log2(np.array(looks) / looks[0])


def test_the_gain_of_the_last_looks_is_read_from_the_second_half():
    looks = np.array(LOOKS)
    bent_S = np.where(looks < 200, 0.1, 0.9 + 0.04 * np.log2(looks / 200))
    gain = stopping.recent_gain(LOOKS, bent_S[None], last=50)
    assert gain.looks == 50
    assert gain.low == pytest.approx(gain.high) == pytest.approx(0.04 * np.log2(400 / 350))
    assert stopping.coming_gain(LOOKS, bent_S[None], coming=400).value == pytest.approx(0.04)


def test_too_few_stages_tell_nothing():
    assert stopping.recent_gain([100, 400], np.ones((5, 2))) is None
    assert "cannot be told yet" in stopping.gain_sentence([100, 400], np.ones((5, 2)))
    assert "cannot be told yet" in stopping.gain_sentence([], np.ones((5, 0)))
    assert not stopping.should_stop([100, 400], np.ones((5, 2)))


def test_a_sure_gain_is_said_with_its_interval_and_what_a_point_costs():
    said = stopping.gain_sentence(LOOKS, curve(0.08, 0.01))
    assert said.startswith(
        "the last 50 looks brought +1.5 points (+1.3 to +1.8); about 36 more looks per further point"
    )
    assert 0.08 * np.log2((400 + 36) / 400) == pytest.approx(0.01, abs=0.0003)


def test_a_gain_that_may_be_none_is_never_said_as_a_number():
    said = stopping.gain_sentence(LOOKS, curve(0.05, 0.08))
    assert said.startswith("what the last 50 looks brought cannot be told yet") and "per further point" not in said


def test_what_is_surely_little_is_said_as_a_most():
    said = stopping.gain_sentence(LOOKS, curve(0.001, 0.008))
    assert said == "the last 50 looks brought at most 0.3 points; a further point takes more than 260 looks"
    assert "brought nothing" in stopping.gain_sentence(LOOKS, curve(-0.05, 0.005))


@pytest.mark.parametrize(("slope", "spread", "stops"), [(0.001, 0.008, True), (0.08, 0.01, False), (0.001, 0.1, False)])
def test_our_rule_stops_when_the_next_looks_surely_bring_little(slope, spread, stops):
    assert stopping.should_stop(LOOKS, curve(slope, spread)) is stops


def test_kappa_is_cohens():
    before_N, now_N = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 1, 2, 0])
    agree, by_chance = 4 / 6, (2 * 2 + 2 * 3 + 2 * 1) / 36
    assert stopping.kappa(before_N, now_N) == pytest.approx((agree - by_chance) / (1 - by_chance))
    assert stopping.kappa(np.ones(4), np.ones(4)) == 1


def test_predictions_are_stable_after_three_alike_on_average():
    assert stopping.stable([0.2, 0.99, 1.0, 0.985])
    assert not stopping.stable([1.0, 1.0]) and not stopping.stable([1.0, 1.0, 0.9])


def test_uncertainty_is_a_share_of_not_knowing():
    assert stopping.uncertainty(np.full((3, 5), 0.2, np.float32)) == pytest.approx(1)
    assert stopping.uncertainty(np.eye(4)) == pytest.approx(0, abs=1e-6)
    assert stopping.certain(np.eye(4), bar=0.1) and not stopping.certain(np.full((3, 5), 0.2), bar=0.5)
    assert stopping.certain(np.zeros((0, 4)), bar=0.1)  # nothing is left
