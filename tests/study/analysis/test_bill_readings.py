"""Readings of the paper's bills: each changes what its name says, and nothing else."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import tiny
from torch import nn

from alkit import acquisition, experiment, learners, paths
from alkit.acquisition.registry import STRATEGIES
from alkit.study.analysis import bill_readings


@pytest.fixture
def known(monkeypatch):
    """The cells, with learners and strategy known to this test alone."""
    monkeypatch.setattr(learners, "LEARNERS", dict(learners.LEARNERS))
    before = set(STRATEGIES)
    yield bill_readings.cells()
    for name in set(STRATEGIES) - before:
        del STRATEGIES[name]


def test_every_reading_is_run_with_a_strategy_and_only_one_changes_nothing(known):
    plain = [one for one, cell in known if cell.learner == "supervised" and not cell.options]
    assert {one.words for one in plain} == {"as in this study", "entropy over the K iD classes"}
    assert len({(cell.learner, cell.strategy, str(cell.options)) for _, cell in known}) == len(known)
    assert {cell.strategy for one, cell in known if one.words == "as in this study"} == set(bill_readings.PAPER)
    assert {cell.seed for _, cell in known} == {bill_readings.SEED}


def test_entropy_of_classes_leaves_the_auxiliary_class_out(known):
    probs_NC = np.array([[0.5, 0.3, 0.2], [0.2, 0.1, 0.7], [0.02, 0.02, 0.96], [0.9, 0.05, 0.05]])
    answers = np.full(4, acquisition.NOT_ASKED)
    view = acquisition.View(np.eye(4), probs_NC, answers, 2, 1, np.random.default_rng(0))
    asked = list(acquisition.order("entropy_of_classes", view, auxiliary_filter=False))
    assert asked == [2, 0, 1, 3] or asked == [2, 1, 0, 3]
    ratio = [max(a, b) / (a + b) for a, b, _ in probs_NC]
    assert asked == sorted(range(4), key=lambda i: ratio[i])
    assert list(acquisition.order("entropy", view, auxiliary_filter=False)) != asked


@pytest.mark.parametrize(
    ("name", "junk"), [("supervised_smallest", 3), ("supervised_one", 1), ("supervised_none", 0), ("supervised", 5)]
)
def test_as_much_junk_is_learned_as_the_reading_says(name, junk, known, monkeypatch):
    """Classes of 8, 4 and 3 answers, 5 on average, and 6 answers of junk."""
    setting, seen = experiment.setting_of(tiny("supervised")), {}
    answers_N = np.full(len(setting.images_NCHW), acquisition.NOT_ASKED)
    answers_N[:21] = np.repeat([0, 1, 2, 3], [8, 4, 3, 6])

    def train(net, images, rows, labels, *more, **options):
        seen.update(rows=rows.tolist(), labels=labels.tolist())
        return []

    for module in (bill_readings, learners.base):
        monkeypatch.setattr(module, "train_classifier", train)
    learners.LEARNERS[name](setting).fit(answers_N, 1)
    assert [seen["labels"].count(k) for k in range(4)] == [8, 4, 3, junk]
    assert [answers_N[row] for row in seen["rows"]] == seen["labels"]


def test_without_norm_a_map_is_shifted_and_not_scaled(known):
    setting = experiment.setting_of(tiny("supervised"))
    net = learners.LEARNERS["supervised_no_norm"](setting)._fresh(0)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in net.encoder.blocks.modules())
    assert sum(isinstance(part, bill_readings.Shift) for part in net.encoder.blocks.modules()) == 3
    shift = bill_readings.Shift(2)
    shift.bias.data[:, 0, 0] = torch.tensor([1.0, -2.0])
    assert torch.equal(shift(torch.zeros(1, 2, 1, 1)).flatten(), torch.tensor([1.0, -2.0]))


def test_a_row_says_what_was_paid_and_how_it_was_made(known):
    reading, cell = known[0]
    records = [
        {"n_id": 1, "n_ambiguous": 2, "n_ood": 3, "cost": 6, "accuracy": 0.5, "fingerprint": "f", "device": "cpu"}
    ]
    made = bill_readings.row(reading, cell, records)
    assert made["cost"] == 6 and made["seed"] == 20 and made["fingerprint"] == "f"


def test_the_committed_table_has_every_reading_and_adds_up(known):
    table = pd.read_csv(bill_readings.file_of())
    assert list(zip(table.reading, table.strategy, strict=True)) == [(one.words, cell.strategy) for one, cell in known]
    assert (table.cost == table.n_id + table.n_ambiguous + table.n_ood).all() and table.fingerprint.nunique() == 1
    recipe = experiment.Cell("mixmnist", bill_readings.PROFILE, "supervised", "entropy").recipe
    assert (table.n_id == recipe.stop_id).all()


def test_text_shows_the_papers_bills_and_every_reading(known):
    table = pd.read_csv(bill_readings.file_of())
    lines = bill_readings.text(table).splitlines()
    assert len(lines) == 1 + len(bill_readings.PAPER) + len(table)
    assert "32,738" in lines[2] and f"{table.cost.max():,}" in "".join(lines)


def test_the_readme_quotes_the_table():
    cost = pd.read_csv(bill_readings.file_of()).set_index(["reading", "strategy"])["cost"]
    none = cost["filter by a net that never learned from junk", "least_confidence"]
    open_ = cost["no filter, entropy over the K iD classes", "entropy_of_classes"]
    readme = (paths.ROOT / "README.md").read_text()
    assert f"come ({none:,} and {open_:,}, `laptop`, one seed)" in readme and open_ == cost.max()
