"""The committed sweeps can be planned as they stand, and ask for what the comparison of notebook 6 compares."""

import json
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
import torch

from alkit import acquisition, benchmarks, experiment, learners, paths
from alkit.benchmarks import harder_mixdigits
from alkit.experiment.methods import VARIANTS
from alkit.study.analysis import our_strategy
from alkit.study.batch import grid, plan

CIFAR = "mixcifar60-house_numbers-scenes"
FOLDER = paths.NOTEBOOKS / "sweeps"
VARIED = [f"{name}-{variant}" for name in ("mixdigits", CIFAR) for variant in benchmarks.variants.VARIANTS]


TABLES = {  # sweeps, and the committed tables that hold some of their cells
    "mixdigits": tuple(
        f"mixdigits-laptop-{name}" for name in ("strategies", "gates", "supervised", "contrastive", "pretrained")
    ),
    "mixmnist": (
        "mixmnist-paper-supervised",
        *(f"mixmnist-laptop-{name}" for name in ("strategies", "gates", "others", "others_gates", "protocols")),
    ),
    CIFAR: (f"{CIFAR}-paper-pretrained", f"{CIFAR}-paper-strategies", f"{CIFAR}-laptop-gates"),
    "thousands": (f"{CIFAR}-paper-beyond",),
    "variants": tuple(f"{name}-laptop-variants" for name in VARIED),
}


def cells(name):
    return grid.cells(grid.read(FOLDER / f"{name}.yaml"))


def test_every_committed_sweep_is_known_here():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {"robustness", "beyond", *TABLES}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_this_version_hold_cells_of_their_sweep_that_can_run_and_no_development_seed(name):
    wanted = set()
    for cell in cells(name):
        options = json.dumps(cell.options, sort_keys=True)
        learners.get(cell.learner, cell.learner_options)
        acquisition.check_options(cell.strategy, cell.strategy_options)
        assert 20 <= cell.seed <= 30
        wanted.add((cell.benchmark, cell.profile, cell.learner, cell.strategy, cell.seed, options))
    for table in TABLES[name]:
        rows = pd.read_csv(paths.ROOT / "figures" / "results" / f"{table}.csv")
        columns = rows[["benchmark", "profile", "learner", "strategy", "seed", "options"]]
        assert set(rows["version"]) == {"0.2.0"} and set(columns.itertuples(index=False, name=None)) <= wanted


def test_sweep_of_mixmnist_runs_every_strategy_with_both_gates_and_twelve_by_eleven_seeds():
    found = [cell for cell in cells("mixmnist") if cell.profile == "laptop"]
    seeds = Counter(
        (c.learner, c.learner_options.get("auxiliary"), c.strategy) for c in found if not c.strategy_options
    )
    plain = {strategy: n for (learner, gate, strategy), n in seeds.items() if (learner, gate) == ("probe", None)}
    assert set(plain) == set(acquisition.STRATEGIES) and list(plain.values()).count(11) == 11
    assert plain["distance_cl"] == 5 + 5 + 6  # with and without the filter
    assert {cell.initial for cell in found if cell.learner == "supervised" and not cell.learner_options} == {
        "shared",
        "paper",
    }
    assert sum(cell.learner == "semi_supervised" for cell in found) == 12 * 11


def test_sweep_of_mixdigits_runs_every_strategy_with_both_gates_and_some_on_the_learners_that_train():
    runs = {}
    for cell in cells("mixdigits"):
        method = cell.strategy, str(cell.strategy_options), cell.auxiliary_filter
        runs.setdefault((cell.learner, cell.learner_options.get("auxiliary")), Counter())[method] += 1
    plain, gated = runs["probe", None], runs["probe", "all"]
    assert {strategy for strategy, *_ in gated} == set(acquisition.STRATEGIES) and set(gated) < set(plain)
    assert len(plain) == len(acquisition.STRATEGIES) + len(VARIANTS) + 2 and {*plain.values(), *gated.values()} == {11}
    assert set(runs["supervised", None].values()) == {5} and len(runs["supervised", None]) == 14
    assert set(runs["contrastive", None].values()) == {3} and len(runs["contrastive", None]) == 6
    assert set(runs["pretrained", None].values()) == {11} and len(runs["pretrained", None]) == 6


