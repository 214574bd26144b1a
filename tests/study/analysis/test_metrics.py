"""The numbers of the tables and curves, against hand-made cases, scipy and shuffled rows; what must not be compared."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid

from alkit.study.analysis import cost_tables, curves, display_names


def rows(strategy, costs, accuracies, *, learner="supervised", seed=0, options="{}", **other):
    """One run: 10 iD samples a stage, the rest of the cost split into ambiguous and OoD."""
    table = pd.DataFrame({"stage": range(len(costs)), "cost": costs, "accuracy": accuracies})
    table["n_id"] = 10 * (table["stage"] + 1)
    table["n_ambiguous"] = (table["cost"] - table["n_id"]) // 2
    table["n_ood"] = table["cost"] - table["n_id"] - table["n_ambiguous"]
    fixed = dict(benchmark="MixDigits", profile="smoke", learner=learner, strategy=strategy, options=options, seed=seed,
                 initial="shared", initial_hash=f"set{seed}", fingerprint="f", train_seconds=3.0, extract_seconds=0.5,
                 choose_seconds=0.25, device="cpu", version="0.1.0")  # fmt: skip
    return table.assign(**(fixed | other))


@pytest.fixture
def df():
    return pd.concat(
        [
            rows("distance_cl", [15, 30, 40], [0.5, 0.7, 0.9], learner="contrastive"),
            rows("distance_cl", [17, 31, 44], [0.6, 0.8, 0.8], learner="contrastive", seed=1),
            rows("random", [15, 35, 60], [0.4, 0.6, 0.8]),
            rows("random", [17, 33, 50], [0.4, 0.5, 0.6], seed=1),
        ],
        ignore_index=True,
    )


def test_methods_carry_the_papers_names_and_say_what_is_not_the_papers():
    table = pd.concat(
        [
            rows("ddu", [10], [0.5]),
            rows("random_cl", [10], [0.5], learner="contrastive"),
            rows("margin", [10], [0.5], learner="probe"),
            rows("distance_cl", [10], [0.5], learner="contrastive", options='{"stop": "round", "exclude": "none"}'),
        ]
    )
    expected = ["DDU", "Random(CL)", "margin, probe", "Distance(CL), exclude=none, stop=round"]
    assert list(cost_tables.method(table)) == expected
    families = dict(zip(expected, cost_tables.families(table), strict=True))
    assert list(families.values()) == ["paper", "paper", "classic", "paper"]
    assert cost_tables.ordered(dict(reversed(families.items()))) == ["DDU", "Random(CL)", expected[3], expected[2]]


def test_names_tell_the_filter_and_the_learners_options_apart_and_stand_in_groups_of_their_own():
    everything = '{"learner": {"auxiliary": "all"}}'
    off = '{"auxiliary_filter": false}'
    table = pd.concat(
        [
            rows("margin", [10], [0.5], learner="probe"),
            rows("margin", [10], [0.5], learner="probe", options=off),
            rows("margin", [10], [0.5], learner="probe", options=everything),
            rows("margin", [10], [0.5], learner="probe", options=everything[:-1] + ", " + off[1:]),
            rows("random", [10], [0.5], options=off),
            rows("random", [10], [0.5], options=everything),
        ],
        ignore_index=True,
    )
    named = cost_tables.with_names(table)
    assert list(named["method"]) == [
        "margin, probe", "margin, probe, filter=off", "margin, probe(auxiliary=all)",
        "margin, probe(auxiliary=all), filter=off", "Random, filter=off", "Random, auxiliary=all",
    ]  # fmt: skip
    assert list(named["learner_name"][:4]) == ["probe", "probe", "probe(auxiliary=all)", "probe(auxiliary=all)"]
    assert list(named["strategy_name"][:4]) == ["margin", "margin, filter=off"] * 2
    shown = display_names.methods(named["method"][2:4])
    assert list(shown.values()) == ["Margin", "Margin, filter=off"]
    both = display_names.methods(named["method"][1:3])
    assert list(both.values()) == ["Margin, probe, filter=off", "Margin, probe(auxiliary=all)"]


def test_the_papers_contrastive_rows_are_those_without_the_filter_where_there_are_any():
    old = ["Random", "Distance(CL)"]
    assert cost_tables.paper_names(old) == dict(zip(old, old, strict=True))
    both = ["Random", "Random, filter=off", "Distance(CL)", "Distance(CL), filter=off", "margin, probe"]
    assert cost_tables.paper_names(both) == {"Random": "Random", "Distance(CL), filter=off": "Distance(CL)"}


def test_accuracy_over_k_plus_1_outputs_is_an_option_of_every_table_and_both_are_shown_side_by_side(df):
    both = df.assign(accuracy_k1=df["accuracy"] - 0.02 * (df["strategy"] == "random") * (df["stage"] == 2))
    found = cost_tables.accuracy_by_outputs(both)
    assert found.loc["Random", ["over_k", "over_k1", "difference"]].tolist() == pytest.approx([70, 68, -2])
    assert found.loc["Distance(CL)", "difference"] == pytest.approx(0)
    text = cost_tables.accuracy_by_outputs_text(both)
    assert "70.00" in text and "68.00" in text and "-2.00" in text and "different learners" in text
    chosen = cost_tables.with_accuracy(both, "accuracy_k1")
    assert cost_tables.table2(chosen).loc["Random", "accuracy_mean"] == pytest.approx(68)
    assert curves.curve(chosen).equals(curves.curve(both)) is False
    assert cost_tables.with_accuracy(both, "accuracy").equals(both)
    for empty in (df, df.assign(accuracy_k1=np.nan)):
        with pytest.raises(ValueError, match="12 of 12 rows have no accuracy_k1 .* tables of version 0.1.0"):
            cost_tables.accuracy_by_outputs(empty)
    with pytest.raises(ValueError, match="accuracy must be one of accuracy, accuracy_k1; got 'acc'"):
        cost_tables.with_accuracy(df, "acc")


def test_tables_of_different_learners_say_so_and_those_of_one_do_not(df):
    assert "supervised): a difference" in cost_tables.table2_text(df)
    assert "learner" not in cost_tables.table2_text(df[df["strategy"] == "random"])


def test_two_initial_protocols_of_one_method_are_never_averaged_together():
    both = pd.concat([rows("random", [12, 30], [0.5, 0.6]),
                      rows("random", [11, 29], [0.5, 0.8], initial="paper", initial_hash="other")])  # fmt: skip
    assert list(cost_tables.table2(both).index) == ["Random, initial=paper", "Random, initial=shared"]


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(fingerprint="g"), "fingerprints.*'f', 'g'"),
        (dict(profile="paper"), "profiles.*'paper', 'smoke'"),
        (dict(benchmark="MixMNIST"), "benchmarks.*'MixDigits', 'MixMNIST'"),
        (dict(initial_hash="odd"), "initial sets of seed 0.*'odd', 'set0'"),
        (dict(seed=7), r"different seeds: Entropy lacks \[0, 1\]; Random lacks \[7\]"),
        (dict(stage=5), "Entropy, seed 0: expected each stage"),
        (dict(accuracy=np.nan), "missing values in .'accuracy'"),
    ],
)
@pytest.mark.parametrize(
    "use",
    [
        cost_tables.check_comparable,
        cost_tables.table2,
        curves.curve,
        curves.area,
        cost_tables.composition,
        cost_tables.seconds,
    ],
)
def test_results_that_cannot_be_compared_are_refused_by_name(use, change, message):
    good = [rows("random", [12, 30], [0.5, 0.6], seed=seed) for seed in (0, 1)]
    other = [rows("entropy", [12, 30], [0.5, 0.6], seed=seed) for seed in (0, 1)]
    use(pd.concat(good + other))
    odd = [other[0].assign(**change)] + ([] if "seed" in change else [other[1]])
    with pytest.raises(ValueError, match=message):
        use(pd.concat(good + odd))


def test_rows_given_twice_no_rows_and_missing_columns_are_refused(df):
    with pytest.raises(ValueError, match="expected each stage"):
        cost_tables.table2(pd.concat([df, df]))
    with pytest.raises(ValueError, match="no rows"):
        cost_tables.table2(df[:0])
    with pytest.raises(ValueError, match=r"lacks the columns \['cost'\]"):
        cost_tables.table2(df.drop(columns="cost"))


def test_table2_is_mean_and_sample_deviation_at_the_last_stage(df):
    table = cost_tables.table2(df)
    assert list(table.index) == ["Random", "Distance(CL)"]
    row = table.loc["Distance(CL)"]
    assert row["accuracy_mean"] == pytest.approx(85) and row["accuracy_sd"] == pytest.approx(np.sqrt(50))
    assert row["cost_mean"] == 42 and row["cost_sd"] == pytest.approx(np.sqrt(8))
    ratios = np.array([40 / 90, 44 / 80])  # the ratio is taken per seed, not of the means
    assert row["cost_per_accuracy_mean"] == pytest.approx(ratios.mean())
    assert row["cost_per_accuracy_sd"] == pytest.approx(ratios.std(ddof=1))
    assert row["n_seeds"] == 2


def test_table2_reproduces_the_papers_ratio_and_shows_no_deviation_for_one_seed():
    one = rows("distance_cl", [150, 406], [0.5, 0.9665], learner="contrastive")
    assert cost_tables.table2(one)["cost_per_accuracy_mean"].item() == pytest.approx(4.20, abs=0.005)
    assert np.isnan(cost_tables.table2(one)["cost_sd"].item())
    assert "\u00b1" not in cost_tables.table2_text(one) and "406*" in cost_tables.table2_text(one)


def test_table2_text_is_aligned_and_marks_the_best(df):
    head, rule, random, distance, _, note = cost_tables.table2_text(df).split("\n")
    assert note.startswith("Methods of different learners (contrastive, supervised): a difference")
    assert "85.00 \u00b1 7.07*" in distance and "42 \u00b1 3*" in distance and "*" not in random
    ends = [i + 1 for i in range(len(rule)) if rule[i] == "-" and rule[i + 1 : i + 2] != "-"]
    for line in (head, random, distance):
        assert [line[end : end + 2].strip() for end in ends] == [""] * 5  # nothing is written between two columns


def test_table2_takes_runs_whose_rounds_end_them_sooner():
    whole, sooner = (
        rows("random", [10, 20, 30], [0.5, 0.6, 0.7]),
        rows("random", [10, 28], [0.5, 0.8], options='{"stop": "round"}'),
    )
    table = cost_tables.table2(pd.concat([whole, sooner], ignore_index=True))
    assert table["cost_mean"].to_dict() == {"Random": 30, "Random, stop=round": 28}


def test_table2_refuses_a_run_that_is_not_finished(df):
    with pytest.raises(ValueError, match=r"different stages.*'Random': \[1, 2\]"):
        cost_tables.table2(df[~((df["strategy"] == "random") & (df["seed"] == 1) & (df["stage"] == 2))])


def test_curve_has_each_seeds_last_finished_stage_inside_the_range_that_all_seeds_cover(df):
    curve = curves.curve(df)
    random = curve[curve["method"] == "Random"].set_index("x")
    assert list(random.index) == [17, 33, 35, 50]  # 15 and 60 lie outside what both seeds cover
    at35 = np.array([0.6, 0.5])  # seed 1 goes on to 0.6 at a cost of 50, which is not paid yet
    assert list(random.loc[35, ["mean", "sd"]]) == pytest.approx([at35.mean(), at35.std(ddof=1)])
    linear = curves.curve(df, steps=False)
    at35 = np.array([0.6, 0.5 + 0.1 * 2 / 17])
    assert linear.set_index(["method", "x"]).loc[("Random", 35), "mean"] == pytest.approx(at35.mean())
    assert list(curves.curve(df, x="n_id").query("method == 'Random'")["x"]) == [10, 20, 30]


def test_curve_of_one_seed_is_the_run_itself_without_a_deviation():
    curve = curves.curve(rows("random", [12, 30, 31], [0.5, 0.6, 0.55]))
    assert list(curve["mean"]) == [0.5, 0.6, 0.55] and curve["sd"].isna().all()


def test_area_by_hand_is_that_of_the_last_finished_stage(df):
    """From 17 to 40, where the cheapest run ends; random has 40 % until 35, then 60 (seed 0), or until 33, then 50."""
    table = curves.area(df).set_index(["method", "seed"])
    assert set(table["low"]) == {17} and set(table["high"]) == {40}
    assert table.loc[("Random", 0), "area"] == pytest.approx((18 * 0.4 + 5 * 0.6) / 23)
    assert table.loc[("Random", 1), "area"] == pytest.approx((16 * 0.4 + 7 * 0.5) / 23)
    # the stage that ends where the range ends has no width: what its last look bought counts for nothing yet
    assert table.loc[("Distance(CL)", 0), "area"] == pytest.approx((13 * 0.5 + 10 * 0.7) / 23)


def test_a_look_in_the_middle_of_a_stage_earns_nothing_before_the_stage_ends():
    tiny = pd.concat([rows("random", [10, 20, 30], [0.5, 0.5, 0.9]), rows("entropy", [10, 29, 30], [0.5, 0.9, 0.9])])
    table = curves.area(tiny).set_index("method")["area"]
    assert table["Random"] == pytest.approx(0.5) and table["Entropy"] == pytest.approx((19 * 0.5 + 0.9) / 20)
    linear = curves.area(tiny, steps=False).set_index("method")["area"]
    assert linear["Random"] == pytest.approx(0.6) and linear["Entropy"] > table["Entropy"] + 0.15
    twice = pd.concat([rows("random", [10, 10, 20], [0.5, 0.7, 0.9]), rows("entropy", [10, 12, 20], [0.5, 0.6, 0.9])])
    at_once, later = curves.area(twice)["area"]
    assert at_once == pytest.approx(0.7) and later == pytest.approx((2 * 0.5 + 8 * 0.6) / 10)  # of equal costs the last


def test_corners_of_a_staircase_keep_each_value_until_the_next_point():
    x, y = curves.staircase(np.array([1, 4, 6]), np.array([10, 20, 30]))
    assert list(zip(x, y)) == [(1, 10), (4, 10), (4, 20), (6, 20), (6, 30)]


def test_linear_area_is_the_trapezoid_over_the_one_range_common_to_all(df):
    table = curves.area(df, steps=False).set_index(["method", "seed"])
    assert set(table["low"]) == {17} and set(table["high"]) == {40}
    fine = np.linspace(17, 40, 230001)
    for (name, seed), row in table.iterrows():
        run = df[(cost_tables.method(df) == name) & (df["seed"] == seed)]
        expected = trapezoid(np.interp(fine, run["cost"], run["accuracy"]), fine) / 23
        assert row["area"] == pytest.approx(expected, abs=1e-8)


def test_area_of_a_flat_curve_is_its_accuracy_and_of_whole_runs_is_numpys_trapezoid():
    flat = pd.concat([rows("random", [10, 20, 90], [0.7] * 3), rows("entropy", [11, 50, 60], [0.8] * 3)])
    for steps in (True, False):
        assert list(curves.area(flat, steps=steps)["area"]) == pytest.approx([0.7, 0.8])
    one = rows("random", [10, 25, 90], [0.2, 0.7, 0.9])
    assert curves.area(one)["area"].item() == pytest.approx((15 * 0.2 + 65 * 0.7) / 80)
    linear = np.trapezoid(one["accuracy"], one["cost"]) / 80
    assert curves.area(one, steps=False)["area"].item() == pytest.approx(linear)


def test_no_common_range_is_an_error_that_names_it():
    apart = pd.concat([rows("random", [12, 30], [0.5, 0.6]), rows("entropy", [30, 90], [0.5, 0.6])])
    with pytest.raises(ValueError, match="share no range of cost.*begins at 30.*ends at 30"):
        curves.area(apart)
    seeds = pd.concat([rows("random", [12, 30], [0.5, 0.6]), rows("random", [40, 50], [0.5, 0.6], seed=1)])
    with pytest.raises(ValueError, match="seeds of Random share no range"):
        curves.curve(seeds)
    with pytest.raises(ValueError, match="'cost' or 'n_id', got 'seconds'"):
        curves.curve(apart, x="seconds")


def test_composition_is_what_each_stage_newly_bought(df):
    table = cost_tables.composition(df).set_index(["method", "stage"])
    random = table.loc["Random"]
    assert list(random["n_id"]) == [10, 10, 10]
    totals = random.sum(axis=1)
    assert list(totals) == [16, 18, 21]  # means of (15, 17), (20, 16) and (25, 17)


def test_seconds_are_summed_over_stages_and_averaged_over_seeds(df):
    df.loc[df["seed"] == 1, "train_seconds"] = 5.0
    assert cost_tables.seconds(df).loc["Random"].tolist() == [8.0, 1.5, 0.75]  # the first training is shared


@pytest.mark.parametrize(
    "use",
    [
        cost_tables.table2,
        cost_tables.table2_text,
        curves.curve,
        curves.area,
        cost_tables.composition,
        cost_tables.seconds,
    ],
)
def test_the_order_of_rows_changes_nothing_and_the_input_stays_as_it_was(df, use):
    expected, before = use(df), df.copy()
    for seed in range(5):
        shuffled = df.sample(frac=1, random_state=seed)
        got = use(shuffled)
        assert got == expected if isinstance(got, str) else got.equals(expected)
    pd.testing.assert_frame_equal(df, before)


def test_families_stand_in_order_under_headings_and_reference_lines_are_never_marked_best():
    table = pd.concat(
        [
            rows("oracle_random", [5, 10], [0.5, 0.99], learner="probe"),
            rows("distance_cl", [9, 21], [0.5, 0.7], learner="probe", options='{"strategy": {"radius": 0.1}}'),
            rows("lfosa", [9, 23], [0.5, 0.8], learner="probe"),
            rows("distance_cl", [9, 24], [0.5, 0.6], learner="probe"),
            rows("of_a_notebook", [9, 25], [0.5, 0.6], learner="probe"),
        ]
    )
    lines = cost_tables.table2_text(table).splitlines()[2:]
    assert [line.partition("  ")[0].split(",")[0] for line in lines[:-1]] == [
        "[the paper's strategies]", "Distance(CL)", "[for open sets]", "LfOSA",
        "[past the paper]", "Distance(CL)", "Of a notebook", "[reference lines",
    ]  # fmt: skip
    assert "*" not in lines[-1] and "99.00" in lines[-1]
    assert "80.00*" in lines[3] and "21*" in lines[5]
