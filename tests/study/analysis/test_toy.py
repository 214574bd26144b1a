"""The toy pool: what it holds, that strategies play on it by the study's rules, and that its figure draws it."""

import numpy as np
import pytest

from alkit import acquisition
from alkit.experiment import methods
from alkit.explorer.palette import CATEGORIES
from alkit.study import figures, notebook
from alkit.study.analysis import cost_tables, toy_pool


@pytest.fixture(scope="module")
def pool():
    return toy_pool.pool(3)


def test_the_toy_pool_holds_what_it_says_in_random_order_and_is_the_same_for_a_seed(pool):
    assert np.bincount(pool.category_N).tolist() == [360, 120, 160]
    assert np.bincount(pool.labels_N).tolist() == [120, 120, 120, 280]
    assert ((pool.labels_N == toy_pool.N_CLASSES) == (pool.category_N > 0)).all()
    assert np.abs(np.diff(pool.labels_N)).mean() > 0.8  # classes are not in a row
    np.testing.assert_array_equal(toy_pool.pool(3).points_N2, pool.points_N2)
    assert not np.array_equal(toy_pool.pool(4).points_N2, pool.points_N2)


def test_features_keep_the_planes_neighbours_at_unit_length(pool):
    """Strategies see cosines: a lift that bent the plane would show other neighbours than the picture does."""
    features = pool.features_N3.astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-6)
    plane, sphere = (np.linalg.norm(x[:, None] - x[None], axis=2) for x in (pool.points_N2, features))
    near = [set(np.argsort(row)[:11]) for row in plane]
    assert np.mean([len(a & set(np.argsort(b)[:11])) / 11 for a, b in zip(near, sphere, strict=True)]) > 0.85


@pytest.mark.parametrize("name", [n for n in acquisition.STRATEGIES if n not in ("bual", "eaoa", "eoal", "mqnet")])
def test_every_strategy_buys_the_quota_and_asks_nothing_twice(pool, name):
    game = toy_pool.play(pool, name, seed=1, stages=2, quota=5)
    asked = game.initial + game.picks
    assert len(set(asked)) == len(asked)
    kinds = pool.category_N[game.picks]
    assert [(kinds[game.stage_P == stage] == 0).sum() for stage in (1, 2)] == [5, 5]
    assert kinds[-1] == 0  # a stage ends with its last iD answer
    assert not acquisition.get(name).reference or (kinds == 0).all()
    assert toy_pool.play(pool, name, seed=1, stages=2, quota=5).picks == game.picks


def test_all_strategies_of_a_seed_start_from_the_same_samples(pool):
    starts = [toy_pool.play(pool, name, seed=2, stages=1, quota=1).initial for name in ("random", "coreset")]
    assert starts[0] == starts[1] and (pool.category_N[starts[0]] == 0).sum() == 9


def test_shares_are_means_over_toy_pools_and_cases_go_by_family():
    cases = methods.strategies_in(["probe+margin", "probe+oracle_random", "probe+distance_cl(radius=0.1)", "probe+ddu"])
    games, shares = toy_pool.compare(cases, toy_pool.pool(0), n_toys=2)
    assert list(games) == list(shares) == ["margin", "oracle_random", "distance_cl, radius=0.1", "ddu"]
    own = [toy_pool.pool(s).category_N[toy_pool.play(toy_pool.pool(s), "margin", seed=s).picks] for s in (0, 1)]
    np.testing.assert_allclose(shares["margin"][0], np.mean([(kinds == 0).mean() for kinds in own]))
    assert shares["oracle_random"].tolist() == [1, 0, 0]
    assert toy_pool.of_families(cases, "ours", "reference") == ["distance_cl, radius=0.1", "oracle_random"]
    assert toy_pool.of_families(cases, *cost_tables.FAMILIES)[0] == "ddu"


def test_figure_shows_every_pick_with_its_kind_and_number(pool):
    cases = methods.strategies_in(["probe+random", "probe+margin"])
    games, shares = toy_pool.compare(cases, pool)
    figure = figures.toy_picks(pool, games, shares, list(cases))
    for name, game in games.items():
        texts = [t for trace in figure.data if trace.customdata is not None for t in trace.customdata if name in t]
        assert len(texts) == len(game.picks)
        kinds = [CATEGORIES[kind] for kind in pool.category_N[game.picks]]
        assert sorted(texts) == sorted(
            f"{name}, stage {stage}, pick {i}: {kind}"
            for i, (stage, kind) in enumerate(zip(game.stage_P, kinds, strict=True), 1)
        )
    with pytest.raises(ValueError, match="no strategy to draw"):
        figures.toy_picks(pool, games, shares, [])


def test_every_strategy_has_its_two_sentences():
    why = notebook.story("strategies")
    assert set(why) == set(methods.strategies_in(methods.every_strategy("probe")))
    assert all(1 <= text.count(".") <= 4 for text in why.values())


def test_unknown_strategies_and_options_are_refused(pool):
    with pytest.raises(ValueError, match="unknown strategy 'margn'"):
        toy_pool.play(pool, "margn")
    with pytest.raises(ValueError, match="has no option 'rate'"):
        toy_pool.play(pool, "margin", rate=0.5)
