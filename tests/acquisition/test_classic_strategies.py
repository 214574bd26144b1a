"""The classic strategies against slow references, against independent implementations, and against known faults."""

import collections
import functools
import itertools
import math
import typing

import numpy as np
import pytest
import scipy.stats
import torch
from conftest import TINY, tiny, tiny_benchmark
from reference import classic as slow
from test_acquisition import make_head, make_pool, make_view, rows

from alkit import acquisition, experiment, models
from alkit.acquisition import (
    STRATEGIES,
    Head,
    View,
    _geometry,
    coverage,
    density,
    disagreement,
    dropout,
    gradients,
    typicality,
)
from alkit.learners import probabilities

order = functools.partial(acquisition.order, auxiliary_filter=False)  # definitions know no filter

CLASSIC = (
    "bald",
    "coreset",
    "pcoreset",
    "badge",
    "alfa_mix",
    "typiclust",
    "probcover",
    "cold_start",
    "dropquery",
    "ldm",
)
PEER = "an independent implementation to compare with (make peers installs it):"


def shuffled_positions(view, seed):
    """The order in which a strategy that takes all unasked samples puts them first, and the generator after that."""
    rng = np.random.default_rng(seed)
    return rng.permutation(view.unasked), rng


def blobs(sizes, *, dim=8, spread=0.02, seed=0):
    """Unit directions with so many close features around each; returns features and the blob of each row, shuffled."""
    rng = np.random.default_rng(seed)
    blob = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return (np.eye(dim)[blob] + spread * rng.normal(size=(len(blob), dim))).astype(np.float32), blob


def blob_pool(sizes, asked, *, quota, **changes):
    """A pool of `blobs`; `asked[b]` of the first rows of blob b are answered."""
    features, blob = blobs(sizes, **changes)
    pool = make_pool(n=len(blob), labelled=0, quota=quota) | {"features_ND": features}
    answers = np.full(len(blob), -1)
    for b, count in enumerate(asked):
        answers[np.flatnonzero(blob == b)[:count]] = b % 4
    return pool | {"answers_N": answers}, blob


# What all share


@pytest.mark.parametrize("name", CLASSIC)
def test_first_pick_is_random_where_nothing_tells_samples_apart_and_not_by_pool_position(name):
    pool = make_pool(n=12, labelled=3) | rows(1, n=12) | {"probs_NC": np.full((12, 4), 0.25, np.float32)}
    head = Head(pool["features_ND"], np.zeros((4, 4), np.float32), np.zeros(4, np.float32))
    first = [next(order(name, make_view(pool | {"head": head}, seed))) for seed in range(60)]
    counts = np.bincount(first, minlength=12)[make_view(pool).unasked]
    assert counts.min() > 0 and counts.max() < 20  # 7 expected for each of 9 positions


@pytest.mark.parametrize("name", CLASSIC)
def test_labelled_samples_are_never_picked_and_none_twice_with_duplicates_to_the_last_one(name):
    pool = make_pool(n=80, labelled=25) | rows(7, n=80)
    picks = list(order(name, make_view(pool, seed=3)))
    assert sorted(picks) == make_view(pool).unasked.tolist()


@pytest.mark.parametrize("name", CLASSIC)
def test_arrays_in_fortran_order_are_as_good_as_any(name):
    pool = make_pool(seed=2)
    head = make_head(pool)
    turned = Head(*(np.asfortranarray(part) for part in vars(head).values()))
    same = pool | {"features_ND": np.asfortranarray(pool["features_ND"]), "head": turned}
    assert list(order(name, make_view(same))) == list(order(name, make_view(pool)))


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("badge", (gradients, "draw")), ("ldm", (disagreement, "draw")), ("typiclust", (typicality, "typicality"))],
)
def test_picks_are_made_one_by_one_as_they_are_asked_for(name, drawn, monkeypatch):
    calls, function = [], getattr(*drawn)
    monkeypatch.setattr(*drawn, lambda *args, **kwargs: calls.append(1) or function(*args, **kwargs))
    list(itertools.islice(order(name, make_view(make_pool())), 5))
    assert 4 <= len(calls) <= 5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bald", {"passes": 0}, "passes of strategy .bald. must be a whole number from 1 up, got 0"),
        ("bald", {"rate": 1.0}, "rate of strategy .bald. must be a number from 0 to 0.99, got 1.0"),
        ("dropquery", {"passes": -1}, "passes of strategy .dropquery. must be a whole number from 1 up"),
        ("dropquery", {"rate": -0.1}, "rate of strategy .dropquery. must be a number from 0 to 0.99"),
        ("alfa_mix", {"cap": 0}, "cap of strategy .alfa_mix. must be a number above 0 and at most 1, got 0"),
        ("alfa_mix", {"cap": 1.1}, "cap of strategy .alfa_mix. must be a number above 0 and at most 1"),
        ("typiclust", {"neighbours": 0}, "neighbours of strategy .typiclust. must be a whole number from 1 up, got 0"),
        ("typiclust", {"max_clusters": 0}, "max_clusters of strategy .typiclust. must be a whole number from 1 up"),
        ("typiclust", {"min_size": -1}, "min_size of strategy .typiclust. must be a whole number from 0 up"),
        ("probcover", {"purity": 0}, "purity of strategy .probcover. must be a number above 0 and at most 1, got 0"),
        ("probcover", {"delta": -1}, "delta of strategy .probcover. must be a number from 0 up, got -1"),
        ("probcover", {"candidates": 0}, "candidates of strategy .probcover. must be a whole number from 1 up"),
        ("cold_start", {"temperature": 0}, "temperature of strategy .cold_start. must be a number above 0, got 0"),
        ("cold_start", {"references": 0}, "references of strategy .cold_start. must be a whole number from 1 up"),
        ("ldm", {"directions": 0}, "directions of strategy .ldm. must be a whole number from 1 up"),
        ("badge", {"variant": "papers"}, "variant of strategy 'badge' must be one of paper, code"),
    ],
)
def test_options_out_of_range_are_refused_by_name_before_a_view_is_looked_at(name, options, message):
    with pytest.raises(ValueError, match=message):
        order(name, None, **options)


