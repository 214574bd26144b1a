"""Whether the estimate and the stopping sentence of a labelling session are honest: sessions simulated on benchmarks.

    python -m alkit.study.analysis.labelling mixdigits mixmnist mixcifar60     # tables into figures/results

A simulated session asks what the strategy says, and one question in ten (or five) is a test. Beside the tests of
`estimate`, as many are drawn uniformly, for a comparison at equal cost: no test is learned, and neither kind knows of
the other.
"""

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from alkit import acquisition, learners, paths, rng
from alkit.acquisition import NOT_ASKED, View
from alkit.benchmarks import ID
from alkit.experiment import Cell
from alkit.experiment.cell import benchmark_of
from alkit.experiment.loop import setting_of
from alkit.labelling import estimate, stopping
from alkit.labelling.estimate import Answers, Estimate
from alkit.learners.base import labelled_rows
from alkit.runtime import default_device, resident, threads

TOLERANCE = 1e-3  # of the regression: a seventh of the learners' time, and the same class for 97 % of images or more


@dataclass(frozen=True)
class Place:
    """Where sessions are simulated: features of `cell`'s learner, `first` random looks, then `stages` of `looks`."""

    cell: Cell
    first: int
    looks: int
    stages: int
    test_every: int = 10  # questions, of which one is a test
    part: int = 1  # of how many images of the pool one is taken


PLACES = {
    "mixdigits": Place(Cell("mixdigits", "laptop", "probe", "margin", 20), 60, 20, 30),
    # a tenth of the pool, and more epochs for as good features
    "mixmnist": Place(
        Cell("mixmnist", "laptop", "probe", "margin", 20, changes={"share": 0.1, "con_first_epochs": 40}), 60, 20, 30
    ),
    "mixcifar60": Place(
        Cell("mixcifar60-house_numbers-scenes", "paper", "pretrained", "margin", 20), 300, 100, 12, part=5
    ),
}
CHECKED = (20, 40, 60)  # tests after which the estimates are held against the truth


@dataclass(frozen=True)
class Known:
    """What a simulation reads of a pool: features of unit length, classes (K: not iD), and a test set to look at."""

    unit_ND: np.ndarray
    class_N: np.ndarray
    n_classes: int
    test_MD: np.ndarray
    test_labels_M: np.ndarray


def known(place: Place) -> Known:
    """The features of the place's learner, from the runs' cache where they were computed before."""
    cell, device = place.cell, default_device()
    benchmark = benchmark_of(cell)
    learner = learners.get(cell.learner)(setting_of(cell, device=device, benchmark=benchmark))
    unit_ND = normalize(learner.first_shown().features_ND)
    test_MD = normalize(learner.features_of(resident(benchmark.test_images_MCHW, device)))
    pool, k = benchmark.pool, benchmark.n_classes
    class_N = np.where(pool.category_N == ID, pool.labels_N, k)[:: place.part]
    return Known(
        unit_ND[:: place.part].astype(np.float32), class_N, k, test_MD.astype(np.float32), benchmark.test_labels_M
    )


