"""Open-set strategies against slow references, by hand, and against faults of published code."""

import functools
import itertools

import numpy as np
import pytest
import torch
from conftest import tiny, tiny_benchmark
from reference import open_set as slow
from reference import strategies as references
from test_acquisition import CASES, answered, make_pool, make_view, rows

from alkit import acquisition, experiment
from alkit.acquisition import NOT_ASKED, STRATEGIES, Head, View, submodular
from alkit.acquisition._open_set import in_turn, min_max, nearest, upper_mode
from alkit.acquisition._small_heads import classifier, inputs
from alkit.acquisition.clusters import clusters
from alkit.acquisition.detectors import bual_order, lfosa_score
from alkit.acquisition.energy import _reverse_neighbour_counts, _rounds, _weighted, _width, aleatoric, energy
from alkit.acquisition.entropic import binary_heads, eoal_score, finch
from alkit.acquisition.purity import _meta_net, _meta_set, ccal_score, closed_entropy, distinctive, mqnet_inputs
from alkit.acquisition.submodular import Embedding, flcmi, gradients, logdetcmi
from alkit.benchmarks import ID

order = functools.partial(acquisition.order, auxiliary_filter=False)  # definitions know no filter

NAMES = ("lfosa", "ccal", "mqnet", "bual", "eoal", "similar", "eaoa", "ddu_gate")
# bual is not among them: on this pool it buys mostly ambiguous samples
METHODS = [(name, {}) for name in NAMES if name != "bual"] + [("similar", {"objective": "logdetcmi"})]


def plain(features):
    """An embedding whose similarity is that of the features."""
    return Embedding(np.ones((len(features), 1)), slow.unit(features))


def sets(seed, n=25, n_private=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)), rng.normal(size=(6, 4)), rng.normal(size=(n_private, 4))


@pytest.mark.parametrize("n_private", [0, 1, 5])
@pytest.mark.parametrize("seed", range(3))
def test_flcmi_and_logdetcmi_greedy_agree_with_brute_force(seed, n_private):
    parts = sets(seed, n_private=n_private)
    embedded = [plain(part) for part in parts]
    for fast, value in ((flcmi, slow.flcmi_value), (logdetcmi, slow.logdetcmi_value)):
        picks = list(itertools.islice(fast(*embedded), 6))
        found = [value(picks[: t + 1], *parts) for t in range(6)]
        brute = slow.greedy(value, 6, *parts)
        np.testing.assert_allclose(found, [value(brute[: t + 1], *parts) for t in range(6)], rtol=1e-9)


def test_lazy_greedy_goes_on_as_eager_greedy_to_the_last_candidate():
    parts = sets(7)
    embedded = [plain(part) for part in parts]
    for fast, value in ((flcmi, slow.flcmi_value), (logdetcmi, slow.logdetcmi_value)):
        picks = list(fast(*embedded))
        assert sorted(picks) == list(range(25))
        for t in (10, 18):
            best = max(value([*picks[:t], j], *parts) for j in range(25) if j not in picks[:t])
            assert value(picks[: t + 1], *parts) == pytest.approx(best)


def test_factorised_gradient_similarity_is_that_of_explicit_gradients():
    view = make_view(CASES["ordinary"])
    made = gradients(view)
    explicit = slow.gradient_rows(view.probs_NC, view.head.features_ND)
    np.testing.assert_allclose(submodular.similarity(made, made), slow.similarity(explicit, explicit), atol=1e-6)


def test_similar_takes_a_quarter_of_each_block_greedily_and_then_draws_another(monkeypatch):
    monkeypatch.setattr(submodular, "BLOCK", 12)
    view = make_view(CASES["ordinary"])
    picks = list(order("similar", view))
    assert sorted(picks) == view.unasked.tolist() and len(picks) == 40
    drawn = []
    original = submodular.flcmi
    monkeypatch.setattr(submodular, "flcmi", lambda pool, *a: drawn.append(len(pool)) or original(pool, *a))
    assert list(order("similar", make_view(CASES["ordinary"]))) == picks
    assert drawn == [12] * 10 + [10]  # ten blocks give 3 each; the last 10 are all there is