def test_every_number_among_the_options_of_strategies_has_a_range():
    hints = {name: typing.get_type_hints(known.function, include_extras=True) for name, known in STRATEGIES.items()}
    numbers = {
        f"{name}({option})": hints[name][option] for name, known in STRATEGIES.items() for option in known.options
    }
    assert [place for place, hint in numbers.items() if hint in (int, float)] == [] and len(numbers) > 20


@pytest.mark.parametrize("n", [1, 6, 7, 8, 13, 14, 15])
def test_no_tail_chunk_is_dropped(n):
    np.testing.assert_array_equal(_geometry.by_chunks(np.arange(n).__getitem__, n, chunk=7), np.arange(n))


def test_a_draw_is_in_proportion_to_the_weights_and_never_of_weight_zero():
    rng = np.random.default_rng(0)
    counts = np.bincount([_geometry.draw(np.array([0, 1, 0, 3, 0]), rng) for _ in range(4000)], minlength=5)
    assert counts[[0, 2, 4]].sum() == 0 and abs(counts[1] - 1000) < 120

    class Drawn:
        def __init__(self, uniform):
            self.random = lambda: uniform

    last = Drawn(np.nextafter(1, 0))
    assert _geometry.draw(np.array([0.1] * 7 + [0.0]), last) == 6
    assert _geometry.draw(np.array([5e-324, 0.0]), last) == 0  # the product rounds up to the whole
    assert _geometry.draw(np.array([0.0, 0.0, 1.0]), Drawn(0.0)) == 2


def test_rounds_survive_cluster_numbers_with_gaps():
    cluster, key = np.array([4, 1, 4, 4, 1]), np.array([2, 5, 1, 3, 4])
    for seed in range(5):
        picks = _geometry.rounds(cluster, key, np.random.default_rng(seed)).tolist()
        assert set(picks[:2]) == {2, 4} and set(picks[2:4]) == {0, 1} and picks[4] == 3
    picks = _geometry.rounds(cluster, key, np.random.default_rng(0), np.array([0, 0, 0, 0, 3])).tolist()
    assert picks == [4, 1, 2, 0, 3]


@pytest.mark.parametrize("name", CLASSIC)
def test_a_run_asks_what_the_strategy_wants_and_comes_to_its_end(name, tmp_path):
    records = list(experiment.run(tiny("probe", name), root=tmp_path))
    assert len(records) == 4 and records[-1]["n_id"] == 20


