"""Bills at a number of labels, on tables that are made here and on the committed ones."""

import json

import pandas as pd
import pytest

from alkit import paths
from alkit.study.analysis import thousands
from alkit.study.tables import COLUMNS, write_results

FIGURES = paths.ROOT / "figures"
ACCURACY = {2000: 0.60, 8000: 0.70, 20000: 0.72}


def runs(name, looks_a_label, *, initial="shared", seeds=(0, 1), better=0.0, last=20000, **options):
    """Rows of runs whose every label costs the same and whose second seed is a point better."""
    rows = []
    for seed in seeds:
        for stage, (n_id, accuracy) in enumerate(ACCURACY.items()):
            if n_id <= last:
                cost = round(looks_a_label * n_id)
                row = dict.fromkeys(COLUMNS, 0) | dict(
                    benchmark=thousands.POOL, profile=thousands.PROFILE, learner="pretrained", strategy=name,
                    options=json.dumps(options), initial=initial, seed=seed, stage=stage, n_id=n_id, n_ood=cost - n_id,
                    cost=cost, accuracy=accuracy + better + 0.01 * (seed == 1), fingerprint="f", device="cpu",
                    version="v", initial_hash=f"{initial}{seed}",
                )  # fmt: skip
                rows.append(row)
    return rows


@pytest.fixture
def figures(tmp_path):
    ours = runs("gated_margin", 1.25, initial="strategy", better=-0.002)
    for option, looks in (({"kinds": 1}, 1.2), ({"shares": False}, 1.3), ({"caution": 0}, 2.2), ({"caution": 4}, 1.1)):
        seeds = (0, 1) if option == {"kinds": 1} else (1, 2)
        ours += runs(
            "gated_margin",
            looks,
            initial="strategy",
            seeds=seeds,
            last=8000,
            strategy=option,
            changes={"stop_id": 8000},
        )
    write_results(runs("margin", 2.1) + runs("random", 1.8, better=-0.01), tmp_path, "strategies")
    write_results(ours, tmp_path, "beyond")
    return tmp_path


def test_bills_at_8000_labels_and_looks_to_the_papers_accuracy(figures):
    found = thousands.at_labels(thousands.beside(figures))
    assert [name.partition(",")[0] for name in found.index] == ["gated_margin", "random", "margin"]
    gated, random, margin = found.itertuples(index=False)
    assert gated[:3] == pytest.approx((10000, 1.25, 70.3)) and random[:3] == pytest.approx((14400, 1.8, 69.5))
    assert margin[3] == pytest.approx(0.5**0.5) and found.columns[-1] == "looks to 66.38 %"
    assert found.iloc[:, -1].tolist() == [10000, 14400, 16800]  # no run is there at its first stage


def test_ablations_stand_beside_the_whole_strategy_at_the_same_labels(figures):
    found = thousands.ablations(figures)
    assert found.index.tolist() == [thousands.WHOLE, *thousands.ABLATIONS.values()]
    assert found["looks a label"].tolist() == pytest.approx([1.25, 1.2, 1.3, 2.2, 1.1])
    assert found["accuracy (%)"].iloc[0] == pytest.approx(70.8)  # of the one seed that all have


def test_promises_are_judged_with_what_was_measured(figures):
    found = thousands.promised(thousands.beside(figures))
    assert found["measured"].tolist() == ["1.25", "0.2 below", "10,000", "of 0 of 2"]  # two seeds: no p below 0.5
    assert found["verdict"].tolist() == ["not reached", "reached", "not reached", "not reached"]


def test_the_committed_runs_are_whole():
    many = thousands.beside(FIGURES)
    assert set(many.groupby(["strategy", "seed"])["n_id"].max()) == {20000}
    assert many.groupby("strategy")["seed"].nunique().nunique() == 1
    assert {"random", "margin", "cautious_coverage", "gated_margin"} < set(many["strategy"])
    assert not thousands.ablations(FIGURES).isna().any(axis=None)
    assert isinstance(thousands.at_labels(many), pd.DataFrame)
