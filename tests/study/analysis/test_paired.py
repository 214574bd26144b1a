"""Paired statistics and rankings, against SciPy, published tables and hand-made cases where the answer is known."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_metrics import rows

from alkit.study.analysis import curves, paired_differences, ranking

SEEDS = 8


def study(seeds=SEEDS, shift=0.05, spread=0.01):
    """Random, entropy (better by `shift` at every stage but the first), a junk-buyer and a reference line."""
    rng, parts = np.random.default_rng(3), []
    for seed in range(seeds):
        start = 15 + seed % 3
        base = np.array([0.5, 0.6, 0.7]) + rng.normal(0, 0.05)
        noise = rng.normal(0, spread, (3, 3)) * [0, 1, 1]
        for name, costs, gain in (
            ("random", [0, 15, 35], 0), ("entropy", [0, 14, 40], shift), ("coreset", [0, 20, 50], 0),
            ("oracle_random", [0, 5, 8], 3 * shift),
        ):  # fmt: skip
            own = noise[{"entropy": 0, "coreset": 1}.get(name, 2)] * (name != "oracle_random")
            accuracies = base + own + gain * np.array([0, 1, 1])
            parts.append(rows(name, [start + cost for cost in costs], accuracies, seed=seed))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def df():
    return study()


def test_numbers_of_a_run_by_hand():
    table = pd.concat([rows("random", [20, 30, 60], [0.5, 0.6, 0.8]), rows("margin", [20, 32, 50], [0.5, 0.6, 0.7])])
    table.loc[table["strategy"] == "random", ["n_id", "n_ambiguous", "n_ood"]] = [[10, 5, 5], [15, 10, 5], [30, 12, 18]]
    run = paired_differences.per_run(table).set_index("method").loc["Random"]
    assert (run["low"], run["high"]) == (20, 50) and run["accuracy"] == pytest.approx(80) and run["cost"] == 60
    assert run["cost_per_accuracy"] == pytest.approx(60 / 80)
    assert run["purity"] == pytest.approx(20 / 40) and run["ambiguous_share"] == pytest.approx(7 / 40)
    assert run["area"] == pytest.approx((10 * 50 + 20 * 60) / 30)  # the last stage, at 60, is past what margin paid
    assert run["area_labels"] == pytest.approx((5 * 50 + 15 * 60) / 20)  # labels 10, 15 and 30: 50, 60 and 80 %
    at50 = 60 + 20 * 20 / 30
    linear = paired_differences.per_run(table, steps=False).set_index("method").loc["Random"]
    assert linear["area"] == pytest.approx((10 * 55 + 20 * (60 + at50) / 2) / 30)
    assert linear["area_labels"] == pytest.approx((5 * 55 + 15 * 70) / 20)
    assert (run["learner_name"], run["strategy_name"]) == ("supervised", "random")
    # one that fills the cache is no slower than those that read it
    slow = table.assign(train_seconds=table["train_seconds"] + 100 * (table["stage"] == 0))
    seconds = [paired_differences.per_run(runs).set_index("method").loc["Random", "seconds"] for runs in (table, slow)]
    assert seconds == pytest.approx(2 * [3 * 3.75 - table["train_seconds"].iloc[0]]) and seconds[0] > 0
    assert list(paired_differences.per_run(table)["family"]) == ["paper", "classic"]


def test_both_definitions_of_the_area_stand_side_by_side_with_their_tests(df):
    found = paired_differences.area_by_definition(df, "Random")
    for name, steps in (("steps", True), ("linear", False)):
        own = paired_differences.differences(paired_differences.per_run(df, steps=steps), "Random")
        assert found[name].tolist() == own["mean"].tolist() and found[f"p_{name}"].tolist() == own["p_holm"].tolist()
    assert found.loc["Entropy", "steps"] != found.loc["Entropy", "linear"]


def test_differences_between_learners_are_marked_and_said(df):
    other = pd.concat([df, df[df["strategy"] == "entropy"].assign(learner="probe")])
    found = paired_differences.differences(paired_differences.per_run(other), "Random")
    assert found["same_learner"].to_dict() == {
        "Entropy": True, "entropy, probe": False, "coreset, supervised": True
    }  # fmt: skip
    text = paired_differences.differences_text(found, "Random")
    assert text.endswith("so that a difference may be the learner's: Entropy, probe.")
    own = paired_differences.differences(paired_differences.per_run(df), "Random")
    assert "learner" not in paired_differences.differences_text(own, "Random")


def test_areas_are_those_of_metrics_seed_by_seed_over_cost_and_over_labels(df):
    runs = paired_differences.per_run(df)
    for seed in range(SEEDS):
        for number, x in (("area", "cost"), ("area_labels", "n_id")):
            expected = curves.area(df[df["seed"] == seed], x)["area"] * 100
            np.testing.assert_allclose(runs[runs["seed"] == seed][number], expected)
    assert runs["area_labels"].notna().all()  # reference lines cover all labels, though not all costs
    assert (runs["area"].isna() == (runs["family"] == "reference")).all()


def test_a_reference_line_does_not_narrow_the_range_of_the_others(df):
    without = curves.area(df[df["strategy"] != "oracle_random"])
    assert curves.area(df)[: len(without)].equals(without)


def test_cost_to_target_is_that_of_the_first_stage_there_and_censored_where_none_is():
    table = pd.concat([rows("random", [20, 30, 60], [0.5, 0.9, 0.7]), rows("random", [20, 40, 90], [0.5] * 3, seed=1)])
    found = paired_differences.cost_to_target(table, 70)
    assert found[["cost", "reached"]].values.tolist() == [[30, True], [90, False]]
    for target in (0, -1, 101):
        with pytest.raises(ValueError, match="target must be an accuracy in percent"):
            paired_differences.cost_to_target(table, target)


@pytest.mark.parametrize(
    ("costs", "reached", "median"),
    [
        ([10, 20, 30], [1, 1, 1], 20),
        ([10, 20, 30, 40], [1, 1, 1, 1], 20),  # by convention the lower middle: half have it there
        ([10, 20, 30], [0, 0, 0], np.inf),
        ([10, 20, 30], [1, 0, 0], np.inf),  # one in three: the others' costs are not known, only that they are higher
        ([10, 20, 30], [0, 1, 1], 20),  # the first one's could be anything above 10
        ([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35],
         [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0], 23),  # Freireich et al. 1963: median 23
    ],
)  # fmt: skip
def test_median_of_censored_costs_is_kaplan_and_meiers(costs, reached, median):
    parts = [rows("random", [5, cost], [0.1, 0.9 if yes else 0.2], seed=seed, initial_hash=str(seed))
             for seed, (cost, yes) in enumerate(zip(costs, reached, strict=True))]  # fmt: skip
    found = paired_differences.median_cost_to_target(pd.concat(parts), 80).loc["Random"]
    assert found["median"] == median and found["n_reached"] == sum(reached) and found["n_seeds"] == len(costs)


def test_differences_are_taken_within_seeds_and_leave_reference_lines_out(df):
    runs = paired_differences.per_run(df)
    found = paired_differences.differences(runs, "Random", "accuracy")
    assert list(found.index) == ["Entropy", "coreset, supervised"]
    wide = runs.pivot(index="seed", columns="method", values="accuracy")
    difference_S = wide["Entropy"] - wide["Random"]
    row = found.loc["Entropy"]
    assert row["mean"] == pytest.approx(difference_S.mean()) and row["low"] < row["mean"] < row["high"]
    assert row["p"] == stats.wilcoxon(difference_S).pvalue == paired_differences.smallest_p(SEEDS)
    assert row["p_holm"] == 2 * row["p"] == row["smallest_p_holm"] and row["n_seeds"] == SEEDS
    assert found.equals(
        paired_differences.differences(
            paired_differences.per_run(df.sample(frac=1, random_state=1)), "Random", "accuracy"
        )
    )


def test_pairing_removes_what_seeds_have_in_common():
    """Seeds differ by 5 points, methods by 1: unpaired nothing would be seen."""
    runs = paired_differences.per_run(study(shift=0.01, spread=0.001))
    row = paired_differences.differences(runs, "Random", "accuracy").loc["Entropy"]
    assert row["p_holm"] < 0.05 and 0.5 < row["low"] < row["high"] < 1.5
    wide = runs.pivot(index="seed", columns="method", values="accuracy")
    assert stats.mannwhitneyu(wide["Entropy"], wide["Random"]).pvalue > 0.3


@pytest.mark.parametrize("baseline", ["Nobody", "oracle_random, supervised"])
def test_unknown_baselines_and_reference_lines_are_refused(baseline, df):
    runs = paired_differences.per_run(df)
    for use in (paired_differences.differences, lambda *given: paired_differences.seeds_needed(*given, 1.0)):
        with pytest.raises(ValueError, match="no method .* to compare with; there are: Random; Entropy; coreset"):
            use(runs, baseline)
    with pytest.raises(ValueError, match="number must be one of area, .*; got 'acuracy'"):
        paired_differences.differences(runs, "Random", "acuracy")
    with pytest.raises(ValueError, match="number must be one of area, .*; got 'acuracy'"):
        ranking.probability_of_best(runs, "acuracy")


def test_interval_covers_the_true_mean_about_as_often_as_it_says():
    """Of 300 samples of 20 normal numbers, 95 % intervals miss the mean in 5 %, give or take; BCa is a little short."""
    samples = np.random.default_rng(0).normal(1.0, 2.0, (300, 20))
    covered = [
        low <= 1 <= high for low, high in (paired_differences.interval(sample, resamples=499) for sample in samples)
    ]
    assert 0.88 <= np.mean(covered) <= 0.98


def test_interval_of_equal_differences_one_seed_and_missing_ones():
    assert paired_differences.interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert (
        np.isnan(paired_differences.interval([0.5])).all()
        and np.isnan(paired_differences.interval([0.5, np.nan, 1])).all()
    )
    assert paired_differences.interval([1, 2, 4]) == paired_differences.interval([1, 2, 4])


def enumerated(difference_S):
    """The signed-rank test by going through all signs, as Wilcoxon did."""
    values = np.array([value for value in difference_S if value])
    ranks = stats.rankdata(np.abs(values))
    sums = np.array([ranks @ signs for signs in itertools.product([0, 1], repeat=len(values))])
    distance = np.abs(sums - ranks.sum() / 2)
    return np.mean(distance >= abs(ranks @ (values > 0) - ranks.sum() / 2) - 1e-9)


@pytest.mark.parametrize(
    "difference_S",
    [[1, 2, 3, 4, 5], [1, -2, 3, 4, -5, 6], [1, 1, 2, -2, 3, 3, 4], [0, 0, 1, 2, -3, 4], [1], [-2, 2, 5]],
)
def test_signed_rank_is_exact_even_with_ties(difference_S):
    assert paired_differences.signed_rank(difference_S) == pytest.approx(enumerated(difference_S))


@pytest.mark.parametrize("n", [5, 11, 20, 50])
def test_signed_rank_agrees_with_scipys_exact_one(n):
    for shift in (0, 0.3, 1):
        values = np.random.default_rng(n).normal(shift, 1, n)
        assert paired_differences.signed_rank(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
        assert paired_differences.signed_rank(-values) == pytest.approx(paired_differences.signed_rank(values))


def test_rounding_makes_no_ranks_and_a_missing_seed_no_p():
    assert paired_differences.signed_rank([0.3, 0.1 + 0.2, 0.2, -1e-16]) == paired_differences.signed_rank([3, 3, 2])
    assert np.isnan(paired_differences.signed_rank([0.1, np.nan, 0.2]))


def test_no_difference_at_all_is_no_evidence():
    assert paired_differences.signed_rank([0, 0, 0, 0]) == 1


def test_smallest_p_is_reached_by_differences_of_one_sign_and_five_seeds_cannot_reach_5_percent():
    for n in range(1, 12):
        assert paired_differences.smallest_p(n) == pytest.approx(paired_differences.signed_rank(np.arange(1, n + 1)))
    assert paired_differences.smallest_p(5) == 0.0625 and paired_differences.smallest_p(6) < 0.05
    assert (
        paired_differences.fewest_seeds() == 6 and paired_differences.fewest_seeds(25) == 10
    )  # the published table of signed ranks
    assert "no difference can reach 0.05 before 10 seeds" in paired_differences.seeds_note(5, 24)
    assert "can reach" not in paired_differences.seeds_note(10, 24)
    assert (
        paired_differences.seeds_note(11, 1) == "With 11 seeds the smallest p of a signed-rank test is 0.00098."
    )  # no correction


def test_text_says_what_was_found_and_what_so_few_seeds_cannot_show():
    found = paired_differences.differences(paired_differences.per_run(study(seeds=5)), "Random", "accuracy")
    text = paired_differences.differences_text(found, "Random", "accuracy")
    assert f"{found.loc['Entropy', 'mean']:+.2f}" in text and "[classic]" in text
    assert text.endswith("smallest p of a signed-rank test is 0.062, and 0.12 after Holm's correction over 2 methods: "
                         "no difference can reach 0.05 before 7 seeds.")  # fmt: skip


def test_holm_by_hand():
    assert paired_differences.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired_differences.holm([0.5, 0.9]).tolist() == [1, 1] and paired_differences.holm([0.2]).tolist() == [0.2]


def test_holm_and_power_agree_with_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    power = pytest.importorskip("statsmodels.stats.power")
    dice = np.random.default_rng(1)
    for size in (1, 2, 7, 25):
        p = dice.uniform(0, 0.2, size)
        assert paired_differences.holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])
    for n, effect, alpha in itertools.product((3, 10, 40), (0.1, 0.5, 2.0), (0.05, 0.002)):
        mine = paired_differences.power(np.array([-1, 1]) / np.sqrt(2), effect, n, alpha=alpha)
        assert mine == pytest.approx(power.TTestPower().power(effect, n, alpha), abs=1e-9)


def unit(n):
    """n numbers of standard deviation 1."""
    values = np.random.default_rng(n).normal(size=n)
    return (values - values.mean()) / values.std(ddof=1)


@pytest.mark.parametrize(("effect", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_seeds_needed_are_those_of_published_power_tables(effect, seeds):
    """Cohen 1988 and G*Power: a paired t test at 5 % with a power of 80 %."""
    runs = pd.DataFrame({"family": "paper", "method": np.repeat(["a", "b"], 12), "seed": [*range(12)] * 2,
                         "area": [*np.zeros(12), *unit(12)]})  # fmt: skip
    found = paired_differences.seeds_needed(runs, "a", effect).loc["b"]
    assert found["seeds"] == seeds and found["sd"] == pytest.approx(1)
    assert (
        paired_differences.power(unit(12), effect, seeds) >= 0.8 > paired_differences.power(unit(12), effect, seeds - 1)
    )
    assert paired_differences.power(unit(12), -effect, seeds) == paired_differences.power(unit(12), effect, seeds)


def test_seeds_needed_never_fall_below_what_the_test_needs_at_all(df):
    runs = paired_differences.per_run(df)
    assert (
        set(paired_differences.seeds_needed(runs, "Random", 1e6)["seeds"])
        == {paired_differences.fewest_seeds(2)}
        == {7}
    )
    assert set(paired_differences.seeds_needed(runs, "Random", 1e6, correct=False)["seeds"]) == {6}
    for useless in (0, np.nan, np.inf):
        with pytest.raises(ValueError, match="true_difference must be a number other than 0"):
            paired_differences.seeds_needed(runs, "Random", useless)


def test_power_by_simulation():
    dice = np.random.default_rng(5)
    samples = dice.normal(0.7, 1.0, (20_000, 10))
    found = np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue < 0.05)
    assert paired_differences.power(unit(10), 0.7, 10) == pytest.approx(found, abs=0.012)


def test_win_matrix_has_the_winner_in_its_row_and_agrees_with_scipy(df):
    share = ranking.win_matrix(df, checkpoints=5)
    assert list(share.index) == list(share.columns) == ["Random", "Entropy", "coreset, supervised"]
    assert (share.index.name, share.columns.name) == ("row beats column", "loses to row")
    assert share.loc["Entropy", "Random"] > 0.5 > share.loc["Random", "Entropy"]
    assert np.isnan(np.diag(share)).all() and np.nanmax(share.to_numpy() + share.to_numpy().T) <= 1
    names, accuracy_MST = ranking.cases(df, 5)
    expected = np.mean([(test := stats.ttest_rel(accuracy_MST[1, :, t], accuracy_MST[0, :, t])).pvalue < 0.05
                        and test.statistic > 0 for t in range(5)])  # fmt: skip
    assert share.loc["Entropy", "Random"] == expected


def test_win_matrix_of_several_tables_counts_only_the_settings_that_a_pair_shares(df):
    other = df[df["strategy"] != "coreset"].assign(benchmark="MixMNIST")
    one, both = ranking.win_matrix(df), ranking.win_matrix(df, other)
    assert both.loc["Entropy", "coreset, supervised"] == one.loc["Entropy", "coreset, supervised"]
    swapped = other.replace({"strategy": {"random": "entropy", "entropy": "random"}})
    mixed = ranking.win_matrix(df, swapped)
    of_one = one.loc["Entropy", "Random"], one.loc["Random", "Entropy"]
    assert of_one == (0.6, 0.1)  # random's last stage ends first, and counts from there on
    assert mixed.loc["Entropy", "Random"] == pytest.approx(sum(of_one) / 2) == mixed.loc["Random", "Entropy"]


def test_equal_runs_beat_nobody_and_one_seed_no_one():
    same = pd.concat([rows(name, [10, 20], [0.5, 0.6], seed=seed) for name in ("random", "margin") for seed in (0, 1)])
    assert np.nansum(ranking.win_matrix(same)) == 0
    with pytest.raises(ValueError, match="several seeds; this table has one"):
        ranking.win_matrix(same[same["seed"] == 0])
    with pytest.raises(ValueError, match="at least two methods that are no reference lines"):
        ranking.win_matrix(same[same["strategy"] == "random"])
    with pytest.raises(ValueError, match="at least one results table"):
        ranking.performance_profile()


def test_performance_profile_by_hand():
    """One case: errors 0.2, 0.3 and 0.4, so factors 1, 1.5 and 2."""
    parts = [rows(name, [10, 20], [0.5, accuracy]) for name, accuracy in
             (("random", 0.8), ("margin", 0.7), ("badge", 0.6))]  # fmt: skip
    table = ranking.performance_profile(pd.concat(parts), checkpoints=1)
    found = {name: list(zip(own["factor"].round(9), own["share"])) for name, own in table.groupby("method")}
    assert found["Random"] == [(1, 1), (2, 1)]
    assert found["margin, supervised"] == [(1, 0), (1.5, 1), (2, 1)]
    assert found["badge, supervised"] == [(1, 0), (2, 1)]


def test_nothing_is_within_a_factor_of_no_error_but_no_error():
    parts = [rows(name, [10, 20], [0.5, accuracy]) for name, accuracy in (("random", 1.0), ("margin", 0.9))]
    table = ranking.performance_profile(pd.concat(parts), checkpoints=1)
    assert table[table["factor"] == 1].set_index("method")["share"].to_dict() == {"Random": 1, "margin, supervised": 0}
    assert table["share"].max() == 1 and table[table["method"] == "margin, supervised"]["share"].max() == 0


def test_probability_of_best_is_sure_of_a_sure_winner_and_shares_ties(df):
    runs = paired_differences.per_run(df)
    found = ranking.probability_of_best(runs)
    assert found.sum() == pytest.approx(1) and found["Entropy"] > 0.99 and "oracle_random, supervised" not in found
    assert ranking.probability_of_best(runs, "cost").to_dict() == {"Random": 1, "Entropy": 0, "coreset, supervised": 0}
    tied = runs.assign(area=1.0)
    assert ranking.probability_of_best(tied).tolist() == pytest.approx([1 / 3] * 3)


def test_probability_of_best_keeps_seeds_together():
    """b is above a in two seeds of three by 1 and below in one by 1.5: P(mean of 3 draws > 0) by enumeration."""
    runs = pd.DataFrame({"family": "paper", "method": ["a"] * 3 + ["b"] * 3, "seed": [0, 1, 2] * 2,
                         "area": [10, 50, 90, 11, 51, 88.5]})  # fmt: skip
    draws = [sum(draw) for draw in itertools.product([1, 1, -1.5], repeat=3)]
    expected = np.mean(np.array(draws) > 0)
    assert ranking.probability_of_best(runs)["b"] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    "use",
    [
        paired_differences.per_run,
        ranking.win_matrix,
        ranking.performance_profile,
        lambda df: paired_differences.cost_to_target(df, 60),
    ],
)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(fingerprint="g"), r"fingerprints cannot be compared.*'f': Random \(seed 0\), .*'g': Entropy \(seed 1\)"),
        (dict(profile="paper"), r"profiles cannot be compared.*'paper': Entropy \(seed 1\)"),
        (dict(initial_hash="odd"), r"initial sets of seed 1 .*'odd': Entropy \(seed 1\); 'set1': Random \(seed 1\)"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_and_named(use, change, said):
    good = [rows(name, [12, 30], [0.5, 0.6], seed=seed) for name in ("random", "entropy") for seed in (0, 1)]
    use(pd.concat(good))
    with pytest.raises(ValueError, match=said):
        use(pd.concat([*good[:3], good[3].assign(**change)]))