def test_flcmi_that_is_constant_because_private_equals_query_is_maximised_without_it():
    """Fault 34: with P = Q, as in a first round, FLCMI is 0 for every set, and published code picks in pool order."""
    pool, query, _ = sets(1)
    assert slow.flcmi_value([0, 1, 2], pool, query, query) == 0
    assert list(flcmi(plain(pool), plain(query), plain(query))) == list(
        flcmi(plain(pool), plain(query), plain(query[:0]))
    )


@pytest.mark.parametrize("seed", range(4))
def test_lfosa_score_agrees_with_its_definition(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(400, 4))
    logits[np.arange(400), rng.integers(0, 4, 400)] += rng.choice([2.0, 8.0], 400)
    np.testing.assert_allclose(lfosa_score(logits, seed=0), slow.lfosa(logits, 0), atol=1e-9)


def test_lfosa_keeps_a_sample_alone_in_its_predicted_class():
    """Fault 22: published code drops singletons. Here they come after mixtures and before predicted non-iD."""
    logits = np.array([[9, 0, 0], [1, 0, 0], [8.5, 0, 0], [0, 5, 0], [0, 0, 5], [1.2, 0, 0]], float)
    score = lfosa_score(logits, seed=0)
    assert score[3] == 0 and score[4] == -1 and min(score[0], score[2]) > 0.9
    assert sorted(order("lfosa", make_view(CASES["one sample of each predicted class"]))) == [0, 1, 2, 3]


def test_lfosa_temperature_of_the_code_applies_to_labelled_non_id_alone():
    """Fault 39: the default temperature of the command line is not the one of the published runs."""
    with_non_id, without = CASES["ordinary"], CASES["no non-iD labelled"]
    orders = [list(order("lfosa", make_view(with_non_id), variant=v)) for v in ("paper", "code")]
    assert orders[0] != orders[1]
    orders = [list(order("lfosa", make_view(without), variant=v)) for v in ("paper", "code")]
    assert orders[0] == orders[1]


def test_mixtures_depend_neither_on_the_order_of_the_pool_nor_on_global_state():
    """Fault 7: published mixtures are unseeded."""
    values = np.random.default_rng(0).normal(size=300)
    perm = np.random.default_rng(1).permutation(300)
    np.random.seed(1)
    one = upper_mode(values, seed=3)
    np.random.seed(2)
    np.testing.assert_array_equal(upper_mode(values[perm], seed=3), one[perm])
    assert (upper_mode(np.full(5, -2.0), seed=0) == 1).all() and len(upper_mode(np.empty(0), seed=0)) == 0


@pytest.mark.parametrize("lone", [False, True])
def test_ccal_score_agrees_with_its_definition(lone):
    rng = np.random.default_rng(3)
    semantic, fine = rng.normal(size=(40, 3)), rng.normal(size=(40, 5))
    labels = np.array([0, 0, 1, 1, 2] if lone else [0, 0, 1, 1, 1])
    near_semantic, near_fine = rng.normal(size=(5, 3)), rng.normal(size=(5, 5))
    similarity, index = nearest(semantic, near_semantic, chunk=7)
    found = ccal_score(similarity, labels[index], distinctive(fine, near_fine, labels, 3))
    np.testing.assert_allclose(found, slow.ccal(semantic, near_semantic, fine, near_fine, labels, 3), atol=1e-6)


def test_ccal_looks_for_meaning_in_the_learners_features_and_for_detail_in_the_classifiers():
    """Fault 40: published code overwrites the semantic features by the distinctive ones."""
    pool = make_pool()
    other = Head(np.random.default_rng(5).normal(size=(60, 6)).astype(np.float32), np.zeros((4, 6)), np.zeros(4))
    found = list(order("ccal", make_view(pool | {"head": other})))
    assert found != list(order("ccal", make_view(pool)))
    moved = pool | {"head": other, "features_ND": pool["features_ND"][::-1].copy()}
    assert found != list(order("ccal", make_view(moved)))


