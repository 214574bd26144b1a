"""VeSSAL, ICAL, ISAL, DAO, TiDAL, TA-VAAL, AnchorAL, TAILOR, rare classes: slow references, by hand, known faults."""

import dataclasses
import functools
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reference import recent_classic as slow
from scipy.special import softmax
from test_acquisition import CASES, answered, make_head, make_pool, make_view, rows
from test_recent_openset_strategies import labelled_blobs, no_head_nearby_is_better

from alkit import acquisition
from alkit.acquisition import _small_heads, adversarial, dependence, dynamics, imbalance, influence, volume

order = functools.partial(acquisition.order, auxiliary_filter=False)  # definitions know no filter

NAMES = ("vessal", "ical", "isal", "dao", "tidal", "ta_vaal", "rare_class", "anchoral", "tailor")


@pytest.fixture
def short_training(monkeypatch):
    monkeypatch.setattr(adversarial, "STEPS", 5)


def learned_view(seed=0, **changes):
    """A view whose probabilities are those of its head."""
    pool = make_pool(seed=seed, **changes)
    head = make_head(pool, seed)
    logits = head.features_ND.astype(float) @ head.weight_CD.T / 3 + head.bias_C
    head = dataclasses.replace(head, weight_CD=head.weight_CD / 3)
    return make_view(pool | {"head": head, "probs_NC": softmax(logits, axis=1).astype(np.float32)}, seed)


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("seed", range(4))
def test_vessal_picks_as_one_with_the_covariance_in_full(seed, variant):
    view = make_view(make_pool(n=90, quota=8, seed=seed), seed)
    rng = np.random.default_rng(seed)
    positions = rng.permutation(view.unlabelled)
    made = np.array([
        slow.gradient(view.probs_NC[i].astype(float), view.features_ND[i].astype(float),
                      by_probability=variant == "code") for i in positions
    ])  # fmt: skip
    expected = positions[slow.vessal(made, 8, rng.random(len(positions)))].tolist()
    assert list(itertools.islice(order("vessal", view, variant=variant), len(expected))) == expected
    assert len(expected) > 2


def test_vessal_never_forms_a_gradient_or_its_covariance():
    """Of 61 outputs and 2,000 features: a covariance would have 15 billion entries."""
    pool = make_pool(n=80, n_classes=60, dim=2000, labelled=20)
    assert len(list(itertools.islice(order("vessal", make_view(pool)), 12))) == 12


def test_vessal_draws_few_from_a_group_of_equal_gradients_and_stops_where_there_is_no_gradient():
    features = np.repeat(np.eye(6), [75, 5, 5, 5, 5, 5], axis=0)
    residual, from_group = np.full((100, 2), [-0.5, 0.5]), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        passing = rng.permutation(100)
        picks = passing[volume.stream(residual, features, passing, 6, rng.random(100))]
        assert len(picks) <= 6
        from_group.append((picks < 75).sum() / len(picks))
    assert np.mean(from_group) < 0.4  # 0.75 by their number alone
    assert volume.stream(0 * residual, features, np.arange(100), 6, np.zeros(100)) == []


@pytest.mark.parametrize("seed", range(3))
def test_dependence_is_hsic_with_the_published_kernel_up_to_a_factor(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (30, 7))
    condensed = np.stack([rng.integers(0, 30, 5) for _ in range(4)])
    kernels = [slow.rational_quadratic(row) for row in labels]
    expected = [[slow.hsic(np.mean([kernels[i] for i in some], axis=0), one) for some in condensed] for one in kernels]
    between = np.mean([(1 + 1 / a) ** -a for a in (0.2, 0.5, 1, 2, 5)])
    found = dependence.dependence(labels, labels[condensed]) * (1 - between) ** 2
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_ical_picks_are_those_of_the_greedy_batch():
    view = make_view(make_pool(n=70, labelled=20, quota=6), 3)
    rng = np.random.default_rng(3)
    positions = rng.permutation(view.unlabelled)
    labels = dependence.drawn_labels(view.head, view.unlabelled, int(rng.integers(2**31)), passes=9, rate=0.5)
    condensed = rng.choice(view.unlabelled, (6, 50))
    place = {p: i for i, p in enumerate(positions.tolist())}
    by_position = dict(zip(view.unlabelled.tolist(), labels, strict=True))
    kernels = [slow.rational_quadratic(by_position[p]) for p in positions.tolist()]
    expected = slow.ical(kernels, [[place[p] for p in some] for some in condensed.tolist()])
    assert list(itertools.islice(order("ical", view, passes=9), 6)) == positions[expected].tolist()


