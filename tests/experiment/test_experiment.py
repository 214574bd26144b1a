"""The loop: what is asked and paid for, by hand; the same start for every method; nothing leaks; and that it learns."""

import csv
import dataclasses
import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import TESTS, contents, register, run_folder, tables, tiny, tiny_benchmark
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize as unit
from threadpoolctl import threadpool_info

from alkit import __version__, acquisition, benchmarks, experiment, learners, rng
from alkit.acquisition import registry
from alkit.benchmarks import AMBIGUOUS, ID, OOD, Benchmark, Pool
from alkit.experiment import Cell, loop, methods
from alkit.learners import representation

METHODS = [
    ("supervised", "random"), ("supervised", "least_confidence"), ("supervised", "entropy"), ("supervised", "ddu"),
    ("contrastive", "random_cl"), ("contrastive", "distance_cl"), ("probe", "margin"), ("probe", "distance_cl"),
]  # fmt: skip


def picks(root):
    """The rows of picks.csv of the one run below `root`, numbers as numbers."""
    rows = csv.DictReader(io.StringIO(tables(root)["picks.csv"].decode()))
    return [{name: int(value) if value else None for name, value in row.items()} for row in rows]


def stages(root):
    return list(csv.DictReader(io.StringIO(tables(root)["stages.csv"].decode())))


def asked(root):
    """Pool positions asked, one list per stage."""
    rows = picks(root)
    return [[row["index"] for row in rows if row["stage"] == stage] for stage in range(rows[-1]["stage"] + 1)]


# a pool of twelve and an initial draw, for sums that fit on a page: position -> class, or kind
TWELVE = [0, AMBIGUOUS, 1, OOD, 2, 0, OOD, AMBIGUOUS, 1, 2, OOD, 0]
IS_ID = [True, False, True, False, True, True, False, False, True, True, False, True]
DRAW = [3, 2, 7, 0, 9, 1, 4, 5, 6, 8, 10, 11]


@pytest.fixture
def twelve(monkeypatch):
    """The pool of twelve, its initial draw, and a strategy "upwards" that asks in ascending order."""
    other = tiny_benchmark()
    pool = Pool(
        np.array(other.pool.images_NCHW[:12]),
        np.array([v if known else 3 for v, known in zip(TWELVE, IS_ID, strict=True)]),
        np.array([ID if known else v for v, known in zip(TWELVE, IS_ID, strict=True)], np.uint8), np.array(["x"] * 12),
    )  # fmt: skip
    register(
        Benchmark(
            "tiny",
            pool,
            other.test_images_MCHW,
            other.test_labels_M,
            other.class_names,
            other.votes_NV[:12],
            other.parents_N2[:12],
        )
    )
    monkeypatch.setattr(registry, "STRATEGIES", dict(acquisition.STRATEGIES))

    @acquisition.strategy("upwards", citation="none", needs=())
    def upwards(view):
        yield from view.unasked.tolist()

    class Draw:
        def permutation(self, n):
            return np.array(DRAW[:n])

    stream = rng.numpy_stream
    monkeypatch.setattr(
        rng, "numpy_stream", lambda seed, name, *stage: Draw() if name == "initial" else stream(seed, name, *stage)
    )
    return {"initial_id": 2, "stage_id": 2, "stop_id": 7}