# Core-set


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cells", [1, 50, 10**6])
@pytest.mark.parametrize(("name", "space"), [("coreset", "features_ND"), ("pcoreset", "probs_NC")])
@pytest.mark.parametrize("quota", [4, 160, 2000])  # distances are brought up to date at every 1, 5 and 62 picks
def test_coreset_agrees_with_farthest_point_first(seed, cells, name, space, quota, monkeypatch):
    for module in (_geometry, coverage):
        monkeypatch.setattr(module, "CELLS", cells)
    pool = make_pool(n=70, dim=2 + 3 * seed, labelled=10 + seed, seed=seed, quota=quota)
    view = make_view(pool)
    expected = slow.k_centre_greedy(pool[space].tolist(), np.flatnonzero(pool["answers_N"] >= 0), view.unasked)
    assert list(order(name, view)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_coreset_begins_at_random_when_nothing_is_asked_and_goes_on_from_there(seed):
    pool = make_pool(n=40, labelled=0)
    picks = list(order("coreset", make_view(pool, seed)))
    assert picks == slow.k_centre_greedy(pool["features_ND"].tolist(), [], range(40), first=picks[0])


def test_coreset_picks_move_with_the_pool_when_it_is_shuffled():
    pool = make_pool(n=200, seed=3)
    perm = np.random.default_rng(9).permutation(200)
    shuffled = pool | {key: pool[key][perm] for key in ("features_ND", "probs_NC", "answers_N")}
    assert [int(perm[i]) for i in order("coreset", make_view(shuffled))] == list(order("coreset", make_view(pool)))


# BADGE


@pytest.mark.parametrize("seed", range(4))
def test_badge_distances_are_those_of_the_gradients(seed):
    pool = make_pool(n=40, n_classes=1 + seed, dim=3 + seed, seed=seed)
    grads = slow.gradients(pool["probs_NC"], pool["features_ND"])
    residual = pool["probs_NC"].astype(np.float64)
    residual[np.arange(40), residual.argmax(axis=1)] -= 1
    features = pool["features_ND"].astype(np.float64)
    length = gradients.gradient_lengths(residual, features)
    np.testing.assert_allclose(length, (grads**2).sum(axis=1), rtol=1e-12)
    for pick in range(40):
        found = gradients.gradient_distances(residual, features, length, np.array([pick]))[:, 0]
        np.testing.assert_allclose(found, ((grads - grads[pick]) ** 2).sum(axis=1), rtol=1e-9, atol=1e-12)
        some = np.r_[pick, 3:8]  # the same whatever it is batched with
        np.testing.assert_allclose(
            gradients.gradient_distances(residual[some], features[some], length[some], np.array([0]))[:, 0],
            found[some],
            rtol=1e-9,
        )


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("seed", range(4))
def test_badge_draws_are_those_of_k_means_plus_plus_on_the_gradients(seed, variant):
    pool = make_pool(n=60, seed=seed)
    view = make_view(pool, seed)
    positions, rng = shuffled_positions(view, seed)
    grads = slow.gradients(pool["probs_NC"], pool["features_ND"])[positions]
    first = int((grads**2).sum(axis=1).argmax()) if variant == "code" else 0
    expected = slow.k_means_plus_plus(grads, first, [rng.random() for _ in range(20)])
    picks = order("badge", view, variant=variant)
    assert list(itertools.islice(picks, 21)) == positions[expected].tolist()


@pytest.mark.parametrize("at_once", [2, 3, 10])
def test_badge_draws_have_the_same_odds_when_many_picks_are_measured_at_a_time(at_once):
    """Groups of near duplicates, so that draws by distances that are out of date would be wrong by far."""
    rng = np.random.default_rng(0)
    rows_ND = np.repeat(rng.normal(size=(3, 4)), 2, axis=0) + 0.05 * rng.normal(size=(6, 4))
    residual_NC = rng.dirichlet(np.ones(3), 6)
    residual_NC[np.arange(6), residual_NC.argmax(1)] -= 1
    gradients_ND = np.einsum("nc,nd->ncd", residual_NC, rows_ND).reshape(6, -1)
    squared_NN = ((gradients_ND[:, None] - gradients_ND) ** 2).sum(2)
    expected, drawn = {}, collections.Counter()
    for second, third, fourth in itertools.permutations(range(1, 6), 3):
        chance = 1.0
        for pick, before in ((second, [0]), (third, [0, second]), (fourth, [0, second, third])):
            closest_N = squared_NN[before].min(axis=0)
            chance *= closest_N[pick] / closest_N.sum()
        expected[second, third, fourth] = 4000 * chance
    for _ in range(4000):
        order = gradients._k_means_plus_plus(residual_NC, rows_ND, "paper", rng, at_once)
        drawn[tuple(itertools.islice(order, 1, 4))] += 1
    likely = [picks for picks in expected if expected[picks] > 5]
    rest = 4000 - sum(expected[picks] for picks in likely), 4000 - sum(drawn[picks] for picks in likely)
    squares = [(drawn[picks] - expected[picks]) ** 2 / expected[picks] for picks in likely]
    assert scipy.stats.chi2.sf(sum(squares) + (rest[1] - rest[0]) ** 2 / max(rest[0], 5), len(likely)) > 1e-3


def test_badge_ends_with_every_sample_once_when_many_picks_are_measured_at_a_time():
    pool = make_pool(n=400, labelled=20, quota=100) | rows(200, n=400)
    picks = list(order("badge", make_view(pool)))
    assert len(set(picks)) == len(picks) == 380


def test_badge_takes_one_of_each_before_any_duplicate_and_fills_up_when_all_distances_are_zero():
    pool = make_pool(n=60, labelled=0) | rows(6)
    pool |= {"probs_NC": pool["probs_NC"][np.arange(60) % 6]}
    for seed in range(5):
        picks = list(order("badge", make_view(pool, seed)))
        assert {pick % 6 for pick in picks[:6]} == set(range(6)) and sorted(picks) == list(range(60))


def test_badge_distances_of_duplicates_are_exactly_zero():
    rng = np.random.default_rng(0)
    residual, features = (np.repeat(rng.normal(size=(1, width)), 300, axis=0) for width in (61, 129))
    length = gradients.gradient_lengths(residual, features)
    assert not gradients.gradient_distances(residual, features, length, np.arange(300)).any()


def test_badge_never_forms_gradients():
    """61 classes and 128 features would be 3 GB of them."""
    n, rng = 50_000, np.random.default_rng(0)
    residual, features = rng.normal(size=(n, 61)), rng.normal(size=(n, 128))
    gradients.gradient_distances(residual, features, gradients.gradient_lengths(residual, features), np.array([0]))


# ALFA-Mix


@pytest.mark.parametrize("seed", range(5))
def test_alfa_mix_closed_form_is_a_step_along_the_gradient(seed):
    rng = np.random.default_rng(seed)
    z, anchor, gradient = rng.normal(size=(3, 6))
    towards, ascent = (anchor - z)[None], (gradient / np.linalg.norm(gradient))[None]
    literal = slow.mixture(z, anchor, gradient, 0.05, clip=False)
    np.testing.assert_allclose(literal, z + 0.05 * np.linalg.norm(anchor - z) * ascent[0], rtol=1e-12)
    for clip in (True, False):
        step = gradients.mixing_step(towards, ascent, clip=clip)[0]
        np.testing.assert_allclose(z + 0.05 * step, slow.mixture(z, anchor, gradient, 0.05, clip=clip), rtol=1e-12)


def test_alfa_mix_step_has_no_division_by_zero_at_an_anchor():
    towards, ascent = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.6, 0.8], [1.0, 0.0]])
    np.testing.assert_array_equal(gradients.mixing_step(towards, ascent, clip=True), [[0, 0.8], [0, 0]])
    np.testing.assert_array_equal(gradients.mixing_step(towards, ascent, clip=False), [[0.6, 0.8], [0, 0]])


def test_alfa_mix_gradient_is_that_of_autograd():
    head = make_head(make_pool(dim=7))
    z = torch.tensor(head.features_ND, requires_grad=True)
    logits = z @ torch.tensor(head.weight_CD).T + torch.tensor(head.bias_C)
    torch.nn.functional.cross_entropy(logits, logits.argmax(1), reduction="sum").backward()
    found = gradients.loss_gradient(logits.detach().numpy().astype(np.float64), head.weight_CD)
    np.testing.assert_allclose(found, z.grad.numpy(), atol=1e-5)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_alfa_mix_flips_are_those_of_literal_mixtures(seed, clip, monkeypatch):
    monkeypatch.setattr(gradients, "CHUNK", 17)
    pool = make_pool(n=70, dim=5, n_classes=2 + seed, seed=seed)
    view, head = make_view(pool), make_head(pool, seed)
    anchors = gradients.anchors(view)
    rate = gradients.mixing_rate(head, np.arange(70), anchors, clip=clip)
    shares = []
    for e in (0.01, 0.03, 0.1, 0.2, 0.4):
        expected = slow.mixing_flips(head.features_ND, head.weight_CD, head.bias_C, anchors, e, clip=clip)
        np.testing.assert_array_equal(e * rate > 1, expected)
        shares.append(expected.mean())
    assert shares[0] < 0.5 < shares[-1] or shares[-1] - shares[0] > 0.1  # both kinds occur


def test_alfa_mix_anchors_are_class_means_and_the_mean_of_all_labelled_for_a_class_without_labels():
    pool = make_pool(n=30, labelled=0)
    pool["answers_N"][[3, 8, 11]] = [0, 0, 3]
    features = pool["features_ND"].astype(np.float64)
    expected = [features[[3, 8]].mean(axis=0), features[11], features[[3, 8, 11]].mean(axis=0)]
    np.testing.assert_allclose(gradients.anchors(make_view(pool)), expected)
    pool["answers_N"][4] = 1
    assert len(gradients.anchors(make_view(pool))) == 4  # three of four have labels: theirs, and that of all
    pool["answers_N"][5] = 2
    assert len(gradients.anchors(make_view(pool))) == 4  # all four have
    assert gradients.anchors(make_view(make_pool(labelled=0))).shape == (0, 4)


