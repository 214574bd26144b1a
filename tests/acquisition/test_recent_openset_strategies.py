"""NEAT, POAL, SISOM, Joda, E2OAL and PAL against slow references, by hand, and against faults of published code."""

import dataclasses
import functools
import itertools
import math

import numpy as np
import pytest
from reference import recent_open_set as slow
from sklearn.covariance import LedoitWolf
from test_acquisition import CASES, answered, make_pool, make_view, rows
from test_openset_strategies import dirty_pool

from alkit import acquisition
from alkit.acquisition import evidential, pareto, weight_net
from alkit.acquisition._open_set import closed_probs, upper_mode
from alkit.acquisition._small_heads import PENALTY, Linear, inputs
from alkit.acquisition.distance_ratios import exposed, sisome, space_of, youden

order = functools.partial(acquisition.order, auxiliary_filter=False)  # definitions know no filter

NAMES = ("neat", "poal", "sisom", "joda", "e2oal", "pal")


def parts(view, seed):
    """Shuffled positions, as the view's stream draws them first, and labelled iD samples."""
    positions = np.random.default_rng(seed).permutation(view.unlabelled)
    return positions, np.flatnonzero((view.answers_N >= 0) & (view.answers_N < view.n_classes))


def anew(view, **changes):
    return dataclasses.replace(view, rng=np.random.default_rng(0), **changes)


@pytest.mark.parametrize("neighbours", [1, 5, 200])
@pytest.mark.parametrize("seed", range(2))
def test_neat_agrees_with_its_definition(seed, neighbours):
    view = make_view(make_pool(n=150, labelled=60, quota=7, seed=seed), seed)
    positions, _ = parts(view, seed)
    asked = np.flatnonzero(view.answers_N >= 0)
    features = view.features_ND.astype(float)
    expected = slow.neat(
        features[positions], features[asked], view.answers_N[asked], closed_probs(view.probs_NC[positions]), 3,
        neighbours, 7,
    )  # fmt: skip
    assert list(order("neat", view, neighbours=neighbours)) == positions[expected].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_fronts_agree_with_taking_away_what_nothing_dominates(seed):
    points = np.random.default_rng(seed).integers(0, 6 + 20 * seed, (80, 2)).astype(float)  # with duplicates and ties
    assert pareto.fronts(points).tolist() == slow.fronts(points)
    assert pareto.fronts(points[:0]).tolist() == []


def test_poal_keeps_no_set_that_another_one_dominates_and_takes_the_one_most_shared():
    """The published code never turns a dominated set away, whenever it comes."""
    points = np.random.default_rng(0).random((30, 2))
    rng = np.random.default_rng(1)
    sets = [tuple(rng.choice(30, 4, replace=False)) for _ in range(4 * 30)]
    sums = [tuple(points[list(s)].sum(0)) for s in sets]
    best = [s for s, a in zip(sets, sums) if not any(slow.dominates(b, a) for b in sums)]
    shared = [sum(member in other for member in s for other in best) for s in best]
    found = pareto.most_shared_set(points, 4, np.random.default_rng(1))
    assert tuple(found) == best[int(np.argmax(shared))] and 2 < len(best) < 20
    assert sorted(pareto.most_shared_set(points[:5], 5, rng)) == [0, 1, 2, 3, 4]