@pytest.mark.parametrize(
    ("learner", "initial", "stop", "orders", "composition"),
    [
        ("supervised", "shared", "quota", [[3, 2, 7, 0], [1, 4, 5], [6, 8, 9], [10, 11]],
         [(2, 1, 1), (4, 2, 1), (6, 2, 2), (7, 2, 3)]),
        ("probe", "paper", "quota", [[3, 2, 7, 0], [1, 4, 5], [6, 8, 9], [10, 11]],
         [(2, 1, 1), (4, 2, 1), (6, 2, 2), (7, 2, 3)]),
        ("contrastive", "paper", "quota", [[3, 2, 7, 0], [1, 4, 5], [6, 8, 9], [10, 11]],
         [(2, 1, 1), (4, 2, 1), (6, 2, 2), (7, 2, 3)]),
        # sees and pays for 2 and 0 alone; 3 and 7 are in the pool, and are bought when their turn comes
        ("supervised", "paper", "quota", [[2, 0], [1, 3, 4, 5], [6, 7, 8, 9], [10, 11]],
         [(2, 0, 0), (4, 1, 1), (6, 2, 2), (7, 2, 3)]),
        # pairs of questions: 6 is asked beside 5, though 5 met the quota; the last stage wants one, so asks one by one
        ("supervised", "shared", "round", [[3, 2, 7, 0], [1, 4, 5, 6], [8, 9], [10, 11]],
         [(2, 1, 1), (4, 2, 2), (6, 2, 2), (7, 2, 3)]),
    ],
)  # fmt: skip
def test_who_is_asked_and_what_it_costs_by_hand(learner, initial, stop, orders, composition, twelve, tmp_path):
    cell = tiny(learner, "upwards", initial=initial, stop=stop, changes=twelve, auxiliary_filter=False)
    records = experiment.finish(cell, root=tmp_path)
    assert asked(tmp_path) == orders
    assert [(r["n_id"], r["n_ambiguous"], r["n_ood"]) for r in records] == composition
    assert [r["cost"] for r in records] == np.cumsum([len(order) for order in orders]).tolist()
    assert [r["cost"] for r in records] == [sum(kinds) for kinds in composition]
    for row in picks(tmp_path):
        assert row["kind"] == (ID if IS_ID[row["index"]] else TWELVE[row["index"]])
        assert row["label"] == (TWELVE[row["index"]] if IS_ID[row["index"]] else None)


def test_rounds_end_at_the_round_even_where_the_quota_is_overshot(twelve, tmp_path, monkeypatch):
    """Rounds of two: (5, 6) meets no quota, (8, 9) overshoots it by one, and the next stage still wants its two."""

    @acquisition.strategy("given", citation="none", needs=())
    def given(view):
        yield from [i for i in (5, 6, 8, 9, 1, 4, 10, 11) if i in view.unasked]

    cell = tiny("supervised", "given", stop="round", changes=twelve)
    records = experiment.finish(cell, root=tmp_path)
    assert asked(tmp_path) == [[3, 2, 7, 0], [5, 6, 8, 9], [1, 4, 10, 11]]
    assert [r["n_id"] for r in records] == [2, 5, 7] and records[-1]["cost"] == 12


def test_run_ends_at_the_wanted_number_when_it_is_no_multiple_of_the_stage(twelve, tmp_path):
    changes = {**twelve, "stage_id": 3, "stop_id": 6}
    records = experiment.finish(tiny("supervised", "upwards", changes=changes, auxiliary_filter=False), root=tmp_path)
    assert [r["n_id"] for r in records] == [2, 5, 6]


@pytest.mark.parametrize(("learner", "strategy"), METHODS)
def test_books_add_up(learner, strategy, tmp_path):
    """Cost is the number of answers, nobody is asked twice, and a stage's composition is that of all picks so far."""
    records = experiment.finish(tiny(learner, strategy), root=tmp_path)
    rows, pool = picks(tmp_path), tiny_benchmark().pool
    indices = [row["index"] for row in rows]
    assert len(set(indices)) == len(indices) == records[-1]["cost"]
    for row in rows:
        assert row["kind"] == pool.category_N[row["index"]]
        assert row["label"] == (int(pool.labels_N[row["index"]]) if row["kind"] == ID else None)
    for record, line in zip(records, stages(tmp_path), strict=True):
        so_far = [row["kind"] for row in rows if row["stage"] <= record["stage"]]
        composition = [so_far.count(kind) for kind in (ID, AMBIGUOUS, OOD)]
        assert composition == [record["n_id"], record["n_ambiguous"], record["n_ood"]]
        assert record["cost"] == len(so_far)
        mine = [row for row in rows if row["stage"] == record["stage"]]
        assert [row["position"] for row in mine] == list(range(len(mine)))
        assert mine[-1]["kind"] == ID  # a stage ends with the iD answer that it waited for
        assert {name: str(record[name]) for name in line} == line
    assert [record["n_id"] for record in records] == [8, 12, 16, 20]