def test_dropout_masks_of_ical_are_shared_and_labels_follow_the_probabilities():
    view = make_view(make_pool() | rows(3))
    sharp = dataclasses.replace(view.head, weight_CD=1000 * view.head.weight_CD)
    drawn = dependence.drawn_labels(sharp, np.arange(60), 7, passes=12, rate=0.5)
    assert (drawn == drawn[np.arange(60) % 3]).all() and len(np.unique(drawn[:3], axis=1).T) > 2
    flat = dataclasses.replace(view.head, weight_CD=0 * view.head.weight_CD, bias_C=np.log([0.7, 0.2, 0.1, 1e-9]))
    shares = np.bincount(dependence.drawn_labels(flat, np.arange(60), 7, passes=200, rate=0.5).ravel(), minlength=4)
    np.testing.assert_allclose(shares / shares.sum(), [0.7, 0.2, 0.1, 0], atol=0.015)


def test_ical_scores_what_changes_with_the_pool_above_coin_tosses_and_what_never_changes_at_nothing():
    rng = np.random.default_rng(0)
    course = rng.integers(0, 2, 40)
    labels = np.stack([course, 1 - course, rng.integers(0, 2, 40), np.ones(40, int)])
    score = dependence.dependence(labels, course[None, None].repeat(5, axis=1))[:, 0]
    assert score[0] == pytest.approx(score[1]) and score[0] > 10 * score[2] and score[3] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_isal_agrees_with_derivatives_given_the_held_out_slope(seed):
    view = learned_view(seed, n=80, labelled=30)
    rng = np.random.default_rng(seed)
    positions, asked = rng.permutation(view.unlabelled), rng.permutation(np.flatnonzero(view.answers_N >= 0))
    head, features = view.head, view.head.features_ND
    slope = influence.held_out_slope(features[asked], view.answers_N[asked], 3)
    found = slow.influences(head.weight_CD, head.bias_C, features[asked], slope, features[positions])
    assert list(order("isal", view)) == positions[np.argsort(found)].tolist()


def test_reference_set_of_isal_is_held_out_and_id_alone():
    view = learned_view(n=80, labelled=41)
    asked = np.flatnonzero(view.answers_N >= 0)
    features, labels = view.head.features_ND[asked], view.answers_N[asked]
    made, expected, n_id = _small_heads.inputs(features), np.zeros((4, 5)), (labels < 3).sum()
    for i in np.flatnonzero(labels < 3):
        others = np.arange(len(labels)) % 4 != i % 4
        head = _small_heads.classifier(made[others], labels[others], 4)
        residual = softmax(head.logits(made[[i]])[0]) - np.eye(4)[labels[i]]
        expected += np.outer(residual, [*features[i], 1]) / n_id
    np.testing.assert_allclose(influence.held_out_slope(features, labels, 3), expected, atol=1e-6)


def test_dao_agrees_with_steps_in_full_where_all_of_the_pool_is_looked_at():
    view = learned_view(1, n=60, labelled=30, quota=4)
    rng = np.random.default_rng(1)
    rng.permutation(view.unasked)
    positions = rng.permutation(view.unlabelled)
    asked = np.flatnonzero(view.answers_N >= 0)
    made, features = _small_heads.inputs(view.features_ND), view.head.features_ND.astype(float)
    surrogate = _small_heads.classifier(made[asked], view.answers_N[asked], 4)
    target = softmax(surrogate.logits(made[positions]), axis=1)
    expected = slow.dao(view.head.weight_CD, view.head.bias_C, features[asked], features[positions], target, 4)
    assert list(itertools.islice(order("dao", view), 4)) == positions[expected].tolist()