def test_poal_nearness_is_by_the_common_covariance_and_highest_at_the_means():
    """The published code for nets has it the other way round: highest far from all classes."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 2], 30)
    labelled = (rng.normal(size=(60, 5)) * [1, 2, 3, 1, 1] + 4 * np.eye(3, 5)[labels]).astype(np.float32)
    means = [labelled[labels == k].mean(0) for k in (0, 2)]
    pool = np.concatenate([means, rng.normal(size=(40, 5)) * 6]).astype(np.float32)
    offsets = labelled - np.array(means)[labels // 2]
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(offsets.astype(float)).covariance_)
    expected = [-min((x - m) @ inverse @ (x - m) for m in means) for x in pool.astype(float)]
    found = pareto.nearness(pool, labelled, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert set(np.argsort(-found)[:2]) == {0, 1}
    assert (pareto.nearness(pool, labelled[::30], labels[::30]) == 0).all()  # one label each: no spread to go by


def test_poal_draws_its_sets_from_the_first_fronts_alone():
    view = make_view(make_pool(n=400, labelled=60, quota=5), 3)
    positions, labelled = parts(view, 3)
    both = np.stack([
        -(closed_probs(view.probs_NC[positions]) * np.log(closed_probs(view.probs_NC[positions]))).sum(1),
        pareto.nearness(view.features_ND[positions], view.features_ND[labelled], view.answers_N[labelled]),
    ], axis=1)  # fmt: skip
    front = np.array(slow.fronts(both))
    last = np.sort(front)[6 * 5 - 1]
    picks = list(itertools.islice(order("poal", view), 5))
    assert set(picks) <= set(positions[front <= last]) and last < front.max() / 2


@pytest.mark.parametrize("seed", range(3))
def test_sisom_agrees_with_its_definition(seed):
    view = make_view(make_pool(n=80, labelled=40, dim=6, seed=seed), seed)
    positions, labelled = parts(view, seed)
    head = view.head
    expected = slow.sisom(
        head.features_ND[positions].astype(float), head.features_ND[labelled].astype(float), view.answers_N[labelled],
        head.weight_CD[:3].astype(float), head.bias_C[:3].astype(float),
    )  # fmt: skip
    by_score = positions[np.argsort(-np.array(expected), kind="stable")]
    assert list(order("sisom", view)) == by_score.tolist() and len(set(np.round(expected, 6))) == len(expected)


def test_ratios_leave_a_labelled_sample_out_of_its_own_and_one_alone_has_none():
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 1, 1, 1, 2])
    space = space_of(rng.normal(size=(6, 4)).astype(np.float32), labels, rng.normal(size=(3, 4)), rng.normal(size=3))
    found = space.ratios_of_labelled()
    assert np.isnan(found).tolist() == [False] * 5 + [True]
    np.testing.assert_allclose(found[:5], slow.ratios_of_labelled(space.labelled_MD, labels))
    alone = space_of(np.eye(2, 4, dtype=np.float32), np.array([1, 1]), rng.normal(size=(3, 4)), np.zeros(3))
    assert (alone.gap_M == 1).all() and alone.predicted(rng.normal(size=(5, 4))).tolist() == [1] * 5


@pytest.mark.parametrize("seed", range(4))
def test_bar_of_joda_has_the_highest_rate_of_all_bars(seed):
    rng = np.random.default_rng(seed)
    own, junk = rng.normal(size=30), rng.normal(size=12) + seed / 2
    best, bars = slow.youden(own, junk)
    found = youden(np.concatenate([own, junk]), 12)
    assert found == max(bars) and (found < np.inf or best == 0)
    assert youden(np.array([3.0, 3, 0, 0]), 2) == np.inf  # junk has the lower energy: no bar


def no_head_nearby_is_better(head, made, loss):
    """A slow loss with the penalty, at a head and at others around it."""

    def value(weight, bias):
        return loss(made @ weight.T + bias) + PENALTY / 2 * (weight**2).sum()

    weight, bias, rng = head.weight_CD.double().numpy(), head.bias_C.double().numpy(), np.random.default_rng(0)
    here = value(weight, bias)
    around = [value(weight + 0.03 * rng.normal(size=weight.shape), bias + 0.03 * rng.normal(size=bias.shape))
              for _ in range(20)]  # fmt: skip
    assert min(around) > here < value(0 * weight, 0 * bias)


def labelled_blobs():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2, 3], 15)
    return inputs((2 * np.eye(4, 6)[labels] + rng.normal(size=(60, 6))).astype(np.float32)), labels


def test_head_of_joda_minimises_cross_entropy_and_half_the_outlier_exposure():
    made, labels = labelled_blobs()
    head = exposed(made, labels, 3)
    no_head_nearby_is_better(head, made.double().numpy(), lambda out: slow.exposure_loss(out, labels, 3))
    spread = np.ptp(head.logits(made), axis=1)
    assert spread[labels == 3].mean() < 0.8 * spread[labels < 3].mean()  # junk is nearer to any class alike


def test_sisome_weighs_standard_scores_by_the_mean_ratio():
    ratio, energy, own, own_energy = (
        np.array([0.5, 2.0]),
        np.array([-1.0, 3.0]),
        np.array([0.2, 0.4, np.nan]),
        [1, 3, 9],
    )
    score, spread = sisome(ratio, energy, own, np.array(own_energy, float))
    expected = [0.3 * (e - 2) / 1 + 0.7 * (r - 0.3) / 0.1 for r, e in zip(ratio, energy)]
    np.testing.assert_allclose(score, expected)
    assert spread == pytest.approx(1)  # both labelled samples are a deviation off, to the same side
    np.testing.assert_array_equal(sisome(ratio, energy, np.array([np.nan]), np.array([1.0]))[0], ratio)


def test_joda_holds_back_what_lies_above_its_bar():
    view, kind = dirty_pool(0)
    made = inputs(view.features_ND)
    logits = exposed(made, view.answers_N, 4).logits(made)
    energy = -np.log(np.exp(logits).sum(1))
    own, junk = (np.flatnonzero(m) for m in ((view.answers_N >= 0) & (view.answers_N < 4), view.answers_N == 4))
    bar = max(slow.youden(energy[own], energy[junk])[1])
    above = [bool(energy[i] >= bar) for i in order("joda", view)]
    assert 50 < sum(above) < len(above) - 50 and above == sorted(above)


def test_joda_agrees_with_its_definition_given_the_head():
    view, _ = dirty_pool(1)
    answers = view.answers_N.copy()
    answers[np.flatnonzero(answers == 0)[3:]] = -1  # three labels of class 0 are left
    view = anew(view, answers_N=answers, live_N=answers)
    positions, labelled = parts(view, 0)
    made, labels = inputs(view.features_ND), answers[labelled]
    head = exposed(made, answers, 4)
    logits, made, layer = head.logits(made), made.numpy(), (head.weight_CD.numpy(), head.bias_C.numpy())
    energy = -np.log(np.exp(logits).sum(1))
    space = space_of(made[labelled], labels, *layer)
    own = slow.enhanced(made[labelled], *layer, space.steepness)
    seen, predicted = slow.enhanced(made[positions], *layer, space.steepness), logits[positions].argmax(1)
    ratio = np.array([slow.ratio(row, label, own, labels) for row, label in zip(seen, predicted)])
    known = np.array(slow.ratios_of_labelled(own, labels))
    weight = min(known.mean(), 1)

    def mixed(r, e):
        return (weight * (e - energy[labelled].mean()) / energy[labelled].std()
                + (1 - weight) * (r - known.mean()) / known.std())  # fmt: skip

    deviation = mixed(known, energy[labelled]).std()
    balance = [-deviation * ((labels == k).sum() * 4 / len(labels) - 1) for k in predicted]
    bar = max(slow.youden(energy[labelled], energy[answers == 4])[1])
    score = mixed(ratio, energy[positions]) + balance
    expected = sorted(range(len(positions)), key=lambda i: (energy[positions[i]] >= bar, -score[i]))
    assert list(order("joda", view)) == positions[expected].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_f1_of_clusters_agrees_with_trying_all_matches(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 40)
    clusters = np.where(rng.random(40) < 0.6, labels, rng.integers(0, 5, 40))
    named = np.where(labels == 3, slow.JUNK, labels)
    found, matched = evidential.cluster_f1(clusters, labels, 5, 3)
    assert found == pytest.approx(slow.f1_of_clusters(clusters, named)) and 0 < found < 1 and len(set(matched)) == 3
    assert evidential.cluster_f1(labels, labels, 4, 3)[0] == pytest.approx(1)
    assert evidential.cluster_f1(np.zeros(40, int), labels, 1, 3)[0] == 0  # classes without a cluster


@pytest.mark.parametrize("peak", [3, 4, 17, 60, 99])
def test_ternary_search_finds_the_one_peak(peak):
    asked = []
    assert evidential.highest(lambda n: asked.append(n) or -abs(n - peak), 3, 99) == peak
    assert len(set(asked)) < 30 and evidential.highest(lambda n: 0, 5, 5) == 5


def test_junk_classes_are_the_clusters_of_labelled_junk():
    rng = np.random.default_rng(0)
    blob = rng.permutation(np.repeat(np.arange(6), 20))
    features = np.eye(6, 8)[blob] + 0.05 * rng.normal(size=(120, 8))
    junk, n_junk = evidential.junk_classes(features, np.minimum(blob, 2), 2, seed=0)
    pairs = set(zip(blob[blob >= 2].tolist(), junk[blob >= 2].tolist()))
    assert n_junk == 4 and len(pairs) == 4 and {j for _, j in pairs} == {0, 1, 2, 3}
    assert evidential.junk_classes(features[:1], np.array([2]), 2, seed=0)[1] == 1


def test_evidential_head_minimises_its_loss():
    made, labels = labelled_blobs()
    head = evidential.evidential_head(made, labels, 4)
    no_head_nearby_is_better(head, made.double().numpy(), lambda out: slow.evidence_loss(out, labels))


@pytest.mark.parametrize("reverse", [False, True])
def test_information_agrees_with_its_definition_and_is_highest_in_between(reverse):
    probs = np.random.default_rng(0).dirichlet(np.full(4, 0.5), 50)
    np.testing.assert_allclose(
        evidential.information(probs, reversed_divergence=reverse), slow.information(probs, reverse), rtol=1e-6
    )
    sure, half, none = evidential.information(np.array([[1, 0, 0], [0.6, 0.2, 0.2], [1, 1, 1]]) / [[1], [1], [3]],
                                              reversed_divergence=reverse)  # fmt: skip
    assert half > max(sure, none) and min(sure, none) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("target", [0.0, 1.0, 4.5, 6.0, 9.9])
def test_admitted_agrees_with_trying_every_number(target, whole):
    for seed in range(4):
        sure, informative = np.random.default_rng(seed).random((2, 60))
        found = evidential.admitted(sure, informative, 10, target, whole=whole)
        assert found == slow.admitted(sure, informative, 10, target, whole)
    assert evidential.admitted(sure[:3], informative[:3], 10, 1.0, whole=whole) == 3


def test_e2oal_takes_the_most_informative_of_each_class_share_of_the_admitted():
    queues = [np.arange(0, 10), np.arange(10, 14)]  # by falling purity
    informative = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 2, 1, 0], float)
    rounds = list(evidential._rounds(queues, informative, 2, 4, make_view(make_pool(quota=4))))
    assert [sorted(r) for r in rounds] == [[2, 3, 10, 11], [4, 5, 12, 13], [6, 7, 8, 9], [0, 1]]
    assert [len(queue) for queue in queues] == [10, 4]


def test_e2oal_asks_last_for_what_its_head_takes_for_junk():
    view, kind = dirty_pool(0)
    picks = np.array(list(order("e2oal", view)))
    assert (kind[picks[:40]] == 2).mean() == 0 and (kind[picks[-200:]] == 2).mean() > 0.95


@pytest.mark.parametrize(
    ("n_id", "n_junk", "target"), [(6, 4, 0.6), (9, 1, 0.3), (3, 7, 0.9), (1, 9, 1.0), (10, 0, 0.2)]
)
def test_target_of_e2oal_makes_up_for_the_precision_so_far(n_id, n_junk, target, monkeypatch):
    told = []
    monkeypatch.setattr(evidential, "admitted", lambda *given, **_: told.append(given[3]) or 10)
    next(
        order("e2oal", make_view(make_pool(quota=5) | answered([0, 1] * (n_id // 2) + [0] * (n_id % 2) + [3] * n_junk)))
    )
    assert told == [pytest.approx(5 * target)]


def test_mixture_of_three_is_fitted_to_both_lots_of_values():
    rng = np.random.default_rng(0)
    middle, both = rng.normal(size=50) + 5, np.concatenate([rng.normal(size=50), rng.normal(size=50) + 10])
    alone, beside = upper_mode(middle, seed=0), upper_mode(middle, seed=0, modes=3, others_M=both)
    assert beside.max() < 0.05 < alone.max()
    assert (upper_mode(np.ones(2), seed=0, modes=3, others_M=np.ones(0)) == 1).all()


def test_slopes_of_pal_agree_with_differences():
    rng = np.random.default_rng(0)
    out, labels = rng.normal(size=(8, 4)), rng.integers(0, 4, 8)
    for b, c in itertools.product(range(8), range(4)):
        step = np.zeros_like(out)
        step[b, c] = 1e-6
        slope = (slow.open_loss(out + step, labels) - slow.open_loss(out - step, labels)) / 2e-6
        assert weight_net.open_slope(out, labels)[b, c] == pytest.approx(slope, abs=1e-6)
        slope = (slow.open_entropy(out[b] + step[b]) - slow.open_entropy(out[b] - step[b])) / 2e-6
        assert weight_net.entropy_slope(out)[b, c] == pytest.approx(slope, abs=1e-6)
    assert weight_net.open_slope(out[:, :1], 0 * labels).shape == (8, 1)


def test_open_heads_minimise_their_loss():
    made, labels = labelled_blobs()
    head = weight_net.open_heads(made, labels, 4)
    no_head_nearby_is_better(head, made.double().numpy(), lambda out: slow.open_loss(out, labels))


def test_weight_network_learns_which_entropies_help_the_heads(monkeypatch):
    """The published code clears the network's gradients before its step, so that it never learns."""
    made, labels = labelled_blobs()
    rng = np.random.default_rng(1)
    heads = Linear(*(part.clone() for part in vars(weight_net.open_heads(made, labels, 4)).values()))
    gains = []
    step = weight_net.WeightNet.step

    def watched(net, weights, gain):
        given = weights.detach().numpy()
        gains.append(((given * gain).sum() / given.sum(), gain.mean()))
        step(net, weights, gain)

    monkeypatch.setattr(weight_net.WeightNet, "step", watched)
    weight_net.weigh(heads, made, labels, made, rng)
    above = [weighted - plain for weighted, plain in gains]
    assert len(gains) == weight_net.STEPS and np.mean(above[-10:]) > np.mean(above[:3]) + 1e-6


