"""How accurate the classifier is on the pool's iD images, from few answers to images drawn for that: active testing.

A strategy asks what is hard, so that the share of right predictions among bought labels says little of the pool. Here
some questions, the *tests*, are drawn at random from all that is unlabelled, likely errors more often (`proposal`), and
each answer counts by how many images it stands for (Kossen et al. 2021, arXiv 2103.05331; Farquhar et al. 2021, arXiv
2101.11665). What makes the estimate honest is up to the caller:

- An answer counts by a classifier that did not learn it (`out_of_fold`). The classifier's own word on what it has
  learned would say 1 to 4 points too much, and the images left over are easier than the pool.
- Tests are learned like all answers. A test that is kept from the classifier leaves a hole, which the strategy fills
  with others like it: the classifier then knows more about tests than about what was bought, and the estimate came out
  too high. Learned tests give estimates within half a point of the truth on MixDigits and MixMNIST, and 3 points above
  it on MixCIFAR60, where half of the images are told wrongly (figures/results/labelling-*.csv).

What is estimated is thus the accuracy on images of the pool that were not learned. All functions are of arrays, without
state.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from alkit import rng

UNIFORM = 0.3  # share of the tests that are drawn from all images alike: no image stands for more than 1 / 0.3 others
LEVEL = 0.9
REPLICATES = 2000
FOLDS = 10  # with 5, classifiers of four fifths of the answers make the estimate up to 1 point lower


@dataclass(frozen=True)
class Estimate:
    """A share, the ends of its interval, and the number of answers with a class that it rests on."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Answers:
    """What is known of the pool: M tests in the order in which they were drawn, and L bought labels in any order.

    `chance_M`: the probability with which a test was drawn; `left_M`: how many images it was drawn from. `is_id_M`,
    `is_id_L` bool: the answer was a class (a skipped question's was not). `before_L`: how many tests were drawn before
    the label was bought. ValueError where lengths or numbers do not fit.
    """

    chance_M: np.ndarray
    left_M: np.ndarray
    is_id_M: np.ndarray
    before_L: np.ndarray
    is_id_L: np.ndarray

    def __post_init__(self):
        for name, kind in (
            ("chance_M", float),
            ("left_M", int),
            ("before_L", int),
            ("is_id_M", bool),
            ("is_id_L", bool),
        ):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        m, n_bought = len(self.chance_M), len(self.before_L)
        if len(self.left_M) != m or len(self.is_id_M) != m or len(self.is_id_L) != n_bought:
            raise ValueError(
                f"chance, left and is_id of the tests must be of one length, got {m}, {len(self.left_M)} and "
                f"{len(self.is_id_M)}; before and is_id of the bought labels too, got {n_bought}, {len(self.is_id_L)}"
            )
        if m and not (self.chance_M.min() > 0 and self.chance_M.max() <= 1 + 1e-9):
            raise ValueError(f"chances must lie in (0, 1], got {self.chance_M.min()} to {self.chance_M.max()}")
        if m and (self.left_M.min() < 1 or (np.diff(self.left_M) >= 0).any()):
            raise ValueError("each test leaves fewer images to draw from: left_M must fall, and be at least 1")
        if n_bought and not (self.before_L.min() >= 0 and self.before_L.max() <= m):
            raise ValueError(f"before_L counts tests: it must lie in 0..{m}, got up to {self.before_L.max()}")


def expected_loss(probs_NC: np.ndarray) -> np.ndarray:
    """P(iD) x (1 - the largest iD probability, of those made to sum to 1), (N,): 0 for an image that is not iD.

    `probs_NC`: C = K + 1, the last column for what is not iD.
    """
    id_NK = probs_NC[:, :-1]
    return np.clip(id_NK.sum(1, dtype=np.float64) - id_NK.max(1), 0, None)


def chances(loss_C: np.ndarray, *, uniform: float = UNIFORM) -> np.ndarray:
    """The probabilities (C,) of being drawn as the next test, for candidates with these expected losses.

    (1 - u) loss / sum of losses + u / C: a share u is drawn from all alike, against classifiers that are sure and
    wrong. All are alike where no loss is expected. ValueError without candidates.
    """
    if not len(loss_C):
        raise ValueError("there is no candidate to draw a test from")
    total = loss_C.sum()
    return (
        (1 - uniform) * loss_C / total + uniform / len(loss_C) if total > 0 else np.full(len(loss_C), 1 / len(loss_C))
    )


def proposal(probs_NC: np.ndarray, candidates: np.ndarray, *, uniform: float = UNIFORM) -> np.ndarray:
    """The probabilities with which each of the `candidates` (pool positions) is to be drawn as the next test.

    See `expected_loss` and `chances`; `probs_NC` are the classifier's, of the whole pool.
    """
    return chances(expected_loss(probs_NC[candidates]), uniform=uniform)


def draw(chance_C: np.ndarray, stream: np.random.Generator) -> int:
    """The place, among the candidates, of the next test."""
    return int(stream.choice(len(chance_C), p=chance_C / chance_C.sum()))


