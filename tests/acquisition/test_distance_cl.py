"""Random(CL) and Distance(CL) against Algorithm 1, taken literally."""

import functools
import itertools
from collections import Counter

import numpy as np
import pytest
from reference import strategies as references
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_info

from alkit import acquisition
from alkit.acquisition import NOT_ASKED, View
from alkit.acquisition import clusters as module
from alkit.acquisition.clusters import apportion, clusters

order = functools.partial(acquisition.order, auxiliary_filter=False)  # definitions know no filter

OPTIONS = [{"exclude": e, "normalise": n} for e in ("count", "proportion", "none") for n in (True, False)]


def random_pool(seed):
    """A small pool of any shape: duplicated rows, zero rows, clusters that run out, sometimes no labelled non-iD."""
    rng = np.random.default_rng(seed)
    n_classes, n, dim = int(rng.integers(1, 6)), int(rng.integers(12, 80)), int(rng.integers(2, 5))
    hidden = rng.integers(0, n_classes + 1, n)
    features = 2 * rng.normal(size=(n_classes + 1, dim))[hidden] + rng.normal(size=(n, dim))
    features[rng.integers(0, n, n // 6)] = features[rng.integers(0, n, n // 6)]
    features[rng.integers(0, n, 2)] = 0
    answers = np.where(rng.random(n) < rng.choice([0.1, 0.4, 0.8]), hidden, NOT_ASKED)
    if seed % 5 == 0:
        answers[answers == n_classes] = 0
    elif seed % 5 == 1:  # non-iD answers anywhere, so that circles are small
        answers[answers != NOT_ASKED] = np.where(rng.random((answers != NOT_ASKED).sum()) < 0.5, n_classes, 0)
    return {"features_ND": features, "probs_NC": np.full((n, n_classes + 1), 1 / (n_classes + 1)), "answers_N": answers,
            "n_classes": n_classes, "quota": int(rng.integers(1, 13))}  # fmt: skip


def view_of(pool, seed=0):
    return View(**pool, rng=np.random.default_rng(seed))


def line(values, answers, *, n_classes=1, quota=2):
    """A pool of points on a line, for instances that one can follow by hand; use with `normalise=False`."""
    features = np.array(values, float).reshape(-1, 1)
    probs = np.full((len(values), n_classes + 1), 1 / (n_classes + 1))
    return {"features_ND": features, "probs_NC": probs, "answers_N": np.array(answers), "n_classes": n_classes,
            "quota": quota}  # fmt: skip


def literal(pool, found, options):
    features = references.unit_rows(pool["features_ND"]) if options["normalise"] else pool["features_ND"]
    centroids, exclude = found.centroids.tolist(), options["exclude"]
    return references.algorithm_1(
        features, pool["answers_N"], found.labels_N, centroids, pool["n_classes"], pool["quota"], exclude
    )


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: f"{o['exclude']}-{o['normalise']}")
@pytest.mark.parametrize("seed", range(15))
def test_distance_cl_agrees_with_algorithm_1_taken_literally(seed, options):
    pool = random_pool(seed)
    found = clusters(view_of(pool), **options)
    expected = literal(pool, found, options)
    assert found.excluded == expected["excluded"]
    assert found.shares_K.tolist() == expected["shares"]
    np.testing.assert_allclose(found.radius_K, expected["radius"], rtol=1e-9)
    assert list(order("distance_cl", view_of(pool), **options)) == [i for _, picks in expected["draws"] for i in picks]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: f"{o['exclude']}-{o['normalise']}")
@pytest.mark.parametrize("seed", range(15))
def test_random_cl_has_the_clusters_rounds_and_shares_of_distance_cl(seed, options):
    pool = random_pool(seed)
    found = clusters(view_of(pool), **options)
    sequence = [k for k, picks in literal(pool, found, options)["draws"] for _ in picks]
    assert found.labels_N[list(order("random_cl", view_of(pool), **options))].tolist() == sequence