def test_the_sweep_of_our_own_strategy_leaves_out_every_ingredient_and_pays_for_the_first_labels_both_ways():
    found = cells("beyond")
    assert {cell.strategy for cell in found} == {our_strategy.STRATEGY}
    runs = Counter(
        (cell.benchmark, cell.learner, cell.initial, ", ".join(f"{k}={v}" for k, v in cell.strategy_options.items()))
        for cell in found
    )
    pays = [(initial, options) for initial in ("shared", "strategy") for options in ("", "caution=2")]
    assert runs == {
        **{("mixdigits", "probe", "shared", options): 11 for options in ("", *our_strategy.ABLATIONS)},
        **{("mixdigits", "probe", *way): 11 for way in pays},
        **{("mixmnist", "probe", *way): 11 for way in pays},
        ("mixdigits", "contrastive", "strategy", ""): 3,
    }


@pytest.mark.parametrize("name", ["mixmnist", CIFAR, "thousands", "beyond"])
def test_every_kind_of_cell_passes_the_check_that_comes_before_work(name):
    """Held against MixDigits, whose images ship with the project but are too few for MixCIFAR60's stages."""
    pool = benchmarks.load("mixdigits")
    kinds = {grid.without_seed(cell): cell for cell in cells(name)}
    for cell in kinds.values():
        fewer = {"initial_id": 100, "stop_id": 100} if cell.benchmark == CIFAR else {}
        experiment.check(replace(cell, changes={**cell.changes, **fewer}), benchmark=pool)


def test_mixdigits_is_planned_without_running_anything(tmp_path):
    made = plan.make(cells("mixdigits"), tmp_path, torch.device("cpu"))
    assert len(made.todo) == len(made.cells) and not made.done
    assert not (tmp_path / "cells").exists()


def test_robustness_runs_the_same_methods_on_every_variant_and_on_early_features():
    """So that one heat map can hold them; the protocol in which the strategy buys its first labels has no random."""
    found = cells("robustness")
    assert {(cell.learner, cell.profile) for cell in found} == {("probe", "laptop")}
    cases = {(cell.benchmark, str(cell.changes)) for cell in found}
    assert cases == {
        *((f"mixdigits-{name}", "{}") for name in harder_mixdigits.VARIANTS),
        ("mixdigits", "{'con_first_epochs': 3}"),
    }
    for case in cases:
        own = Counter((c.strategy, c.initial) for c in found if (c.benchmark, str(c.changes)) == case)
        shared = {strategy for strategy, initial in own if initial == "shared"}
        assert {"random", "cautious_coverage"} < shared and len(shared) == 7
        assert {strategy for strategy, initial in own if initial == "strategy"} == {"cautious_coverage"}
        assert set(own.values()) == {11}


def test_robustness_can_be_planned_on_the_pools_themselves(tmp_path):
    kinds = {grid.without_seed(cell): cell for cell in cells("robustness")}
    made = plan.make(list(kinds.values()), tmp_path, torch.device("cpu"))
    assert len(made.todo) == 8 * 10 and len({one.benchmark.fingerprint for one in made.todo}) == 10


def test_variants_are_tried_with_the_same_strategies_on_both_benchmarks():
    own = {name: {(c.strategy, c.seed) for c in cells("variants") if c.benchmark == name} for name in VARIED}
    assert {c.benchmark for c in cells("variants")} == set(VARIED)
    assert all(
        {strategy for strategy, _ in found} == {strategy for strategy, _ in own[VARIED[0]]} for found in own.values()
    )
    assert [len({seed for _, seed in own[name]}) for name in VARIED] == [11, 11, 5, 5]
