"""Whether the estimate and the stopping sentence of a labelling session are honest: sessions simulated on benchmarks.

    python -m alkit.study.analysis.labelling [mixdigits] [mixmnist] [mixcifar60] [--only estimates|stopping]

writes the committed tables figures/results/labelling-*.csv. A simulated session asks what the strategy says, and one
question in ten is a test, as in `labelling.Session`. Each run of a seed is kept in the folder of runs when it is done:
started again, the command goes on. Seconds of one core for a session: estimates by `margin` 0.9 (MixDigits), 1
(MixMNIST) and 1.7 (MixCIFAR60), by `cautious_coverage` 5, 15 and 6; stopping 5, 6 and 10; loading MixCIFAR60: 20.
Features that are not in the runs' cache come on top: contrastive training on MixMNIST, a network over MixCIFAR60.
Committed are as many sessions as `runs` of `coverage` and `stopped` say; the command makes those of `RUNS`.
"""

import argparse
import itertools
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from tqdm import tqdm

from alkit import __version__, acquisition, learners, paths, rng
from alkit.acquisition import NOT_ASKED, View
from alkit.benchmarks import ID
from alkit.experiment import Cell
from alkit.experiment.cell import benchmark_of
from alkit.experiment.loop import setting_of
from alkit.labelling import estimate, stopping
from alkit.labelling.estimate import Answers, Estimate
from alkit.runtime import default_device, resident, threads
from alkit.store import sha256, writable

