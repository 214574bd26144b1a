"""Solvers of the logistic regression of `pretrained`, in turn in one run: seconds, and distance from the optimum.

    ALKIT_RUNS=... python tests/speed/regression.py [--labels 1000 2000 20000] [--rounds 3]

On the pretrained features of MixCIFAR60 (stand-ins for LSUN-FIX and SVHN; 256 dimensions, unit length, K + 1 = 61
outputs): random iD labels, and non-iD ones undersampled as the learner does. `error`: the largest difference, over the
6,000 test images and all outputs, from the probabilities at the optimum, which `newton` finds to a gradient of 1e-11.
One thread; medians of `--rounds` turns. Extracts features where ALKIT_RUNS has none: six minutes on two cores.
"""

import argparse
import warnings
from collections.abc import Callable

import numpy as np
import torch
from measured import in_turn, keep, machine, rounded
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from alkit import experiment, learners, rng
from alkit.benchmarks import ID
from alkit.experiment.cell import benchmark_of
from alkit.learners import labelled_rows, newton
from alkit.learners.regression import ITERATIONS, TOLERANCE, Regression
from alkit.runtime import threads

CELL = experiment.Cell("mixcifar60-house_numbers-scenes", "paper", "pretrained", "random", 0)
MANY = 4_000  # labels from which on a fit takes some solvers minutes: these have no turn


def features() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit features of the pool and of the test images, and a fixed order of the pool."""
    learner = learners.Pretrained(experiment.setting_of(CELL))
    pool_ND = normalize(learner.pool_features())
    tested_MD = normalize(learner.features_of(torch.from_numpy(benchmark_of(CELL).test_images_MCHW.copy())))
    return pool_ND, tested_MD, rng.numpy_stream(CELL.seed, "benchmark.regression").permutation(len(pool_ND))


def answered(order_N: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, labels) that a classifier learns from when random looks have found `count` iD images."""
    pool, k = benchmark_of(CELL).pool, benchmark_of(CELL).n_classes
    asked = order_N[: np.searchsorted(np.cumsum(pool.category_N[order_N] == ID), count) + 1]
    answers_N = np.full(len(pool), -1)
    answers_N[asked] = pool.labels_N[asked]
    return tuple(part.numpy() for part in labelled_rows(answers_N, k, CELL.seed, 0, "cpu"))


def solvers(rows_LD: np.ndarray, labels_L: np.ndarray, c: float) -> dict[str, Callable[[], Regression]]:
    """Contestants by name: each fits."""

    def scikit_learn(solver: str, tolerance: float):
        def fit():
            model = LogisticRegression(C=c, solver=solver, tol=tolerance, max_iter=ITERATIONS)
            model.fit(rows_LD.astype(np.float64), labels_L)
            return Regression(model.coef_, model.intercept_)

        return fit

    few = len(rows_LD) < MANY
    tolerances = (1e-5, 1e-6, 1e-7, TOLERANCE) if few else (1e-5, TOLERANCE)
    return {
        "newton": lambda: Regression(*newton.fit(rows_LD, labels_L, c=c, tolerance=TOLERANCE)),
        **{f"scikit-learn lbfgs {tolerance:.0e}": scikit_learn("lbfgs", tolerance) for tolerance in tolerances},
        **({"scikit-learn newton-cg 1e-08": scikit_learn("newton-cg", TOLERANCE)} if few else {}),
    }


def measure(rows_LD: np.ndarray, labels_L: np.ndarray, tested_MD: np.ndarray, rounds: int) -> list[dict]:
    """One row for each of the contestants."""
    c, made = CELL.recipe.probe_c, dict[str, Regression]()
    optimum = Regression(*newton.fit(rows_LD, labels_L, c=c, tolerance=1e-11)).probs(tested_MD)
    turns = {
        name: lambda name=name, fit=fit: made.update({name: fit()})
        for name, fit in solvers(rows_LD, labels_L, c).items()
    }
    times = in_turn(turns, rounds)
    error = {name: np.abs(fitted.probs(tested_MD) - optimum).max() for name, fitted in made.items()}
    return [
        {"rows": len(rows_LD), "features": rows_LD.shape[1], "outputs": len(set(labels_L)), "solver": name,
         "seconds": rounded(took.seconds), "cpu_seconds": rounded(took.cpu_seconds),
         "error": float(f"{error[name]:.1e}")}
        for name, took in times.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[1_000, 2_000, 20_000])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    pool_ND, tested_MD, order_N = features()
    found = []
    with threads(1):
        on = machine()
        for count in args.labels:
            rows, labels_L = answered(order_N, count)
            made = measure(pool_ND[rows], labels_L, tested_MD, args.rounds)
            found += [{"id_labels": count, **row} for row in made]
            keep("regression", found, on=on)


if __name__ == "__main__":
    main()
