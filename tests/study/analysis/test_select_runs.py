"""Which runs are put side by side: methods whole from one table, seeds that all have, learners crossed completely."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import tiny
from test_metrics import rows

from alkit import __version__, experiment, paths, store
from alkit.study.analysis import claims, cost_tables, paired_differences, recommend, select_runs, variance
from alkit.study.tables import COLUMNS, all_labels, write_results

LEARNERS = ("supervised", "probe")


def runs(strategy, learner, seeds, gain=0.0, *, cost=30, table=None, options="{}", **other):
    """Runs whose accuracy is a seed's luck, plus `gain` after the initial set, plus a little noise of their own."""
    dice = np.random.default_rng([len(strategy), len(learner), 7])
    parts = [
        rows(strategy, [15 + seed % 3, cost + seed % 3, 2 * cost + seed % 4], luck + np.array([0, 1, 1]) * (gain + own),
             learner=learner, seed=seed, options=options, **other)
        for seed in seeds
        for luck, own in [(0.5 + 0.03 * np.sin(7 * seed) + np.array([0, 0.1, 0.2]), dice.normal(0, 0.004))]
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def tables(n=16):
    """A sweep of two learners, and a smaller table with some of its runs again and a third learner."""
    gains = {"random": 0, "margin": 0.06, "entropy": 0.05, "lfosa": -0.04, "oracle_random": 0.1}
    sweep = [runs(name, learner, range(n), gain + 0.02 * (learner == "probe"), cost=40 if gain > 0 else 30)
             for name, gain in gains.items() for learner in LEARNERS]  # fmt: skip
    again = [runs("random", "supervised", range(3), 0.3), runs("random_cl", "contrastive", range(3), 0.02),
             runs("distance_cl", "contrastive", range(3), 0.01)]  # fmt: skip
    return {"small": pd.concat(again), "sweep": pd.concat(sweep)}


@pytest.fixture(scope="module")
def found():
    return select_runs.union(tables())


def test_every_method_is_taken_whole_from_the_table_with_most_seeds(found):
    assert set(found.loc[found["learner"] == "supervised", "table"]) == {"sweep"}
    assert set(found.loc[found["learner"] == "contrastive", "table"]) == {"small"}
    assert found.groupby(["method", "seed", "stage"]).size().max() == 1
    assert set(found["strategy_name"]) >= {"random", "margin", "random_cl"}


def test_runs_that_answer_another_question_are_left_out(found):
    other = [
        runs("margin", "probe", range(40), initial="paper"),
        runs("margin", "probe", range(40), options=json.dumps({"changes": {"share": 0.1}}), fingerprint="small"),
        runs("margin", "probe", range(40), options=json.dumps({"stop": "round"})),
    ]
    pd.testing.assert_frame_equal(select_runs.union({**tables(), "other": pd.concat(other)}), found)
    for nothing in ({}, {"other": pd.concat(other)}):
        with pytest.raises(ValueError, match="no run under the default protocol"):
            select_runs.union(nothing)


def test_options_tell_strategies_and_learners_apart():
    table = pd.concat([
        runs("distance_cl", "probe", [0], options=json.dumps({"strategy": {"radius": 0.1}})),
        runs("distance_cl", "contrastive", [0], options=json.dumps({"learner": {"features": "projected"}})),
    ])  # fmt: skip
    names = select_runs.union({"t": table}).drop_duplicates("method")
    assert list(names["strategy_name"]) == ["distance_cl, radius=0.1", "distance_cl"]
    assert list(names["learner_name"]) == ["probe", "contrastive(features=projected)"]


def test_balanced_is_the_largest_set_with_equal_seeds_and_keeps_the_baseline():
    seeds = {"random": range(5), "margin": range(20), "bald": range(20), "badge": range(3, 9), "ldm": [19]}
    table = pd.concat([runs(name, "probe", own) for name, own in seeds.items()])
    df = select_runs.union({"t": table})
    free, kept = select_runs.balanced(df, "strategy_name"), select_runs.of_learner(df, "probe")
    assert set(free["strategy"]) == {"margin", "bald"} and free["seed"].nunique() == 20
    assert set(kept["strategy"]) == {"random", "margin", "bald"} and set(kept["seed"]) == set(range(5))
    cost_tables.check_comparable(kept)
    with pytest.raises(ValueError, match="no runs of 'random'"):
        select_runs.of_learner(df[df["strategy"] != "random"], "probe")
    with pytest.raises(ValueError, match="no run of the learner supervised; there are: probe"):
        select_runs.of_learner(df, "supervised")


def test_balanced_prefers_a_set_in_which_a_difference_can_be_found_to_a_larger_one():
    many, few = [f"strategy {i}" for i in range(30)], ["random", "margin", "badge"]
    table = pd.concat(
        [runs(name, "probe", range(5)) for name in many] + [runs(name, "probe", range(8)) for name in few]
    )
    kept = select_runs.of_learner(select_runs.union({"t": table}), "probe")
    assert set(kept["strategy"]) == set(few) and kept["seed"].nunique() == 8
    assert paired_differences.smallest_p(8, 2) < 0.05 < paired_differences.smallest_p(5, 32)


def test_papers_rows_are_all_its_methods_even_where_some_have_few_seeds(found):
    paper = select_runs.paper_rows(found)
    assert set(paper["method"]) == {"Random", "Entropy", "Random(CL)", "Distance(CL)"} and set(paper["seed"]) == {
        0,
        1,
        2,
    }
    cost_tables.check_comparable(paper)
    assert select_runs.paper_rows(found[found["learner"] == "probe"]).empty


def test_crossings_are_complete_and_none_is_part_of_another():
    every = select_runs.union({**tables(), "three": pd.concat(
        [runs(name, "contrastive", range(4), gain) for name, gain in (("random", 0), ("margin", 0.05))])})  # fmt: skip
    wide, deep = variance.crossings(every)
    assert (wide["learner_name"].nunique(), wide["strategy_name"].nunique(), wide["seed"].nunique()) == (2, 5, 16)
    assert (deep["learner_name"].nunique(), deep["strategy_name"].nunique(), deep["seed"].nunique()) == (3, 2, 4)
    for crossing in (wide, deep):
        sizes = crossing.groupby(["learner_name", "strategy_name"])["seed"].nunique()
        assert len(sizes.unique()) == 1 and len(sizes) == sizes.index.levshape[0] * sizes.index.levshape[1]
    assert variance.crossings(every[every["learner_name"] == "probe"]) == []
    assert select_runs.fullest(every) == "probe"  # as many as supervised, and before it


def test_a_learner_with_options_and_a_strategy_without_the_filter_are_others_of_their_kind():
    everything = json.dumps({"learner": {"auxiliary": "all"}})
    off = json.dumps({"auxiliary_filter": False})
    parts = [
        runs(name, "probe", range(8), gain, options=options)
        for name, gain in (("random", 0), ("margin", 0.05))
        for options in ("{}", everything, off)
    ]
    df = select_runs.union({"t": pd.concat(parts)})
    assert set(select_runs.of_learner(df, "probe")["strategy_name"]) == {
        "random", "margin", "random, filter=off", "margin, filter=off",
    }  # fmt: skip
    gated = select_runs.of_learner(df, "probe(auxiliary=all)")
    assert set(gated["method"]) == {"random, probe(auxiliary=all)", "margin, probe(auxiliary=all)"}
    (crossing,) = variance.crossings(df)
    assert set(crossing["learner_name"]) == {"probe", "probe(auxiliary=all)"}
    share = variance.shares(paired_differences.per_run(crossing), "accuracy")["share"]
    assert share["strategy"] > 0.1 and share["learner"] < 1e-9  # the same numbers on both
    assert cost_tables.learners_note(crossing).startswith("Methods of different learners (probe, probe(auxiliary=all))")


def test_papers_rows_are_those_without_the_filter_where_the_paper_has_none():
    off = json.dumps({"auxiliary_filter": False})
    parts = [runs("random", "supervised", range(3)), runs("distance_cl", "contrastive", range(3))]
    df = select_runs.union({"t": pd.concat([*parts, runs("distance_cl", "contrastive", range(3), options=off)])})
    assert set(select_runs.paper_rows(df)["method"]) == {"Random", "Distance(CL), filter=off"}


RESULTS = sorted((paths.ROOT / "figures" / "results").glob("mix*.csv"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_development_seeds_are_in_no_committed_table_that_counts(path):
    table = pd.read_csv(path)
    assert select_runs.development_runs(table).empty


def test_development_seeds_are_known_by_pool_and_seed():
    assert not any(set(range(20, 31)) & seeds for seeds in select_runs.DEVELOPMENT_SEEDS.values())
    table = runs("margin", "probe", [3, 20, 100], benchmark="mixdigits-id10", version="0.2.0")
    assert set(select_runs.development_runs(table)["seed"]) == {3, 100}
    assert set(select_runs.development_runs(table.assign(benchmark="mixmnist"))["seed"]) == {100}
    assert select_runs.development_runs(table.assign(benchmark="mixcifar60")).empty
    note = select_runs.development_note("mixdigits-id10")
    assert note == "Options were chosen on seeds 0 to 4, 100 to 109: same pool and test images, other first labels."
    assert select_runs.development_note("mixcifar60") == ""


def test_inventory_counts_what_the_committed_sweep_asks_for_and_what_is_missing(found):
    found = found.assign(profile="laptop")
    table = select_runs.inventory(found, "mixdigits")
    assert table.loc["probe", ["strategies", "seeds", "runs", "development"]].tolist() == [5, "16", 80, 25]
    assert table.loc["contrastive", ["runs", "wanted", "missing", "tables"]].tolist() == [6, 18, 18, "small"]
    empty = select_runs.inventory(found[found["learner"] != "probe"], "mixdigits").loc["probe"]
    assert empty["runs"] == 0 and empty["missing"] == empty["wanted"] > 400 and empty["seeds"] == "-"
    assert select_runs.inventory(found, "mixcifar60")["wanted"].sum() == 0
    assert select_runs.inventory(found.assign(profile="paper"), "mixdigits")["wanted"].sum() == 0


def test_tables_are_the_committed_ones_and_with_own_the_runs_and_finished_cells(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path))
    committed = select_runs.tables("mixdigits", "laptop")
    assert "mixdigits-laptop" in committed and not [name for name in committed if name.startswith("runs/")]
    table = committed["mixdigits-laptop"]
    write_results(table.to_dict("records"), tmp_path / "figures", "mine")
    assert select_runs.tables("mixdigits", "laptop", own=True)["runs/mixdigits-laptop-mine"].equals(table)
    assert select_runs.tables("mixdigits", "paper", own=True) == {}


def test_committed_tables_are_read_without_development_seeds_and_ones_own_with_all(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path / "runs"))
    table = runs("margin", "probe", [3, 20, 100], benchmark="mixdigits", profile="laptop", version="0.2.0")
    table["accuracy_k1"] = table["accuracy"]
    for folder in (tmp_path, tmp_path / "runs"):
        write_results(table.to_dict("records"), folder / "figures", "sweep")
    committed, own = select_runs.tables("mixdigits", "laptop", own=True).values()
    assert set(committed["seed"]) == {20} and set(own["seed"]) == {3, 20, 100}


def test_committed_tables_are_of_one_version():
    """A learner of another version is another learner, whatever its name."""
    labels = [path.stem for path in RESULTS if path.stem in all_labels(paths.ROOT / "figures")]
    assert len(labels) > 20
    assert {v for stem in labels for v in pd.read_csv(RESULTS[0].with_name(f"{stem}.csv"))["version"]} == {__version__}


def test_finished_cells_are_read_as_the_loop_wrote_them_and_others_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path))
    records = experiment.finish(tiny("probe", "margin", seed=3))
    begun = experiment.run(tiny("probe", "random", seed=3))
    next(begun)
    begun.close()
    found = select_runs.tables("tiny", "smoke", own=True)["finished cells"]
    assert set(found["strategy"]) == {"margin"} and list(found.columns) == list(COLUMNS)
    assert found["accuracy"].tolist() == [record["accuracy"] for record in records]
    (config,) = tmp_path.glob("cells/tiny-smoke/*margin*/config.json")
    old = shutil.copytree(config.parent, config.parent.with_name("of-another-version")) / "config.json"
    known = json.loads(old.read_text())
    known["config"]["alkit"] = "0.1.0"
    del known["config"]["auxiliary_filter"]  # which cells of that version did not have
    old.write_text(json.dumps(known))
    assert select_runs.tables("tiny", "smoke", own=True)["finished cells"].equals(found)
    config.write_text("{")
    with pytest.raises(store.StoreError, match="delete .*margin.* to run it again"):
        select_runs.tables("tiny", "smoke", own=True)