def test_weights_of_dao_make_the_estimate_unbiased_and_are_those_of_lure():
    rng = np.random.default_rng(0)
    loss, value = rng.exponential(size=50), rng.normal(size=50) + 3
    means = []
    for _ in range(400):
        seen, weight = influence.weighted_sample(loss, 12, rng)
        means.append((weight * value[seen]).mean())
    assert len(set(seen.tolist())) == 12 and np.std(means) > 0.1
    assert np.mean(means) == pytest.approx(value.mean(), abs=4 * np.std(means) / 20)
    share, left = loss / loss.sum() / 2 + 0.01, np.ones(50, bool)
    chances = []
    for i in seen:
        chances.append(share[i] / share[left].sum())
        left[i] = False
    np.testing.assert_allclose(weight, slow.lure(chances, 50))
    assert influence.weighted_sample(loss, 50, rng)[1].tolist() == [1] * 50
    assert len(influence.weighted_sample(0 * loss, 12, rng)[0]) == 12


def test_mean_course_is_that_of_gradient_descent():
    made, labels = labelled_blobs()
    found = dynamics.mean_course(made, labels, 4, epochs=7)
    np.testing.assert_allclose(found, slow.mean_course(made.numpy(), labels, 4, 7), rtol=1e-9)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_second_head_of_tidal_learns_the_means_and_what_is_learned_late_has_a_flat_one():
    made, labels = labelled_blobs()
    wrong = labels.copy()
    wrong[:5] = 1  # of class 0
    mean = dynamics.mean_course(made, wrong, 4)
    assert mean[np.arange(60), wrong][:5].max() < np.median(mean[np.arange(60), wrong])
    head = dynamics.course_head(made, mean)

    def divergence(out):
        return np.mean((mean * (np.log(mean) - np.log(softmax(out, axis=1)))).sum(axis=1))

    no_head_nearby_is_better(head, made.double().numpy(), divergence)


def test_tidal_asks_for_the_highest_predicted_entropy_first():
    view = make_view(make_pool(n=80, labelled=30), 2)
    positions, asked = np.random.default_rng(2).permutation(view.unlabelled), np.flatnonzero(view.answers_N >= 0)
    made = _small_heads.inputs(view.features_ND)
    head = dynamics.course_head(made[asked], slow.mean_course(made[asked].numpy(), view.answers_N[asked], 4, 200))
    probs = softmax(head.logits(made[positions]), axis=1)
    assert list(order("tidal", view)) == positions[np.argsort((probs * np.log(probs)).sum(axis=1))].tolist()


def test_ranker_of_ta_vaal_orders_by_loss_and_leaves_ties_out():
    made, _ = labelled_blobs()
    loss = made.numpy()[:, 0] + 0.5 * made.numpy()[:, 1]
    rank = adversarial.ranker(made, loss, np.random.default_rng(0)).logits(made)[:, 0]
    assert np.corrcoef(rank.argsort().argsort(), loss.argsort().argsort())[0, 1] > 0.95
    for equal in (np.ones(60), np.ones(1)):
        head = adversarial.ranker(made[: len(equal)], equal, np.random.default_rng(0))
        assert not head.weight_CD.any() and not head.bias_C.any()


def test_ta_vaal_asks_first_for_what_is_unlike_all_that_is_labelled():
    rng = np.random.default_rng(0)
    island = np.arange(200) >= 100
    features = (np.eye(2, 8)[island.astype(int)] + 0.2 * rng.normal(size=(200, 8))).astype(np.float32)
    answers = np.where(np.arange(200) < 40, np.arange(200) % 3, -1)  # 40 of the 100 on the mainland
    pool = make_pool(n=200, dim=8, labelled=0) | {"features_ND": features, "answers_N": answers}
    picks = list(itertools.islice(order("ta_vaal", make_view(pool)), 60))
    assert island[picks].mean() > 0.85  # 0.63 by their number


