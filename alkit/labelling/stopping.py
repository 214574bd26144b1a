"""Whether going on is worth it: what the last answers brought, in a sentence, and rules for when to stop.

Our rule reads the estimated learning curve (`estimate.accuracies` of all stages' classifiers on the same answers, so
that their differences are paired). Two known rules look at predictions alone: they stay the same (`stable`), or the
classifier is certain (`certain`); neither was made for a pool with junk, about which a classifier is never certain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import cohen_kappa_score

from alkit.labelling.estimate import LEVEL

LAST = 50  # looks that the sentence tells of
FEWEST = 3  # stages that a trend is read from
WORTH = 0.01  # accuracy that the next 100 looks must be able to bring


@dataclass(frozen=True)
class Gain:
    """What `looks` looks bring: accuracy gained, as a share, and the ends of its interval."""

    looks: int
    value: float
    low: float
    high: float


def _trend(looks_S: np.ndarray, accuracy_RS: np.ndarray) -> np.ndarray | None:
    """Accuracy for each unit of log looks (R,), fitted to the stages of the second half of the looks; None for few."""
    recent_S = looks_S >= looks_S[-1] / 2
    if recent_S.sum() < FEWEST:
        return None
    log_S = np.log(looks_S[recent_S])
    log_S -= log_S.mean()
    return accuracy_RS[:, recent_S] @ log_S / (log_S @ log_S)


def _gain(looks_S, accuracy_RS, before: float, after: float, level: float) -> Gain | None:
    """What the looks from `before` to `after` bring, by the trend."""
    slope_R = _trend(np.asarray(looks_S, float), np.asarray(accuracy_RS))
    if slope_R is None:
        return None
    low, value, high = np.quantile(slope_R * np.log(after / before), [(1 - level) / 2, 0.5, (1 + level) / 2])
    return Gain(round(after - before), float(value), float(low), float(high))


def recent_gain(
    looks_S: Sequence[int], accuracy_RS: np.ndarray, *, last: int = LAST, level: float = LEVEL
) -> Gain | None:
    """What the last looks brought; None where it cannot be told: fewer than three stages in the second half.

    `looks_S`: looks at each stage, tests included; `accuracy_RS`: replicates of each stage's accuracy
    (`estimate.accuracies`). One stage differs from the next by chance, so a straight line of accuracy against log looks
    is fitted to each replicate's second half.
    """
    now = float(looks_S[-1])
    return _gain(looks_S, accuracy_RS, max(now - last, now / 2), now, level)


def coming_gain(
    looks_S: Sequence[int], accuracy_RS: np.ndarray, *, coming: int = 100, level: float = LEVEL
) -> Gain | None:
    """What the `coming` looks would bring if the trend went on; None where `recent_gain` is None."""
    now = float(looks_S[-1])
    return _gain(looks_S, accuracy_RS, now, now + coming, level)


def gain_sentence(looks_S: Sequence[int], accuracy_RS: np.ndarray, *, last: int = LAST) -> str:
    """Whether going on is worth it, in a sentence with no number that the answers do not carry.

    >>> "the last 50 looks brought +1.4 points (+0.5 to +3.1); about 40 more looks per further point"
    >>> "the last 50 looks brought at most 0.4 points; a further point takes more than 130 looks"
    >>> "what the last 50 looks brought cannot be told yet: -1.3 to +2.2 points"
    """
    gain = recent_gain(looks_S, accuracy_RS, last=last) if len(looks_S) else None
    if gain is None:
        return "what the last looks brought cannot be told yet: too few stages"
    now, ends = float(looks_S[-1]), f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
    one = f"the last {gain.looks} looks brought"

    def per_point(brought: float) -> int:
        """Looks for one more point where accuracy rises with log looks, and these brought that much."""
        slope = brought / np.log(now / (now - gain.looks))
        return _rounded(now * np.expm1(min(0.01 / slope, 20)))

    if gain.low > 0:
        return (
            f"{one} {100 * gain.value:+.1f} points ({ends}); about {per_point(gain.value)} more looks per further point"
        )
    if gain.high <= 0:
        return f"{one} nothing ({ends} points)"
    if gain.high < 0.01 * gain.looks / 100:  # a point per 100 looks
        return (
            f"{one} at most {100 * gain.high:.1f} points; a further point takes more than {per_point(gain.high)} looks"
        )
    return f"what the last {gain.looks} looks brought cannot be told yet: {ends} points"


def _rounded(looks: float) -> int:
    """To two digits, as no estimate carries more."""
    return int(float(f"{looks:.2g}"))


def should_stop(looks_S: Sequence[int], accuracy_RS: np.ndarray, *, worth: float = WORTH, level: float = LEVEL) -> bool:
    """Whether the next 100 looks will bring less than `worth` (a share), at the upper end of the interval.

    It must have been so at the stage before, too: who looks at every stage meets a lucky one. False while it cannot be
    told. It can still be too early: one of five sessions on MixDigits, of seeds from 1000 on, stopped 7 points below
    its end.
    """
    gains = [
        coming_gain(looks_S[:end], accuracy_RS[:, :end], level=level) for end in (len(looks_S), len(looks_S) - 1) if end
    ]
    return len(gains) == 2 and all(gain is not None and gain.high < worth for gain in gains)


def kappa(before_N: np.ndarray, now_N: np.ndarray) -> float:
    """Cohen's kappa of the classes that two classifiers, one after the other, predict for the same images."""
    same = np.array_equal(before_N, now_N)  # kappa is not defined where both say one class of all
    return 1.0 if same else float(cohen_kappa_score(before_N, now_N))


def stable(kappas: Sequence[float], *, bar: float = 0.99, stages: int = 3) -> bool:
    """Whether predictions have stabilised: the mean kappa of the last `stages` comparisons is at least `bar`.

    Bloodgood and Vijay-Shanker 2009 (arXiv 1409.5165), their numbers.
    """
    return len(kappas) >= stages and float(np.mean(kappas[-stages:])) >= bar


def uncertainty(probs_NC: np.ndarray) -> float:
    """The mean entropy of the predictions for unlabelled images, as a share of that of no knowledge (log C).

    "Overall uncertainty" of Zhu, Wang, Hovy and Ma 2010.
    """
    probs_NC = np.maximum(probs_NC.astype(np.float64), 1e-12)
    return float(-(probs_NC * np.log(probs_NC)).sum(1).mean() / np.log(probs_NC.shape[1]))


def certain(probs_NC: np.ndarray, *, bar: float) -> bool:
    """Whether the classifier is certain of what is left: `uncertainty` is below `bar`, which depends on the task."""
    return len(probs_NC) == 0 or uncertainty(probs_NC) < bar