def test_random_cl_takes_from_each_cluster_and_excludes_one_only_when_told():
    """The paper samples "from each cluster" and speaks of an excluded one for Distance(CL) alone."""
    pool = line([*range(8), *range(100, 108)], [NOT_ASKED] * 8 + [1] * 3 + [NOT_ASKED] * 5, quota=4)
    picks = {e: list(order("random_cl", view_of(pool), normalise=False, exclude=e)) for e in ("none", "count")}
    assert list(order("random_cl", view_of(pool), normalise=False)) == picks["none"]
    assert sorted(i >= 8 for i in picks["none"][:4]) == [False, False, True, True]
    assert all(i < 8 for i in picks["count"][:8])


def test_random_instances_reach_every_branch_of_algorithm_1():
    seen = Counter()
    for seed, options in itertools.product(range(15), OPTIONS):
        pool = random_pool(seed)
        found = clusters(view_of(pool), **options)
        unasked = pool["answers_N"] == NOT_ASKED
        outside = found.distances_N > found.radius_K[found.labels_N]
        seen["excluded"] += found.excluded is not None
        seen["inside and outside"] += bool((unasked & outside).any() and (unasked & ~outside).any())
        seen["no circle"] += bool(np.isinf(found.radius_K).any())
        unasked_K = np.bincount(found.labels_N[unasked], minlength=len(found.sizes_K))
        seen["exhausted"] += bool((unasked_K < found.shares_K).any())
        seen["share of 0"] += 0 in np.delete(found.shares_K, found.excluded if found.excluded is not None else [])
    assert min(seen.values()) > 10 and len(seen) == 5, seen


def test_random_cl_is_uniform_within_a_cluster():
    pool = line([0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105], [NOT_ASKED] * 12)
    first = [next(order("random_cl", view_of(pool, seed), normalise=False)) for seed in range(360)]
    counts = np.bincount(first, minlength=12)
    assert counts.min() >= 12 and counts.max() <= 55  # 30 expected


def test_distance_cl_goes_from_the_rim_inwards_then_outwards_and_takes_the_excluded_cluster_last():
    values = [1, -1, 2, -2, 4, -4, 5, -5, 3, -3, 100, 101, 102, 103]
    answers = [NOT_ASKED] * 8 + [1, 1, 1, 1, 1, NOT_ASKED]  # non-iD at +-3 and, more of it, in the other cluster
    picks = list(order("distance_cl", view_of(line(values, answers)), normalise=False))
    assert [abs(values[i]) for i in picks] == [2, 2, 1, 1, 4, 4, 5, 5, 103]


def test_a_sample_on_the_circle_is_inside_it():
    values = [0, 0.5, 3, 3, 4, 90, 91]
    answers = [0, NOT_ASKED, 1, NOT_ASKED, NOT_ASKED, 0, 0]
    picks = order("distance_cl", view_of(line(values, answers)), exclude="none", normalise=False)
    assert [values[i] for i in picks] == [3, 0.5, 4]


def test_a_cluster_without_labelled_non_id_is_all_inside():
    values = [0, 1, -1, 2, -2, 50, 51]
    answers = [NOT_ASKED] * 5 + [1, 1]
    picks = list(order("distance_cl", view_of(line(values, answers)), normalise=False))
    assert [abs(values[i]) for i in picks] == [2, 2, 1, 1, 0]


