"""The simulations of notebook 9 pay for what they say, and their tables say what the rows do."""

import numpy as np
import pandas as pd
import pytest
from conftest import tiny, tiny_benchmark

from alkit.experiment import crowd, finish, initial_answers
from alkit.labelling import estimate
from alkit.study.analysis import answers
from alkit.study.analysis.answers import Spending
from alkit.study.analysis.fixed_features import Classifier, Features, features_of

BENCHMARK = tiny_benchmark()


@pytest.fixture(scope="module")
def pool():
    """Features in which the classes of the tiny benchmark and its junk lie apart, with some overlap."""
    rng = np.random.default_rng(0)
    class_N = np.where(BENCHMARK.pool.category_N == 0, BENCHMARK.pool.labels_N, 3)
    features = rng.normal(size=(140, 6)) + 2.5 * np.eye(6)[class_N] * (class_N < 3)[:, None]
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    is_id = class_N < 3
    return Features(features, class_N, 3, features[is_id][:60], class_N[is_id][:60])


def test_bills_of_a_run_add_up_and_say_how_candidate_sets_did(tmp_path):
    cell = tiny("probe", "margin", 3)
    rows, records = pd.DataFrame(answers.bills(cell, root=tmp_path)), finish(cell, root=tmp_path)
    assert rows["stage"].tolist() == [record["stage"] for record in records]
    assert rows["looks"].tolist() == [record["cost"] for record in records]
    assert np.allclose(rows["typed"], 2 * rows["n_id"] + 6 * rows["n_ambiguous"] + 2 * rows["n_ood"])
    assert rows.loc[0, ["candidate_set", "yes_no"]].tolist() == pytest.approx([2 * rows.loc[0, "looks"]] * 2)  # log2(4)
    assert (rows[["candidate_set", "yes_no"]].diff().dropna() > 0).all(axis=None)
    assert rows["covered"].isna().tolist() == [True, True] + [False] * (len(rows) - 2)
    assert rows["candidates"].dropna().between(0, 4).all() and rows["covered"].dropna().between(0, 1).all()


@pytest.fixture
def short(monkeypatch):
    for name, value in (("FIRST", 20), ("BATCH", 10), ("ANSWERS", 60)):
        monkeypatch.setattr(answers, name, value)


@pytest.mark.parametrize("way", answers.WAYS)
def test_every_way_pays_for_each_answer_and_asks_nobody_twice(pool, short, way):
    said_NJ = crowd.answers_of(BENCHMARK, answers.ERRORS_J, errors="symmetric", seed=1)
    people = crowd.Crowd(said_NJ, seed=1)
    rows = pd.DataFrame(Spending(pool, people, way, 1, 10.0).rows())
    given_NJ = people.answers_NJ >= 0
    assert rows["answers"].iloc[-1] == people.cost == given_NJ.sum() and 60 <= people.cost < 65
    assert rows["images"].iloc[-1] == given_NJ.any(1).sum()
    assert (people.answers_NJ[given_NJ] == said_NJ[given_NJ]).all()
    per_image = given_NJ.sum(1)[given_NJ.any(1)]
    if way in ("one answer", "no errors"):
        assert (per_image == 1).all()
    elif "of 3" in way:
        assert (per_image == 3).all()
    elif way == "two that agree":
        assert per_image.min() == 2 and per_image.max() > 2
        top = crowd.majority(people.answers_NJ, 4).max(1)[given_NJ.any(1)] * per_image
        assert ((top == 2) | (per_image == 5)).all()
    else:
        assert 1 <= per_image.min() < per_image.max()
    again = pd.DataFrame(Spending(pool, crowd.Crowd(said_NJ, seed=1), way, 1, 10.0).rows())
    pd.testing.assert_frame_equal(rows, again)


def test_labels_learned_are_those_of_the_answers_and_wrong_ones_are_counted(pool, short):
    true_NJ = np.repeat(pool.true_N[:, None], 5, 1)
    clean = pd.DataFrame(Spending(pool, crowd.Crowd(true_NJ, seed=1), "one answer", 1, 10.0).rows())
    assert (clean["wrong"] == 0).all()
    said_NJ = crowd.answers_of(BENCHMARK, np.full(5, 0.4), errors="symmetric", seed=1)
    found = {}
    for way in ("one answer", "majority of 3"):
        found[way] = pd.DataFrame(Spending(pool, crowd.Crowd(said_NJ, seed=1), way, 1, 10.0).rows()).iloc[-1]
    assert 0.25 < found["one answer"]["wrong"] < 0.55
    assert found["majority of 3"]["wrong"] < found["one answer"]["wrong"] - 0.05
    assert found["majority of 3"]["images"] == 20