def test_gain_of_a_sample_is_what_a_step_on_its_entropy_does_to_the_heads_loss():
    made, labels = labelled_blobs()
    head, made = weight_net.open_heads(made, labels, 4), made.double().numpy()
    weight, bias = head.weight_CD.double().numpy(), head.bias_C.double().numpy()
    labelled_slope = weight_net.open_slope(made @ weight.T + bias, labels)

    def loss_after(row, step):
        """The slow loss after a step of that length down the row's entropy."""
        slope = weight_net.entropy_slope((row @ weight.T + bias)[None])[0]
        return slow.open_loss(made @ (weight - step * np.outer(slope, row)).T + bias - step * slope, labels)

    for row in made[:6]:
        slope = weight_net.entropy_slope((row @ weight.T + bias)[None])[0]
        gain = (slope * ((labelled_slope.T @ made) @ row + labelled_slope.sum(axis=0))).sum()
        assert (loss_after(row, -1e-5) - loss_after(row, 1e-5)) / 2e-5 == pytest.approx(gain, abs=1e-5)


def test_id_score_of_pal_is_that_of_the_published_code():
    out = np.array([[0.0, 3, -2], [4, 4, 4]])
    largest = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(4))]
    np.testing.assert_allclose(weight_net.id_score(out), [2.5 * (1 + p * math.log(p)) for p in largest], rtol=1e-6)


