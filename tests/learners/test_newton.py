"""The two solvers of a logistic regression find one optimum, and which of them runs is decided by size alone."""

import warnings

import numpy as np
import pytest
from conftest import python
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from alkit.learners import newton, regression
from alkit.learners.regression import Regression


def blobs(n=1200, width=24, classes=7, seed=0, spread=1.0):
    """Unit features of overlapping classes, some directions far wider than others, as after a PCA; and the classes."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.choice(classes, n - classes, p=sizes(classes))])
    scales = np.linspace(1, 0.1, width)
    rows = (rng.normal(size=(classes, width))[labels] + spread * rng.normal(size=(n, width))) * scales
    return normalize(rows).astype(np.float32), labels


def sizes(classes):
    """The last class, of junk, as large as three others."""
    share = np.append(np.ones(classes - 1), 3.0)
    return share / share.sum()


def both(monkeypatch, rows, labels, n_outputs, c=10.0):
    """Probabilities of `rows` by either solver."""
    made = []
    for large in (0, np.inf):
        monkeypatch.setattr(regression, "LARGE", large)
        made.append(Regression.fit(rows, labels, n_outputs, c=c, n_threads=1).probs(rows))
    return made


@pytest.mark.parametrize("c", [0.1, 10.0, 1000.0])
@pytest.mark.parametrize(("n", "width", "classes"), [(1200, 24, 7), (60, 24, 7), (40, 80, 3), (3000, 4, 12)])
def test_both_solvers_find_the_same_probabilities(n, width, classes, c, monkeypatch):
    rows, labels = blobs(n, width, classes)
    with warnings.catch_warnings(action="error"):
        ours, theirs = both(monkeypatch, rows, labels, classes, c)
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("seen", [(0, 3), (1, 2, 6), (4,)])
def test_both_solvers_leave_classes_without_a_label_nothing(seen, monkeypatch):
    rows, labels = blobs()
    known = np.isin(labels, seen)
    ours, theirs = both(monkeypatch, rows[known], labels[known], 7)
    assert np.abs(ours - theirs).max() < 1e-5
    assert (ours[:, [k for k in range(7) if k not in seen]] == 0).all()


def test_both_solvers_agree_where_features_say_the_same_twice_or_nothing(monkeypatch):
    rows, labels = blobs()
    rows = np.column_stack([rows, rows[:, 0], np.zeros(len(rows), np.float32), np.ones(len(rows), np.float32)])
    ours, theirs = both(monkeypatch, rows, labels, 7)
    assert np.abs(ours - theirs).max() < 1e-5


def test_labels_that_features_tell_apart_without_an_error_still_have_an_optimum(monkeypatch):
    rows, labels = blobs(spread=0.01)
    ours, theirs = both(monkeypatch, rows, labels, 7, c=100.0)
    assert (ours.argmax(1) == labels).all() and np.abs(ours - theirs).max() < 1e-5


def test_size_decides_which_solver_runs(monkeypatch):
    rows, labels = blobs(120, 8, 5)
    ran = []
    monkeypatch.setattr(newton, "fit", lambda *a, **k: ran.append("newton") or (np.zeros((5, 8)), np.zeros(5)))
    real = LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", lambda *a: ran.append("scikit-learn") or real(*a))
    for large in (120 * 8 * 5, 120 * 8 * 5 + 1):
        monkeypatch.setattr(regression, "LARGE", large)
        Regression.fit(rows, labels, 5, c=10.0, n_threads=1)
    assert ran == ["newton", "scikit-learn"]


def test_fits_of_the_pools_of_digits_are_scikit_learns_and_those_of_mixcifar60_are_not():
    """Committed results rest on the bits of the first: 128 features, 11 outputs."""
    assert 5_000 * 128 * 11 < regression.LARGE <= 2_000 * 256 * 61


def test_regression_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(newton, "MAX_STEPS", 1)
    rows, labels = blobs()
    with pytest.warns(UserWarning, match="a regression has not converged in 1 steps"):
        newton.fit(rows, labels, c=1000.0, tolerance=1e-12)


def test_kernels_of_another_processor_find_the_same_probabilities(tmp_path):
    """OpenBLAS sums in another order on a processor with narrower vectors; a regression must not amplify that."""
    rows, labels = blobs(3000, 32, 12)
    np.savez(tmp_path / "in.npz", rows=rows, labels=labels)
    code = (
        "import runpy; import numpy as np; data = np.load('in.npz');"
        f"fit = runpy.run_path({newton.__file__!r})['fit'];"
        "np.savez('out.npz', *fit(data['rows'], data['labels'], c=10.0, tolerance=1e-8))"
    )
    ran = python(
        f"import os; os.chdir({str(tmp_path)!r}); {code}", OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="1"
    )
    assert ran.returncode == 0, ran.stderr
    there = Regression(*np.load(tmp_path / "out.npz").values())
    here = Regression(*newton.fit(rows, labels, c=10.0, tolerance=1e-8))
    assert np.abs(here.probs(rows) - there.probs(rows)).max() < 1e-5
