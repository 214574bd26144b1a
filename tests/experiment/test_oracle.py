"""The oracle: typed answers, a cost of 1 each, and no sample asked twice."""

import numpy as np
import pytest
from conftest import tiny_benchmark

from alkit import rng
from alkit.benchmarks import AMBIGUOUS, ID, OOD
from alkit.experiment import Answer, Oracle

POOL = tiny_benchmark().pool


def first(kind):
    return int(np.flatnonzero(POOL.category_N == kind)[0])


def test_id_samples_have_a_class_and_others_only_a_kind():
    oracle = Oracle(POOL)
    for index in range(len(POOL)):
        kind = int(POOL.category_N[index])
        assert oracle.ask(index) == Answer(int(POOL.labels_N[index]) if kind == ID else None, kind)
    assert {int(kind) for kind in POOL.category_N} == {ID, AMBIGUOUS, OOD}


def test_every_answer_costs_one_and_peeking_none():
    oracle = Oracle(POOL)
    assert oracle.cost == 0
    assert oracle.is_id(first(ID)) and not oracle.is_id(first(OOD)) and not oracle.is_id(first(AMBIGUOUS))
    oracle.examine(rng.numpy_stream(0, "initial"), 5)
    assert oracle.cost == 0
    for spent, kind in enumerate((ID, AMBIGUOUS, OOD), 1):
        oracle.ask(first(kind))
        assert oracle.cost == spent


def test_nobody_is_asked_twice():
    oracle = Oracle(POOL)
    oracle.ask(3)
    with pytest.raises(ValueError, match="position 3 was asked before; a strategy must yield each position once"):
        oracle.ask(3)
    assert oracle.cost == 1


@pytest.mark.parametrize("index", [-1, 140, 10**9])
def test_positions_outside_the_pool_are_refused(index):
    oracle = Oracle(POOL)
    with pytest.raises(ValueError, match=f"position {index} is outside the pool of 140"):
        oracle.ask(index)
    assert oracle.cost == 0


@pytest.mark.parametrize("quota", [1, 8, 80])
def test_initial_draw_is_random_order_up_to_the_last_wanted_id_sample(quota):
    examined = Oracle(POOL).examine(rng.numpy_stream(4, "initial"), quota)
    order = rng.numpy_stream(4, "initial").permutation(140).tolist()
    by_hand, found = [], 0
    for index in order:
        by_hand.append(index)
        found += POOL.category_N[index] == ID
        if found == quota:
            break
    assert examined == by_hand and POOL.category_N[examined[-1]] == ID
