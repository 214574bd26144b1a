"""The robustness cases: differences to random with known answers, what is compared, and the map that shows them."""

import numpy as np
import pandas as pd
import pytest
from test_metrics import rows

from alkit.store import StoreError
from alkit.study import figures, tables
from alkit.study.analysis import paired_differences, robustness
from alkit.study.analysis.robustness import OWN_START

OWN = f"cautious_coverage, {OWN_START}"


def runs(strategy, costs, accuracies, **other):
    """Five seeds of these stages; every second seed is 1 % better from its second stage on."""
    return pd.concat(
        [
            rows(strategy, costs, [accuracies[0], *(a + 0.01 * (seed % 2) for a in accuracies[1:])], seed=seed,
                 **{"learner": "probe", "initial_hash": f"{other.get('initial', 'shared')}{seed}", **other})
            for seed in range(5)
        ],
        ignore_index=True,
    )  # fmt: skip


@pytest.fixture
def df():
    """Random has 50 % until a cost of 30, 60 until 40 and then 70; areas can be done in the head."""
    return pd.concat(
        [
            runs("random", [20, 30, 40], [0.5, 0.6, 0.7]),
            runs("margin", [20, 25, 40], [0.5, 0.8, 0.9]),
            runs("badge", [20, 22, 24], [0.5, 0.4, 0.5]),
            runs("cautious_coverage", [20, 35, 60], [0.5, 0.8, 0.9]),
            runs("cautious_coverage", [10, 25, 35], [0.4, 0.7, 0.8], initial="strategy"),
            runs("oracle_random", [20, 25, 30], [0.5, 0.9, 0.99]),
        ],
        ignore_index=True,
    )


def test_differences_are_the_areas_on_the_costs_that_both_cover(df):
    found = robustness.against_baseline(df)
    assert list(found.index) == ["badge", "margin", "cautious_coverage", OWN]  # no random, no reference line
    even = df[df["seed"] % 2 == 0]  # without the one per cent of every second seed
    exact = robustness.against_baseline(even)
    assert exact.loc["margin", "mean"] == pytest.approx((5 * 30 + 10 * 20) / 20)  # from 20 to 40
    assert exact.loc["badge", "mean"] == pytest.approx(-10 * 2 / 4)  # from 20 to 24
    assert exact.loc["cautious_coverage", "mean"] == pytest.approx((5 * -10 + 5 * 20) / 20)  # from 20 to 40
    assert (found["n_seeds"] == 5).all() and (found[["before", "after"]] == 0).all(axis=None)


def test_what_buys_its_first_labels_is_held_against_random_from_randoms_first_stage_on(df):
    """From 20 to 35: random has 50 % until 30, then 60; the strategy 40 % until 25, then 70."""
    alone = df[df["seed"] % 2 == 0]
    assert robustness.against_baseline(alone).loc[OWN, "mean"] == pytest.approx((5 * -10 + 5 * 20 + 5 * 10) / 15)
    first = (alone["initial"] == "strategy") & (alone["stage"] == 0)
    for cost, accuracy in ((19, 0.62), (20, 0.62)):  # what a stage before that cost is what it begins with
        other = pd.concat([alone[~first], alone[first].assign(cost=cost, accuracy=accuracy)])
        found = robustness.against_baseline(other).loc[OWN, "mean"]
        assert found == pytest.approx((5 * 12 + 5 * 20 + 5 * 10) / 15)


def test_a_method_does_not_change_what_is_said_of_another(df):
    """`paired.per_run` of all would cut every method's range to the cheapest one's."""
    without = df[df["strategy"] != "badge"]
    both = robustness.against_baseline(df), robustness.against_baseline(without)
    corrected = ["p_holm", "sure"]  # for the number of methods in the case
    pd.testing.assert_frame_equal(both[0].drop("badge").drop(columns=corrected), both[1].drop(columns=corrected))
    together = paired_differences.per_run(df[(df["initial"] == "shared") & (df["strategy"] != "oracle_random")])
    assert set(together["high"]) == {24}