def test_accuracy_is_argmax_over_the_id_columns_alone(tmp_path, monkeypatch):
    """The test set is iD only; the auxiliary class must not win there, however sure the learner is of it."""
    monkeypatch.setattr(learners.Supervised, "predict", lambda self, x: np.tile([0.01, 0.04, 0.02, 0.93], (len(x), 1)))
    labels = tiny_benchmark().test_labels_M
    for record in experiment.finish(tiny("supervised", "random"), root=tmp_path):
        assert record["accuracy"] == (labels == 1).mean()
        assert record["accuracy_k1"] == 0


def test_accuracy_over_all_outputs_counts_images_that_go_to_the_auxiliary_class_as_wrong(tmp_path, monkeypatch):
    labels = tiny_benchmark().test_labels_M
    probs = np.full((len(labels), 4), 0.1)
    probs[np.arange(len(labels)), labels] = 0.4  # right over K
    probs[::3, 3] = 0.5  # of every third image, the auxiliary class is surer
    monkeypatch.setattr(learners.Supervised, "predict", lambda self, x: probs)
    for record in experiment.finish(tiny("supervised", "random"), root=tmp_path):
        assert record["accuracy"] == 1
        assert record["accuracy_k1"] == pytest.approx(1 - len(labels[::3]) / len(labels))
    assert [float(row["accuracy_k1"]) for row in stages(tmp_path)] == [record["accuracy_k1"]] * 4


def test_filter_is_part_of_a_cell_its_run_and_its_text(tmp_path):
    """Two runs, in two folders, that ask differently; the filter's default is no option of a cell."""
    on, off = tiny("probe", "margin"), tiny("probe", "margin", auxiliary_filter=False)
    assert on.options == {} and off.options == {"auxiliary_filter": False}
    assert [methods.method(cell) for cell in (on, off)] == ["probe+margin", "probe+margin+filter=off"]
    for cell in (on, off):
        experiment.finish(cell, root=tmp_path)
        assert Cell("tiny", "smoke", **methods.parse_method(methods.method(cell))) == cell
    assert len(list((tmp_path / "cells" / "tiny-smoke").iterdir())) == 2


def test_loop_asks_for_what_looks_id_first_with_the_filter_and_only_then(tmp_path, monkeypatch):
    looks_id = np.arange(len(tiny_benchmark().pool)) % 2 == 0
    probs = np.where(looks_id[:, None], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]).astype(np.float32)
    show = learners.Probe.show

    def shown(self):
        return dataclasses.replace(show(self), probs_NC=probs)

    monkeypatch.setattr(learners.Probe, "show", shown)
    bought = {}
    for choice in (True, False):
        root = tmp_path / str(choice)
        experiment.finish(tiny("probe", "random", auxiliary_filter=choice), root=root)
        bought[choice] = [looks_id[row["index"]] for row in picks(root) if row["stage"] > 0]
    assert all(bought[True]) and not all(bought[False])


def test_every_strategy_has_a_row_of_its_own_with_the_filter_and_the_papers_come_without_it_too():
    rows = methods.every_strategy("probe")
    assert len(set(rows)) == len(rows)
    off = [row for row in rows if row.endswith("+filter=off")]
    assert off == ["probe+random_cl+filter=off", "probe+distance_cl+filter=off"]
    assert {row.partition("+")[2] for row in rows if "(" not in row and row not in off} == set(acquisition.STRATEGIES)
    paper = [methods.parse_method(row) for row in methods.paper_methods("mixmnist")]
    assert [part.get("auxiliary_filter", True) for part in paper] == [True] * 4 + [False] * 2
    named = methods.strategies_in(["probe+distance_cl(radius=0.1)+filter=off", "probe+random"])
    options = {"radius": 0.1, "auxiliary_filter": False}
    assert named == {"distance_cl, radius=0.1, filter=off": ("distance_cl", options), "random": ("random", {})}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("probe+random+filter=no", "filter of 'probe.random.filter=no' must be one of on, off, got 'no'"),
        ("probe+random+stop=round+stop=round", "'stop' is given more than once"),
        ("probe+random+filters=off", r"has no part 'filters' \(did you mean 'filter'\?\); it has: stop, filter"),
    ],
)
def test_what_stands_behind_a_method_is_checked(text, said):
    with pytest.raises(ValueError, match=said):
        methods.parse_method(text)


