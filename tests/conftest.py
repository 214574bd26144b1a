"""A benchmark of 3 classes and 140 images of 8 x 8 pixels, registered as "tiny" for every test: runs take 0.1 to 0.5 s.

Importing this module needs no pytest run: processes that tests start import it and call `register` themselves.
"""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from alkit import benchmarks, recipes
from alkit.benchmarks import AMBIGUOUS, ID, OOD, Benchmark, Pool
from alkit.experiment import Cell

TESTS = Path(__file__).parent
TINY = replace(
    recipes.RECIPES["mixdigits", "smoke"],
    initial_id=8, stage_id=4, stop_id=20, pooling=(2, 2, 2), sup_epochs=3, tune_epochs=2, con_first_epochs=3,
    con_epochs=1, con_batch=64, projection=(32, 16),
)  # fmt: skip


@cache
def tiny_benchmark() -> Benchmark:
    """80 digits 0 to 2, 30 means of two of them, 30 images of noise, in a fixed shuffled order; 60 digits to test."""
    images, labels = load_digits(n_class=3, return_X_y=True)
    images = (images * 15.9375).round().astype(np.uint8).reshape(-1, 1, 8, 8)
    rng = np.random.default_rng(20)
    a, b = images[200:230].astype(int), images[300:330].astype(int)
    noise = rng.integers(0, 256, (30, 1, 8, 8), dtype=np.uint8)
    pool_images = np.concatenate([images[:80], ((a + b) // 2).astype(np.uint8), noise])
    order = rng.permutation(140)
    pool = Pool(
        pool_images[order],
        np.concatenate([labels[:80], np.full(60, 3)]).astype(np.int64)[order],
        np.repeat(np.array([ID, AMBIGUOUS, OOD], np.uint8), [80, 30, 30])[order],
        np.repeat(["digits", "ambiguous", "noise"], [80, 30, 30])[order],
    )
    votes, parents = np.full((140, 1), benchmarks.NO_VOTE, np.uint8), np.full((140, 2), -1, np.int64)
    return Benchmark("tiny", pool, images[100:160], labels[100:160].astype(np.int64), ("0", "1", "2"), votes, parents)


def register(benchmark: Benchmark | None = None) -> None:
    """Make "tiny" a benchmark of this process."""
    made = benchmark or tiny_benchmark()
    benchmarks.BENCHMARKS["tiny"] = lambda folder=None: made
    for profile in recipes.PROFILES:
        recipes.RECIPES["tiny", profile] = TINY


def tiny(learner: str = "probe", strategy: str = "random", seed: int = 0, **options) -> Cell:
    """A cell of the tiny benchmark."""
    return Cell("tiny", "smoke", learner, strategy, seed, **options)


def tables(root: Path) -> dict[str, bytes]:
    """The bytes of picks.csv and stages.csv of the one run below `root`."""
    (run,) = (path.parent for path in Path(root).glob("cells/**/config.json"))
    return {name: (run / name).read_bytes() for name in ("picks.csv", "stages.csv")}


def run_folder(root: Path) -> Path:
    """The one run directory below `root`."""
    (run,) = (path.parent for path in Path(root).glob("cells/**/config.json"))
    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` but lock files, by its path relative to it."""
    files = (path for path in sorted(Path(folder).rglob("*")) if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Run `code` in a process of its own, with this folder importable; its output is captured as text."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    """One thread, the tiny benchmark, and nothing written outside the test's own folder."""
    monkeypatch.setenv("ALKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(benchmarks, "BENCHMARKS", dict(benchmarks.BENCHMARKS))
    monkeypatch.setattr(recipes, "RECIPES", dict(recipes.RECIPES))
    register()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