def test_difference_is_that_of_paired_with_its_interval(df):
    pair = df[df["strategy"].isin(["random", "margin"])]
    expected = paired_differences.differences(paired_differences.per_run(pair), "random, probe")
    found = robustness.against_baseline(df).loc["margin"]
    for column in ("mean", "low", "high"):
        assert found[column] == expected[column].iloc[0]


def gained(name, gains):
    """Runs whose differences to a random of 50 % are these, seed by seed (%)."""
    parts = [
        rows(name, [20, 40], [0.5 + gain / 100] * 2, seed=s, learner="probe", initial_hash=str(s))
        for s, gain in enumerate(gains)
    ]
    return pd.concat(parts)


@pytest.mark.parametrize(
    ("gains", "sure"),
    [
        ([3, 4, 3, 4, 3, 5], True),
        ([-3, -4, -3, -4, -3, -5], True),
        ([3, 4, 3, 4, 3], False),  # five seeds cannot reach 0.05, though the interval leaves 0 out
        ([5, -5, 4, -4, 1, 2], False),
    ],
)
def test_told_apart_is_what_the_studys_test_tells_apart(gains, sure):
    found = robustness.against_baseline(pd.concat([gained("random", [0] * len(gains)), gained("margin", gains)]))
    row = found.loc["margin"]
    assert row["mean"] == pytest.approx(np.mean(gains)) and row["sure"] == sure
    assert row["p"] == row["p_holm"] == paired_differences.signed_rank(gains) and sure == (row["p"] < 0.05)


def test_a_case_is_corrected_for_its_methods_and_not_for_those_without_a_number():
    """Six seeds: 0.031 alone, 0.062 beside a second method, 0.031 beside one that shares no cost with random."""
    up, zero = [3, 4, 3, 4, 3, 5], [0] * 6
    parts = [gained("random", zero), gained("margin", up), gained("badge", [1, -1, 2, -2, 3, -4])]
    both = robustness.against_baseline(pd.concat(parts))
    assert both.loc["margin", "p_holm"] == pytest.approx(2 * both.loc["margin", "p"]) and not both["sure"].any()
    early = gained("badge", zero).assign(initial="strategy", initial_hash="own", cost=lambda df: df["cost"] - 30)
    alone = robustness.against_baseline(pd.concat([*parts[:2], early]))
    assert alone.loc["margin", "sure"] and alone.loc["margin", "p_holm"] == alone.loc["margin", "p"]
    assert np.isnan(alone.loc[f"badge, {OWN_START}", "p_holm"]) and not alone.loc[f"badge, {OWN_START}", "sure"]


@pytest.mark.parametrize(("shift", "column"), [(-20, "before"), (30, "after")])
def test_no_number_where_a_seed_shares_no_cost_with_random(df, shift, column):
    """As when 20 iD labels of one's own choice cost less than random's first: no seed may be left out quietly."""
    odd = (df["initial"] == "strategy") & (df["seed"] == 3)
    found = robustness.against_baseline(df.assign(cost=df["cost"] + shift * odd))
    assert np.isnan(found.loc[OWN, ["mean", "low", "high"]].astype(float)).all() and not found.loc[OWN, "sure"]
    assert dict(found.loc[OWN, ["before", "after"]]) == {"before": 0, "after": 0} | {column: 1}
    assert found.loc["margin", "mean"] == pytest.approx(17.5 + 0.4 * 0.25)  # of two seeds in five, from 25 to 30


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda df: df.assign(learner=np.where(df["strategy"] == "badge", "supervised", "probe")), "one learner's"),
        (lambda df: df[df["strategy"] != "random"], "no 'random' under initial='shared'; there are: badge; margin"),
        (lambda df: df[(df["strategy"] != "badge") | (df["seed"] > 0)], "different seeds: badge"),
        (lambda df: df.assign(fingerprint=np.where(df["strategy"] == "badge", "g", "f")), "different fingerprints"),
        (lambda df: df.assign(initial_hash=df["strategy"]), "initial sets of seed 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(df, spoil, said):
    with pytest.raises(ValueError, match=said):
        robustness.against_baseline(spoil(df))


EARLY = '{"changes": {"con_first_epochs": 3}}'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (dict(benchmark="mixdigits-id10"), "10 % iD: 72 iD, 324 ambiguous, 324 OoD"),
        (dict(benchmark="mixdigits-near_ood"), "near-OoD (K = 5): 650 iD, 58 ambiguous, 647 OoD"),
        (dict(benchmark="mixdigits"), "mixdigits: 1,297 iD, 324 ambiguous, 324 OoD"),
        (dict(benchmark="mixdigits-long_tail"), "MixDigits, long tail: 532 iD, 324 ambiguous, 324 OoD"),
        (dict(benchmark="mixcifar60-house_numbers-scenes-long_tail"), "MixCIFAR60, long tail"),
        (
            dict(benchmark="mixdigits-near_ood-new_class"),
            "mixdigits-near_ood, a class comes late: 519 iD, 58 ambiguous, 778 OoD",
        ),
        (
            dict(benchmark="mixdigits", options=EARLY),
            "features after 5 % of the schedule: 1,297 iD, 324 ambiguous, 324 OoD",
        ),
        (
            dict(benchmark="mixdigits-id10", options='{"changes": {"stop_id": 30}}'),
            "10 % iD, stop_id=30: 72 iD, 324 ambiguous, 324 OoD",
        ),
    ],
)
def test_case_is_named_in_words_with_what_the_pool_holds(given, expected):
    assert robustness.case(rows("random", [20, 40], [0.5, 0.7], **{"profile": "laptop", **given})) == expected