def test_initial_set_is_the_same_for_every_method_of_a_seed_and_another_for_another(tmp_path):
    """G2. Under "paper", what differs is what of the draw is labelled, not the draw."""
    cells = [tiny(*method, seed) for method in METHODS for seed in (0, 1)]
    cells += [tiny(*method, seed, initial="paper") for method in METHODS[::3] for seed in (0, 1)]
    cells += [
        tiny("supervised", "entropy", seed, stop="round", changes={"sup_lr": 0.01, "stage_id": 5}) for seed in (0, 1)
    ]
    hashes, sets = {0: set(), 1: set()}, {0: set(), 1: set()}
    for number, cell in enumerate(cells):
        root = tmp_path / str(number)
        hashes[cell.seed].add(next(experiment.run(cell, root=root))["initial_hash"])
        first = asked(root)[0]
        if cell.initial == "shared":
            sets[cell.seed].add(tuple(first))
        else:
            (shared,) = sets[cell.seed]
            pool = tiny_benchmark().pool
            expected = [i for i in shared if pool.category_N[i] == ID] if cell.learner == "supervised" else list(shared)
            assert first == expected
    assert all(len(found) == 1 for found in (*hashes.values(), *sets.values()))
    assert hashes[0] != hashes[1] and sets[0] != sets[1]
    answers = experiment.initial_answers(cells[0])
    assert sorted(*sets[0]) == np.flatnonzero(answers >= 0).tolist()
    assert (answers[answers >= 0] == tiny_benchmark().pool.labels_N[answers >= 0]).all()


@pytest.mark.parametrize("learner", ["supervised", "contrastive", "probe"])
def test_strategies_of_a_seed_share_all_but_their_own_choices(learner, tmp_path):
    """Stage 0 ends with the same weights, to the bit, whatever the strategy; then strategies do choose differently."""
    checkpoints, bought = set(), set()
    for strategy in ("random", "margin", "distance_cl"):
        root = tmp_path / strategy
        records = experiment.run(tiny(learner, strategy), root=root)
        next(records)
        checkpoints.add((run_folder(root) / "learner.0.pt").read_bytes())
        next(records)
        records.close()
        bought.add(tuple(asked(root)[1]))
    assert len(checkpoints) == 1 and len(bought) == 3


def shuffle_hidden(benchmark, hidden):
    """Register the tiny benchmark with the labels, categories and sources of the samples `hidden` shuffled."""
    shuffled, pool = np.random.default_rng(0).permutation(hidden), benchmark.pool
    labels, category, source = (np.array(part) for part in (pool.labels_N, pool.category_N, pool.source_N))
    for part in (labels, category, source):
        part[hidden] = part[shuffled]
    other = Benchmark(
        "tiny", Pool(pool.images_NCHW, labels, category, source), benchmark.test_images_MCHW, benchmark.test_labels_M,
        benchmark.class_names, benchmark.votes_NV, benchmark.parents_N2,
    )  # fmt: skip
    assert other.fingerprint != benchmark.fingerprint
    register(other)


@pytest.mark.parametrize(("learner", "strategy"), METHODS)
def test_hidden_labels_of_unasked_samples_change_nothing_that_is_asked(learner, strategy, tmp_path):
    """G6: with the hidden labels and kinds of all unasked samples shuffled, the order of the questions is the same.

    Only the stage's end may move, because it waits for iD answers; so the shorter list must begin the longer.
    """
    benchmark, cell = tiny_benchmark(), tiny(learner, strategy, changes={"stop_id": 12})
    experiment.finish(cell, root=tmp_path / "true")
    shuffle_hidden(benchmark, np.flatnonzero(experiment.initial_answers(cell) < 0))
    experiment.finish(cell, root=tmp_path / "shuffled")
    true, fuzzed = asked(tmp_path / "true"), asked(tmp_path / "shuffled")
    assert true[0] == fuzzed[0]
    length = min(len(true[1]), len(fuzzed[1]))
    assert length >= 4 and true[1][:length] == fuzzed[1][:length]