def crossed(effect):
    """`per_run`-like numbers of 2 learners x 3 strategies x 4 seeds; `effect`: (learner, strategy, seed) -> number."""
    return pd.DataFrame([
        {"family": "paper", "learner_name": f"l{i}", "strategy_name": f"s{j}", "seed": k, "area": effect(i, j, k)}
        for i in range(2) for j in range(3) for k in range(4)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("effect", "part"),
    [
        (lambda i, j, k: 5 * i, "learner"), (lambda i, j, k: j**2, "strategy"), (lambda i, j, k: k**3, "seed"),
        (lambda i, j, k: (2 * i - 1) * (j - 1), "learner x strategy"),
        (lambda i, j, k: (2 * i - 1) * (j - 1) * (2 * (k % 2) - 1), "rest"),
    ],
)  # fmt: skip
def test_a_spread_of_one_origin_is_that_parts_alone(effect, part):
    share = variance.shares(crossed(effect))["share"]
    assert share[part] == pytest.approx(1) and share.drop(part).abs().max() < 1e-12


def test_shares_are_those_of_least_squares_and_add_up():
    """Sums of squares from regressions on dummies, each part on top of those before it."""
    dice = np.random.default_rng(2)
    table = crossed(lambda i, j, k: 3 * i + j + 0.5 * i * j + k + dice.normal())
    found = variance.shares(table)
    y, columns, left = table["area"].to_numpy(), np.ones((24, 1)), []
    for axes in (["learner_name"], ["strategy_name"], ["learner_name", "strategy_name"], ["seed"]):
        columns = np.hstack([columns, pd.get_dummies(table[axes].astype(str).agg("-".join, axis=1)).to_numpy(float)])
        left.append(((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2).sum())
    total = ((y - y.mean()) ** 2).sum()
    assert found["share"].to_numpy() == pytest.approx(-np.diff([total, *left, 0]) / total)
    assert found["share"].sum() == pytest.approx(1)


def test_noise_alone_has_about_the_share_that_chance_says():
    dice = np.random.default_rng(4)
    several = [variance.shares(crossed(lambda *_: dice.normal())) for _ in range(300)]
    means = sum(several) / len(several)
    assert means["share"][:4].to_numpy() == pytest.approx(np.array([1, 2, 2, 3]) / 23, abs=0.015)
    assert means["chance"][:4].to_numpy() == pytest.approx(np.array([1, 2, 2, 3]) / 23, abs=0.02)


def test_an_incomplete_design_and_an_unknown_number_are_refused():
    table = crossed(lambda i, j, k: i + j)
    for broken in (table[1:], table[table["learner_name"] == "l0"], pd.concat([table[1:], table[1:2]])):
        with pytest.raises(ValueError, match="must be complete"):
            variance.shares(broken)
    with pytest.raises(ValueError, match="number must be one of"):
        variance.shares(table, "beauty")


def test_places_are_compared_by_differences_within_each_and_never_by_accuracies(found):
    one = paired_differences.strategy_differences(select_runs.of_learner(found, "probe"))
    elsewhere = select_runs.union({"m": tables()["sweep"].assign(benchmark="MixMNIST", fingerprint="m")})
    lower = elsewhere.assign(accuracy=elsewhere["accuracy"] - 0.3)
    other = paired_differences.strategy_differences(select_runs.of_learner(lower, "probe"))
    joint = variance.agreement(one, other)
    np.testing.assert_allclose(joint["mean_one"], joint["mean_other"], atol=1e-9)
    assert "oracle_random" not in joint.index and set(joint.index) == {"entropy", "margin", "lfosa"}
    said, sure = variance.verdict(joint), int((joint["p_holm_one"] < 0.05).sum())
    assert (said["strategies"], said["rank_correlation"], said["same_sign"], said["opposite"]) == (3, 1.0, 3, 0)
    assert sure > 1 and (said["both"], said["one_only"]) == (sure, 0)
    turned = joint.assign(mean_other=-joint["mean_other"])
    assert [variance.verdict(turned)[key] for key in ("rank_correlation", "same_sign", "opposite")] == [-1.0, 0, sure]
    unsure = variance.verdict(joint.assign(p_holm_one=1.0))
    assert (unsure["both"], unsure["one_only"]) == (0, sure)
    with pytest.raises(ValueError, match="benchmarks cannot be compared"):
        paired_differences.strategy_differences(pd.concat([found, elsewhere])[lambda df: df["learner"] == "probe"])


def test_places_that_cannot_be_compared_say_why(found):
    probe = paired_differences.strategy_differences(select_runs.of_learner(found, "probe"))
    single = paired_differences.strategy_differences(select_runs.of_learner(found[found["seed"] == 0], "probe"))
    with pytest.raises(ValueError, match="several seeds; got 1"):
        variance.agreement(probe, single)
    with pytest.raises(ValueError, match="share no strategy"):
        variance.agreement(probe, probe.set_axis(["a", "b", "c"], axis=0))
    with pytest.raises(ValueError, match="differences are of one learner"):
        paired_differences.strategy_differences(variance.crossings(found)[0])


def test_odd_initial_sets_are_refused_and_named_wherever_runs_meet(found):
    odd = found.assign(initial_hash=found["initial_hash"].where(found["method"] != "margin, probe", "odd"))
    for use in (variance.blocks, lambda df: paired_differences.per_run(select_runs.of_learner(df, "probe"))):
        with pytest.raises(ValueError, match=r"initial sets of seed 0 .*'odd': margin, probe"):
            use(odd)


def test_blocks_leave_out_learners_without_the_baseline(found):
    kinds = [set(block["learner_name"]) for block in variance.blocks(found)]
    assert kinds == [{"supervised"}, {"probe"}, {"supervised", "probe"}]


def test_answers_name_the_best_and_what_is_level_with_it(found):
    block = paired_differences.per_run(select_runs.of_learner(found, "probe"))
    table = recommend.answers(block, "random, probe")
    assert list(table.index) == list(recommend.WANTED)
    assert table.loc["accuracy", "method"] == "margin, probe" and table.loc["accuracy", "level"] == []
    means = block.groupby("method")["accuracy"].mean()
    assert table.loc["accuracy", "difference"] == pytest.approx(means["margin, probe"] - means["random, probe"])
    assert table.loc["cost", "method"] in ("random, probe", "lfosa, probe")
    text = recommend.answers_text(table, "random, probe")
    assert "| highest accuracy at the end, whatever it costs | **Margin** |" in text
    alike = recommend.answers(block.assign(area=1.0), "random, probe").loc["area"]
    assert alike["difference"] == 0 and len(alike["level"]) == 3
    assert "and 2 more" in recommend.answers_text(
        recommend.answers(block.assign(area=1.0), "random, probe"), "random, probe", most=1
    )


def test_text_is_filled_from_the_numbers_and_contradicted_by_them(found):
    blocks = variance.blocks(found)
    good = (
        "{accuracy of margin, probe}; {margin, probe beats random, probe in accuracy}; {cost of oracle_random, probe}"
    )
    block = blocks[1].groupby("method")["accuracy"].mean()
    assert (
        claims.filled(good, blocks).startswith(f"{block['margin, probe']:.1f} %; +")
        and claims.contradictions(good, blocks) == []
    )
    assert "p < 0.05" not in claims.filled(good, blocks) and " to +" in claims.filled(good, blocks)
    wrong = ["random, probe beats margin, probe in accuracy", "margin, probe is level with random, probe in accuracy",
             "accuracy of badge, probe", "oracle_random, probe beats random, probe in cost"]  # fmt: skip
    text = " ".join(f"{{{slot}}}" for slot in wrong)
    assert claims.contradictions(text, blocks) == wrong
    assert claims.filled(text, blocks).count("do not bear this out") == 2
    assert "`badge, probe` is not in these tables" in claims.filled(text, blocks)
    crossing = "{margin, probe beats Random in accuracy}"  # of two learners: found in the crossing
    assert claims.contradictions(crossing, blocks) == [] and claims.contradictions(crossing, blocks[:2]) != []
    for nonsense in ("{margin}", "{beauty of margin, probe}", "{margin, probe beats random, probe in beauty}"):
        with pytest.raises(ValueError, match="slot"):
            claims.filled(nonsense, blocks)


def test_cheaper_is_better_where_less_is(found):
    cheap = found.assign(cost=found["cost"] - 5 * (found["stage"] > 0) * (found["strategy"] == "lfosa"),
                         n_ood=found["n_ood"] - 5 * (found["stage"] > 0) * (found["strategy"] == "lfosa"))  # fmt: skip
    blocks = variance.blocks(cheap)
    assert claims.contradictions("{lfosa, probe beats random, probe in cost}", blocks) == []
    assert claims.contradictions("{random, probe beats lfosa, probe in cost}", blocks) != []


def test_scores_are_the_means_and_what_the_tests_say(found):
    block = select_runs.of_learner(found, "probe")
    table = recommend.scores(block, "random, probe", 72.0)
    means = paired_differences.per_run(block).groupby("method")["purity"].mean()
    np.testing.assert_allclose(table["purity"], means[table.index])
    p = paired_differences.differences(paired_differences.per_run(block), "random, probe", "accuracy")
    assert table.loc["margin, probe", "better_accuracy"] == 1 and p.loc["margin, probe", "p_holm"] < 0.05
    assert table.loc["lfosa, probe", "better_accuracy"] == -1 and table.loc["margin, probe", "better_cost"] == -1
    assert table.loc[["random, probe", "oracle_random, probe"], "better_accuracy"].tolist() == [0, 0]
    costs = paired_differences.median_cost_to_target(block, 72.0)
    assert table["to_target"].to_dict() == costs["median"].to_dict() and np.isinf(
        table.loc["lfosa, probe", "to_target"]
    )
    assert table["family"].iloc[-1] == "reference"