def test_tables_of_variants_are_read_by_case(df, tmp_path):
    with pytest.raises(StoreError, match="python -m alkit sweep notebooks/sweeps/variants.yaml --name variants"):
        robustness.read_variants(tmp_path)
    for benchmark in ("mixdigits-new_class", "mixdigits-long_tail", "mixdigits-id90"):
        tables.write_results(df.assign(benchmark=benchmark, profile="laptop", options="{}"), tmp_path, "variants")
    words = [name.partition(":")[0] for name in robustness.read_variants(tmp_path)]
    assert words == ["MixDigits, long tail", "MixDigits, a class comes late"]


def test_tables_of_the_sweep_are_read_by_case_and_never_mixed(df, tmp_path):
    for benchmark in ("mixdigits-errors5", "mixdigits-id90", "mixdigits"):
        options = EARLY if benchmark == "mixdigits" else "{}"
        table = df.assign(benchmark=benchmark, profile="laptop", options=options)
        tables.write_results(table, tmp_path, "robustness")
    found = robustness.read(tmp_path)
    words = [name.partition(":")[0] for name in found]
    assert words == ["90 % iD", "oracle errs on 5 %", "features after 5 % of the schedule"]
    assert {name: set(table["benchmark"]) for name, table in zip(words, found.values(), strict=True)} == {
        "90 % iD": {"mixdigits-id90"}, words[1]: {"mixdigits-errors5"}, words[2]: {"mixdigits"},
    }  # fmt: skip
    with pytest.raises(ValueError, match="a case is one benchmark, profile and recipe"):
        robustness.case(pd.concat(found.values()))


def test_whole_benchmarks_come_first_with_the_same_methods_at_their_defaults(df, tmp_path):
    shared, own = (df[df["initial"] == initial].assign(profile="laptop") for initial in ("shared", "strategy"))
    tables.write_results(shared.assign(benchmark="mixdigits-id90"), tmp_path, "robustness")
    more = [shared.assign(strategy="entropy"), shared.assign(options='{"strategy": {"caution": 2}}')]
    tables.write_results(pd.concat([shared, *more]).assign(benchmark="mixmnist"), tmp_path, "strategies")
    both = pd.concat([own, shared.assign(options='{"strategy": {"doubt": 0}}')])
    tables.write_results(both.assign(benchmark="mixmnist"), tmp_path, "beyond")
    first, second = robustness.read(tmp_path).items()
    assert first[0] == "MixMNIST" and second[0].startswith("90 % iD")
    assert len(first[1]) == len(shared) + len(own) and set(first[1]["options"]) == {"{}"}
    assert set(robustness.against_baseline(first[1]).index) == set(robustness.against_baseline(df).index)
    again = shared.assign(benchmark="mixdigits-id90", version="0.2.0", accuracy_k1=shared["accuracy"])
    tables.write_results(again, tmp_path, "robustness")
    assert list(robustness.read(tmp_path)) == [second[0]]  # versions are not compared