def test_probabilities_of_what_was_learned_are_those_of_other_folds(pool):
    label_N = np.where(np.arange(140) < 60, pool.true_N, -1)
    found_NC = answers.unlearned(pool, label_N, 1, 10.0)
    fit = Classifier(pool, label_N, 1, 0, 10.0).probs(pool.unit_ND)
    assert np.allclose(found_NC[60:], fit[60:])
    own = [part[np.arange(60), pool.true_N[:60]].mean() for part in (found_NC, fit)]
    assert own[0] < own[1]


def test_features_are_the_learners_and_of_unit_length(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path))
    cell = tiny("probe", "random", 3)
    found, last = features_of(cell), finish(cell, root=tmp_path)[0]
    assert np.allclose(np.linalg.norm(found.unit_ND, axis=1), 1, atol=1e-5)
    assert np.array_equal(found.true_N, BENCHMARK.pool.labels_N) and found.n_classes == 3
    fit = Classifier(found, initial_answers(cell), 3, 0, cell.recipe.probe_c)
    assert fit.accuracy(found) == pytest.approx(last["accuracy"], abs=0.02)  # the learner's own, stopped early


def test_tests_are_drawn_once_each_and_by_the_chances_of_what_is_left():
    value_F = np.arange(10.0)
    tests = answers.drawn(value_F, 10, np.random.default_rng(0))
    assert sorted(tests.place_M) == list(range(10)) and tests.left_M.tolist() == list(range(10, 0, -1))
    left = np.delete(np.arange(10), tests.place_M[0])
    expected = estimate.chances(value_F[left])[list(left).index(tests.place_M[1])]
    assert tests.chance_M[1] == pytest.approx(expected) and tests.chance_M[-1] == pytest.approx(1)
    is_id_F, right_SF = np.arange(10) % 3 > 0, np.stack([np.arange(10) > 4, np.arange(10) > 7])
    assert tests.accuracies(10, is_id_F, right_SF) == pytest.approx(right_SF[:, is_id_F].mean(1))  # all of them: exact


def test_an_estimate_is_nearer_with_more_tests_and_not_biased(pool, monkeypatch):
    monkeypatch.setattr(answers, "REPEATS", 200)
    monkeypatch.setattr(answers, "TESTED", (10, 40))
    answers_N = np.where(np.arange(140) < 40, pool.true_N, -1)
    probs_NC = Classifier(pool, answers_N, 1, 0, 10.0).probs(pool.unit_ND)
    rows = pd.DataFrame(answers.testing(pool, probs_NC, answers_N, 1))
    off = (rows["value"] - rows["true"]).groupby([rows["draw"], rows["tests"]])
    error = off.apply(lambda o: np.sqrt((o**2).mean())).unstack()
    assert (error[40] < 0.6 * error[10]).all()
    assert off.mean().unstack()[40].abs().max() < 0.02


def test_a_classifier_is_chosen_better_with_more_tests(pool, monkeypatch):
    monkeypatch.setattr(answers, "REPEATS", 10)
    answers_N = np.where(np.arange(140) < 40, pool.true_N, -1)
    probs = [Classifier(pool, answers_N, 1, 0, c).probs(pool.unit_ND) for c in (0.01, 1.0, 10.0)]
    wrong = np.roll(probs[2][:, :3], 1, axis=1)
    probs_SNC = np.stack([*probs, np.hstack([wrong, probs[2][:, 3:]])])
    rows = pd.DataFrame(answers.choosing(pool, probs_SNC, answers_N, 1))
    assert set(rows["draw"]) == {"alike", "errors", "differences"} and (rows["chosen"] <= rows["best"]).all()
    assert len(rows) == 3 * 10 * len(answers.TESTED)
    lost = rows.assign(lost=rows["best"] - rows["chosen"]).groupby(["draw", "tests"])["lost"].mean().unstack()
    assert (lost[80] <= lost[5]).all() and (lost[80] < 0.05).all()


def test_tests_are_drawn_by_what_each_way_looks_at():
    probs_SNC = np.array([[[0.9, 0.0, 0.1], [0.4, 0.5, 0.1], [0.1, 0.1, 0.8]],
                          [[0.9, 0.0, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8]]])  # fmt: skip
    found = answers.draws(probs_SNC)
    assert found["alike"].tolist() == [0, 0, 0]
    assert found["errors"] == pytest.approx([0, 0.4, 0.1])
    assert found["differences"] == pytest.approx([0, 0.9, 0])