@pytest.mark.parametrize(
    ("left", "right", "exclude", "excluded"),
    [
        ([1, 1, 1, 0, 0], [1, 1], "count", "left"),
        ([1, 1, 1, 0, 0], [1, 1], "proportion", "right"),
        ([1, 1, 1, 0, 0], [1, 1], "none", None),
        ([1, 1, 0], [1, 1], "count", "right"),  # equal counts: the higher proportion
        ([1, 1, 1], [1, 1], "proportion", "left"),  # equal proportions: the higher count
        ([1, 0], [1, 0], "count", 0),
        ([1, 0], [1, 0], "proportion", 0),
        ([0, 0], [0], "count", None),
        ([0, 0], [0], "proportion", None),
    ],
)
def test_which_cluster_is_excluded(left, right, exclude, excluded):
    left, right = left + [NOT_ASKED] * (9 - len(left)), right + [NOT_ASKED] * (9 - len(right))
    pool = line([*range(9), *range(100, 109)], left + right)
    for seed in range(6):  # k-means numbers its clusters as it likes
        found = clusters(view_of(pool, seed), exclude=exclude, normalise=False)
        sides = {"left": found.labels_N[0], "right": found.labels_N[-1]}
        assert found.excluded == sides.get(excluded, excluded)


def test_shares_follow_all_members_labelled_or_not_and_leave_out_the_excluded_cluster():
    values = [*np.arange(12) / 10, *(100 + np.arange(6) / 10), *(200 + np.arange(9) / 10)]
    answers = [0] * 10 + [NOT_ASKED] * 2 + [NOT_ASKED] * 6 + [2] * 3 + [NOT_ASKED] * 6
    pool = line(values, answers, n_classes=2, quota=9)
    found = clusters(view_of(pool), normalise=False)
    assert [found.shares_K[found.labels_N[i]] for i in (0, 12, 18)] == [6, 3, 0]
    found = clusters(view_of(pool), normalise=False, exclude="none")
    assert [found.shares_K[found.labels_N[i]] for i in (0, 12, 18)] == [4, 2, 3]
    # Only two are left where six were due: the other cluster gives the rest of the round.
    first_round = list(order("distance_cl", view_of(pool), normalise=False))[:8]
    assert sorted(first_round) == [10, 11, *range(12, 18)]


def test_clusters_are_k_means_of_all_rows_with_distances_to_the_members_mean():
    pool = random_pool(2)
    found = clusters(view_of(pool), normalise=False)
    assert len(found.centroids) == pool["n_classes"] + 1 and found.sizes_K.sum() == len(pool["answers_N"])
    for k, centroid in enumerate(found.centroids):
        members = pool["features_ND"][found.labels_N == k]
        np.testing.assert_allclose(centroid, members.mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(found.distances_N[found.labels_N == k], np.linalg.norm(members - centroid, axis=1))


def test_normalising_makes_the_length_of_a_row_irrelevant():
    pool = random_pool(3)
    powers = 2.0 ** np.random.default_rng(0).integers(-3, 4, len(pool["answers_N"]))  # exact in floating point
    scaled = pool | {"features_ND": pool["features_ND"] * powers[:, None]}
    assert list(order("distance_cl", view_of(scaled))) == list(order("distance_cl", view_of(pool)))
    raw = [list(order("distance_cl", view_of(p), normalise=False)) for p in (scaled, pool)]
    assert raw[0] != raw[1]


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_there_are_no_more_clusters_than_distinct_rows(distinct):
    rows = np.random.default_rng(0).normal(size=(distinct, 3))
    # The first rows are all alike, so that counting the head alone would be wrong.
    features = np.concatenate([np.repeat(rows[:1], 200, axis=0), rows])
    n = len(features)
    pool = {"features_ND": features, "probs_NC": np.full((n, 6), 1 / 6), "answers_N": np.full(n, NOT_ASKED),
            "n_classes": 5, "quota": 3}  # fmt: skip
    found = clusters(view_of(pool))
    assert len(found.centroids) == distinct and (found.sizes_K > 0).all()
    assert found.shares_K.sum() == 3


@pytest.mark.parametrize("name", ["distance_cl", "random_cl"])
def test_an_empty_cluster_gets_no_share_and_costs_no_sample(name, monkeypatch):
    pool = line(range(10), [1, 0] + [NOT_ASKED] * 8, n_classes=2)
    labels = np.array([0, 2] * 5)
    monkeypatch.setattr(
        module, "_k_means", lambda features, n, starts, seed: (labels, np.array([[4.0], [99.0], [5.0]]))
    )
    found = clusters(view_of(pool), exclude="none", normalise=False)
    assert found.shares_K.tolist() == [1, 0, 1] and np.isinf(found.radius_K[1])
    assert sorted(order(name, view_of(pool))) == list(range(2, 10))


def test_mini_batches_above_the_limit_and_only_there(monkeypatch):
    pool = random_pool(4)
    used = []
    for name in ("KMeans", "MiniBatchKMeans"):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, _o=original, _n=name, **k: used.append(_n) or _o(*a, **k))
    n = len(pool["answers_N"])
    for limit in (n, n - 1):
        monkeypatch.setattr(module, "MINIBATCH_ABOVE", limit)
        picks = [list(order("distance_cl", view_of(pool))) for _ in range(2)]
        assert picks[0] == picks[1] and sorted(picks[0]) == view_of(pool).unasked.tolist()
    assert used == ["KMeans"] * 2 + ["MiniBatchKMeans"] * 2