def test_alfa_mix_fill_is_without_replacement_and_random_when_no_prediction_changes():
    pool = make_pool(n=40, labelled=10)
    head = Head(pool["features_ND"], np.zeros((4, 4), np.float32), np.arange(4, dtype=np.float32))
    orders = [list(order("alfa_mix", make_view(pool | {"head": head}, seed))) for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == make_view(pool).unasked.tolist()


@pytest.mark.parametrize(("cap", "quota"), [(0.05, 25), (0.2, 25), (0.3, 25), (1.0, 25), (0.05, "just met")])
def test_alfa_mix_raises_the_cap_until_there_are_more_candidates_than_the_quota(cap, quota):
    pool = make_pool(n=300, labelled=40, seed=4)
    view = make_view(pool, 5)
    positions, _ = shuffled_positions(view, 5)
    rate = gradients.mixing_rate(view.head, positions, gradients.anchors(view), clip=True)
    levels = [positions[cap * level / 2 * rate > 1] for level in range(1, math.ceil(1 / cap) + 1)]  # sqrt(D) is 2
    if quota == "just met":  # as many as the quota are not more
        quota = next(len(low) for low, high in itertools.pairwise(levels) if 0 < len(low) < len(high))
    view = make_view(pool | {"quota": quota}, 5)
    candidates = next((level for level in levels if len(level) > quota), levels[-1])
    picks = list(order("alfa_mix", view, cap=cap))
    assert 0 < len(candidates) < len(picks) and set(picks[: len(candidates)]) == set(candidates.tolist())


def test_alfa_mix_takes_the_nearest_to_each_cluster_centre_first(monkeypatch):
    pool, blob = blob_pool([30, 20, 25, 15], [1, 1, 1, 1], quota=4)
    monkeypatch.setattr(gradients, "mixing_rate", lambda head, positions, *args, **kwargs: np.full(len(positions), 1e9))
    picks = list(order("alfa_mix", make_view(pool)))
    unit = _geometry.unit_rows(pool["features_ND"].astype(np.float64))
    unasked = np.flatnonzero(pool["answers_N"] < 0)
    nearest = set()
    for b in range(4):
        members = unasked[blob[unasked] == b]
        nearest.add(int(members[np.linalg.norm(unit[members] - unit[members].mean(axis=0), axis=1).argmin()]))
    assert set(picks[:4]) == nearest


# BALD and DropQuery


@pytest.mark.parametrize("n", [6, 7, 8, 15])
def test_bald_is_the_mutual_information_of_its_passes_on_every_row(n, monkeypatch):
    monkeypatch.setattr(dropout, "CHUNK", 7)
    pool = make_pool(n=n, dim=6, labelled=0)
    head, positions = make_head(pool), np.random.default_rng(1).permutation(n)
    passes = [np.concatenate(parts) for parts in zip(*(
        list(dropout.dropped_logits(head, positions[i : i + 7], [5, i], passes=9, rate=0.5)) for i in range(0, n, 7)
    ), strict=True)]  # fmt: skip
    expected = slow.mutual_information([[slow.softmax(row) for row in one.tolist()] for one in passes])
    found = dropout.mutual_information(head, positions, 5, passes=9, rate=0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert np.ptp(found) > 0.01


@pytest.mark.parametrize("rate", [0.25, 0.5, 0.75])
def test_dropout_drops_its_share_and_keeps_the_expected_logit(rate):
    features = np.ones((2000, 16), np.float32)
    head = Head(features, np.eye(4, 16, dtype=np.float32), np.full(4, 3, np.float32))
    first, second = dropout.dropped_logits(head, np.arange(2000), 0, passes=2, rate=rate)
    values, counts = np.unique(np.round(first - 3, 5), return_counts=True)
    np.testing.assert_allclose(values, [0, 1 / (1 - rate)], rtol=1e-5)
    assert abs(counts[0] / first.size - rate) < 0.03 and abs(first.mean() - 4) < 0.1
    assert (first != second).any() and (first[0] != first).any()  # a mask of its own for each pass and each sample


def test_bald_has_no_nan_where_probabilities_are_one_hot():
    pool = make_pool(dim=6)
    head = make_head(pool)
    sharp = Head(head.features_ND, 1e5 * head.weight_CD, head.bias_C)
    score = dropout.mutual_information(sharp, np.arange(60), 0, passes=5, rate=0.5)
    assert np.isfinite(score).all() and score.min() > -1e-6 and score.max() > 0.3


def test_bald_prefers_disagreement_between_passes_to_ambiguity():
    features = np.zeros((30, 4), np.float32)  # all passes agree on flat probabilities
    features[7] = [20, 20, 0, 0]  # decided one way or the other by what is dropped
    weight = np.array([[1, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)
    pool = make_pool(n=30, labelled=0) | {"probs_NC": np.full((30, 4), 0.25, np.float32)}
    head = Head(features, weight, np.zeros(4, np.float32))
    for seed in range(5):
        assert next(order("bald", make_view(pool | {"head": head}, seed))) == 7


def test_bald_keeps_its_order_among_what_the_auxiliary_filter_lets_pass():
    view = make_view(make_pool())
    off = list(order("bald", view))
    non_id = view.probs_NC.argmax(axis=1) == 3
    expected = [i for i in off if not non_id[i]]  # the others come by passes of dropout of their own
    assert list(order("bald", make_view(make_pool()), auxiliary_filter=True))[: len(expected)] == expected


@pytest.mark.parametrize("name", ["bald", "dropquery"])
def test_dropout_leaves_batch_norm_and_the_global_streams_alone(name):
    pool = tiny_benchmark().pool
    encoder = models.encoder(TINY, 1, seed=0)
    net = models.Classifier(encoder, 4).eval()
    head, probs = probabilities(net, torch.tensor(pool.images_NCHW), TINY)
    before, stream = {key: value.clone() for key, value in net.state_dict().items()}, torch.get_rng_state()
    answers = np.full(len(probs), -1)
    view = make_view(
        make_pool() | {"features_ND": head.features_ND, "probs_NC": probs, "answers_N": answers, "head": head}
    )
    assert len(list(order(name, view))) == len(probs)
    assert any("running_mean" in key for key in before) and not net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.mark.parametrize("n", [6, 7, 8, 15])
def test_dropquery_counts_the_passes_that_change_the_prediction(n, monkeypatch):
    monkeypatch.setattr(dropout, "CHUNK", 7)
    pool = make_pool(n=n, dim=6, labelled=0)
    head, positions = make_head(pool), np.random.default_rng(1).permutation(n)
    plain = (head.features_ND @ head.weight_CD.T + head.bias_C).argmax(axis=1)
    expected = []
    for i in range(n):
        chunk = i // 7 * 7
        drawn = dropout.dropped_logits(head, positions[chunk : chunk + 7], [5, chunk], passes=3, rate=0.75)
        expected.append(sum(one[i - chunk].argmax() != plain[positions[i]] for one in drawn) / 3)
    found = dropout.changed_share(head, positions, 5, passes=3, rate=0.75)
    np.testing.assert_allclose(found, expected)
    assert len(set(expected)) > 1


def test_dropquery_takes_the_changed_ones_nearest_to_the_centres_first_then_the_rest_by_share(monkeypatch):
    pool, blob = blob_pool([40, 30, 20, 25], [2, 2, 2, 2], quota=4, seed=1)
    length = np.random.default_rng(7).choice([1, 9], len(blob)).astype(np.float32)
    pool["features_ND"] = pool["features_ND"] * length[:, None]
    unit = _geometry.unit_rows(pool["features_ND"])  # as the published code clusters: length tells nothing
    view = make_view(pool, 2)
    share = np.random.default_rng(3).integers(0, 5, len(blob)) / 4
    monkeypatch.setattr(dropout, "changed_share", lambda head, positions, *args, **kwargs: share[positions])
    picks = np.array(list(order("dropquery", view)))
    changed = view.unasked[share[view.unasked] > 0.5]
    assert set(picks[: len(changed)]) == set(changed)
    nearest = set()
    for b in range(4):
        members = changed[blob[changed] == b]
        offsets = unit[members] - unit[members].mean(axis=0)
        nearest.add(int(members[np.linalg.norm(offsets, axis=1).argmin()]))
    assert set(picks[:4].tolist()) == nearest
    assert (np.diff(share[picks[len(changed) :]]) <= 0).all()


# DDU


@pytest.mark.parametrize(("jitter", "first", "spread"), [("class", 0, 1e-5), ("shared", 1, 0.1)])
def test_ddu_raises_each_covariance_by_what_it_needs_or_all_by_the_largest_need(jitter, first, spread):
    flat = np.stack([np.random.default_rng(0).normal(size=40), np.zeros(40)], axis=1)  # needs 1e-10
    large = 2.0**20 * np.array([[-1, -1], [0, 0], [1, 1]])  # exactly singular, and 1e-2 is what float64 can tell
    labelled = np.concatenate([flat, large]).astype(np.float32)
    labels = np.repeat([0, 1], [40, 3])
    factors = density.fit_gaussians(labelled, labels, jitter=jitter).factor_GDD
    assert factors[0][1, 1] == pytest.approx(spread)
    np.testing.assert_allclose(factors[1] @ factors[1].T, 2.0**40 + 1e-2 * np.eye(2), rtol=1e-12)
    features = np.concatenate([np.array([[0, 0.05], [3, 0]]), labelled]).astype(np.float32)
    answers, probs = np.concatenate([[-1, -1], labels]), np.full((45, 3), 1 / 3, np.float32)
    view = View(features, probs, answers, 2, 1, np.random.default_rng(0))
    assert list(order("ddu", view, jitter=jitter)) == [first, 1 - first]


# LDM


@pytest.mark.parametrize("seed", range(3))
def test_least_disagree_metric_is_that_of_literal_perturbations(seed, monkeypatch):
    monkeypatch.setattr(disagreement, "CHUNK", 13)
    pool = make_pool(n=40, n_classes=2 + seed, dim=5, labelled=0, seed=seed)
    head = make_head(pool, seed)
    noises = [disagreement.perturbation(head, 100 + seed, j) for j in range(11)]
    assert len({noise.tobytes() for noise, _ in noises}) == 11
    logits = head.features_ND.astype(np.float64) @ head.weight_CD.T + head.bias_C
    sigmas = []  # one between any two at which a prediction flips: no grid can be finer
    for noise, noise_bias in noises:
        slope = head.features_ND.astype(np.float64) @ noise.T + noise_bias
        y = logits.argmax(axis=1)[:, None]
        rise, gap = slope - np.take_along_axis(slope, y, 1), np.take_along_axis(logits, y, 1) - logits
        flips = np.unique(gap[rise > 0] / rise[rise > 0])
        sigmas.append([*(flips[:-1] + flips[1:]) / 2, 2 * flips[-1]])
    found = disagreement.least_disagree_metric(head, np.arange(40), 100 + seed, 11)
    fine = slow.least_disagree_metric(head.features_ND, head.weight_CD, head.bias_C, noises, sigmas)
    np.testing.assert_allclose(found, fine)
    grid = [10 ** np.arange(-5, 0.05, 0.1)] * 11  # the paper's
    assert (found <= slow.least_disagree_metric(head.features_ND, head.weight_CD, head.bias_C, noises, grid)).all()
    assert found.min() == 1 / 40 and len(set(found)) > 5


def test_least_disagree_metric_does_not_depend_on_the_scale_of_the_classifier():
    head = make_head(make_pool())
    large = Head(head.features_ND, 1024 * head.weight_CD, 1024 * head.bias_C)
    metrics = [disagreement.least_disagree_metric(h, np.arange(60), 100, 20) for h in (head, large)]
    np.testing.assert_array_equal(*metrics)


def test_least_disagree_metric_is_small_near_the_boundary():
    features = np.stack([np.linspace(-5, 5, 101), np.ones(101)], axis=1).astype(np.float32)
    head = Head(features, np.array([[1, 0], [-1, 0]], np.float32), np.zeros(2, np.float32))
    metric = disagreement.least_disagree_metric(head, np.arange(101), 0, 200)
    assert abs(metric[:45].argmin() - 44) <= 1 and metric[[0, 100]].min() > 2 * metric[48:53].max()


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("quota", [1, 5, 59, 60, 100])
def test_ldm_weights_are_one_for_the_quota_and_as_heavy_in_sum_for_the_rest(quota, variant):
    metric = np.random.default_rng(0).permutation(np.linspace(0.02, 0.9, 60))
    gamma = disagreement.seeding_weights(metric, quota, variant)
    np.testing.assert_allclose(gamma, slow.seeding_weights(metric.tolist(), quota, variant), rtol=1e-12)
    assert gamma.max() == 1 and np.isfinite(gamma).all()


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("seed", range(4))
def test_ldm_draws_are_those_of_its_seeding(seed, variant):
    pool = make_pool(n=60, seed=seed, quota=8)
    view = make_view(pool, seed)
    positions, rng = shuffled_positions(view, seed)
    metric = disagreement.least_disagree_metric(view.head, positions, int(rng.integers(2**31)), 30)
    uniforms = [rng.random() for _ in range(12)]
    expected = slow.ldm_seeding(pool["features_ND"][positions], metric.tolist(), 8, uniforms, variant)
    picks = order("ldm", view, directions=30, variant=variant)
    assert list(itertools.islice(picks, 13)) == positions[expected].tolist()


def test_ldm_goes_by_its_metric_once_no_distance_is_left():
    pool = make_pool(n=50, labelled=0) | rows(1, n=50)
    head = Head(pool["features_ND"], *list(vars(make_head(pool)).values())[1:])
    picks = list(order("ldm", make_view(pool | {"head": head})))
    assert sorted(picks) == list(range(50))
    metric = np.linspace(0.1, 1, 7)[::-1].copy()
    assert list(disagreement._seeding(np.ones((7, 3)) / 3**0.5, metric, 2, np.random.default_rng(0))) == [
        6,
        5,
        4,
        3,
        2,
        1,
        0,
    ]


@pytest.mark.parametrize(("variant", "expected"), [("paper", [0, 1, 2]), ("code", [0, 2, 1])])
def test_ldm_of_the_code_takes_rows_closer_than_a_hundred_thousandth_for_one(variant, expected):
    angle = np.array([0, 1e-3, 0])  # at cosine distances of 5e-7 and 0 from the first
    rows_ND, metric = np.stack([np.cos(angle), np.sin(angle)], axis=1), np.array([0.1, 0.3, 0.2])
    assert list(disagreement._seeding(rows_ND, metric, 3, np.random.default_rng(0), variant)) == expected


# TypiClust and the cold start


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 40, 41])
def test_typicality_is_by_the_nearest_neighbours_and_by_one_at_least(n, squared):
    features = np.random.default_rng(n).normal(size=(n, 3))
    found = typicality.typicality(features, 20, squared=squared)
    np.testing.assert_allclose(found, slow.typicality(features.tolist(), 20, squared=squared), rtol=1e-6)


def test_typicality_by_squared_distances_can_have_another_order():
    line = np.array(
        [[0], [-2], [2], [100], [100.1], [103.7]]
    )  # row 0 is 2 and 2 from its neighbours, row 3 0.1 and 3.7
    paper, code = (typicality.typicality(line, 2, squared=squared)[[0, 3]] for squared in (False, True))
    assert paper[0] < paper[1] and code[0] > code[1]


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_typiclust_asks_for_the_most_typical_of_the_largest_clusters_without_labels_first(variant):
    sizes, asked = [40, 30, 12, 24, 35, 18], [1, 0, 0, 0, 1, 0]
    pool, blob = blob_pool(sizes, asked, quota=4)
    picks = list(order("typiclust", make_view(pool), variant=variant))
    unit = _geometry.unit_rows(pool["features_ND"].astype(np.float64))
    unasked = np.flatnonzero(pool["answers_N"] < 0)
    expected, left = [], set(unasked.tolist())
    for b in (1, 3, 5, 2, 0, 4, 1, 3, 5, 2, 0, 4):  # two rounds
        members = [i for i in sorted(left) if blob[i] == b]
        typical = slow.typicality(unit[members].tolist(), 20, squared=variant == "code")
        expected.append(members[int(np.argmax(typical))])
        left.remove(expected[-1])
    assert picks[:12] == expected


def test_typiclust_leaves_small_clusters_for_last_and_large_ones_are_worked_through_in_blocks(monkeypatch):
    pool, blob = blob_pool([40, 5, 30, 6], [0, 0, 0, 0], quota=4)
    picks = list(order("typiclust", make_view(pool)))
    assert [int(blob[i]) for i in picks[:6]] == [0, 2, 3, 0, 2, 3]
    assert set(blob[picks[-5:]]) == {1}
    sizes = []
    monkeypatch.setattr(typicality, "BLOCK", 9)
    typical = typicality.typicality
    monkeypatch.setattr(
        typicality, "typicality", lambda rows, *a, **k: sizes.append(len(rows)) or typical(rows, *a, **k)
    )
    assert sorted(order("typiclust", make_view(pool))) == list(range(81)) and max(sizes) == 9


@pytest.mark.parametrize(("n", "references"), [(40, 4096), (40, 40), (41, 7), (1, 5), (40, 1)])
@pytest.mark.parametrize("cells", [1, 60, 10**6])
def test_cold_start_confidence_is_the_softmax_over_the_references(n, references, cells, monkeypatch):
    monkeypatch.setattr(typicality, "CELLS", cells)
    rows_ND = _geometry.unit_rows(np.random.default_rng(n).normal(size=(n, 4)))
    found = typicality.contrast_confidence(rows_ND, 0.2, references)
    np.testing.assert_allclose(found, slow.contrast_confidence(rows_ND, min(n, references), 0.2), rtol=1e-9)


def test_cold_start_asks_each_cluster_equally_often_and_the_hardest_of_each_first():
    pool, blob = blob_pool([50, 12, 30, 20], [3, 0, 1, 0], quota=8, spread=0.1)
    view = make_view(pool, 4)
    picks = list(order("cold_start", view))
    turns = [set(blob[picks[:2]]), set(blob[picks[2:5]]), set(blob[picks[5:8]]), set(blob[picks[8:12]])]
    assert turns == [{1, 3}, {1, 2, 3}, {1, 2, 3}, {0, 1, 2, 3}]
    confidence = np.array(slow.contrast_confidence(_geometry.unit_rows(pool["features_ND"].astype(float)), 112, 0.2))
    for b in range(4):
        assert (np.diff(confidence[[i for i in picks if blob[i] == b]]) > -1e-6).all()


# ProbCover


@pytest.mark.parametrize("n", [1, 4, 5, 6, 63, 64, 65, 127, 128, 129, 130])
@pytest.mark.parametrize("chunk", [5, 64, 1000])
def test_probcover_graph_has_every_edge_of_every_row(n, chunk):
    features = np.random.default_rng(n).normal(size=(n, 3))
    graph = coverage.ball_graph(features, 1.2, cells=chunk * n)
    assert graph.shape == (n, -(-n // 64)) and graph.dtype == np.uint64
    bits = np.unpackbits(graph.view(np.uint8), axis=1)
    assert [set(np.flatnonzero(row).tolist()) for row in bits] == slow.ball_graph(features.tolist(), 1.2)


@pytest.mark.parametrize("block", [3, 512])
@pytest.mark.parametrize("radius", [0.0, 0.4, 1.0, 2.5, 100.0])
def test_probcover_takes_the_highest_degree_layer_by_layer(radius, block, monkeypatch):
    monkeypatch.setattr(coverage, "BLOCK", block)
    features = np.random.default_rng(1).normal(size=(45, 2))
    graph, covered = slow.ball_graph(features.tolist(), radius), np.arange(45) % 7 == 0
    for top in (1, 5):
        picks = list(
            coverage.greedy_cover(coverage.ball_graph(features, radius), covered, top, np.random.default_rng(2))
        )
        assert sorted(picks) == list(range(45))
        for n, pick in enumerate(picks):
            degrees = slow.uncovered_degrees(graph, np.flatnonzero(covered).tolist(), picks[:n])
            left = [v for v in range(45) if v not in picks[:n]]
            ranked = sorted((v for v in left if degrees[v] > 0), key=lambda v: (-degrees[v], v))
            assert pick in ranked[:top]
            assert top > 1 or pick == ranked[0]


@pytest.mark.parametrize("share", [0.5, 0.56, 0.9, 0.95, 1.0])
def test_probcover_radius_is_the_largest_of_that_purity(share):
    features, _ = blobs([30, 20, 25], dim=3, spread=0.35)
    rows_ND = _geometry.unit_rows(features.astype(np.float64))
    radius = coverage.pure_radius(rows_ND, 3, share, np.random.default_rng(0))
    clusters, _ = _geometry.k_means(rows_ND, 3, np.random.default_rng(0))
    assert slow.purity(rows_ND.tolist(), clusters, radius) >= share
    distances = np.linalg.norm(rows_ND[:, None] - rows_ND, axis=2)
    larger = distances[distances > radius].min() * (1 + 1e-6)
    assert slow.purity(rows_ND.tolist(), clusters, larger) < share


def test_probcover_radius_is_infinite_where_there_is_one_cluster_only():
    assert coverage.pure_radius(np.ones((9, 2)) / 2**0.5, 3, 0.95, np.random.default_rng(0)) == np.inf


def test_probcover_code_takes_the_highest_degree_and_paper_draws_among_the_five_highest():
    pool = make_pool(n=50, labelled=5)
    unit, unasked = _geometry.unit_rows(pool["features_ND"].astype(np.float64)), make_view(pool).unasked
    asked = unit[pool["answers_N"] >= 0]
    covered = [v for v, i in enumerate(unasked) if np.linalg.norm(asked - unit[i], axis=1).min() < 0.5]
    degrees = slow.uncovered_degrees(slow.ball_graph(unit[unasked].tolist(), 0.5), covered, [])
    assert sorted(degrees)[-5:] == [8, 9, 10, 10, 12]
    degree = dict(zip(unasked.tolist(), degrees, strict=True))
    first = {v: [degree[next(order("probcover", make_view(pool, seed), delta=0.5, variant=v))] for seed in range(40)]
             for v in ("paper", "code")}  # fmt: skip
    assert set(first["code"]) == {12}
    assert set(first["paper"]) == {8, 9, 10, 12} and 2 <= first["paper"].count(12) <= 16  # 8 expected


def test_probcover_picks_no_labelled_sample_when_the_pool_is_covered_entirely():
    pool = make_pool(n=60, labelled=20)
    picks = list(order("probcover", make_view(pool), delta=2.1, variant="code"))
    assert sorted(picks) == make_view(pool).unasked.tolist()


def test_probcover_asks_where_no_label_covers_first():
    pool, blob = blob_pool([40, 30, 25, 20], [1, 0, 1, 0], quota=4)
    picks = list(order("probcover", make_view(pool), delta=0.5, variant="code"))
    assert [int(blob[i]) for i in picks[:2]] == [1, 3]
    assert [int(blob[i]) for i in picks[2:6]] == [0, 1, 2, 3]  # the next layer, all of it


def test_probcover_draws_candidates_at_random_and_the_others_come_after_them():
    pool = make_pool(n=60, labelled=10)
    orders = [list(order("probcover", make_view(pool, seed), candidates=7)) for seed in (0, 1)]
    assert all(sorted(one) == make_view(pool).unasked.tolist() for one in orders)
    assert len({*orders[0][:7]} & {*orders[1][:7]}) < 6


# Independent implementations


@pytest.fixture
def pool_module():
    return pytest.importorskip("skactiveml.pool", reason=f"{PEER} scikit-activeml", exc_type=ImportError)


def fixed_classifier(predictions):
    """A classifier of scikit-activeml that answers with `predictions` in turn, whatever it is asked about."""
    from skactiveml.base import SkactivemlClassifier

    class Fixed(SkactivemlClassifier):
        def fit(self, X, y, sample_weight=None):
            return self

        def predict_proba(self, X):
            return next(predictions)

        def predict(self, X):
            return next(predictions)

    return Fixed()


def with_gaps(answers):
    """Answers as scikit-activeml wants them: NaN where nothing is asked."""
    return np.where(answers < 0, np.nan, answers)


def test_coreset_picks_what_scikit_activeml_picks(pool_module):
    pool = make_pool(n=120, labelled=15, dim=6, seed=8)
    theirs = pool_module.CoreSet(random_state=0).query(pool["features_ND"], with_gaps(pool["answers_N"]), batch_size=40)
    assert list(itertools.islice(order("coreset", make_view(pool)), 40)) == theirs.tolist()


def test_badge_draws_with_the_probabilities_of_scikit_activeml(pool_module):
    pool = make_pool(n=80, labelled=0, dim=6, seed=8)
    residual = pool["probs_NC"].astype(np.float64)
    theirs, utilities = pool_module.Badge(random_state=0).query(
        pool["features_ND"].astype(np.float64), np.full(80, np.nan), fixed_classifier(iter([residual])), fit_clf=False,
        batch_size=10, return_utilities=True,
    )  # fmt: skip
    residual = residual - np.eye(4)[residual.argmax(axis=1)]
    features = pool["features_ND"].astype(np.float64)
    length = gradients.gradient_lengths(residual, features)
    closest = length  # theirs: the origin is a centre from the start, though no sample lies there
    assert theirs[0] == length.argmax()
    assert next(order("badge", make_view(pool), variant="code")) == theirs[0]
    for n in range(1, 10):
        closest = np.minimum(closest, gradients.gradient_distances(residual, features, length, theirs[n - 1 : n])[:, 0])
        left = np.isfinite(utilities[n])
        np.testing.assert_allclose((closest / closest.sum())[left], utilities[n][left], rtol=1e-6, atol=1e-12)


def test_typiclust_picks_what_scikit_activeml_picks(pool_module):
    pool, _ = blob_pool([40, 30, 22, 24, 35, 18], [1, 0, 0, 0, 1, 0], quota=4)
    unit = _geometry.unit_rows(pool["features_ND"].astype(np.float64))
    theirs = pool_module.TypiClust(random_state=0, k=8).query(unit, with_gaps(pool["answers_N"]), batch_size=4)
    assert list(itertools.islice(order("typiclust", make_view(pool), neighbours=8), 4)) == theirs.tolist()


def test_probcover_takes_a_sample_of_highest_degree_by_scikit_activeml_and_a_radius_of_its_purity(pool_module):
    pool = make_pool(n=90, labelled=3, dim=5, seed=8)
    unit = _geometry.unit_rows(pool["features_ND"].astype(np.float64))
    picks = list(order("probcover", make_view(pool), delta=0.3, variant="code"))
    answers, degrees = pool["answers_N"].copy(), []
    for pick in picks[:12]:
        peer = pool_module.ProbCover(n_classes=4, deltas=[0.3], random_state=0)
        _, utilities = peer.query(unit, with_gaps(answers), return_utilities=True)
        degrees.append(np.nanmax(utilities[0]))
        if degrees[-1] == 0:
            break
        assert utilities[0][pick] == degrees[-1]
        answers[pick] = 0
    assert len(degrees) > 4 and degrees[0] > 5
    features, _ = blobs([30, 20, 25], dim=3, spread=0.35)
    unit = _geometry.unit_rows(features.astype(np.float64))
    grid = np.linspace(0.05, 1.5, 200)
    peer = pool_module.ProbCover(n_classes=3, deltas=grid, alpha=0.9, random_state=0)
    peer.query(unit, np.full(75, np.nan))
    ours = coverage.pure_radius(unit, 3, 0.9, np.random.default_rng(0))
    assert peer.delta_max_ <= ours < peer.delta_max_ + 2 * (grid[1] - grid[0])


def test_dropquery_picks_what_scikit_activeml_picks_from_the_same_predictions(pool_module, monkeypatch):
    pool, _ = blob_pool([40, 30, 20, 25], [0, 0, 0, 0], quota=4, seed=1)
    n, features = len(pool["answers_N"]), _geometry.unit_rows(pool["features_ND"].astype(np.float64))
    rng = np.random.default_rng(0)
    predictions = [np.zeros(n), *rng.integers(0, 3, (3, n)).astype(float)]
    peer = pool_module.DropQuery(
        n_dropout_samples=3, random_state=0, cluster_algo_dict={"random_state": 0, "n_init": 5}
    )
    theirs = peer.query(
        features, np.full(n, np.nan), fixed_classifier(iter(predictions)), fit_clf=False, batch_size=4
    )  # fmt: skip
    share = (np.array(predictions[1:]) != predictions[0]).mean(axis=0)
    monkeypatch.setattr(dropout, "changed_share", lambda head, positions, *args, **kwargs: share[positions])
    ours = list(itertools.islice(order("dropquery", make_view(pool)), 4))
    assert set(ours) == set(theirs.tolist())


def test_bald_scores_are_those_of_baal():
    heuristics = pytest.importorskip("baal.active.heuristics", reason=f"{PEER} baal", exc_type=ImportError)
    pool = make_pool(n=50, dim=6, labelled=0)
    head = make_head(pool)
    passes = dropout.dropped_logits(head, np.arange(50), [3, 0], passes=12, rate=0.5)
    probs_NCT = torch.softmax(torch.tensor(np.stack(list(passes), axis=2)).double(), 1).numpy()
    ours = dropout.mutual_information(head, np.arange(50), 3, passes=12, rate=0.5)
    np.testing.assert_allclose(ours, heuristics.BALD().compute_score(probs_NCT), rtol=1e-4, atol=1e-6)


# The guard of the uncertainty strategies


@pytest.mark.parametrize("name", ["least_confidence", "entropy", "margin"])
@pytest.mark.parametrize(("skip", "skipped"), [(0.0, 0), (0.1, 6), (1.0, 60)])
def test_skipped_are_the_most_uncertain_candidates_and_they_come_last(name, skip, skipped):
    pool = make_pool(n=70, labelled=10, seed=1)
    plain = list(order(name, make_view(pool)))
    assert len(plain) == 60
    assert list(order(name, make_view(pool), skip=skip)) == plain[skipped:] + plain[:skipped]


def test_skipping_is_an_extension_of_ours_in_tables():
    assert acquisition.family("margin", {"skip": 0.05}) == "ours" and acquisition.family("margin", {}) == "classic"