def test_ends_are_means_of_the_last_stage_beside_the_gain(df):
    cases = {"hard: 72 iD": df[df["initial"] == "shared"]}
    found, gain = robustness.ends(cases), robustness.against_baseline(cases["hard: 72 iD"])["mean"]
    last = cases["hard: 72 iD"].sort_values("stage").groupby(["strategy", "seed"]).tail(1)
    for name, own in last.groupby("strategy"):
        row = found.loc["hard", name]
        assert row["accuracy"] == pytest.approx(100 * own["accuracy"].mean())
        assert row["cost"] == own["cost"].mean()
        assert row["junk"] == pytest.approx((1 - own["n_id"] / own["cost"]).mean())
        assert row["gain"] == gain[name] if name in gain else np.isnan(row["gain"])


def test_missing_tables_say_how_they_are_made(tmp_path):
    with pytest.raises(StoreError, match="python -m alkit sweep notebooks/sweeps/robustness.yaml --name robustness"):
        robustness.read(tmp_path)


def texts(fig):
    """(row, column) -> text."""
    return {
        (y.partition("</b>")[0][3:], x.replace("<br>", " ")): text
        for trace in fig.data
        if trace.type == "scatter"
        for x, y, text in zip(trace.x, trace.y, trace.text, strict=True)
    }


def test_heat_map_shows_the_differences_of_each_case_and_what_is_missing(df):
    cheap = df.assign(cost=np.where(df["initial"] == "strategy", df["cost"] - 20, df["cost"]))
    cases = {"hard: 72 iD": df, "apart: 5 iD": cheap[cheap["strategy"] != "badge"]}
    fig, found = figures.robustness_map(cases), robustness.compared(cases)
    heat, methods = fig.data[0], ["badge", "margin", "cautious_coverage", OWN]
    assert [label.partition("</b>")[0][3:] for label in heat.y] == ["hard", "apart"] and "72 iD" in heat.y[0]
    expected = found.pivot(index="case", columns="method", values="mean").loc[list(cases), methods]
    np.testing.assert_allclose(np.array(heat.z, float), expected.to_numpy())
    assert heat.zmin == -heat.zmax == -np.nanmax(np.abs(expected.to_numpy()))
    said = texts(fig)
    assert said["hard", "Margin"].startswith("(+17.6)") and not found["sure"].any()  # five seeds tell nothing apart
    own = next(column for _, column in said if "labels" in column)
    assert "no number" in said["apart", own] and "ends before: 5 of 5" in said["apart", own]
    (absent,) = [note for note in fig.layout.annotations if note.text == "not run"]
    assert absent.x == "BADGE" and "apart" in absent.y
    assert "signed-rank test over seeds, Holm's correction" in fig.layout.title.text
    assert "5 seeds" in fig.layout.title.text


def test_what_is_told_apart_is_bold_and_what_is_not_stands_in_brackets():
    both = [gained("random", [0] * 6), gained("margin", [5, -5, 4, -4, 1, 0])]
    assert texts(figures.robustness_map({"even": pd.concat(both)}))["even", "Margin"].startswith("(+0.2)")
    both[1] = gained("margin", [5, 5, 4, 4, 1, 2])
    assert texts(figures.robustness_map({"even": pd.concat(both)}))["even", "Margin"].startswith("<b>+3.5</b>")


def test_tally_counts_what_is_sure_what_is_not_and_what_has_no_number():
    rows = [("m", 1.0, True), ("m", -1.0, True), ("m", 0.5, False), ("m", 2.0, True), ("n", np.nan, False)]
    found = pd.DataFrame(rows, columns=["method", "mean", "sure"])
    counts = robustness.tally(found)
    assert counts.loc["m"].to_dict() == {"ahead": 2, "level": 1, "behind": 1, "apart": 0}
    assert counts.loc["n"].to_dict() == {"ahead": 0, "level": 0, "behind": 0, "apart": 1}
    assert list(counts.index) == ["m", "n"]


def test_heat_map_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no case to compare"):
        figures.robustness_map({})