def test_discriminator_sees_the_rank_and_the_decoder_its_sigmoid():
    nets, rng = adversarial.Nets(6, np.random.default_rng(0)), np.random.default_rng(1)
    made = torch.from_numpy(rng.normal(size=(9, 6)).astype(np.float32))
    noise, low, high = torch.zeros(9, adversarial.LATENT), torch.zeros(9), torch.full((9,), 3.0)
    mean, _ = nets.encoded(made)
    assert not torch.equal(nets.judged(mean, low), nets.judged(mean, high))
    assert nets.rebuilt(made, low, noise)[0] != nets.rebuilt(made, high, noise)[0]
    assert torch.equal(nets.rebuilt(made, low, noise)[1], mean)


def test_rare_class_goes_where_fewest_labels_are_as_answers_come():
    probs = np.full((60, 4), 0.05, np.float32)
    for c, members in enumerate(np.array_split(np.arange(10, 60), 4)):
        probs[members, c] = np.linspace(0.5, 0.9, len(members))
    answers = np.array([0] * 5 + [1] * 3 + [2] * 2 + [-1] * 50)
    view = make_view(make_pool() | {"probs_NC": probs, "answers_N": answers.copy(), "live_N": answers})
    asked_for = []
    for pick in itertools.islice(order("rare_class", view), 8):
        likeliest = int(probs[pick].argmax())
        assert probs[pick, likeliest] == probs[answers < 0][:, likeliest].max()
        counts = np.bincount(answers[answers >= 0], minlength=4)[:3]
        assert counts[likeliest] == counts.min()
        asked_for.append(likeliest)
        answers[pick] = 3 if len(asked_for) == 4 else likeliest  # the fourth is junk: its class stays as rare
    assert asked_for[0] == 2 and sorted(asked_for[1:3]) == [1, 2] and len(set(asked_for)) == 3
    assert np.ptp(np.bincount(answers[answers >= 0], minlength=4)[:3]) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_part_of_anchoral_agrees_with_its_definition(seed):
    view = make_view(make_pool(n=150, labelled=40, dim=5, seed=seed), seed)
    unit = view.features_ND / np.linalg.norm(view.features_ND, axis=1, keepdims=True)
    found = imbalance.near_anchors(view, 100, 6, 20)  # all labelled iD samples are anchors
    asked = np.flatnonzero((view.answers_N >= 0) & (view.answers_N < 3))
    expected = view.unlabelled[slow.near_anchors(unit[asked], unit[view.unlabelled], 6, 20)]
    assert sorted(found.tolist()) == sorted(expected.tolist()) and len(found) == 20


def test_anchors_are_different_and_spread_and_no_more_than_asked_for():
    blob = np.repeat(np.eye(5), 8, axis=0)
    for seed in range(5):
        chosen = imbalance.spread(blob, 5, np.random.default_rng(seed))
        assert len(np.unique(chosen, axis=0)) == 5  # equal rows are no second anchor
    assert len(imbalance.spread(blob, 9, np.random.default_rng(0))) == 5
    assert imbalance.spread(blob, 40, None) is blob


@pytest.mark.parametrize("base", ["entropy", "badge"])
def test_anchoral_is_another_strategys_order_of_a_part_and_then_of_the_rest(base):
    pool = make_pool(n=120, labelled=30, dim=5)
    found = list(order("anchoral", make_view(pool, 4), base=base, anchors=3, neighbours=5, size=15))
    view = make_view(pool, 4)
    part = np.zeros(120, bool)
    part[imbalance.near_anchors(view, 3, 5, 15)] = True
    assert set(found[:15]) == set(np.flatnonzero(part))
    expected = []
    for candidates in (part, ~part):
        expected += order(base, dataclasses.replace(view, candidates_N=candidates))
    assert found == expected