def test_mqnet_starts_from_the_sum_of_both_inputs_where_no_non_id_is_labelled():
    """Fault 41: published code adds a raw informativeness in its first round."""
    view = make_view(CASES["no non-iD labelled"])
    purity = (slow.unit(view.features_ND[view.unasked]) @ slow.unit(view.features_ND[:6]).T).max(1)
    made = np.stack([closed_entropy(view.probs_NC[view.unasked]), purity], 1)
    score = np.exp((made - made.mean(0)) / made.std(0)).sum(1)
    expected = view.unasked[np.argsort(-score)].tolist()
    assert list(order("mqnet", view)) == expected


def test_mqnet_scorer_rises_in_both_inputs_and_learns_that_purity_counts():
    rng = np.random.default_rng(0)
    purity, entropy = rng.random(200), rng.random(200)
    target = np.where(purity > 0.5, 1.0 + entropy, 0.0)  # impure ones are non-iD, whose target is 0
    made = mqnet_inputs(entropy, purity)
    net = _meta_net(make_view(CASES["ordinary"]), made, target)
    score = net(made)
    assert (net(made + [0.5, 0]) >= score).all() and (net(made + [0, 0.5]) >= score).all()
    assert net(np.array([[1.0, 3.0]]))[0] > net(np.array([[3.0, 1.0]]))[0]


def test_mqnet_inputs_are_finite_where_a_column_is_constant_and_classes_are_never_predicted():
    assert (mqnet_inputs(np.ones(4), np.arange(4.0))[:, 0] == 1).all()
    np.testing.assert_allclose(closed_entropy(np.array([[0, 0, 1.0], [0.4, 0.4, 0.2]])), np.log([2, 2]))


def test_mqnet_meta_targets_are_zero_for_non_id_and_purity_never_compares_a_sample_with_itself():
    view = make_view(make_pool(n=120, labelled=60))
    made, target = _meta_set(view)
    labels = view.answers_N[view.answers_N >= 0]
    assert (target[labels == 3] == 0).all() and (target[labels < 3] > 0).all()
    assert np.ptp(made[:, 1]) > 0.5  # a sample is as similar as can be to itself: purity would be constant


def test_bual_order_by_hand():
    """Fault 42: the published code scales all three terms to 0..1, which its Eq. 3 does not."""
    negative, positive = np.array([0.2, 0.6, 0.4, 0.1]), np.array([0.5, 0.9, 0.1, 0.1])
    auxiliary = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]])  # the last one is predicted non-iD
    # as it is: 0.1 * 0.2 + 0.3 * 0.9 * 0.5 = 0.155; 0.24 + 0.162 = 0.402; 0.08 + 0.024 = 0.104
    assert bual_order(negative, positive, auxiliary, 0.3, scaled=False).tolist() == [2, 0, 1, 3]
    # scaled: 0 + 0.3 * 0.5 = 0.15; 1; 1/3 * 1/2 + 0 = 1/6. With the last one in the scale, row 2 would have 0.1.
    assert bual_order(negative, positive, auxiliary, 0.3, scaled=True).tolist() == [0, 2, 1, 3]
    # nothing non-iD is labelled: conf(p_neg) + r conf(p_P), and conf(p_neg) alone in the published first round
    assert bual_order(negative, positive, None, 0.9, scaled=False).tolist() == [3, 2, 0, 1]
    assert bual_order(negative, positive, None, 0.9, scaled=True).tolist() == [3, 0, 2, 1]