STRATEGIES = [name for name, known in acquisition.STRATEGIES.items() if not known.reference]


@pytest.mark.parametrize("name", STRATEGIES)
def test_labels_of_samples_that_are_never_asked_change_nothing_at_all(name, tmp_path):
    """G6 for those, too, that learn of each answer before the next question."""
    cell = tiny("probe", name, changes={"stop_id": 12})
    experiment.finish(cell, root=tmp_path / "true")
    bought = [position for stage in asked(tmp_path / "true") for position in stage]
    benchmark = tiny_benchmark()
    hidden = np.setdiff1d(np.arange(len(benchmark.pool)), bought)
    assert len(hidden) > 20
    shuffle_hidden(benchmark, hidden)
    experiment.finish(cell, root=tmp_path / "shuffled")
    assert asked(tmp_path / "shuffled") == asked(tmp_path / "true")


def test_learner_and_strategy_are_given_copies_of_the_answers(tmp_path, monkeypatch):
    fit = learners.Supervised.fit

    def spoils(self, answers_N, stage):
        history = fit(self, answers_N, stage)
        answers_N[:] = 0
        return history

    monkeypatch.setattr(learners.Supervised, "fit", spoils)
    experiment.finish(tiny("supervised", "entropy"), root=tmp_path / "spoilt")
    monkeypatch.undo()
    register()
    experiment.finish(tiny("supervised", "entropy"), root=tmp_path / "whole")
    assert tables(tmp_path / "spoilt") == tables(tmp_path / "whole")


def test_global_random_state_is_neither_read_nor_moved_by_a_run(tmp_path):
    import random

    for number in (1, 2):
        torch.manual_seed(number), np.random.seed(number), random.seed(number)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
        experiment.finish(tiny("contrastive", "distance_cl"), root=tmp_path / str(number))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]
    assert tables(tmp_path / "1") == tables(tmp_path / "2")


