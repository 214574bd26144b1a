"""Simulated sessions keep tests apart from what is learned, and tables say what the rows do."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import tiny

from alkit.study.analysis import labelling
from alkit.study.analysis.labelling import Place, Session

PLACE = Place(tiny("probe", "margin"), first=20, looks=10, stages=3, test_every=5)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    rng = np.random.default_rng(0)
    class_N = rng.permutation(np.repeat([0, 1, 2, 3], [40, 40, 40, 60]))
    features = rng.normal(size=(180, 6)) + 2.5 * np.eye(6)[class_N] * (class_N < 3)[:, None]
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    own = features.astype(np.float32)
    return labelling.Known(own, class_N, 3, own[class_N < 3][:50], class_N[class_N < 3][:50])


def test_a_test_is_drawn_from_all_that_has_no_answer_and_is_learned(pool):
    session, before = Session(pool, PLACE, 1), 0
    for stage in session.stages():
        assert len(set(session.positions)) == len(session.positions) == 2 * stage
        assert (session.answers_N[session.positions] == pool.class_N[session.positions]).all()
        assert session.looks == 20 + 10 * stage > before
        before = session.looks
    assert session.left[0] == 180 - 20 - 4 and session.left[-1] == 180 - 20 - 3 * 10 + 1
    answers, drawn, bought = session.evidence()
    assert not set(drawn) & set(bought) and len(drawn) + len(bought) == 50
    first = bought[session.before_N[bought] == 0]
    assert len(first) == 20 + 4 and answers.before_L.max() == 5


def test_what_is_answered_is_judged_by_a_classifier_that_did_not_learn_it(pool):
    session = Session(pool, PLACE, 1)
    next(session.stages())
    learned, unlearned_N = session.answers_N >= 0, session.unlearned()
    assert np.array_equal(unlearned_N[~learned], session.class_N[~learned])
    is_id = learned & (pool.class_N < 3)
    assert (unlearned_N == pool.class_N)[is_id].sum() < (session.class_N == pool.class_N)[is_id].sum()


def test_rows_hold_estimates_beside_the_truth(pool, monkeypatch):
    monkeypatch.setattr(labelling, "CHECKED", (2, 4))
    rows = pd.DataFrame(labelling.checks(pool, PLACE, 1))
    assert rows["tests"].tolist() == [2, 2, 4, 4] and set(rows["strategy"]) == {"margin"}
    assert rows["estimator"].tolist() == ["active", "naive"] * 2
    assert ((rows["low"] <= rows["value"]) & (rows["value"] <= rows["high"])).all()
    assert rows[["truth", "learned", "test_accuracy"]].stack().between(0.3, 1).all()
    again = pd.DataFrame(labelling.checks(pool, PLACE, 1))
    pd.testing.assert_frame_equal(rows, again)


def test_rows_of_stages_hold_what_the_rules_look_at(pool):
    rows = pd.DataFrame(labelling.stops(pool, replace(PLACE, stages=4), 1))
    assert rows["stage"].tolist() == [0, 1, 2, 3, 4] and rows["looks"].tolist() == [20, 30, 40, 50, 60]
    assert rows["kappa"].isna().tolist() == [True, False, False, False, False]
    assert rows["uncertainty"].between(0, 1).all() and set(rows["stop"].dropna()) <= {0, 1}
    told = rows.dropna(subset="coming")
    assert len(told) and ((told["last_low"] <= told["last"]) & (told["last"] <= told["last_high"])).all()


def test_coverage_counts_the_runs_whose_interval_holds_the_truth():
    made = dict(
        strategy="margin",
        test_every=10,
        tests=20,
        estimator="active",
        looks=100,
        test_accuracy=0.9,
        learned=0.95,
        truth=0.9,
    )
    rows = pd.DataFrame([
        {**made, "value": 0.92, "low": 0.88, "high": 0.96}, {**made, "value": 0.8, "low": 0.7, "high": 0.85},
    ])  # fmt: skip
    found = labelling.coverage(rows).loc[("margin", 20, "active")]
    assert found["covered"] == 0.5 and found["runs"] == 2
    assert (found["bias"], found["width"]) == pytest.approx((-4, 11.5))
    assert found["error"] == pytest.approx(np.sqrt((2**2 + 10**2) / 2))


def test_a_rule_that_stops_saves_looks_and_leaves_accuracy():
    run = dict(stage=[0, 1, 2, 3, 4], looks=[20, 40, 60, 80, 100], test_accuracy=[0.5, 0.7, 0.8, 0.85, 0.9])
    says = dict(stop=[0, 0, 1, 0, 1], kappa=[np.nan, 0.95, 0.98, 0.98, 0.98], uncertainty=[0.9, 0.8, 0.8, 0.5, 0.5])
    found = labelling.stopped(pd.DataFrame({"seed": 1, **run, **says}))
    assert found.loc["ours", ["stopped", "saved", "left", "left_most"]].tolist() == pytest.approx([1, 0.4, 10, 10])
    assert found.loc["kappa 0.97", ["stopped", "saved", "left"]].tolist() == pytest.approx([1, 0.2, 5])
    assert (found.loc[["kappa 0.99", "uncertainty 0.45"], ["stopped", "saved", "left"]] == 0).all(axis=None)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The tiny pool is the only place; runs are kept in a folder of their own."""
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(labelling, "PLACES", {"tiny": replace(PLACE, part=2)})
    monkeypatch.setattr(labelling, "CHECKED", (2, 4))
    monkeypatch.setattr(labelling, "RUNS", {"estimates": {"margin": 2, "random": 1}, "stopping": {"margin": 1}})