@pytest.mark.parametrize("first_round", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_bual_of_the_code_agrees_with_its_transcription(seed, first_round):
    """Fault 42: it takes out what it predicts non-iD, then scales and sums the terms of what is left."""
    rng = np.random.default_rng(seed)
    moments, positive = rng.dirichlet(np.full(3, 0.5), (20, 60)), rng.dirichlet(np.full(3, 0.5), 60)
    auxiliary = None if first_round else rng.dirichlet(np.full(4, 0.5), 60)
    ratio = 0.0 if first_round else 0.7
    kept, taken_out = slow.bual_code(moments.sum(0), positive, auxiliary, ratio)
    found = bual_order(moments.mean(0).max(1), positive.max(1), auxiliary, 0.7, scaled=True).tolist()
    assert found[: len(kept)] == kept and sorted(found[len(kept) :]) == taken_out
    assert first_round == (not taken_out)


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_bual_holds_back_what_it_predicts_non_id(variant):
    view = make_view(make_pool(n=200, labelled=80))
    asked = view.answers_N >= 0
    detector = classifier(inputs(view.features_ND[asked]), view.answers_N[asked], 4)
    non_id = detector.logits(inputs(view.features_ND)).argmax(1) == 3
    flags = [bool(non_id[i]) for i in order("bual", view, variant=variant)]
    assert 10 < sum(flags) < len(flags) - 10 and flags == sorted(flags)


def test_bual_variants_differ():
    pool = make_pool(n=200, labelled=80)
    orders = [list(order("bual", make_view(pool), variant=variant)) for variant in ("paper", "code")]
    assert orders[0] != orders[1]


def test_eoal_score_agrees_with_its_definition():
    rng = np.random.default_rng(0)
    known, distances = rng.random((30, 3)), 3 * rng.random((30, 4))
    np.testing.assert_allclose(eoal_score(known, distances), slow.eoal(known, distances))


def test_eoal_with_a_single_centre_divides_by_no_log_of_one():
    """Fault 33: log M = 0 for one cluster of labelled non-iD samples."""
    known = np.random.default_rng(0).random((30, 3))
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(eoal_score(known, np.ones((30, 1))), eoal_score(known, None))
    view = make_view(make_pool() | answered([0, 1, 2, 0, 1, 2, 3]))
    assert sorted(order("eoal", view)) == view.unasked.tolist()


def test_eoal_heads_are_sure_of_known_classes_and_unsure_of_non_id():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2, 3], 40)
    made = inputs((4 * np.eye(4, 6)[labels] + 0.3 * rng.normal(size=(160, 6))).astype(np.float32))
    known = torch.from_numpy(binary_heads(made, labels, 3).logits(made)).sigmoid().numpy()
    assert (known[:120].argmax(1) == labels[:120]).all() and known[np.arange(120), labels[:120]].min() > 0.7
    assert np.abs(known[120:] - 0.5).mean() < np.abs(known[:120] - 0.5).mean() / 2


def test_finch_links_first_neighbours_until_there_are_few_enough_clusters(monkeypatch):
    angles = np.deg2rad([0, 1, 2, 90, 91, 180, 181, 185])
    points = np.stack([np.cos(angles), np.sin(angles)], 1)
    rng = np.random.default_rng(0)
    assert finch(points, at_most=3, rng=rng).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert len(set(finch(points, at_most=2, rng=rng))) == 1 and finch(points[:1], at_most=1, rng=rng).tolist() == [0]
    monkeypatch.setattr("alkit.acquisition.entropic.FINCH_ROWS", 8)
    many = finch(np.repeat(points, 5, axis=0), at_most=40, rng=rng)
    assert len(many) == 40 and all(len(set(many[5 * i : 5 * i + 5])) == 1 for i in range(8))


def test_eaoa_energies_agree_with_their_definitions():
    logits = 5 * np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_allclose(energy(logits), slow.energy(logits))
    np.testing.assert_allclose(aleatoric(logits), slow.aleatoric(logits))
    assert np.isfinite(energy(np.array([[1e4, 0, 1e4]]))).all()  # no overflow in log(1 + exp)
    assert (aleatoric(logits[:, :1]) == 0).all()


@pytest.mark.parametrize("neighbours", [1, 5, 39, 250])
def test_eaoa_counts_agree_with_brute_force_whatever_the_chunk(neighbours):
    view = make_view(CASES["ordinary"])
    positions, asked = view.unasked, np.flatnonzero(view.answers_N >= 0)
    features = view.features_ND.astype(float)
    expected = slow.reverse_counts(features[positions], features[asked], view.answers_N[asked], neighbours, 3)
    for chunk in (1, 7, 256):
        found = _reverse_neighbour_counts(view, positions, neighbours, weighted=False, chunk=chunk)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("case", ["ordinary", "no non-iD labelled"])