def test_strategies_compute_with_the_recipes_threads(tmp_path, monkeypatch):
    """How many threads share a sum decides its last bits, and so which of two near scores comes first."""
    monkeypatch.setattr(registry, "STRATEGIES", dict(acquisition.STRATEGIES))
    seen = []

    @acquisition.strategy("watching", citation="none", needs=())
    def watching(view):
        seen.extend([torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())])
        yield from view.unasked.tolist()

    torch.set_num_threads(2)
    experiment.finish(tiny("supervised", "watching"), root=tmp_path)
    assert len(seen) > 3 and set(seen) == {1} and torch.get_num_threads() == 2


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(tmp_path):
    """Separate interpreters, with other hash salts and other numbers of threads, agree in picks.csv and stages.csv."""
    code = (
        "import sys, pathlib, torch; from conftest import register, tiny; from alkit import experiment; register(); "
        "torch.set_num_threads(int(sys.argv[2]));"
        "run = lambda name: experiment.finish(tiny(*name.split('+')), root=pathlib.Path(sys.argv[1], name));"
        "[run(name) for name in sys.argv[3:]]"
    )
    methods = ["+".join(method) for method in METHODS]
    children = []
    for number in ("1", "2"):
        env = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": number, "OMP_NUM_THREADS": number}
        children.append(
            subprocess.Popen([sys.executable, "-c", code, str(tmp_path / number), number, *methods], env=env)
        )
    assert [child.wait(120) for child in children] == [0, 0]
    for method in methods:
        assert tables(tmp_path / "1" / method) == tables(tmp_path / "2" / method), method
        experiment.finish(tiny(*method.split("+")), root=tmp_path / "here" / method)
        assert tables(tmp_path / "1" / method) == tables(tmp_path / "here" / method), method


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (Cell("tinny", "smoke", "probe", "random"), "unknown benchmark 'tinny' (did you mean 'tiny'?); known: "),
        (Cell("tiny", "huge", "probe", "random"), "unknown profile 'huge' of tiny; known: smoke, laptop"),
        (
            tiny("prob", "random"),
            "unknown learner 'prob' (did you mean 'probe'?); known: supervised, supervised_sn, ",
        ),
        (tiny("probe", "entropi"), "unknown strategy 'entropi' (did you mean 'entropy'?); known: "),
        (tiny("probe", "random", -1), "seed must be a whole number from 0 up, got -1"),
        (tiny("probe", "random", 1.0), "seed must be a whole number from 0 up, got 1.0"),
        (tiny("probe", "random", "0"), "seed must be a whole number from 0 up, got '0'"),
        (tiny("probe", "random", True), "seed must be a whole number from 0 up, got True"),
        (tiny(initial="papers"), "initial must be one of shared, paper, strategy, got 'papers'"),
        (tiny(stop="never"), "stop must be one of quota, round, got 'never'"),
        (tiny(auxiliary_filter="no"), "auxiliary_filter must be True or False, got 'no'"),
        (tiny(auxiliary_filter=0), "auxiliary_filter must be True or False, got 0"),
        (
            tiny("supervised", learner_options={"features": "projected"}),
            "learner 'supervised' has no option 'features'; it has: augment, auxiliary",
        ),
        (tiny(learner_options={"features": "pixels"}), "features must be one of encoder, projected, got 'pixels'"),
        (tiny(strategy_options={"filter": True}), "strategy 'random' has no option 'filter'"),
        (
            tiny(strategy_options={"auxiliary_filter": False}),
            "strategy 'random' has no option 'auxiliary_filter'; it has: none",
        ),
        (
            tiny("probe", "distance_cl", strategy_options={"exclude": "all"}),
            "exclude of strategy 'distance_cl' must be one of count",
        ),
        (tiny(changes={"epochs": 3}), "a recipe has no 'epochs'"),
        (tiny(changes={"stage_id": 0}), "stage_id must be a positive whole number of iD samples, got 0"),
        (tiny(changes={"initial_id": -8}), "initial_id must be a positive whole number of iD samples, got -8"),
        (tiny(changes={"stop_id": 4}), "stop_id (4) is below initial_id (8): raise it, or start lower"),
        (tiny(changes={"stop_id": 81}), "stop_id (81) is above the pool's 80 iD samples; lower it"),
        (
            tiny("probe", "gradient"),
            "strategy 'gradient' needs head, which learner 'probe' does not show; learners that do: none",
        ),
        (
            tiny("supervised", "distant"),
            "strategy 'distant' needs features, which learner 'supervised' does not show; learners that do: probe",
        ),
    ],
    ids=lambda value: value.split(" (")[0][:40] if isinstance(value, str) else "",
)
def test_cell_that_cannot_run_is_refused_before_anything_is_written(cell, said, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "STRATEGIES", dict(acquisition.STRATEGIES))
    for name, need in (("gradient", "head"), ("distant", "features")):

        @acquisition.strategy(name, citation="none", needs=(need,))
        def unused(view):
            yield from ()

    for name, learner in learners.LEARNERS.items():
        monkeypatch.setattr(learner, "shows", ("features", "probs") if name == "probe" else ("probs",))
    with pytest.raises(ValueError) as error:
        experiment.finish(cell, root=tmp_path / "runs")
    assert said in str(error.value)
    assert not contents(tmp_path)


@pytest.fixture
def own(monkeypatch):
    """Registers a generator function of a view under the name "own", again and again."""
    monkeypatch.setattr(registry, "STRATEGIES", dict(acquisition.STRATEGIES))
    return acquisition.strategy("own", citation="none", needs=())