def test_large_pools_are_clustered_by_elkan_which_finds_the_same_clusters(monkeypatch):
    pool, used, found = random_pool(4), [], []
    monkeypatch.setattr(module, "KMeans", lambda *a, **k: used.append(k["algorithm"]) or KMeans(*a, **k))
    n = len(pool["answers_N"])
    for limit in (n, n - 1):
        monkeypatch.setattr(module, "ELKAN_ABOVE", limit)
        found.append(clusters(view_of(pool)))
    assert used == ["lloyd", "elkan"]
    lloyd, elkan = (np.sum(part.distances_N**2) for part in found)  # their best starts may number clusters otherwise
    assert lloyd == pytest.approx(elkan, rel=1e-3)


def test_k_means_runs_on_one_thread_so_that_labels_do_not_depend_on_the_core_count(monkeypatch):
    threads = []

    class Watched(KMeans):
        def fit(self, *args, **kwargs):
            threads.extend(pool["num_threads"] for pool in threadpool_info())
            return super().fit(*args, **kwargs)

    monkeypatch.setattr(module, "KMeans", Watched)
    clusters(view_of(random_pool(0)))
    assert threads and max(threads) == 1


@pytest.mark.parametrize(
    ("n", "weights", "capacity", "expected"),
    [
        (10, [50, 30, 20], None, [5, 3, 2]),
        (10, [1, 1, 1], None, [4, 3, 3]),  # equal remainders: the lower index
        (7, [6, 5, 4], None, [3, 2, 2]),  # quotas 2.8, 2.33, 1.87
        (1, [3, 5, 4], None, [0, 1, 0]),
        (10, [0, 3, 1], None, [0, 8, 2]),  # quotas 7.5, 2.5
        (10, [50, 30, 20], [2, 9, 9], [2, 5, 3]),  # 3 given back, quotas 1.8 and 1.2
        (10, [50, 30, 20], [2, 4, 9], [2, 4, 4]),
        (10, [50, 30, 20], [2, 1, 3], [2, 1, 3]),
        (10, [50, 0, 20], [2, 9, 3], [2, 0, 3]),
        (4, [0, 0], None, [0, 0]),
        (0, [2, 1], None, [0, 0]),
    ],
)
def test_apportion_by_hand(n, weights, capacity, expected):
    assert apportion(n, weights, capacity).tolist() == expected


def test_apportion_agrees_with_exact_fractions_and_keeps_its_bounds():
    rng = np.random.default_rng(0)
    for _ in range(300):
        k = int(rng.integers(1, 12))
        n, weights, capacity = int(rng.integers(0, 60)), rng.integers(0, 90, k), rng.integers(0, 20, k)
        given = apportion(n, weights, capacity)
        assert given.tolist() == references.apportion(n, weights.tolist(), capacity.tolist())
        assert given.sum() == min(n, capacity[weights > 0].sum()) and (given >= 0).all() and (given <= capacity).all()
