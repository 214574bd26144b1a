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
    """Five seeds; every second one is 1 % better from its second stage on, by turns of 0, 1, 0, 1, 0 %."""
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
    """Random rises from 50 to 70 % over the costs 20 to 40, and so on; areas can be done in the head."""
    return pd.concat(
        [
            runs("random", [20, 40], [0.5, 0.7]),
            runs("margin", [20, 40], [0.5, 0.9]),
            runs("badge", [20, 24], [0.5, 0.52]),
            runs("cautious_coverage", [20, 60], [0.5, 0.9]),
            runs("cautious_coverage", [10, 30], [0.4, 0.8], initial="strategy"),
            runs("oracle_random", [20, 30], [0.5, 0.99]),
        ],
        ignore_index=True,
    )


def test_differences_are_the_areas_on_the_costs_that_both_cover(df):
    found = robustness.differences(df)
    assert list(found.index) == ["badge", "margin", "cautious_coverage", OWN]  # no random, no reference line
    assert found.loc["margin", "mean"] == pytest.approx(10)  # 60 to 70 % on average, over 20 to 40
    assert found.loc["badge", "mean"] == pytest.approx(-1 + 0.4 * (0.5 - 0.1), abs=1e-9)  # over 20 to 24
    assert found.loc["cautious_coverage", "mean"] == pytest.approx(0 - 0.4 * (0.5 - 0.25), abs=1e-9)
    assert (found["n_seeds"] == 5).all() and (found[["before", "after"]] == 0).all(axis=None)


def test_what_buys_its_first_labels_is_held_against_random_from_randoms_first_stage_on(df):
    """Over 20 to 30: random 50 to 60 %, the strategy 60 to 80 %; what it had at a cost of 10 counts for nothing."""
    alone = df[df["seed"] % 2 == 0]
    assert robustness.differences(alone).loc[OWN, "mean"] == pytest.approx(15)
    early = alone.copy()
    first = (early["initial"] == "strategy") & (early["stage"] == 0)
    dearer = pd.concat([early[~first], early[first].assign(cost=19, accuracy=0.62)])
    assert robustness.differences(dearer).loc[OWN, "mean"] == pytest.approx(
        100 * np.trapezoid([0.62 + 0.18 / 11, 0.8], [20, 30]) / 10 - 55, abs=1e-9
    )


def test_a_method_does_not_change_what_is_said_of_another(df):
    """`paired.per_run` of all would cut every method's range to the cheapest one's."""
    without = df[df["strategy"] != "badge"]
    both = robustness.differences(df), robustness.differences(without)
    pd.testing.assert_frame_equal(both[0].drop("badge"), both[1])
    together = paired_differences.per_run(df[(df["initial"] == "shared") & (df["strategy"] != "oracle_random")])
    assert set(together["high"]) == {24}


def test_difference_is_that_of_paired_with_its_interval(df):
    pair = df[df["strategy"].isin(["random", "margin"])]
    expected = paired_differences.differences(paired_differences.per_run(pair), "random, probe")
    found = robustness.differences(df).loc["margin"]
    for column in ("mean", "low", "high"):
        assert found[column] == expected[column].iloc[0]


@pytest.mark.parametrize(
    ("gains", "sure"), [([3, 4, 3, 4, 3], True), ([-3, -4, -3, -4, -3], True), ([5, -5, 4, -4, 1], False)]
)
def test_told_apart_is_an_interval_that_leaves_0_out(gains, sure):
    both = [rows("random", [20, 40], [0.5, 0.5], seed=s, learner="probe") for s in range(5)]
    both += [rows("margin", [20, 40], [0.5 + g / 100] * 2, seed=s, learner="probe") for s, g in enumerate(gains)]
    found = robustness.differences(pd.concat(both)).loc["margin"]
    assert found["mean"] == pytest.approx(np.mean(gains)) and found["sure"] == sure
    assert (found["low"] > 0 or found["high"] < 0) == sure


@pytest.mark.parametrize(("shift", "column"), [(-10, "before"), (30, "after")])
def test_no_number_where_a_seed_shares_no_cost_with_random(df, shift, column):
    """As when 20 iD labels of one's own choice cost less than random's first: no seed may be left out quietly."""
    odd = (df["initial"] == "strategy") & (df["seed"] == 3)
    found = robustness.differences(df.assign(cost=df["cost"] + shift * odd))
    assert np.isnan(found.loc[OWN, ["mean", "low", "high"]].astype(float)).all() and not found.loc[OWN, "sure"]
    assert dict(found.loc[OWN, ["before", "after"]]) == {"before": 0, "after": 0} | {column: 1}
    assert found.loc["margin", "mean"] == pytest.approx(10)


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
        robustness.differences(spoil(df))


EARLY = '{"changes": {"con_first_epochs": 3}}'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (dict(benchmark="mixdigits-id10"), "10 % iD: 72 iD, 324 ambiguous, 324 OoD"),
        (dict(benchmark="mixdigits-near_ood"), "near-OoD (K = 5): 650 iD, 58 ambiguous, 647 OoD"),
        (dict(benchmark="mixdigits"), "mixdigits: 1,297 iD, 324 ambiguous, 324 OoD"),
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
    assert set(robustness.differences(first[1]).index) == set(robustness.differences(df).index)


def test_missing_tables_say_how_they_are_made(tmp_path):
    with pytest.raises(StoreError, match="python -m alkit sweep notebooks/sweeps/robustness.yaml --name robustness"):
        robustness.read(tmp_path)


def texts(fig):
    """(row, column) -> text."""
    return {
        (y.partition("</b>")[0][3:], x): text
        for trace in fig.data
        if trace.type == "scatter"
        for x, y, text in zip(trace.x, trace.y, trace.text, strict=True)
    }


def test_heat_map_shows_the_differences_of_each_case_and_what_is_missing(df):
    cheap = df.assign(cost=np.where(df["initial"] == "strategy", df["cost"] - 10, df["cost"]))
    cases = {"hard: 72 iD": df, "apart: 5 iD": cheap[cheap["strategy"] != "badge"]}
    fig, found = figures.robustness_map(cases), robustness.compared(cases)
    heat, methods = fig.data[0], ["badge", "margin", "cautious_coverage", OWN]
    assert [label.partition("</b>")[0][3:] for label in heat.y] == ["hard", "apart"] and "72 iD" in heat.y[0]
    expected = found.pivot(index="case", columns="method", values="mean").loc[list(cases), methods]
    np.testing.assert_allclose(np.array(heat.z, float), expected.to_numpy())
    assert heat.zmin == -heat.zmax == pytest.approx(-15.2)  # the largest, of what buys its first labels
    said = texts(fig)
    assert said["hard", "margin"].startswith("<b>+10.0</b>") and found["sure"][found["method"] == "margin"].all()
    own = next(column for _, column in said if "labels" in column)
    assert "no number" in said["apart", own] and "ends before: 5 of 5" in said["apart", own]
    (absent,) = [note for note in fig.layout.annotations if note.text == "not run"]
    assert absent.x == "badge" and "apart" in absent.y
    assert "no correction over cases or methods" in fig.layout.title.text and "5 seeds" in fig.layout.title.text


def test_what_is_not_told_apart_stands_in_brackets():
    both = [rows("random", [20, 40], [0.5, 0.5], seed=s, learner="probe") for s in range(5)]
    both += [
        rows("margin", [20, 40], [0.5 + g / 100] * 2, seed=s, learner="probe") for s, g in enumerate([5, -5, 4, -4, 1])
    ]
    assert texts(figures.robustness_map({"even": pd.concat(both)}))["even", "margin"].startswith("(+0.2)")


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