@pytest.mark.parametrize("neighbours", [1, 5, 39])
def test_eaoa_of_the_code_weighs_classes_by_their_label_count_and_counts_non_id_labels(neighbours, case):
    """The published code divides the counts of a class by its number of labels, relative to the mean."""
    view = make_view(CASES[case])
    positions, asked = view.unasked, np.flatnonzero(view.answers_N >= 0)
    features, answers = view.features_ND.astype(float), view.answers_N[asked]
    expected = slow.count_energy_of_the_code(features[positions], features[asked], answers, neighbours, 3)
    found = energy(_reverse_neighbour_counts(view, positions, neighbours, weighted=True))
    np.testing.assert_allclose(found, expected)
    plain = energy(_reverse_neighbour_counts(view, positions, neighbours, weighted=False))
    assert not np.array_equal(np.argsort(plain, kind="stable"), np.argsort(found, kind="stable"))
    assert len(set(np.bincount(answers))) > 1  # equal label counts would weigh nothing


def test_eaoa_weights_of_a_class_without_labels_are_finite():
    counts = np.array([[2.0, 0, 1, 3]])
    np.testing.assert_allclose(_weighted(counts, np.array([4, 0, 2, 6])), [[1, 0, 1, 1]])
    np.testing.assert_allclose(_weighted(counts, np.array([4, 0, 4, 0])), [[1, 0, 0.5, -np.inf]])


def test_eaoa_rounds_take_the_most_informative_of_the_purest():
    view = make_view(make_pool(quota=4))
    queues = [np.arange(0, 10), np.arange(10, 14)]  # by falling purity
    informative = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 2, 1, 0], float)
    picks = list(_rounds(view, queues, informative, width=2))
    assert sorted(picks[:4]) == [2, 3, 10, 11]  # of the four purest of each
    assert sorted(picks[4:8]) == [4, 5, 12, 13] and sorted(picks) == list(range(14))


def test_eaoa_looks_at_more_or_fewer_candidates_by_the_precision_of_all_answers():
    widths = []
    for n_id in (4, 6, 9):
        view = make_view(make_pool() | answered([0] * n_id + [3] * (10 - n_id)))
        widths.append(_width(view, np.arange(n_id)))
    assert widths == [4, 5, 6]


