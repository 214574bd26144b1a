"""The code in CONTRIBUTING.md runs as it stands there."""

import re
import sys
import types
import warnings

import numpy as np
import pytest

from alkit import acquisition, benchmarks, paths
from alkit.acquisition import registry

STRATEGY, POOL = re.findall(r"```python\n(.*?)```", (paths.ROOT / "CONTRIBUTING.md").read_text(), re.S)


@pytest.fixture
def registered(monkeypatch):
    """The strategy, run as a file that `alkit.acquisition` imports: when that is not yet whole."""
    monkeypatch.setattr(registry, "STRATEGIES", dict(registry.STRATEGIES))
    begun = types.ModuleType("alkit.acquisition")
    begun.__path__ = acquisition.__path__
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "alkit.acquisition", begun)
        exec(compile(STRATEGY, "nearest.py", "exec"), {"__name__": "alkit.acquisition.nearest"})
    return "nearest_id"


@pytest.mark.parametrize("answers", [[-1] * 6, [-1, 2, -1, 0, -1, -1]])
def test_strategy_can_be_a_file_of_the_room_and_asks_each_once_from_the_first_question_on(registered, answers):
    features = np.arange(12.0).reshape(6, 2)
    probs = np.full((6, 3), 1 / 3)
    view = acquisition.View(features, probs, np.array(answers), 2, 2, np.random.default_rng(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = list(acquisition.order(registered, view))
    assert sorted(asked) == [i for i, answer in enumerate(answers) if answer < 0]


def test_pool_is_found_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ALKIT_DATA", str(tmp_path))
    exec(POOL, {})
    assert str(tmp_path) in capsys.readouterr().out
    pool = benchmarks.load("own-lowdigits").pool
    assert set(pool.category_N) == {benchmarks.ID, benchmarks.OOD} and set(pool.labels_N) == set(range(6))
