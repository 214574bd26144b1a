"""What a session learns with: features of the images, a classifier on them, and the order of the next questions.

Features are made once and kept; only the classifier is fitted anew, so that a fit takes seconds while a person labels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from sklearn.preprocessing import normalize

from alkit import acquisition, rng
from alkit.labelling.estimate import out_of_fold
from alkit.labelling.features import features_file, recipe_of
from alkit.labelling.images import Images
from alkit.learners.base import Setting
from alkit.learners.pretrained import Pretrained
from alkit.learners.regression import Regression
from alkit.recipes import Recipe
from alkit.store import Cache

STAGES_AHEAD = 3  # stages of questions that an order holds: the person goes on while the next is made
COMPONENTS = 256  # that the learner `pretrained` takes where nothing else is said


@dataclass(frozen=True)
class Fitted:
    """What a fit gave: probabilities (N, K + 1), None before an iD answer, and positions in the order to ask."""

    stage: int
    probs_NC: np.ndarray | None
    order: tuple[int, ...]


class Learning:
    """Features and a classifier for the `images`; see `Session` for `features`, `strategy`, `recipe` and `side`.

    ValueError for unknown names, a strategy that only a simulation can run, or an array of features that does not fit.
    """

    def __init__(
        self,
        images: Images,
        n_classes: int,
        *,
        features: str,
        strategy: str,
        seed: int,
        recipe: Recipe | None = None,
        side: int | None = None,
        progress: bool = False,
    ):
        self.strategy, self.n_classes, self.seed = strategy, n_classes, seed
        check_strategy(strategy)
        rows = features_file(images, features, seed, recipe=recipe, side=side, progress=progress)
        nothing = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(len(images), 1, 1, 1)  # rows need no pixels
        cache = Cache(images.keep / "features")
        setting = Setting(nothing, n_classes, recipe or recipe_of(features), seed, cache, progress)
        # too few images for principal components: all dimensions
        dimensions = COMPONENTS if len(images) > COMPONENTS else 0
        self.learner = Pretrained(setting, features=str(rows), dimensions=dimensions, auxiliary="all")
        self.first = self.learner.first_shown()
        self.unit_ND = normalize(np.asarray(self.first.features_ND, np.float32))
        # a regression is too small for threads: where cores are busy, they wait for each other
        self.learner.setting = replace(setting, recipe=replace(setting.recipe, cpu_threads=1))

    @property
    def features_ND(self) -> np.ndarray:
        """(N, D) features of the images."""
        return self.first.features_ND

    def fit(
        self,
        answers_N: np.ndarray,
        may_N: np.ndarray,
        stage: int,
        stage_looks: int,
        report: Callable[[float], None] = lambda share: None,
    ) -> Fitted:
        """Fit the classifier to the answers and put those that may be asked in order. `report`: the share that is done.

        Before an iD answer there is nothing to fit: the order then rests on the features and the answers alone.
        """
        report(0.0)
        known = bool(((answers_N >= 0) & (answers_N < self.n_classes)).any())
        if known:
            self.learner.fit(answers_N, stage)
        report(0.5)
        shown = self.learner.show() if known else self.first
        stream = rng.numpy_stream(self.seed, "strategy", stage)
        view = acquisition.View(
            shown.features_ND,
            shown.probs_NC,
            answers_N,
            self.n_classes,
            stage_looks,
            stream,
            shown.head,
            candidates_N=may_N,
        )
        order: list[int] = []
        wanted = STAGES_AHEAD * stage_looks
        for position in islice(acquisition.order(self.strategy, view), wanted):
            order.append(position)
            report(0.5 + 0.5 * len(order) / wanted)
        return Fitted(stage, shown.probs_NC if known else None, tuple(order))

    def classes(self, probs_NC: np.ndarray, answers_N: np.ndarray, groups_N: np.ndarray) -> np.ndarray:
        """The class (N,) of each image by a classifier that has not learned its answer: `probs_NC`'s, else out of fold.

        `groups_N`: the same number for near duplicates. An image that it could not be told for has -1.
        """
        asked = np.flatnonzero(answers_N != acquisition.NOT_ASKED)
        recipe = self.learner.setting.recipe

        def classes_of(learned_N: np.ndarray) -> np.ndarray:
            rows = np.flatnonzero(learned_N != acquisition.NOT_ASKED)
            model = Regression.fit(
                self.unit_ND[rows], learned_N[rows], self.n_classes + 1, c=recipe.probe_c, n_threads=recipe.cpu_threads
            )
            found_N = np.full(len(learned_N), -1)
            found_N[asked] = model.probs(self.unit_ND[asked])[:, :-1].argmax(1)
            return found_N

        found_N = probs_NC[:, :-1].argmax(1)
        found_N[asked] = out_of_fold(classes_of, answers_N, self.n_classes, groups_N=groups_N, seed=self.seed)[asked]
        return found_N


def check_strategy(strategy: str) -> None:
    """ValueError where no session can ask in the order of `strategy`."""
    known = acquisition.get(strategy)
    if known.reference:
        raise ValueError(f"strategy {strategy!r} sees hidden labels, which your images do not have; choose another one")
    if missing := [need for need in known.needs if need not in Pretrained.shows]:
        raise ValueError(f"strategy {strategy!r} needs {', '.join(missing)}, which frozen features do not show")