def test_pseudo_labels_are_the_surest_classes_and_never_junk():
    probs_NC = np.array([[0.9, 0.05, 0.05], [0.3, 0.6, 0.1], [0.0, 0.05, 0.95], [0.8, 0.1, 0.1], [0.75, 0.15, 0.1]])
    answers_N, may_N = np.array([-1, -1, -1, 1, -1]), np.ones(5, bool)

    def labelled(share, may_N=may_N, per_class=False):
        return answers.pseudo_labelled(probs_NC, answers_N, may_N, share, per_class=per_class).tolist()

    assert labelled(0.5) == [0, -1, -1, 1, 0]
    assert labelled(0.5, per_class=True) == [0, -1, -1, 1, -1]  # one of two, none of one
    assert labelled(1.0) == labelled(1.0, per_class=True) == [0, 1, -1, 1, 0]
    assert labelled(1.0, np.arange(5) == 1) == [-1, 1, -1, 1, -1]
    assert labelled(0.0) == answers_N.tolist()


def test_self_labelling_begins_with_the_answers_alone_and_counts_what_is_wrong(pool):
    answers_N = np.where(np.arange(140) < 40, pool.true_N, -1)
    rows = (
        pd.DataFrame(answers.self_labelling(pool, answers_N, 1, 0, 10.0))
        .set_index(["pool", "choice", "share"])
        .sort_index()
    )
    assert len(rows) == 2 * 2 * len(answers.SHARES)
    fit = Classifier(pool, answers_N, 1, 0, 10.0)
    alone = (fit.probs(pool.test_MD)[:, :-1].argmax(1) == pool.test_labels_M).mean()
    none = rows.xs(0.0, level="share")
    assert (none["accuracy"] == alone).all() and (none["pseudo"] == 0).all()
    assert (rows.loc["iD alone", "junk"] == 0).all() and rows.loc[("with junk", "of all", 1.0), "junk"] > 0
    for choice in answers.CHOICES:
        own = rows.loc[("iD alone", choice)]
        assert own["pseudo"].is_monotonic_increasing and own.loc[0.25, "pseudo"] > 5


def billed():
    """Two runs each of three strategies; `late` reaches 90 % with one seed of three."""
    rows = []
    for strategy, seed, accuracies, costs in (
        ("random", 1, (0.8, 0.9), (10, 20)), ("random", 2, (0.8, 0.9), (10, 40)), ("random", 3, (0.8, 0.9), (10, 30)),
        ("quick", 1, (0.9, 0.8), (10, 20)), ("quick", 2, (0.9, 0.95), (10, 20)), ("quick", 3, (0.7, 0.95), (10, 20)),
        ("late", 1, (0.8, 0.8), (10, 20)), ("late", 2, (0.8, 0.9), (10, 20)), ("late", 3, (0.8, 0.8), (10, 20)),
    ):  # fmt: skip
        for stage in (0, 1):
            looks = costs[stage]
            bills = dict(looks=looks, typed=3 * looks, candidate_set=2.0 * looks, yes_no=1.0 * looks)
            counts = dict(n_id=looks - 4, n_ambiguous=3, n_ood=1, accuracy=accuracies[stage])
            rows.append(dict(strategy=strategy, seed=seed, stage=stage, **counts, **bills))
    return pd.DataFrame(rows)


def test_what_was_paid_until_a_target_is_that_of_the_first_stage_that_reached_it():
    paid = answers.paid_until(billed(), 90)
    assert paid["looks"].tolist() == [np.inf, 20, np.inf, 10, 10, 20, 20, 40, 30]
    assert paid.loc[("quick", 1), "ambiguous x 3"] == 6 + 1 + 9
    found = answers.relative_bills(billed(), 90)
    assert found["looks"].tolist() == pytest.approx([1 / 3, 1, np.inf]) and list(found.index) == [
        "quick",
        "random",
        "late",
    ]
    with pytest.raises(ValueError, match="half of random's runs did not reach 99 %: take a lower target"):
        answers.relative_bills(billed(), 99)


