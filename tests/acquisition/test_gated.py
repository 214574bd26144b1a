"""gated_margin: its order against plain loops, its gate, and that each ingredient does what it is for."""

import functools
import itertools

import numpy as np
import pytest
from reference import ours as reference

from alkit import acquisition
from alkit.acquisition import View, gated

order = functools.partial(acquisition.order, auxiliary_filter=False)  # definitions know no filter

K, KINDS = 4, 3


def crowd(seed=0, per_kind=60, width=16):
    """Four classes and three kinds of junk, two of them beside a class; features and labels, K for junk."""
    rng = np.random.default_rng(seed)
    centres = np.eye(width)[: K + KINDS]
    centres[K], centres[K + 1] = centres[0] + 0.7 * centres[K], centres[1] + 0.7 * centres[K + 1]
    kind = rng.permutation(np.repeat(np.arange(K + KINDS), per_kind))
    features = centres[kind] + 0.15 * rng.normal(size=(len(kind), width))
    return features.astype(np.float32), np.minimum(kind, K)


def view_of(features, answers, *, quota=30, live=None, n_classes=K, seed=0):
    probs = np.full((len(answers), n_classes + 1), 1 / (n_classes + 1), np.float32)
    return View(features, probs, answers.copy(), n_classes, quota, np.random.default_rng(seed), live_N=live)


def ask(features, labels, questions, *, answered=0, seed=0, **options):
    """Positions asked, with every answer given as soon as the question is put; `answered` random ones before."""
    answers = np.full(len(labels), -1)
    some = np.random.default_rng(seed).permutation(len(labels))[:answered]
    answers[some] = labels[some]
    live, asked = answers.copy(), []
    for index in itertools.islice(order("gated_margin", view_of(features, answers, live=live), **options), questions):
        live[index] = labels[index]
        asked.append(index)
    return np.array(asked)


@pytest.mark.parametrize("options", [{}, {"caution": 1.0, "junk_price": 0.5}, {"kinds": 1}, {"shares": False}])
@pytest.mark.parametrize("answered", [0, 40])
def test_order_is_that_of_plain_loops(options, answered):
    features, labels = crowd()
    answers = np.full(len(labels), -1)
    answers[:answered] = labels[:answered]
    live = answers.copy()
    other = reference.gated(view_of(features, answers), labels, **options)
    found = order("gated_margin", view_of(features, answers, live=live), **options)
    for index, expected in itertools.islice(zip(found, other, strict=True), 150):
        assert index == expected
        live[index] = labels[index]


def test_gate_has_an_output_for_each_kind_of_junk_and_every_ten_of_it():
    features, labels = crowd()
    for some, kinds, outputs in ((200, 80, 1), (420, 3, 3), (420, 80, None)):
        known = np.where(np.arange(len(labels)) < some, labels, -1)
        if outputs == 1:
            known[np.flatnonzero(known == K)[19:]] = -1
        expected = outputs or min(80, int((known == K).sum()) // 10)
        log_NC = gated.log_outputs(view_of(features, known), known, kinds)
        assert log_NC.shape == (len(labels), K + expected)
        np.testing.assert_allclose(np.exp(log_NC).sum(axis=1), 1, rtol=1e-6)


def test_each_class_gets_its_share_and_less_of_it_where_junk_is_near():
    features, labels = crowd()

    def counts(**options):
        return np.bincount(labels[ask(features, labels, 120, **options)], minlength=K + 1)

    assert counts()[K] < (labels == K).mean() * 120 / 2
    assert np.ptp(counts(junk_price=0.0)[:K]) <= 3 < np.ptp(counts(shares=False)[:K])
    assert counts()[:2].max() < counts()[2:K].min()  # classes 0 and 1 lie beside junk


def test_caution_and_kinds_of_junk_save_looks():
    pools = [crowd(seed) for seed in range(5)]

    def junk(**options):
        return sum((pool[1][ask(*pool, 150, answered=60, **options)] == K).sum() for pool in pools)

    assert junk() < junk(caution=0.0) / 2
    assert junk() < junk(kinds=1)


def test_answers_within_a_stage_are_learned_from_and_a_silent_annotator_is_survived():
    features, labels = crowd()
    silent = list(order("gated_margin", view_of(features, np.full(len(labels), -1))))
    assert sorted(silent) == list(range(len(labels)))
    heard = ask(features, labels, len(labels))
    assert sorted(heard) == list(range(len(labels)))
    first = gated.FIRST * K
    assert silent[:first] == heard[:first].tolist()
    assert silent[first:] != heard[first:].tolist()
    assert (labels[heard[first:170]] == K).sum() < (labels[silent[first:170]] == K).sum() / 2


def test_one_class_and_no_junk_at_all():
    features, labels = crowd()
    for n_classes, said in ((1, np.minimum(labels, 1)), (K, np.zeros_like(labels))):
        answers = np.where(np.arange(len(labels)) < 50, said, -1)
        found = list(order("gated_margin", view_of(features, answers, n_classes=n_classes)))
        assert sorted(found) == list(range(50, len(labels)))


def test_no_iD_answer_means_no_gate():
    features, labels = crowd()
    answers = np.where(np.arange(len(labels)) < 50, K, -1)
    found = list(order("gated_margin", view_of(features, answers)))
    assert sorted(found) == list(range(50, len(labels)))
    assert found == view_of(features, answers).shuffled().tolist()