class Classifier:
    """The regression of `probe` and `pretrained`, on balanced classes, stopped early."""

    def __init__(self, pool: Known, answers_N: np.ndarray, seed: int, stage: int, c: float):
        rows, labels = (part.numpy() for part in labelled_rows(answers_N, pool.n_classes, seed, stage, "cpu"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            solver = LogisticRegression(C=c, tol=TOLERANCE).fit(pool.unit_ND[rows], labels)
        self.solver, self.n_outputs = solver, pool.n_classes + 1

    def probs(self, unit_ND: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K + 1), float32."""
        probs_NC = np.zeros((len(unit_ND), self.n_outputs), np.float32)
        probs_NC[:, self.solver.classes_] = self.solver.predict_proba(unit_ND)
        return probs_NC


@dataclass
class Tests:
    """The tests of one kind, as they were drawn."""

    uniform: bool
    positions: list[int]
    chances: list[float]
    left: list[int]

    def draw(self, loss_N: np.ndarray, answers_N: np.ndarray, stream: np.random.Generator) -> None:
        """Draw one more from all that is neither bought nor a test of this kind."""
        free_N = answers_N == NOT_ASKED
        free_N[self.positions] = False
        candidates = np.flatnonzero(free_N)
        chance_C = estimate.chances(loss_N[candidates], uniform=1.0 if self.uniform else estimate.UNIFORM)
        place = estimate.draw(chance_C, stream)
        self.positions.append(int(candidates[place]))
        self.chances.append(float(chance_C[place]))
        self.left.append(len(candidates))


class Session:
    """One simulated session; `stages` runs it."""

    def __init__(self, pool: Known, place: Place, seed: int):
        self.pool, self.place, self.seed = pool, place, seed
        self.answers_N = np.full(len(pool.class_N), NOT_ASKED)
        first = rng.numpy_stream(seed, "initial").permutation(len(self.answers_N))[: place.first]
        self.answers_N[first] = pool.class_N[first]
        self.before_N = np.zeros(len(self.answers_N), int)  # tests of a kind that were drawn before a label was bought
        self.tests = {"active": Tests(False, [], [], []), "uniform": Tests(True, [], [], [])}
        self.stream = rng.numpy_stream(seed, "tests")

    @property
    def looks(self) -> int:
        """Bought labels and tests of one kind."""
        return int((self.answers_N != NOT_ASKED).sum()) + len(self.tests["active"].left)

    def stages(self) -> Iterator[int]:
        """The number of each stage, once its classifier is there and before its questions are asked."""
        for stage in range(self.place.stages + 1):
            self.probs_NC = self.fit(self.answers_N, stage).probs(self.pool.unit_ND)
            self.class_N = self.probs_NC[:, :-1].argmax(1)
            yield stage
            if stage < self.place.stages:
                self._ask(stage)

    def fit(self, answers_N: np.ndarray, stage: int) -> Classifier:
        """A classifier of these answers."""
        return Classifier(self.pool, answers_N, self.seed, stage, self.place.cell.recipe.probe_c)

    def _ask(self, stage: int) -> None:
        pool, strategy = self.pool, self.place.cell.strategy
        may_N = self.answers_N == NOT_ASKED
        for kind in self.tests.values():
            may_N[kind.positions] = False
        stream = rng.numpy_stream(self.seed, "strategy", stage)
        view = View(
            pool.unit_ND, self.probs_NC, self.answers_N.copy(), pool.n_classes, self.place.looks, stream,
            live_N=self.answers_N, candidates_N=may_N,
        )  # fmt: skip
        order, loss_N = acquisition.order(strategy, view), estimate.expected_loss(self.probs_NC)
        for number in range(1, self.place.looks + 1):
            if number % self.place.test_every == 0:
                for kind in self.tests.values():
                    kind.draw(loss_N, self.answers_N, self.stream)
                continue
            drawn = {position for kind in self.tests.values() for position in kind.positions}
            position = next(one for one in order if one not in drawn)
            self.before_N[position] = len(self.tests["active"].left)
            self.answers_N[position] = pool.class_N[position]

    def unlearned(self, stage: int) -> np.ndarray:
        """The class (N,) of each image by a classifier that did not learn it."""

        def classes_of(answers_N: np.ndarray) -> np.ndarray:
            found_N = np.full(len(answers_N), -1)
            out = np.flatnonzero((self.answers_N != NOT_ASKED) & (answers_N == NOT_ASKED))
            found_N[out] = self.fit(answers_N, stage).probs(self.pool.unit_ND[out])[:, :-1].argmax(1)
            return found_N

        found_N = estimate.out_of_fold(classes_of, self.answers_N, self.pool.n_classes, seed=self.seed)
        return np.where(self.answers_N == NOT_ASKED, self.class_N, found_N)

    def answers(self, kind: str) -> tuple[Answers, np.ndarray, np.ndarray]:
        """What tests of one kind and bought labels tell, and the positions of both."""
        tests, bought = self.tests[kind], np.flatnonzero(self.answers_N != NOT_ASKED)
        positions, k = np.array(tests.positions, int), self.pool.n_classes
        is_id_M, is_id_L = self.pool.class_N[positions] < k, self.pool.class_N[bought] < k
        found = Answers(tests.chances, tests.left, is_id_M, self.before_N[bought], is_id_L)
        return found, positions, bought


def checks(pool: Known, place: Place, seed: int) -> Iterator[dict]:
    """A row for each number of tests in `CHECKED` and each estimator: the estimate beside what is true.

    `truth`: accuracy on the pool's iD images, each by a classifier that did not learn it. `learned`: the same with the
    classifier's own word on what it learned; `test_accuracy`: on the benchmark's test set.
    """
    session, is_id_N = Session(pool, place, seed), pool.class_N < pool.n_classes
    for stage in session.stages():
        if len(session.tests["active"].left) in CHECKED:
            right_N = session.unlearned(stage) == pool.class_N
            classes_M = session.fit(session.answers_N, stage).probs(pool.test_MD)[:, :-1].argmax(1)
            true = {
                "test_every": place.test_every,
                "tests": len(session.tests["active"].left),
                "looks": session.looks,
                "truth": right_N[is_id_N].mean(),
                "learned": (session.class_N == pool.class_N)[is_id_N].mean(),
                "test_accuracy": (classes_M == pool.test_labels_M).mean(),
            }
            for name, found in estimates(session, right_N).items():
                yield {"seed": seed, **true, "estimator": name, **vars(found)}
            if true["tests"] == CHECKED[-1]:
                return


def estimates(session: Session, right_N: np.ndarray) -> dict[str, Estimate]:
    """The estimate from active tests, from uniform ones, and the naive one from the bought labels."""
    found = {}
    for kind in session.tests:
        answers, drawn, bought = session.answers(kind)
        found[kind] = estimate.accuracy(answers, right_N[drawn], right_N[bought])
    return {**found, "naive": estimate.naive(answers.is_id_L, right_N[bought])}


def stops(pool: Known, place: Place, seed: int) -> Iterator[dict]:
    """A row for each stage: what the rules of `stopping` look at, beside the accuracy that a stop there would leave.

    `stop`: whether our rule says so. `coming`: what 100 more looks bring by our estimate; `last`: what the last ones
    brought, and `last_true` the same trend of the true accuracies.
    """
    session, is_id_N = Session(pool, place, seed), pool.class_N < pool.n_classes
    unlearned, truth, looks, said = [], [], [], []
    for stage in session.stages():
        unlearned.append(session.unlearned(stage))
        truth.append((unlearned[-1] == pool.class_N)[is_id_N].mean())
        looks.append(session.looks)
        said.append(session.probs_NC.argmax(1))
        classes_M = session.fit(session.answers_N, stage).probs(pool.test_MD)[:, :-1].argmax(1)
        row = {"seed": seed, "stage": stage, "looks": session.looks, "truth": truth[-1]}
        row["test_accuracy"] = (classes_M == pool.test_labels_M).mean()
        row["uncertainty"] = stopping.uncertainty(session.probs_NC[session.answers_N == NOT_ASKED])
        if stage:
            row["kappa"] = stopping.kappa(said[-2], said[-1])
            answers, drawn, bought = session.answers("active")
            right_SN = np.stack(unlearned) == pool.class_N
            sample_RS = estimate.accuracies(answers, right_SN[:, drawn], right_SN[:, bought])[1]
            coming, last = stopping.coming_gain(looks, sample_RS), stopping.recent_gain(looks, sample_RS)
            true = stopping.recent_gain(looks, np.array([truth]))
            row["stop"] = int(stopping.should_stop(looks, sample_RS))
            if coming and last and true:
                row |= {"coming": coming.value, "coming_low": coming.low, "coming_high": coming.high}
                row |= {"last": last.value, "last_low": last.low, "last_high": last.high, "last_true": true.value}
        yield row


def coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """How good each estimator is, from rows of `checks`: index (test_every, tests, estimator).

    `covered`: share of runs whose 90 % interval holds the truth; `bias`, `error` (root mean square) and `width` of the
    interval in points of accuracy; `truth`, `test_accuracy` and `learned` are means; `runs`.
    """
    error = 100 * (rows["value"] - rows["truth"])
    made = rows.assign(
        covered=(rows["low"] <= rows["truth"]) & (rows["truth"] <= rows["high"]),
        bias=error,
        error=error**2,
        width=100 * (rows["high"] - rows["low"]),
        runs=1.0,
    )
    groups = made.groupby(["test_every", "tests", "estimator"], sort=True)
    found = groups[["covered", "bias", "error", "width", "truth", "test_accuracy", "learned", "looks"]].mean()
    return found.assign(error=found["error"] ** 0.5, runs=groups.size())


RULES = {  # at which stages each would stop, from rows of `stops` of one run in the order of stages
    "ours": lambda run: run["stop"] > 0,
    "kappa 0.99": lambda run: run["kappa"].rolling(3).mean() >= 0.99,
    "kappa 0.92": lambda run: run["kappa"].rolling(3).mean() >= 0.92,
    "uncertainty 0.65": lambda run: run["uncertainty"] < 0.65,
}  # 0.99 is its authors' bar; 0.92 and 0.65 were fitted to MixDigits, with seeds from 1000 on


def stopped(rows: pd.DataFrame) -> pd.DataFrame:
    """What each rule saves and what it leaves on the table, from rows of `stops`: index rule.

    `stopped`: share of runs in which it stops before the budget ends; `saved`: mean share of the looks that are saved;
    `left` and `left_most`: mean and greatest test accuracy, in points, by which the full budget ends higher; `runs`.
    """
    found = []
    for rule, says in RULES.items():
        for _, run in rows.sort_values("stage").groupby("seed"):
            at, last = run[says(run)], run.iloc[-1]
            stop = at.iloc[0] if len(at) else last
            left = 100 * (last["test_accuracy"] - stop["test_accuracy"])
            early = stop["stage"] < last["stage"]
            found.append({"rule": rule, "stopped": early, "saved": 1 - stop["looks"] / last["looks"], "left": left})
    groups = pd.DataFrame(found).groupby("rule", sort=False)
    return groups.mean().assign(left_most=groups["left"].max(), runs=groups.size())


RUNS = {"estimates": 200, "stopping": 20}
FIRST_SEED = 20  # seeds from 1000 on were looked at while choosing


def file_of(pool: str, kind: str, folder: Path | None = None) -> Path:
    """The committed table of one pool; `kind`: "estimates" (rows of `checks`) or "stopping" (of `stops`)."""
    folder = folder or paths.checkout("committed results") / "figures" / "results"
    return folder / f"labelling-{pool}-{kind}.csv"


def places(name: str, kind: str) -> list[Place]:
    """The sessions that are simulated for a table; the estimate also with one test in five, on the smallest pool."""
    place = PLACES[name]
    return [place, replace(place, test_every=5)] if (name, kind) == ("mixdigits", "estimates") else [place]


def make(name: str, kind: str, *, n_runs: int | None = None, folder: Path | None = None) -> Path:
    """Simulate sessions on the pool `name` and write their table."""
    of_run = {"estimates": checks, "stopping": stops}[kind]
    pool, seeds = known(PLACES[name]), range(FIRST_SEED, FIRST_SEED + (n_runs or RUNS[kind]))
    with threads(1):
        rows = [row for place in places(name, kind) for seed in seeds for row in of_run(pool, place, seed)]
    path = file_of(name, kind, folder)
    write(rows, path)
    return path


def write(rows: list[dict], path: Path) -> None:
    """Write rows as a table, numbers to five digits."""
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.5g", lineterminator="\n")


def read(kind: str, folder: Path | None = None) -> dict[str, pd.DataFrame]:
    """The committed tables of all pools by the pool's name; `kind` as in `file_of`."""
    return {name: pd.read_csv(file_of(name, kind, folder)) for name in PLACES}


def main(names: list[str]) -> None:
    """Write the tables of these pools, of all without a name."""
    for name in names or PLACES:
        for kind in RUNS:
            make(name, kind)


if __name__ == "__main__":
    main(sys.argv[1:])