def test_tables_are_written_with_how_they_were_made(tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "rows_of", lambda kind, *where: [{"strategy": "random", "accuracy": 1 / 3}])
    path = answers.make("bills", seeds=[1, 2], folder=tmp_path)
    assert path.name == "answers-bills.csv"
    found = answers.read("bills", tmp_path)
    assert found.columns.tolist() == ["benchmark", "profile", "version", "seed", "strategy", "accuracy"]
    assert found["seed"].tolist() == [1, 2] and set(found["benchmark"]) == {"mixdigits"}
    with pytest.raises(ValueError, match="unknown table 'bils' \\(did you mean 'bills'\\?\\)"):
        answers.main(["bils"])


@pytest.mark.parametrize("kind", answers.KINDS)
def test_rows_of_every_table_are_made_from_a_pool(kind, tmp_path, monkeypatch, short):
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path))
    monkeypatch.setattr(answers, "STRATEGIES", ("random", "margin"))
    monkeypatch.setattr(answers, "REPEATS", 2)
    monkeypatch.setattr(crowd, "confusion", lambda benchmark: (1 - np.eye(3)) / 2)  # nobody voted on the tiny pool
    rows = pd.DataFrame(answers.rows_of(kind, "tiny", "smoke", 5))
    assert len(rows) and rows.drop(columns=["covered", "candidates"], errors="ignore").notna().all(axis=None)
    if kind == "self_labelling":
        assert rows["strategy"].drop_duplicates().tolist() == ["first labels", "random", "margin"]


@pytest.fixture(scope="module")
def committed():
    return {kind: answers.read(kind) for kind in answers.KINDS}


def test_committed_tables_say_how_they_were_made_and_hold_every_seed(committed):
    for kind, table in committed.items():
        assert set(table["seed"]) == set(answers.SEEDS), kind
        assert table[["benchmark", "profile", "version"]].drop_duplicates().values.tolist() == [
            ["mixdigits", "laptop", "0.2.0"]
        ]
    assert (committed["bills"].groupby(["strategy", "seed"])["n_id"].max() == 200).all()
    assert set(committed["bills"]["strategy"]) == set(answers.STRATEGIES)
    assert set(committed["crowd"]["way"]) == set(answers.WAYS)


def test_committed_bills_bear_out_what_notebook_9_says(committed):
    found = answers.relative_bills(committed["bills"], 94)
    assert (found.idxmin() == "cautious_coverage").all()
    assert found.loc["margin", "looks"] < 1 < found.loc["margin", "yes_no"]
    assert found.loc["margin", "ambiguous x 12"] > found.loc["margin", "looks"] + 0.2
    assert found.loc["typiclust", "ambiguous x 12"] < found.loc["typiclust", "looks"]
    covered = committed["bills"].groupby("strategy")["covered"].mean()
    assert covered.between(0.87, 0.94).all()


def test_committed_ways_to_spend_answers_rank_as_notebook_9_says(committed):
    last = committed["crowd"].groupby(["share", "errors", "way", "seed"]).tail(1)
    ends = last.groupby(["share", "errors", "way"])["accuracy"].mean().mul(100).unstack()
    assert (ends.idxmin(axis=1) == "majority of 3").all() and (ends.idxmax(axis=1) == "no errors").all()
    few, many = ends.loc[0.2], ends.loc[0.4]
    assert (few.drop(columns="no errors").idxmax(axis=1) == "one answer").all()
    assert ((many["two that agree"] - many["one answer"]).abs() < 3).all()
    assert (many["ActiveLab"] < many[["one answer", "two that agree"]].min(axis=1)).all()


def test_committed_tests_bear_out_what_notebook_9_says(committed):
    one, several = committed["testing"], committed["choosing"]
    off = ((one["value"] - one["true"]) ** 2).groupby([one["draw"], one["tests"]]).mean().unstack()
    assert (off.loc["errors", [20, 40, 80]] < off.loc["alike", [20, 40, 80]]).all()
    lost = (several["best"] - several["chosen"]).groupby([several["draw"], several["tests"]]).mean().unstack()
    assert (lost.loc["differences", [5, 10]] < lost.loc["alike", [5, 10]]).all()
    assert lost[80].max() < 0.01


def test_committed_pseudo_labels_bear_out_what_notebook_9_says(committed):
    table = committed["self_labelling"].set_index(["choice", "pool", "strategy", "share", "seed"])["accuracy"]
    change = (table.xs(1.0, level="share") - table.xs(0.0, level="share")).mul(100).groupby(level=[0, 1, 2]).mean()
    each, every = change["of each class"], change["of all"]
    assert each["iD alone", "first labels"] > 2 * each["with junk", "first labels"] > 0
    assert every["with junk", "first labels"] < every["iD alone", "first labels"] < 0
    assert (each["with junk"].drop("first labels") < 0).all()
