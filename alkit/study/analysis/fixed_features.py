"""The features of a cell's learner and a regression on them that is stopped early: for simulations of many fits."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from alkit import learners
from alkit.benchmarks import ID
from alkit.experiment import Cell, benchmark_of, setting_of
from alkit.learners.base import labelled_rows
from alkit.runtime import default_device, resident

TOLERANCE = 1e-3  # of the regression: a seventh of the learner's time, and the same class for 97 % of images or more


@dataclass(frozen=True)
class Features:
    """A pool as a simulation sees it: features of unit length, true answers (K: not iD), and a test set."""

    unit_ND: np.ndarray
    true_N: np.ndarray
    n_classes: int
    test_MD: np.ndarray
    test_labels_M: np.ndarray


def features_of(cell: Cell) -> Features:
    """The features of the cell's learner, from the cache of runs where they were computed before."""
    benchmark, device = benchmark_of(cell), default_device()
    setting = setting_of(cell, device=device, benchmark=benchmark)
    learner: Any = learners.get(cell.learner)(setting, **cell.learner_options)
    pool_ND = learner.first_shown().features_ND
    test_MD = learner.features_of(resident(benchmark.test_images_MCHW, device))
    pool, k = benchmark.pool, benchmark.n_classes
    true_N = np.where(pool.category_N == ID, pool.labels_N, k)
    unit_ND, unit_MD = (normalize(part).astype(np.float32) for part in (pool_ND, test_MD))
    return Features(unit_ND, true_N, k, unit_MD, benchmark.test_labels_M)


class Classifier:
    """The regression of `probe`, on balanced classes (`learners.base.labelled_rows`), stopped early."""

    def __init__(self, pool: Features, answers_N: np.ndarray, seed: int, stage: int, c: float):
        rows, labels = (part.numpy() for part in labelled_rows(answers_N, pool.n_classes, seed, stage, "cpu"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            self.solver = LogisticRegression(C=c, tol=TOLERANCE).fit(pool.unit_ND[rows], labels)
        self.n_outputs = pool.n_classes + 1

    def probs(self, unit_ND: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K + 1), float32."""
        probs_NC = np.zeros((len(unit_ND), self.n_outputs), np.float32)
        probs_NC[:, self.solver.classes_] = self.solver.predict_proba(unit_ND)
        return probs_NC

    def accuracy(self, pool: Features) -> float:
        """The share of test images whose class is the likeliest of the K."""
        return float((self.probs(pool.test_MD)[:, :-1].argmax(1) == pool.test_labels_M).mean())