def weights(answers: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many images of the pool each answer stands for: (drawn_M, known_M, known_L); a test's weight is the sum of
    its two, one for others that were not drawn and one for itself.

    Each test gives an estimate of a sum over the pool: what was known before it, and value / chance for the rest. Their
    mean has weights proportional to 1 / (left (left - 1)), which are LURE's (Farquhar et al. 2021) where the strategy
    takes no image away between two tests, and make all answers count alike where all are drawn alike.
    """
    left_M = answers.left_M.astype(np.float64)
    share_M = 1 / (left_M * np.maximum(left_M - 1, 1e-9))  # the last image of a pool settles it
    share_M /= share_M.sum()
    later = np.append(np.cumsum(share_M[::-1])[::-1], 0.0)  # of the tests from this one on
    return share_M * (1 / answers.chance_M - 1), later[:-1], later[answers.before_L]


def accuracies(
    answers: Answers, right_SM: np.ndarray, right_SL: np.ndarray, *, replicates: int = REPLICATES
) -> tuple[np.ndarray, np.ndarray]:
    """The estimated accuracy of S classifiers on the pool's iD images (S,), and `replicates` of them (R, S).

    `right_SM`, `right_SL` bool: whether a classifier says what was answered, of tests and of bought labels; by a
    classifier that did not learn that answer. Replicates come from the Bayesian bootstrap over tests (Rubin 1981) with
    one more of mean weight, a quarter each of it always right, always wrong, and turned right or wrong on the way. So
    a single classifier has Jeffreys' interval for a share where all tests are drawn alike, which covers well near
    100 %, and what no test shows can still have changed. All classifiers share a replicate's weights, so that their
    differences are paired. ValueError where no test has been answered.
    """
    m = len(answers.chance_M)
    if not m:
        raise ValueError("no test question has been answered: ask some, drawn by `proposal`")
    drawn_M, known_M, known_L = weights(answers)
    right_SM = np.asarray(right_SM, bool) & answers.is_id_M
    right_SL = np.asarray(right_SL, bool) & answers.is_id_L
    fixed_S, fixed = right_SM @ known_M + right_SL @ known_L, answers.is_id_M @ known_M + answers.is_id_L @ known_L
    stream = rng.numpy_stream(0, "replicates of an accuracy")
    lot_RM, prior_R4 = stream.standard_gamma(1.0, (replicates, m)), stream.standard_gamma(0.25, (replicates, 4))
    turned_RS = np.arange(len(right_SM)) >= stream.integers(1, max(2, len(right_SM)), replicates)[:, None]
    scale_R1 = m / lot_RM.sum(1, keepdims=True)
    prior_R4 *= scale_R1 * (drawn_M[answers.is_id_M] if answers.is_id_M.any() else drawn_M).mean()
    lot_RM *= scale_R1 * drawn_M
    sum_R1 = fixed + (lot_RM @ answers.is_id_M + prior_R4.sum(1))[:, None]
    prior_RS = prior_R4[:, :1] + np.where(turned_RS, prior_R4[:, 1:2], prior_R4[:, 2:3])
    value_RS = (fixed_S + lot_RM @ right_SM.T.astype(float) + prior_RS) / sum_R1
    n_id = fixed + answers.is_id_M @ drawn_M
    value_S = (fixed_S + right_SM @ drawn_M) / n_id if n_id > 0 else np.full(len(right_SM), 0.5)
    return value_S, value_RS


def accuracy(answers: Answers, right_M: np.ndarray, right_L: np.ndarray, *, level: float = LEVEL) -> Estimate | None:
    """The classifier's accuracy on the pool's iD images with its interval; None while no test has a class for answer.

    `right_M`, `right_L`: as in `accuracies`, of the classifier as it is now. n: tests that have a class for answer.
    """
    if not answers.is_id_M.any():
        return None
    (value,), sample_R1 = accuracies(answers, np.asarray(right_M)[None], np.asarray(right_L)[None])
    low, high = np.quantile(sample_R1[:, 0], [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(min(low, value)), float(max(high, value)), int(answers.is_id_M.sum()))


def naive(is_id_L: np.ndarray, right_L: np.ndarray, *, level: float = LEVEL) -> Estimate | None:
    """The share of right predictions among bought iD labels, with Wilson's interval, as if they were drawn at random.

    They were not: a strategy asks what is hard. It is shown to be compared with. None without an iD label.
    """
    right = np.asarray(right_L, bool)[np.asarray(is_id_L, bool)]
    if not len(right):
        return None
    n, value, z = len(right), float(right.mean()), float(norm.ppf((1 + level) / 2))
    centre, half = value + z**2 / (2 * n), z * np.sqrt(value * (1 - value) / n + z**2 / (4 * n**2))
    low, high = ((centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return Estimate(value, float(max(low, 0.0)), float(min(high, 1.0)), n)


def out_of_fold(
    classes_of: Callable[[np.ndarray], np.ndarray],
    answers_N: np.ndarray,
    n_classes: int,
    *,
    groups_N: np.ndarray | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> np.ndarray:
    """The class (N,) of each labelled image by a classifier that did not learn its answer; -1 for unlabelled images.

    `classes_of(answers_N)`: the predicted class of every image by a classifier of these answers (-1: not known). The
    labelled images are split into `folds`, each with its share of every answer; each costs a fit. Images of one number
    in `groups_N`, such as near duplicates, are in one fold. Without enough iD answers to learn from in a fold, its
    images have no class (-1), which counts as wrong.
    """
    rows, found_N = np.flatnonzero(answers_N >= 0), np.full(len(answers_N), -1)
    first_G, group_L = np.unique(rows if groups_N is None else groups_N[rows], return_index=True, return_inverse=True)[
        1:
    ]
    mixed_G = rng.numpy_stream(seed, "folds").permutation(len(first_G))
    place_G = np.empty(len(first_G), int)
    place_G[mixed_G[np.argsort(answers_N[rows[first_G[mixed_G]]], kind="stable")]] = np.arange(len(first_G)) % folds
    for fold in range(min(folds, len(first_G))):
        out, learned_N = rows[place_G[group_L] == fold], answers_N.copy()
        learned_N[out] = -1
        if ((learned_N >= 0) & (learned_N < n_classes)).any():
            found_N[out] = classes_of(learned_N)[out]
    return found_N
