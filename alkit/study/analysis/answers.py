"""Tables behind notebook 9: other bills, annotators who err, few tests, self-labelling.

    python -m alkit.study.analysis.answers              # all of them into figures/results
    python -m alkit.study.analysis.answers bills crowd  # some of them

Everything is on the features of `probe` (MixDigits, `laptop`), which are trained or read from the runs' cache; only
regressions are fitted. `bills` reads finished runs and makes those that are missing.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.preprocessing import normalize

from alkit import __version__, acquisition, paths, rng
from alkit.acquisition import NOT_ASKED, View
from alkit.benchmarks import Benchmark
from alkit.experiment import Cell, benchmark_of, costs, crowd, finish, initial_answers
from alkit.experiment.costs import COSTS
from alkit.labelling import estimate
from alkit.options import check_name
from alkit.runtime import threads
from alkit.study.analysis.fixed_features import Classifier, Features, features_of

STRATEGIES = (
    "random", "margin", "entropy", "badge", "coreset", "typiclust", "distance_cl", "poal", "cautious_coverage",
)  # fmt: skip
SEEDS = range(20, 31)  # seeds from 1000 on were looked at while choosing


def bills(cell: Cell, *, root: Path | None = None) -> Iterator[dict]:
    """A row for each stage of a run: what it had paid under every cost model of `COSTS`, beside its accuracy.

    `covered` and `candidates`: of the questions of that stage that were asked with a calibrated candidate set, the
    share whose answer was in it and the mean size; NaN where there were none.
    """
    records, asked = finish(cell, root=root), costs.recorded(cell, root=root)
    paid = {name: costs.bill(name, asked).cumsum() for name in COSTS}
    shown_QC = costs.candidates(asked)
    hit_Q = np.take_along_axis(shown_QC, asked.answer_Q[:, None], 1)[:, 0]
    for record in records:
        own_Q = asked.stage_Q == record["stage"]
        set_Q = own_Q & (asked.stage_Q > 1)
        counts = {name: record[name] for name in ("stage", "n_id", "n_ambiguous", "n_ood", "accuracy")}
        found = {"covered": hit_Q[set_Q].mean(), "candidates": shown_QC[set_Q].sum(1).mean()} if set_Q.any() else {}
        last = np.flatnonzero(own_Q)[-1]
        yield {"strategy": cell.strategy, **counts, **{name: price_Q[last] for name, price_Q in paid.items()}, **found}


ERRORS_J = np.array([0.05, 0.1, 0.15, 0.25, 0.45])  # shares that five annotators get wrong: one in five in the mean
LEVELS = (1, 2)  # and twice as many
FIRST, BATCH, ANSWERS = 60, 20, 400  # answers to random images first, then between two fits, and in all
WAYS = ("one answer", "two that agree", "majority of 3", "Dawid-Skene of 3", "ActiveLab", "no errors")


@dataclass
class Spending:
    """A simulation of one way to spend answers: `rows` runs it. `way`: one of `WAYS`."""

    pool: Features
    people: crowd.Crowd
    way: str
    seed: int
    c: float

    def rows(self) -> Iterator[dict]:
        """A row whenever the classifier is fitted: answers paid for, images answered, errors left, test accuracy."""
        new = iter(rng.numpy_stream(self.seed, "initial").permutation(len(self.pool.true_N)).tolist())
        stage = 0
        while True:
            until = FIRST + BATCH * stage
            if self.way == "ActiveLab" and stage:
                self._ask_lowest(until)
            else:
                while self.people.cost < until:
                    self._ask(next(new))
            label_N = self.labels()
            fit = Classifier(self.pool, label_N, self.seed, stage, self.c)
            self.probs_NC, known_N = fit.probs(self.pool.unit_ND), label_N >= 0
            yield {
                "answers": self.people.cost,
                "images": int(known_N.sum()),
                "wrong": (label_N != self.pool.true_N)[known_N].mean(),
                "accuracy": fit.accuracy(self.pool),
            }
            if self.people.cost >= ANSWERS:
                return
            stage += 1
            stream = rng.numpy_stream(self.seed, "strategy", stage)
            k = self.pool.n_classes
            view = View(self.pool.unit_ND, self.probs_NC, label_N, k, BATCH, stream, live_N=label_N)
            new = acquisition.order("margin", view)

    def _ask(self, index: int) -> None:
        """As many answers for a new image as this way wants."""
        said = [self.people.ask(index)]
        if "of 3" in self.way:
            said += [self.people.ask(index), self.people.ask(index)]
        while self.way == "two that agree" and len(said) == len(set(said)) < self.people.said_NJ.shape[1]:
            said.append(self.people.ask(index))

    def _ask_lowest(self, until: int) -> None:
        """One more answer for each of the images, answered or new, of the lowest ActiveLab scores.

        As for every strategy, new images that the auxiliary class claims come last.
        """
        answers_NJ = self.people.answers_NJ
        score_N = crowd.activelab(answers_NJ, self.unlearned)
        score_N[(answers_NJ < 0).all(1) & (self.unlearned.argmax(1) == self.pool.n_classes)] += 1
        score_N[(answers_NJ >= 0).all(1)] = np.inf
        for index in np.argsort(score_N, kind="stable")[: until - self.people.cost]:
            self.people.ask(int(index))

    def labels(self) -> np.ndarray:
        """What is taken for the answer of each image, -1 without one."""
        answers_NJ, n_answers = self.people.answers_NJ, self.pool.n_classes + 1
        if self.way == "Dawid-Skene of 3":
            return crowd.consensus(crowd.dawid_skene(answers_NJ, n_answers)[0])
        label_N = crowd.consensus(crowd.majority(answers_NJ, n_answers))
        if self.way != "ActiveLab":
            return label_N
        self.unlearned = unlearned(self.pool, label_N, self.seed, self.c)
        return np.where(label_N < 0, -1, crowd.crowdlab(answers_NJ, self.unlearned)[0].argmax(1))


def unlearned(pool: Features, label_N: np.ndarray, seed: int, c: float, *, folds: int = 5) -> np.ndarray:
    """Class probabilities (N, C): of a labelled image, by the classifier of the other folds."""
    rows = np.flatnonzero(label_N >= 0)
    fold_L = np.argsort(np.argsort(label_N[rows], kind="stable")) % folds
    probs_NC = Classifier(pool, label_N, seed, 0, c).probs(pool.unit_ND)
    for fold in range(folds):
        others_N = label_N.copy()
        others_N[rows[fold_L == fold]] = NOT_ASKED
        probs_NC[rows[fold_L == fold]] = Classifier(pool, others_N, seed, 0, c).probs(
            pool.unit_ND[rows[fold_L == fold]]
        )
    return probs_NC


def spending(pool: Features, benchmark: Benchmark, seed: int, c: float) -> Iterator[dict]:
    """Rows of `Spending.rows` for both kinds of errors, each of `LEVELS` (`share`: the mean of it), and every way."""
    true_NJ = np.repeat(pool.true_N[:, None], len(ERRORS_J), 1)
    for errors, level in product(("symmetric", "votes"), LEVELS):
        said_NJ = crowd.answers_of(benchmark, level * ERRORS_J, errors=errors, seed=seed)
        for way in WAYS:
            people = crowd.Crowd(true_NJ if way == "no errors" else said_NJ, seed=seed)
            for row in Spending(pool, people, way, seed, c).rows():
                yield {"errors": errors, "share": level * ERRORS_J.mean(), "way": way, **row}


TESTED = (5, 10, 20, 40, 80)  # test questions after which the accuracy is estimated, or a classifier chosen
REPEATS = 40  # draws of tests for each seed


@dataclass(frozen=True)
class Tests:
    """Tests in the order in which they were drawn: `place_M` among the F images that may be drawn, `chance_M`, and how
    many images were left, `left_M`."""

    place_M: np.ndarray
    chance_M: np.ndarray
    left_M: np.ndarray

    def accuracies(self, m: int, is_id_F: np.ndarray, right_SF: np.ndarray) -> np.ndarray:
        """The accuracies (S,) of S classifiers, estimated from the first `m` tests."""
        place_M = self.place_M[:m]
        answers = estimate.Answers(self.chance_M[:m], self.left_M[:m], is_id_F[place_M], np.array([]), np.array([]))
        none = np.zeros((len(right_SF), 0), bool)
        return estimate.accuracies(answers, right_SF[:, place_M], none, replicates=1)[0]


def drawn(value_F: np.ndarray, count: int, stream: np.random.Generator) -> Tests:
    """`count` tests, drawn by `estimate.chances` of these values from what is left."""
    left, places, chances = np.arange(len(value_F)), [], []
    for _ in range(count):
        chance_C = estimate.chances(value_F[left])
        place = estimate.draw(chance_C, stream)
        places.append(left[place])
        chances.append(chance_C[place])
        left = np.delete(left, place)
    return Tests(np.array(places), np.array(chances), len(value_F) - np.arange(count))


def testing(pool: Features, probs_NC: np.ndarray, answers_N: np.ndarray, seed: int) -> Iterator[dict]:
    """A row for each way to draw tests, repeat and number of tests: estimated and true accuracy of one classifier.

    Tests are drawn alike, or where this classifier's errors are likely, from what it did not learn; the true accuracy
    is on the iD images among these.
    """
    free = np.flatnonzero(answers_N < 0)
    is_id_F, right_1F = pool.true_N[free] < pool.n_classes, (probs_NC[free, :-1].argmax(1) == pool.true_N[free])[None]
    true = right_1F[0, is_id_F].mean()
    for draw, value_F in (("alike", np.zeros(len(free))), ("errors", estimate.expected_loss(probs_NC[free]))):
        for repeat in range(REPEATS):
            tests = drawn(value_F, max(TESTED), rng.numpy_stream(seed, f"one {draw}", repeat))
            for m in TESTED:
                (value,) = tests.accuracies(m, is_id_F, right_1F)
                yield {"draw": draw, "repeat": repeat, "tests": m, "value": value, "true": true}


CLASSIFIERS = [(features, c) for features in ("encoder", "projected", "pixels") for c in (0.1, 1.0, 10.0)]


def classifiers(cell: Cell, pool: Features, answers_N: np.ndarray) -> np.ndarray:
    """Class probabilities (S, N, C) of the classifiers of `CLASSIFIERS`, all fitted to these answers."""
    benchmark, found = benchmark_of(cell), []
    for features, c in CLASSIFIERS:
        if features == "pixels":
            pixels = benchmark.pool.images_NCHW.reshape(len(pool.true_N), -1)
            own = replace(pool, unit_ND=normalize(pixels.astype(np.float32)))
        elif features == "encoder":
            own = pool
        else:
            other = replace(cell, learner_options={"features": features})
            own = features_of(other)
        found.append(Classifier(own, answers_N, cell.seed, 0, c).probs(own.unit_ND))
    return np.stack(found)


def draws(probs_SNC: np.ndarray) -> dict[str, np.ndarray]:
    """What tests are drawn by, (N,) each: alike, where errors are likely, or where the classifiers differ.

    "errors": the mean of `estimate.expected_loss`. "differences": the share of pairs of classifiers that name different
    classes, times P(iD).
    """
    class_SN = probs_SNC[:, :, :-1].argmax(2)
    differ = [class_SN[a] != class_SN[b] for a, b in combinations(range(len(class_SN)), 2)]
    loss_N = np.mean([estimate.expected_loss(probs_NC) for probs_NC in probs_SNC], axis=0)
    id_N = probs_SNC[:, :, :-1].sum(2).mean(0)
    return {"alike": np.zeros(len(loss_N)), "errors": loss_N, "differences": np.mean(differ, axis=0) * id_N}


def choosing(pool: Features, probs_SNC: np.ndarray, answers_N: np.ndarray, seed: int) -> Iterator[dict]:
    """A row for each way to draw tests, repeat and number of tests: accuracy of the classifier that was chosen.

    `best`, `mean`: of all, on the iD images that were not learned.
    """
    free = np.flatnonzero(answers_N < 0)
    is_id_F = pool.true_N[free] < pool.n_classes
    right_SF = probs_SNC[:, free, :-1].argmax(2) == pool.true_N[free]
    true_S = right_SF[:, is_id_F].mean(1)
    for draw, value_N in draws(probs_SNC).items():
        for repeat in range(REPEATS):
            tests = drawn(value_N[free], max(TESTED), rng.numpy_stream(seed, f"several {draw}", repeat))
            for m in TESTED:
                chosen = true_S[tests.accuracies(m, is_id_F, right_SF).argmax()]
                numbers = {"chosen": chosen, "best": true_S.max(), "mean": true_S.mean()}
                yield {"draw": draw, "repeat": repeat, "tests": m, **numbers}


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the unlabelled images, the surest first; one a round


def pseudo_labelled(
    probs_NC: np.ndarray, answers_N: np.ndarray, may_N: np.ndarray, share: float, *, per_class: bool
) -> np.ndarray:
    """`answers_N` with a class for some unlabelled images of `may_N` (bool): those that are surest of one.

    `share`: of the unlabelled images; with `per_class`, of the images that each class is the likeliest answer of. None
    for an image that is likeliest to be none of the classes.
    """
    n_classes = probs_NC.shape[1] - 1
    free = np.flatnonzero((answers_N < 0) & may_N)
    class_F, sure_F, learned_N = probs_NC[free].argmax(1), probs_NC[free].max(1), answers_N.copy()
    for classes in np.split(np.arange(n_classes), n_classes if per_class else 1):
        own = np.flatnonzero(np.isin(class_F, classes))
        count = round(share * (len(own) if per_class else len(free)))
        taken = own[np.argsort(-sure_F[own], kind="stable")[:count]]
        learned_N[free[taken]] = class_F[taken]
    return learned_N


CHOICES = {"of each class": True, "of all": False}  # of whom the surest get pseudo-labels: `per_class`


def self_labelling(pool: Features, answers_N: np.ndarray, seed: int, stage: int, c: float) -> Iterator[dict]:
    """Curriculum labelling (Cascante-Bonilla et al. 2021): pseudo-labels for more and more of the unlabelled images.

    In each round the classifier of the round before gives pseudo-labels (`pseudo_labelled`), and a new one learns them
    and the answers; only regressions are trained. A row for each round, each of `CHOICES` and two pools: "with junk",
    the pool as it is, and "iD alone", without its unlabelled junk. `accuracy`: on the test set; `junk`, `wrong`: share
    of the pseudo-labels whose image is not iD, or is of another class.
    """
    pools = {"with junk": np.ones(len(answers_N), bool), "iD alone": pool.true_N < pool.n_classes}
    for (name, may_N), (choice, per_class) in product(pools.items(), CHOICES.items()):
        fit = Classifier(pool, answers_N, seed, stage, c)
        for share in SHARES:
            learned_N = pseudo_labelled(fit.probs(pool.unit_ND), answers_N, may_N, share, per_class=per_class)
            fit = Classifier(pool, learned_N, seed, stage, c)
            true_P, said_P = (part[(answers_N < 0) & (learned_N >= 0)] for part in (pool.true_N, learned_N))
            junk_P, n = true_P == pool.n_classes, len(true_P)
            yield {
                "pool": name,
                "choice": choice,
                "share": share,
                "pseudo": n,
                "junk": junk_P.sum() / max(n, 1),
                "wrong": (~junk_P & (true_P != said_P)).sum() / max(n, 1),
                "accuracy": fit.accuracy(pool),
            }


def answers_at(asked: costs.Asked, stage: int, n_images: int) -> np.ndarray:
    """The answers (`n_images`,) of a recorded run at the end of a stage; -1 where not asked."""
    answers_N, own_Q = np.full(n_images, NOT_ASKED), asked.stage_Q <= stage
    answers_N[asked.index_Q[own_Q]] = asked.answer_Q[own_Q]
    return answers_N


def rows_of(kind: str, benchmark: str, profile: str, seed: int) -> Iterator[dict]:
    """The rows of one seed for a table; `kind`: one of `KINDS`."""
    cells = [Cell(benchmark, profile, "probe", strategy, seed) for strategy in STRATEGIES]
    if kind == "bills":
        for cell in cells:
            yield from bills(cell)
        return
    first = cells[0]
    pool, c = features_of(first), first.recipe.probe_c
    if kind == "crowd":
        yield from spending(pool, benchmark_of(first), seed, c)
    elif kind == "testing":
        answers_N = initial_answers(first)
        probs_NC = Classifier(pool, answers_N, seed, 0, c).probs(pool.unit_ND)
        yield from testing(pool, probs_NC, answers_N, seed)
    elif kind == "choosing":
        answers_N = initial_answers(first)
        yield from choosing(pool, classifiers(first, pool, answers_N), answers_N, seed)
    else:
        for cell in cells:
            last = finish(cell)[-1]["stage"]
            asked = costs.recorded(cell, with_probs=False)
            for stage in (0, last) if cell is first else (last,):
                answers_N = answers_at(asked, stage, len(pool.true_N))
                strategy = cell.strategy if stage else "first labels"
                for row in self_labelling(pool, answers_N, seed, stage, c):
                    yield {"strategy": strategy, **row}


KINDS = ("bills", "crowd", "testing", "choosing", "self_labelling")


def file_of(kind: str, folder: Path | None = None) -> Path:
    """The committed table of that kind; ValueError for none of `KINDS`."""
    check_name(kind, KINDS, "table")
    return (folder or paths.checkout("committed results") / "figures" / "results") / f"answers-{kind}.csv"


def make(
    kind: str,
    *,
    benchmark: str = "mixdigits",
    profile: str = "laptop",
    seeds: Iterable[int] = SEEDS,
    folder: Path | None = None,
) -> Path:
    """Simulate all seeds and write the table, each row with how it was made: benchmark, profile, seed, version."""
    path = file_of(kind, folder)
    made = {"benchmark": benchmark, "profile": profile, "version": __version__}
    with threads(1):
        rows = [{**made, "seed": seed, **row} for seed in seeds for row in rows_of(kind, benchmark, profile, seed)]
    table = pd.DataFrame(rows)
    table.to_csv(path, index=False, float_format="%.5g", lineterminator="\n")
    return path


def read(kind: str, folder: Path | None = None) -> pd.DataFrame:
    """The committed table of that kind."""
    return pd.read_csv(file_of(kind, folder))


RATIOS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)  # times that an ambiguous image takes as long as another


def paid_until(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """What each run of `bills` had paid when its accuracy first was `target` (%) or more; infinite where it never was.

    Index (strategy, seed); columns: the cost models of `COSTS`, and for each of `RATIOS` what typing costs if an
    ambiguous image takes so many times as long as another ("ambiguous x 3").
    """
    ratios = {
        f"ambiguous x {ratio:g}": table["n_id"] + table["n_ood"] + ratio * table["n_ambiguous"] for ratio in RATIOS
    }
    priced = table.assign(**ratios).sort_values("stage")
    run, columns = ["strategy", "seed"], [*COSTS, *ratios]
    there = priced[100 * priced["accuracy"] >= target].groupby(run)[columns].first()
    every = pd.MultiIndex.from_frame(priced[run].drop_duplicates())
    return there.reindex(every).fillna(np.inf).sort_index()


def relative_bills(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """Median over seeds of `paid_until`, over that of random: index strategy, cheapest in looks first.

    Infinite where half of the runs never reached the target. ValueError where random's did not.
    """
    median = paid_until(table, target).groupby("strategy").median()
    if not np.isfinite(median.loc["random"]).all():
        raise ValueError(f"half of random's runs did not reach {target:g} %: take a lower target")
    return (median / median.loc["random"]).sort_values("looks")


def main(kinds: list[str]) -> None:
    """Write the tables of these kinds, all without one."""
    for kind in kinds or KINDS:
        file_of(kind)  # a wrong name ends here, before anything is computed
    for kind in kinds or KINDS:
        make(kind)


if __name__ == "__main__":
    main(sys.argv[1:])