@pytest.mark.parametrize("seed", range(3))
def test_ddu_gate_agrees_with_its_definition(seed):
    view = make_view(make_pool(n=300, labelled=150, seed=seed), seed)
    rng = np.random.default_rng(seed)
    rng.permutation(view.unasked)  # the draw that breaks ties
    classes = [rng.permutation(np.flatnonzero(view.answers_N == k)) for k in range(3)]
    fitted = np.concatenate([members[len(members) // 5 :] for members in classes])
    held_out = np.concatenate([members[: len(members) // 5] for members in classes])
    features = view.features_ND
    density = references.gaussian_mixture_log_density(features, features[fitted], view.answers_N[fitted], 0)
    lowest, highest = np.quantile(density[view.answers_N == 3], 0.6), np.quantile(density[held_out], 0.8)
    margin = references.margin(view.probs_NC)
    sparse = [i for i in view.unasked if density[i] < lowest]
    dense = [i for i in view.unasked if density[i] > highest and i not in sparse]
    band = sorted(set(view.unasked) - set(sparse) - set(dense), key=lambda i: margin[i])
    expected = band + sorted(dense, key=lambda i: margin[i]) + sorted(sparse, key=lambda i: -density[i])
    assert min(len(sparse), len(dense), len(band)) > 5
    assert list(order("ddu_gate", view, auxiliary_filter=False, low=0.6, high=0.8)) == expected


def test_ddu_gate_without_non_id_labels_has_no_lower_end_and_without_labels_is_margin():
    view = make_view(CASES["no non-iD labelled"])
    picks = list(order("ddu_gate", view, auxiliary_filter=False, high=1.0, low=1.0))
    assert sorted(picks) == view.unasked.tolist()
    case = CASES["nothing labelled"]
    both = [list(order(name, make_view(case))) for name in ("ddu_gate", "margin")]
    assert both[0] == both[1]


def line(values, answers, quota=2):
    features = np.array(values, float).reshape(-1, 1)
    return {"features_ND": features, "probs_NC": np.full((len(values), 2), 0.5), "answers_N": np.array(answers),
            "n_classes": 1, "quota": quota}  # fmt: skip


def view_of(pool, seed=0):
    return View(**pool, rng=np.random.default_rng(seed))


@pytest.mark.parametrize(("radius", "expected"), [(0.0, 0.5), (0.5, 2.0), (1.0, 4.0), (0.25, 1.25)])
def test_radius_is_a_quantile_of_labelled_non_id_distances(radius, expected):
    values = [0.5, -2, 4, -2.5, 1, -1, 3, -3, *range(100, 103)]
    pool = line(values, [1, 1, 1, *[NOT_ASKED] * 5, *[NOT_ASKED] * 3])
    found = clusters(view_of(pool), exclude="none", normalise=False, radius=radius)
    k = found.labels_N[0]
    assert found.centroids[k] == pytest.approx(0) and found.radius_K[k] == pytest.approx(expected)
    assert np.isinf(found.radius_K[found.labels_N[-1]])


def test_one_non_id_sample_near_a_centroid_no_longer_decides_what_is_bought_first():
    values = [0.1, -3, 3, -3.1, 1, -1, 2, -2, *range(100, 103)]
    pool = line(values, [1, 1, 1, 1, *[NOT_ASKED] * 4, 0, 0, 0])
    first = {}
    for radius in (0.0, 0.5):
        picks = order("distance_cl", view_of(pool), exclude="none", normalise=False, radius=radius)
        first[radius] = [abs(values[i]) for i in itertools.islice(picks, 2)]
    assert first == {0.0: [1, 1], 0.5: [2, 2]}


def test_over_clustering_makes_m_clusters_per_class_and_excludes_one():
    pool = make_pool(n=300)
    found = clusters(make_view(pool), n_clusters=3 * 4)
    assert len(found.centroids) == 12 and found.excluded is not None and found.shares_K.sum() == pool["quota"]
    picks = list(order("distance_cl", make_view(pool), clusters_per_class=3))
    again = clusters(make_view(pool), n_clusters=12)
    excluded = [bool(again.labels_N[i] == again.excluded) for i in picks]
    assert any(excluded) and excluded == sorted(excluded)
    same = [list(order("distance_cl", make_view(pool), **o)) for o in ({}, {"clusters_per_class": 1, "radius": 0.0})]
    assert same[0] == same[1] != picks


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("distance_cl", {"radius": 1.5}, "radius of strategy .distance_cl. must be a number from 0 to 1, got 1.5"),
        ("distance_cl", {"clusters_per_class": 0}, "clusters_per_class of strategy .distance_cl. .* from 1 up, got 0"),
        ("ddu_gate", {"low": -0.1}, "low of strategy .ddu_gate. must be a number from 0 to 1, got -0.1"),
        ("ddu_gate", {"high": 2}, "high of strategy .ddu_gate. must be a number from 0 to 1, got 2"),
        ("eaoa", {"neighbours": 0}, "neighbours of strategy .eaoa. must be a whole number from 1 up, got 0"),
    ],
)
def test_values_out_of_range_are_refused_by_name_before_a_view_is_looked_at(name, options, message):
    with pytest.raises(ValueError, match=message):
        order(name, None, **options)


@pytest.mark.parametrize("case", ["ordinary", "all rows identical", "one unasked", "nothing labelled", "one class"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("distance_cl", {"radius": 0.7, "clusters_per_class": 3}), ("ddu_gate", {"low": 1.0, "high": 0.0}),
     ("eaoa", {"neighbours": 3})],
)  # fmt: skip
def test_other_than_default_numbers_keep_the_contract(name, options, case):
    view = make_view(CASES[case])
    assert sorted(order(name, view, **options)) == view.unasked.tolist()


@pytest.mark.parametrize("name", ["lfosa", "eoal", "eaoa", "similar", "mqnet", "ccal", "bual", "ddu_gate"])
def test_equal_samples_come_in_random_order(name):
    pool = CASES["constant classifier"] | rows(1)
    first = {next(order(name, make_view(pool, seed))) for seed in range(6)}
    assert len(first) > 2


@pytest.mark.parametrize("name", ["lfosa", "ccal", "mqnet"])
def test_shuffling_the_pool_shuffles_the_picks(name):
    """Faults 8 and 24: positions, not places in some shrunken list."""
    pool = make_pool(n=200, seed=3)
    pool["answers_N"][pool["answers_N"] == 3] = 0  # without non-iD labels no network of mqnet is drawn
    perm = np.random.default_rng(9).permutation(200)
    shuffled = pool | {key: pool[key][perm] for key in ("features_ND", "probs_NC", "answers_N")}
    found = [perm[list(order(name, make_view(shuffled)))].tolist(), list(order(name, make_view(pool)))]
    assert found[0] == found[1]


def test_min_max_and_in_turn_by_hand():
    assert min_max(np.array([2.0, 4, 3])).tolist() == [0, 1, 0.5] and min_max(np.ones(2)).tolist() == [0, 0]
    assert list(in_turn([np.array([1, 2, 3]), np.array([], int), np.array([7])])) == [1, 7, 2, 3]


def dirty_pool(seed):
    """400 iD in four classes, 200 midpoints of two, 300 OoD in one far cluster; 40 iD and 15 of each kind labelled."""
    rng = np.random.default_rng(seed)
    centres = 5 * np.eye(5, 16)
    a, b = rng.permuted(np.tile(np.arange(4), (200, 1)), axis=1)[:, :2].T
    hidden = np.concatenate([np.repeat(np.arange(4), 100), np.full(500, 4)])
    means = np.concatenate([centres[hidden[:400]], (centres[a] + centres[b]) / 2, np.repeat(centres[4:], 300, axis=0)])
    features = (means + rng.normal(size=(900, 16))).astype(np.float32)
    asked = np.concatenate(
        [rng.choice(400, 40, False), 400 + rng.choice(200, 15, False), 600 + rng.choice(300, 15, False)]
    )
    answers = np.full(900, NOT_ASKED)
    answers[asked] = hidden[asked]
    z = inputs(features)
    layer = classifier(z[asked], answers[asked], 5)
    probs = torch.from_numpy(layer.logits(z)).softmax(1).float().numpy()
    head = Head(z.numpy(), layer.weight_CD.numpy(), layer.bias_C.numpy())
    view = View(features, probs, answers, 4, 40, np.random.default_rng(seed), head)
    return view, np.repeat([0, 1, 2], [400, 200, 300])


def composition(name, options, n=40, seeds=3):
    counts = np.zeros(3)
    for seed in range(seeds):
        view, kind = dirty_pool(seed)
        counts += np.bincount(kind[list(itertools.islice(order(name, view, **options), n))], minlength=3)
    return counts / (n * seeds)


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_a_larger_share_of_id_is_bought_than_at_random(name, options):
    view, kind = dirty_pool(0)
    share = composition(name, options)
    assert share[0] > np.mean(kind[view.unasked] == 0) + 0.1


def test_reference_lines_are_marked_and_nothing_else_is():
    assert {name for name, known in STRATEGIES.items() if known.family == "reference"} == {
        "oracle_random",
        "oracle_margin",
        "boss",
    }


@pytest.mark.parametrize("name", ["oracle_random", "oracle_margin", "boss"])
def test_reference_lines_buy_id_samples_alone_and_pay_for_nothing_else(name, tmp_path):
    records = experiment.finish(tiny("probe", name), root=tmp_path)
    assert len({(r["n_ambiguous"], r["n_ood"]) for r in records}) == 1  # what the initial set held, and no more
    assert records[0]["n_ambiguous"] + records[0]["n_ood"] > 0
    assert [r["cost"] - records[0]["cost"] for r in records] == [r["n_id"] - 8 for r in records]
    assert [r["n_id"] for r in records] == [8, 12, 16, 20]


def test_the_all_id_ceiling_is_a_reference_line_that_buys_all_id_samples_in_one_stage(tmp_path):
    n_id = int((tiny_benchmark().pool.category_N == ID).sum())
    cell = tiny("probe", "oracle_random", changes={"stage_id": n_id, "stop_id": n_id})
    records = experiment.finish(cell, root=tmp_path)
    assert [r["n_id"] for r in records] == [8, n_id]
    assert records[1]["cost"] == records[0]["cost"] + n_id - 8
