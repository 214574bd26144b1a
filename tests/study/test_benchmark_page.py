"""The explorer's page of a pool of the study: whose features, and what is hidden."""

import re

import numpy as np
import pytest

from alkit import benchmarks
from alkit.study import cli, explore


@pytest.mark.slow
def test_page_of_frozen_features_shows_that_learner_and_what_is_finished_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path))
    assert cli.main(["sweep", "--profile", "smoke", "--learner", "probe", "--strategy", "random", "--seed", "0"]) == 0
    assert cli.main(["explore", "--profile", "smoke", "--learner", "probe"]) == 0
    page = (tmp_path / "figures" / "mixdigits" / "smoke-probe-explorer.html").read_text()
    shown = re.findall(r'"name": ?"([^"]*)"', page)
    assert {"probe, no label yet", "raw pixels", "Random"} <= set(shown)
    assert not {"contrastive, no label yet", "Distance(CL)", "Margin"} & set(shown)  # those have no run here


def test_page_needs_a_learner_that_has_features_before_a_label(tmp_path):
    with pytest.raises(ValueError, match="supervised has no features before a label"):
        explore.write_benchmark(tmp_path / "page.html", "mixdigits", "smoke", learner="supervised")
    with pytest.raises(ValueError, match="unknown learner 'prob'"):
        explore.write_benchmark(tmp_path / "page.html", "mixdigits", "smoke", learner="prob")
    assert not list(tmp_path.iterdir())


def test_what_is_hidden_is_coded_with_names_and_no_class_is_minus_one():
    data = benchmarks.load("mixdigits")
    columns = explore.hidden(data)
    assert list(columns) == ["category", "class"]
    codes_N, names = columns["class"]
    assert (codes_N == -1).tolist() == (data.pool.category_N != benchmarks.ID).tolist()
    assert list(names) == list(data.class_names) and np.array_equal(columns["category"][0], data.pool.category_N)