@pytest.mark.parametrize("stop", ["quota", "round"])
@pytest.mark.parametrize("most", [0, 1])
def test_strategy_that_ends_below_the_quota_is_named_and_finished_stages_stay(own, tmp_path, most, stop):
    """Until 0.1.0 one that yielded nothing went on for ever, and one that yielded too few had stages of as many."""

    calls = []

    def few(view):
        calls.append(len(view.unasked))
        yield from view.unasked[: most if len(calls) > 1 else None]

    own(few)
    cell = tiny("probe", "own", stop=stop, auxiliary_filter=False)
    said = (
        f"strategy 'own' ended at stage 2 after {most} questions, with [0-9] of [0-9] iD answers missing and .* unasked"
    )
    for _ in range(2):
        with pytest.raises(acquisition.StrategyError, match=said):
            experiment.finish(cell, root=tmp_path)
        assert [row["stage"] for row in stages(tmp_path)] == ["0", "1"]


def test_strategy_that_asks_all_there_is_may_end_below_the_quota(own, tmp_path):
    def all_there_is(view):
        yield from view.unasked

    own(all_there_is)
    changes = {"stop_id": 80, "stage_id": 40}
    records = experiment.finish(tiny("probe", "own", changes=changes), root=tmp_path)
    assert records[-1]["n_id"] == 80


def test_changed_function_of_a_strategy_does_not_read_the_results_of_the_old_one(own, tmp_path):
    def first(view):
        yield from view.unasked

    def second(view):
        yield from view.unasked[::-1]

    bought, folders = [], []
    for function in (first, second, first):
        registry.STRATEGIES.pop("own", None)
        own(function)
        root = tmp_path / "runs"
        experiment.finish(tiny("probe", "own"), root=root)
        folders.append(set((root / "cells" / "tiny-smoke").iterdir()))
        newest = (folders[-1] - folders[-2] if len(folders) > 1 else folders[-1]) or folders[0]
        bought.append((next(iter(newest)) / "picks.csv").read_bytes())
    assert len(folders[0]) == 1 and len(folders[1]) == len(folders[2]) == 2
    assert bought[0] != bought[1]


def test_strategy_whose_source_cannot_be_read_is_refused(own, tmp_path):
    space = {}
    exec("def typed(view):\n    yield from view.unasked", space)
    own(space["typed"])
    with pytest.raises(
        ValueError, match="source of strategy 'own' cannot be read, .*; define it in a file or a notebook"
    ):
        experiment.finish(tiny("probe", "own"), root=tmp_path / "runs")
    assert not contents(tmp_path)