def test_rounds_of_pal_take_a_share_of_each_lot_and_go_on_with_one():
    found = weight_net._in_rounds(np.arange(7), np.array([20, 21, 22]), 4, 1, np.random.default_rng(0)).tolist()
    assert [set(found[:4]), set(found[4:8]), set(found[8:])] == [{0, 1, 2, 20}, {3, 4, 5, 21}, {6, 22}]
    found = weight_net._in_rounds(np.arange(0), np.arange(5), 4, 1, np.random.default_rng(0)).tolist()
    assert sorted(found[:4]) == [0, 1, 2, 3] and len(found) == 5


def test_pal_asks_for_a_few_that_it_takes_for_junk_in_every_round():
    view, kind = dirty_pool(0)
    view = anew(view, quota=60)
    first = kind[list(itertools.islice(order("pal", view), 60))]
    assert 1 <= (first > 0).sum() <= 30


@pytest.mark.parametrize("name", NAMES)
def test_equal_samples_come_in_random_order(name):
    pool = CASES["constant classifier"] | rows(1)
    assert len({next(order(name, make_view(pool, seed))) for seed in range(6)}) > 2


@pytest.mark.parametrize("name", ["neat", "sisom", "joda"])
def test_shuffling_the_pool_shuffles_the_picks(name):
    pool = make_pool(n=200, labelled=60, seed=3, dim=8)
    perm = np.random.default_rng(9).permutation(200)
    shuffled = pool | {key: pool[key][perm] for key in ("features_ND", "probs_NC", "answers_N")}
    found = [perm[list(order(name, make_view(shuffled)))].tolist(), list(order(name, make_view(pool)))]
    if name == "neat":  # votes are equal for many, which come in random order
        assert set(found[0][:4]) & set(found[1][:12])
    else:
        assert found[0] == found[1]


@pytest.mark.parametrize("name", ["neat", "pal"])
def test_a_larger_share_of_id_is_bought_than_at_random(name):
    shares, at_random = [], []
    for seed in range(2):
        view, kind = dirty_pool(seed)
        shares.append((kind[list(itertools.islice(order(name, view), 40))] == 0).mean())
        at_random.append((kind[view.unasked] == 0).mean())
    assert np.mean(shares) > np.mean(at_random) + 0.1


@pytest.mark.parametrize("name", NAMES)
def test_with_no_labelled_id_sample_the_order_is_random(name):
    pool = make_pool() | answered([3] * 7)
    assert len({next(order(name, make_view(pool, seed))) for seed in range(6)}) > 3