def test_anchoral_has_the_whole_pool_where_there_is_no_anchor():
    pool = make_pool() | answered([3] * 7)
    assert list(order("anchoral", make_view(pool))) == list(order("entropy", make_view(pool)))


def answering(picks, answers, label_of):
    """The picks, each answered before the next is wanted."""
    for pick in picks:
        answers[pick] = label_of[pick]
        yield pick


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("arms", ["all", "uncertain"])
def test_tailor_picks_as_a_bandit_that_counts_its_history(arms, seed):
    case = make_pool(n=80, labelled=20, seed=seed)
    label_of = np.random.default_rng(seed).integers(0, 4, 80).tolist()
    answers = case["answers_N"].copy()
    found = answering(order("tailor", make_view(case | {"live_N": answers}, seed), arms=arms), answers, label_of)
    found, answers = list(itertools.islice(found, 40)), case["answers_N"].copy()

    def ask(position):
        answers[position] = label_of[position]
        return label_of[position]

    view, labelled = make_view(case | {"live_N": answers}, seed), answers[answers >= 0].tolist()
    orders = [acquisition.get(name).function(view) for name in imbalance.ARMS[arms]]
    assert found == slow.tailor(orders, ask, labelled, 3, view.rng, 40)


def bandit(monkeypatch, case, label_of, *orders):
    """Which of these orders each pick of a bandit over them comes from; no two orders begin alike."""
    made = iter(orders)
    monkeypatch.setattr(imbalance, "get", lambda name: SimpleNamespace(function=lambda view: iter(next(made))))
    monkeypatch.setitem(imbalance.ARMS, "all", ("scripted",) * len(orders))
    answers = case["answers_N"].copy()
    picks = answering(order("tailor", make_view(case | {"live_N": answers})), answers, label_of)
    arm_of = {p: arm for arm, one in enumerate(orders) for p in one[: len(one) // len(orders)]}
    return [arm_of[p] for p in itertools.islice(picks, len(orders[0]) // len(orders))]


@pytest.mark.parametrize("n_classes", [1, 3])  # of one class, the only one has more than half of the labels
def test_tailor_leaves_an_arm_that_buys_junk(monkeypatch, n_classes):
    case = make_pool(n=820, labelled=0, n_classes=n_classes) | answered([*range(n_classes + 1)] * 5, 820)
    label_of = [n_classes if p % 2 else p % n_classes for p in range(820)]  # odd positions are junk
    even, odd = list(range(20, 820, 2)), list(range(21, 820, 2))
    arms = bandit(monkeypatch, case, label_of, odd + even, even + odd)
    assert 0 < sum(arms[:12]) < 12 and sum(arms[300:]) > 90  # of 12, of 100


def test_tailor_goes_to_the_arm_that_finds_the_rare_class_until_it_is_rare_no_more(monkeypatch):
    case = make_pool(n=880, labelled=0) | answered([0] * 38 + [1] * 4 + [2] * 38, 880)
    label_of = [p % 2 for p in range(880)]
    even, odd = list(range(80, 880, 2)), list(range(81, 880, 2))
    arms = bandit(monkeypatch, case, label_of, even + odd, odd + even)
    assert sum(arms[:40]) > 30 and 80 < sum(arms[200:]) < 120  # of 40, of 200


@pytest.mark.usefixtures("short_training")
@pytest.mark.parametrize("name", NAMES)
def test_equal_samples_come_in_random_order(name):
    pool = CASES["constant classifier"] | rows(1)
    assert len({next(order(name, make_view(pool, seed))) for seed in range(6)}) > 2


@pytest.mark.usefixtures("short_training")
@pytest.mark.parametrize("name", ["isal", "dao", "tidal", "ta_vaal"])
def test_with_no_labelled_id_sample_the_order_is_random(name):
    pool = make_pool() | answered([3] * 7)
    assert len({next(order(name, make_view(pool, seed))) for seed in range(6)}) > 3