DEFAULT, KNOWN = (
    "cautious_coverage",
    "margin",
)  # what a session asks by where nothing is said, and a strategy to compare
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
    "mixdigits": Place(Cell("mixdigits", "laptop", "probe", DEFAULT, 20), 60, 20, 30),
    "mixmnist": Place(Cell("mixmnist", "laptop", "probe", DEFAULT, 20), 60, 20, 30, part=10),
    "mixcifar60": Place(
        Cell("mixcifar60-house_numbers-scenes", "paper", "pretrained", DEFAULT, 20), 300, 100, 12, part=5
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
    """The regression of a session, on all answers, stopped early."""

    def __init__(self, pool: Known, answers_N: np.ndarray, c: float):
        rows = np.flatnonzero(answers_N != NOT_ASKED)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            self.solver = LogisticRegression(C=c, tol=TOLERANCE).fit(pool.unit_ND[rows], answers_N[rows])
        self.n_outputs = pool.n_classes + 1

    def probs(self, unit_ND: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K + 1), float32."""
        probs_NC = np.zeros((len(unit_ND), self.n_outputs), np.float32)
        probs_NC[:, self.solver.classes_] = self.solver.predict_proba(unit_ND)
        return probs_NC


class Session:
    """One simulated session; `stages` runs it. Tests: `positions`, in the order drawn, with `chances` and `left`."""

    def __init__(self, pool: Known, place: Place, seed: int):
        self.pool, self.place, self.seed = pool, place, seed
        self.answers_N = np.full(len(pool.class_N), NOT_ASKED)
        first = rng.numpy_stream(seed, "initial").permutation(len(self.answers_N))[: place.first]
        self.answers_N[first] = pool.class_N[first]
        self.before_N = np.zeros(len(self.answers_N), int)  # tests that were drawn before a label was bought
        self.positions: list[int] = []
        self.chances: list[float] = []
        self.left: list[int] = []
        self.stream = rng.numpy_stream(seed, "tests")

    @property
    def looks(self) -> int:
        """Answers so far, those to tests among them."""
        return int((self.answers_N != NOT_ASKED).sum())

    def stages(self) -> Iterator[int]:
        """The number of each stage, once its classifier is there and before its questions are asked."""
        for stage in range(self.place.stages + 1):
            self.classifier = self.fit(self.answers_N)
            self.probs_NC = self.classifier.probs(self.pool.unit_ND)
            self.class_N = self.probs_NC[:, :-1].argmax(1)
            yield stage
            if stage < self.place.stages:
                self._ask(stage)

    def fit(self, answers_N: np.ndarray) -> Classifier:
        """A classifier of these answers."""
        return Classifier(self.pool, answers_N, self.place.cell.recipe.probe_c)

    def _ask(self, stage: int) -> None:
        stream = rng.numpy_stream(self.seed, "strategy", stage)
        view = View(
            self.pool.unit_ND, self.probs_NC, self.answers_N.copy(), self.pool.n_classes, self.place.looks, stream,
            live_N=self.answers_N, candidates_N=self.answers_N == NOT_ASKED,
        )  # fmt: skip
        order, loss_N = acquisition.order(self.place.cell.strategy, view), estimate.expected_loss(self.probs_NC)
        for number in range(1, self.place.looks + 1):
            if number % self.place.test_every == 0:
                position = self._draw(loss_N)
            else:
                position = next(one for one in order if self.answers_N[one] == NOT_ASKED)
                self.before_N[position] = len(self.left)
            self.answers_N[position] = self.pool.class_N[position]

    def _draw(self, loss_N: np.ndarray) -> int:
        """A test, drawn from all that has no answer."""
        candidates = np.flatnonzero(self.answers_N == NOT_ASKED)
        chance_C = estimate.chances(loss_N[candidates])
        place = estimate.draw(chance_C, self.stream)
        self.positions.append(int(candidates[place]))
        self.chances.append(float(chance_C[place]))
        self.left.append(len(candidates))
        return self.positions[-1]

    def unlearned(self) -> np.ndarray:
        """The class (N,) of each image by a classifier that did not learn it."""

        def classes_of(answers_N: np.ndarray) -> np.ndarray:
            found_N = np.full(len(answers_N), -1)
            out = np.flatnonzero((self.answers_N != NOT_ASKED) & (answers_N == NOT_ASKED))
            found_N[out] = self.fit(answers_N).probs(self.pool.unit_ND[out])[:, :-1].argmax(1)
            return found_N

        found_N = estimate.out_of_fold(classes_of, self.answers_N, self.pool.n_classes, seed=self.seed)
        return np.where(self.answers_N == NOT_ASKED, self.class_N, found_N)

    def evidence(self) -> tuple[Answers, np.ndarray, np.ndarray]:
        """What tests and bought labels tell, and the positions of both."""
        positions, k = np.array(self.positions, int), self.pool.n_classes
        bought = np.setdiff1d(np.flatnonzero(self.answers_N != NOT_ASKED), positions)
        is_id_M, is_id_L = self.pool.class_N[positions] < k, self.pool.class_N[bought] < k
        return Answers(self.chances, self.left, is_id_M, self.before_N[bought], is_id_L), positions, bought

    def test_accuracy(self) -> float:
        """The classifier's accuracy on the benchmark's test set."""
        classes_M = self.classifier.probs(self.pool.test_MD)[:, :-1].argmax(1)
        return float((classes_M == self.pool.test_labels_M).mean())


def checks(pool: Known, place: Place, seed: int) -> Iterator[dict]:
    """A row for each number of tests in `CHECKED` and each estimator: the estimate beside what is true.

    `truth`: accuracy on the pool's iD images, each by a classifier that did not learn it. `learned`: the same with the
    classifier's own word on what it learned; `test_accuracy`: on the benchmark's test set.
    """
    session, is_id_N = Session(pool, place, seed), pool.class_N < pool.n_classes
    for _ in session.stages():
        if len(session.left) in CHECKED:
            right_N = session.unlearned() == pool.class_N
            true = {
                "strategy": place.cell.strategy,
                "test_every": place.test_every,
                "tests": len(session.left),
                "looks": session.looks,
                "truth": right_N[is_id_N].mean(),
                "learned": (session.class_N == pool.class_N)[is_id_N].mean(),
                "test_accuracy": session.test_accuracy(),
            }
            for name, found in estimates(session, right_N).items():
                yield {"seed": seed, **true, "estimator": name, **vars(found)}
            if true["tests"] == CHECKED[-1]:
                return


def estimates(session: Session, right_N: np.ndarray) -> dict[str, Estimate]:
    """The estimate from tests, and the naive one from the bought labels. A test without a class tells of none."""
    answers, drawn, bought = session.evidence()
    found = estimate.accuracy(answers, right_N[drawn], right_N[bought])
    naive = estimate.naive(answers.is_id_L, right_N[bought])
    return {name: one for name, one in (("active", found), ("naive", naive)) if one is not None}


def stops(pool: Known, place: Place, seed: int) -> Iterator[dict]:
    """A row for each stage: what the rules of `stopping` look at, beside the accuracy that a stop there would leave.

    `stop`: whether our rule says so. `coming`: what 100 more looks bring by our estimate; `last`: what the last ones
    brought, and `last_true` the same trend of the true accuracies.
    """
    session, is_id_N = Session(pool, place, seed), pool.class_N < pool.n_classes
    unlearned, truth, looks, said = [], [], [], []
    for stage in session.stages():
        unlearned.append(session.unlearned())
        truth.append((unlearned[-1] == pool.class_N)[is_id_N].mean())
        looks.append(session.looks)
        said.append(session.probs_NC.argmax(1))
        row = {"seed": seed, "strategy": place.cell.strategy, "stage": stage, "looks": session.looks}
        row |= {"truth": truth[-1], "test_accuracy": session.test_accuracy()}
        row["uncertainty"] = stopping.uncertainty(session.probs_NC[session.answers_N == NOT_ASKED])
        if stage:
            row["kappa"] = stopping.kappa(said[-2], said[-1])
            answers, drawn, bought = session.evidence()
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
    """How good each estimator is, from rows of `checks`: index (strategy, tests, estimator).

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
    groups = made.groupby(["strategy", "tests", "estimator"], sort=True)
    found = groups[["covered", "bias", "error", "width", "truth", "test_accuracy", "learned", "looks"]].mean()
    return found.assign(error=found["error"] ** 0.5, runs=groups.size())


RULES = {  # at which stages each would stop, from rows of `stops` of one run in the order of stages
    "ours": lambda run: run["stop"] > 0,
    "kappa 0.99": lambda run: run["kappa"].rolling(3).mean() >= 0.99,
    "kappa 0.97": lambda run: run["kappa"].rolling(3).mean() >= 0.97,
    "uncertainty 0.45": lambda run: run["uncertainty"] < 0.45,
}  # 0.99 is its authors' bar; 0.97 and 0.45 were fitted to MixDigits, with seeds from 1000 on


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


RUNS = {  # by kind of table and strategy
    "estimates": {DEFAULT: 50, KNOWN: 400},
    "stopping": {KNOWN: 10},
}
FIRST_SEED = 20  # seeds from 1000 on were looked at while choosing


def file_of(pool: str, kind: str, folder: Path | None = None) -> Path:
    """The committed table of one pool; `kind`: "estimates" (rows of `checks`) or "stopping" (of `stops`)."""
    folder = folder or paths.checkout("committed results") / "figures" / "results"
    return folder / f"labelling-{pool}-{kind}.csv"


def make(name: str, kind: str, *, runs: dict[str, int] | None = None, folder: Path | None = None) -> Path:
    """Simulate sessions on the pool `name` and write their table; those that were simulated before are not again.

    `runs`: how many by each strategy, where not as in `RUNS`. Each is kept, as a line, in the folder of runs.
    """
    of_run = {"estimates": checks, "stopping": stops}[kind]
    pool, found = None, []
    for strategy, count in (runs or RUNS[kind]).items():
        place = replace(PLACES[name], cell=replace(PLACES[name].cell, strategy=strategy))
        about = sha256(f"{__version__} {place} {kind} {CHECKED}".encode())[:12]
        kept = writable(paths.runs_folder() / "labelling") / f"{name}-{strategy}-{kind}-{about}.jsonl"
        known_runs = _kept_runs(kept)
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            if seed not in known_runs:
                pool = pool or known(place)
                with threads(1):
                    known_runs[seed] = json.loads(json.dumps(list(of_run(pool, place, seed)), default=float))
                with open(kept, "a") as file:
                    file.write(json.dumps([seed, known_runs[seed]]) + "\n")
            found += known_runs[seed]
    path = file_of(name, kind, folder)
    pd.DataFrame(found).to_csv(path, index=False, float_format="%.5g", lineterminator="\n")
    return path


def _kept_runs(path: Path) -> dict[int, list[dict]]:
    """The rows of each run that is kept, by seed; a last line that a kill left half-written is cut off."""
    if not path.exists():
        return {}
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole)
    return dict(json.loads(line) for line in whole.splitlines())


def read(kind: str, folder: Path | None = None) -> dict[str, pd.DataFrame]:
    """The committed tables of all pools by the pool's name; `kind` as in `file_of`."""
    return {name: pd.read_csv(file_of(name, kind, folder)) for name in PLACES}


def main() -> None:
    """Write the tables of the pools named on the command line, of all without a name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pools", nargs="*", metavar="pool", help=f"of {', '.join(PLACES)}; all where none is named")
    parser.add_argument("--only", choices=RUNS, help="one kind of table")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.pools) - set(PLACES)):
        parser.error(f"unknown pool {', '.join(unknown)}; name some of {', '.join(PLACES)}")
    kinds, names = [arguments.only] if arguments.only else RUNS, arguments.pools or PLACES
    for kind, name in tqdm([*itertools.product(kinds, names)], unit="table"):
        make(name, kind)


if __name__ == "__main__":
    main()