def test_run_of_another_version_is_left_alone_and_never_read(tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(loop, "__version__", "0.1.0")
        experiment.finish(tiny("probe", "margin"), root=tmp_path)
    old = contents(tmp_path / "cells")
    assert not experiment.finished(tiny("probe", "margin"), root=tmp_path)
    records = experiment.finish(tiny("probe", "margin"), root=tmp_path)
    assert {record["version"] for record in records} == {__version__} != {"0.1.0"}
    now = contents(tmp_path / "cells")
    assert len(now) == 2 * len(old) and {name: now[name] for name in old} == old


def test_diverged_learner_is_named_and_its_finished_stages_stay(tmp_path, monkeypatch):
    def nothing(self):
        shown = show(self)
        return learners.Shown(shown.features_ND * np.nan, shown.probs_NC, shown.head)

    show = learners.Probe.show
    monkeypatch.setattr(learners.Probe, "show", nothing)
    with pytest.raises(ValueError, match="features_ND holds values that are not finite: did the learner diverge"):
        experiment.finish(tiny(), root=tmp_path)
    assert len(asked(tmp_path)) == 1
    monkeypatch.setattr(learners.Probe, "show", show)
    assert len(experiment.finish(tiny(), root=tmp_path)) == 4


# MixDigits itself, with schedules short enough for a test and long enough to learn from; seed 0 runs here, and the
# docstrings say what seeds 0 to 2 gave

BRIEF = {
    "con_first_epochs": 20,
    "con_warmup": 2,
    "con_epochs": 2,
    "tune_epochs": 10,
    "sup_epochs": 15,
    "stage_id": 50,
    "stop_id": 200,
}


@pytest.fixture(scope="module")
def brief_runs(tmp_path_factory):
    """A folder for the runs below: they share the stage-0 representation."""
    return tmp_path_factory.mktemp("mixdigits")


@pytest.mark.parametrize("strategy", ["random", "least_confidence", "entropy", "ddu", "margin"])
def test_supervised_learns_from_what_each_strategy_buys(strategy, brief_runs):
    """Accuracy from 100 to 200 iD samples. Measured: 0.870-0.886 to 0.946-0.980, gains of 0.066 to 0.110."""
    records = experiment.finish(Cell("mixdigits", "smoke", "supervised", strategy, changes=BRIEF), root=brief_runs)
    assert records[-1]["accuracy"] >= 0.93 and records[-1]["accuracy"] >= records[0]["accuracy"] + 0.04


@pytest.mark.parametrize("strategy", ["distance_cl", "random_cl"])
def test_contrastive_learns_from_what_each_strategy_buys(strategy, brief_runs):
    """Accuracy from 100 to 200 iD samples, two seeds: a gain is as small as 0.006 in one of four, by luck.

    Measured, seeds 0 to 3: 0.846-0.908 to 0.912-0.962, gains of 0.006 to 0.116; these two: 0.040 and 0.072 on average.
    """
    cells = [Cell("mixdigits", "smoke", "contrastive", strategy, seed=seed, changes=BRIEF) for seed in (0, 3)]
    runs = [[row["accuracy"] for row in experiment.finish(cell, root=brief_runs)] for cell in cells]
    first, last = np.mean([[run[0], run[-1]] for run in runs], axis=0)
    assert last >= 0.90 and last >= first + 0.015


def purity(features_ND, same_as_N, k=10):
    """Share of the k nearest neighbours (cosine) that have the sample's own value of `same_as_N`."""
    rows = unit(features_ND.astype(np.float64))
    near = NearestNeighbors(n_neighbors=k + 1).fit(rows).kneighbors(rows, return_distance=False)[:, 1:]
    return float((same_as_N[near] == same_as_N[:, None]).mean())


def probe_accuracy(features_ND, answers_N, labels_N):
    """Of a logistic regression on the initial answers, over the other iD images and the iD classes."""
    rows, known = unit(features_ND.astype(np.float64)), answers_N >= 0
    model = LogisticRegression(C=10, max_iter=1000).fit(rows[known], answers_N[known])
    probs = model.predict_proba(rows)[:, :-1]
    others = ~known & (labels_N < 10)
    return float((model.classes_[probs.argmax(1)] == labels_N)[others].mean())


def test_stage_0_representation_tells_id_from_non_id_and_classes_apart_without_a_label(brief_runs):
    """Measured, seeds 0 to 2, after 20 epochs, against an untrained encoder and raw pixels:

    share of the 10 nearest neighbours with the same iD or non-iD status (0.556 by chance): 0.789-0.791, untrained
    0.750-0.759, pixels 0.785; accuracy of a regression on the initial answers: 0.888-0.910, untrained 0.734-0.818,
    pixels 0.849-0.896. So training earns much over its start, and little over pixels on images as small as these.
    """
    cell, pool = (
        Cell("mixdigits", "smoke", "contrastive", "random_cl", changes=BRIEF),
        benchmarks.load("mixdigits").pool,
    )
    setting, answers_N, is_id_N = (
        experiment.setting_of(cell, root=brief_runs),
        experiment.initial_answers(cell),
        pool.category_N == ID,
    )
    untrained = representation.Representation(setting).features("encoder")
    trained = representation.first_representation(setting)[0].features("encoder")
    by_chance = is_id_N.mean() ** 2 + (1 - is_id_N.mean()) ** 2
    assert purity(trained, is_id_N) >= max(by_chance + 0.2, 0.775, purity(untrained, is_id_N) + 0.02)
    before, after = (probe_accuracy(features, answers_N, pool.labels_N) for features in (untrained, trained))
    assert after >= max(0.86, before + 0.05)