def test_features_come_from_the_learner_and_tables_are_written_and_read(tmp_path, small):
    found = labelling.known(labelling.PLACES["tiny"])
    assert found.unit_ND.shape[0] == len(found.class_N) == 70 and found.test_MD.shape[0] == 60
    assert np.allclose(np.linalg.norm(found.unit_ND, axis=1), 1, atol=1e-5)
    for kind in labelling.RUNS:
        path = labelling.make("tiny", kind, folder=tmp_path)
        assert path.name == f"labelling-tiny-{kind}.csv"
    rows = labelling.read("estimates", tmp_path)["tiny"]
    assert rows.groupby("strategy")["seed"].unique().map(list).to_dict() == {"margin": [20, 21], "random": [20]}


def test_tables_that_were_stopped_go_on_and_end_alike(tmp_path, small, monkeypatch):
    whole, simulate, made = labelling.make("tiny", "estimates", folder=tmp_path).read_bytes(), labelling.checks, []

    def noted(pool, place, seed):
        made.append((place.cell.strategy, seed))
        return simulate(pool, place, seed)

    monkeypatch.setattr(labelling, "checks", noted)
    assert labelling.make("tiny", "estimates", folder=tmp_path).read_bytes() == whole and made == []
    for kept in (tmp_path / "runs" / "labelling").glob("tiny-margin-estimates-*.jsonl"):
        kept.write_bytes(kept.read_bytes()[:-10])  # killed while the last line was written
    assert labelling.make("tiny", "estimates", folder=tmp_path).read_bytes() == whole and made == [("margin", 21)]


def test_the_command_makes_the_tables_of_the_pools_that_are_named(small, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(labelling, "make", lambda name, kind: made.append((name, kind)))
    monkeypatch.setattr("sys.argv", ["labelling", "tiny", "--only", "stopping"])
    labelling.main()
    monkeypatch.setattr("sys.argv", ["labelling"])
    labelling.main()
    assert made == [("tiny", "stopping"), ("tiny", "estimates"), ("tiny", "stopping")]
    monkeypatch.setattr("sys.argv", ["labelling", "tiny", "mixdigit"])
    with pytest.raises(SystemExit):
        labelling.main()
    assert "unknown pool mixdigit" in capsys.readouterr().err


@pytest.fixture(scope="module")
def estimates():
    return {name: labelling.coverage(rows) for name, rows in labelling.read("estimates").items()}


def test_committed_intervals_of_tests_hold_the_truth_as_texts_say(estimates):
    """In 85 to 95 % of sessions by margin; the default strategy has too few sessions for more than their sum."""
    for found in estimates.values():
        active = found.xs(labelling.KNOWN).xs("active", level="estimator")
        assert active["covered"].between(0.85, 0.95).all() and (active["runs"] == 400).all()
        assert (active["bias"].abs() < 0.35 * active["error"]).all()
    default = pd.concat(estimates).xs(labelling.DEFAULT, level="strategy").xs("active", level="estimator")
    assert (default["runs"] == 50).all() and 0.85 <= np.average(default["covered"], weights=default["runs"]) <= 0.95


def test_committed_naive_estimates_hold_the_truth_less_often_than_they_say(estimates):
    naive = pd.concat(estimates).xs("naive", level="estimator").xs(labelling.KNOWN, level="strategy")
    assert naive["covered"].max() < 0.7 and (naive.loc["mixmnist", "covered"] <= 0.05).all()


def test_committed_truth_is_near_the_test_set_and_what_was_learned_is_higher(estimates):
    found = pd.concat(estimates).xs(labelling.KNOWN, level=1)
    assert (found["truth"] - found["test_accuracy"]).abs().max() < 0.009
    assert (found["learned"] - found["truth"]).between(0.003, 0.05).all()


def test_committed_rules_save_looks_or_leave_accuracy_as_texts_say():
    found = {name: labelling.stopped(rows) for name, rows in labelling.read("stopping").items()}
    joint = pd.concat(found)
    assert (joint.xs("kappa 0.99", level=1)["stopped"] == 0).all()  # predictions about junk never settle
    assert joint.xs("ours", level=1)["left"].max() < 1.2
    assert (
        joint.loc[("mixdigits", "uncertainty 0.45"), "left"]
        < 1
        < 4
        < joint.loc[("mixmnist", "uncertainty 0.45"), "left"]
    )


def test_committed_intervals_of_the_last_gain_hold_the_true_one():
    for rows in labelling.read("stopping").values():
        told = rows.dropna(subset="last")
        assert 0.8 <= told["last_true"].between(told["last_low"], told["last_high"]).mean() <= 1
