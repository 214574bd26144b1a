"""What the answers of a run cost, in the units of a named cost model: one run, billed in every way.

`recorded(cell)` reads the questions of a finished run, with what the learner said of each before it was answered, and
`bill(name, asked)` prices every answer. The study counts `looks`; the others say who would be cheap if answers were
paid for in another way.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from alkit import acquisition, learners
from alkit.benchmarks import AMBIGUOUS, ID, OOD, Benchmark
from alkit.experiment.cell import Cell, benchmark_of
from alkit.experiment.loop import folder, setting_of
from alkit.options import Range, check_name, check_value
from alkit.paths import runs_folder
from alkit.runtime import default_device
from alkit.store import StoreError


@dataclass(frozen=True)
class Asked:
    """The Q questions of one run, in the order in which they were asked.

    `index_Q`: pool positions. `kind_Q`: ID, AMBIGUOUS or OOD. `answer_Q`: 0..K-1, or K for "none of the classes".
    `probs_QC` (C = K + 1): the learner's probabilities when it had not learned the answer yet; NaN where there was no
    learner (the initial set). ValueError for other lengths, or stages that fall.
    """

    stage_Q: np.ndarray
    index_Q: np.ndarray
    kind_Q: np.ndarray
    answer_Q: np.ndarray
    probs_QC: np.ndarray

    def __post_init__(self):
        lengths = {name: len(part) for name, part in vars(self).items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"each array must have a row for each question, got {lengths}")
        if lengths["stage_Q"] and (np.diff(self.stage_Q) < 0).any():
            raise ValueError("questions must come in the order in which they were asked: stages must not fall")

    @property
    def n_answers(self) -> int:
        """C = K + 1, the answers there are: the classes, and "none of them"."""
        return self.probs_QC.shape[1]


def looks(asked: Asked) -> np.ndarray:
    """1 for each image that was shown, whatever the answer."""
    return np.ones(len(asked.stage_Q))


def typed(asked: Asked, *, clear: float = 2.0, ambiguous: float = 6.0, ood: float = 2.0) -> np.ndarray:
    """Seconds of an annotator who types the answer, by what the image is: clear (iD), ambiguous or OoD.

    The defaults are an assumption, not a measurement: an ambiguous image takes three times as long as the others.
    """
    seconds = np.array([clear, ambiguous, ood], float)
    for name, value in zip(("clear", "ambiguous", "ood"), seconds.tolist(), strict=True):
        check_value(value, Annotated[float, Range(0)], name)
    return seconds[np.searchsorted((ID, AMBIGUOUS, OOD), asked.kind_Q)]


def candidate_set(asked: Asked, *, miss: float = 0.1) -> np.ndarray:
    """Bits of an annotator who is shown `candidates` and picks one, or says that the answer is not among them.

    A set of k of the C answers costs log2(k + 1), and log2(C - k) more where the answer is not in it; all C cost
    log2(C). (Gwon et al. 2025, arXiv 2502.06209, with "none of the classes" as one more class.)
    """
    return bits(candidates(asked, miss=miss), asked.answer_Q)


def yes_no(asked: Asked) -> np.ndarray:
    """Bits of an annotator who is asked "is it this one?", of the likeliest answer: `candidate_set` with k = 1.

    1 for a yes, log2(K) more for a no. What was asked before there was a learner is typed in full: log2(K + 1).
    """
    likeliest_QC = np.arange(asked.n_answers) == asked.probs_QC.argmax(1)[:, None]
    return bits(likeliest_QC | np.isnan(asked.probs_QC), asked.answer_Q)


def bits(shown_QC: np.ndarray, answer_Q: np.ndarray) -> np.ndarray:
    """What it costs to pick each answer from the candidates that were shown with it; see `candidate_set`."""
    n_answers, k_Q = shown_QC.shape[1], shown_QC.sum(1)
    hit_Q = np.take_along_axis(shown_QC, answer_Q[:, None], 1)[:, 0]
    others_Q = np.log2(np.maximum(n_answers - k_Q, 1))  # to pick one of those that were not shown
    return np.log2(np.minimum(k_Q + 1, n_answers)) + np.where(hit_Q, 0, others_Q)


def candidates(asked: Asked, *, miss: float = 0.1) -> np.ndarray:
    """Which answers are shown with each question, bool (Q, C): conformal sets that leave the answer out with
    probability `miss` at most, if the questions of a stage are like those before it.

    An answer is shown where 1 - its probability is no more than the threshold of the questions of earlier stages
    (`threshold`); all are, where there was no learner, or too few such questions.
    """
    check_value(miss, Annotated[float, Range(0, 1)], "miss")
    shown_QC = np.ones(asked.probs_QC.shape, bool)
    known_Q = ~np.isnan(asked.probs_QC).any(1)
    score_Q = 1 - np.take_along_axis(asked.probs_QC, asked.answer_Q[:, None], 1)[:, 0]
    for stage in np.unique(asked.stage_Q[known_Q]):
        now_Q, before_Q = known_Q & (asked.stage_Q == stage), known_Q & (asked.stage_Q < stage)
        shown_QC[now_Q] = 1 - asked.probs_QC[now_Q] <= threshold(score_Q[before_Q], miss)
    return shown_QC


def threshold(score_M: np.ndarray, miss: float) -> float:
    """The split-conformal bar of M calibration scores: a new one like them exceeds it with probability `miss` at most.

    It is the ceil((M + 1)(1 - miss))-th smallest score, infinite where there is none (Vovk, Gammerman and Shafer 2005).
    """
    rank = int(np.ceil((len(score_M) + 1) * (1 - miss) - 1e-9))
    return float(np.sort(score_M)[max(rank, 1) - 1]) if rank <= len(score_M) else np.inf


@dataclass(frozen=True)
class CostModel:
    """A cost model: `price(asked, **options)` gives what each answer costs (Q,), in `unit`; `words` name it in text."""

    price: Callable[..., np.ndarray]
    unit: str
    words: str


COSTS = {
    "looks": CostModel(looks, "looks", "a look each"),
    "typed": CostModel(typed, "seconds", "typed, seconds by kind"),
    "candidate_set": CostModel(candidate_set, "bits", "picked from a candidate set"),
    "yes_no": CostModel(yes_no, "bits", "yes or no first"),
}


def bill(name: str, asked: Asked, **options: Any) -> np.ndarray:
    """What each answer of a run costs (Q,) under the cost model `name` of `COSTS`. ValueError for unknown ones."""
    check_name(name, COSTS, "cost model")
    for option in options:
        known = list(inspect.signature(COSTS[name].price).parameters)[1:]
        check_name(option, known, "option", of=f"cost model {name!r}")
    return COSTS[name].price(asked, **options)


def recorded(
    cell: Cell, *, root: Path | None = None, benchmark: Benchmark | None = None, with_probs: bool = True
) -> Asked:
    """The questions of the finished run of `cell` below `root`.

    What the learner said is found by fitting it again, stage by stage: a fit depends on its arguments alone, so it is
    what it was. That takes as long as the run; without `with_probs` all of it is NaN. StoreError where the run is not
    finished.
    """
    root, benchmark, device = Path(root or runs_folder()), benchmark or benchmark_of(cell), default_device()
    run = folder(cell, root, benchmark, device)
    if not run.done:
        raise StoreError(f"there is no finished run of {cell} below {root}; run it with alkit.experiment.finish(cell)")
    run.load()
    picks = run.read("picks.csv")
    stage_Q, index_Q, kind_Q = (np.array([int(pick[key]) for pick in picks]) for key in ("stage", "index", "kind"))
    k = benchmark.n_classes
    answer_Q = np.array([int(pick["label"]) if pick["label"] != "" else k for pick in picks])
    probs_QC = np.full((len(picks), k + 1), np.nan)
    if with_probs:
        setting = setting_of(cell, root=root, device=device, benchmark=benchmark)
        learner: Any = learners.get(cell.learner)(setting, **cell.learner_options)
        answers_N = np.full(len(benchmark.pool), acquisition.NOT_ASKED)
        for stage in range(1, stage_Q.max() + 1):
            before_Q, now_Q = stage_Q < stage, stage_Q == stage
            answers_N[index_Q[before_Q]] = answer_Q[before_Q]
            learner.fit(answers_N.copy(), stage - 1)
            probs_QC[now_Q] = learner.show().probs_NC[index_Q[now_Q]]
    return Asked(stage_Q, index_Q, kind_Q, answer_Q, probs_QC)
