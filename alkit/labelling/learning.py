"""What a session learns with: features of the images, a classifier on them, and the order of the next questions.

Features are made once and kept; only the classifier is fitted anew, so that a fit takes seconds while a person labels.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from sklearn.preprocessing import normalize

from alkit import acquisition, learners, recipes, rng
from alkit.labelling.estimate import out_of_fold
from alkit.labelling.images import Images, hash_of
from alkit.learners.base import Setting
from alkit.learners.pretrained import given_array, network, resized
from alkit.learners.regression import Regression
from alkit.learners.representation import Representation
from alkit.recipes import Recipe
from alkit.runtime import default_device, resident
from alkit.store import Cache, StoreError, sha256, writable, write_atomic

CONTRASTIVE_SIDE = 32  # px of the images that `contrastive` features are trained on
STAGES_AHEAD = 3  # stages of questions that an order holds: the person goes on while the next is made
COMPONENTS = 256  # that the learner `pretrained` takes where nothing else is said
SAMPLE = 64  # images that the time of the features is measured on


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
        name, options = learner_of(features)
        if name == "pretrained" and len(images) <= COMPONENTS:  # too few for principal components: all dimensions
            options["dimensions"] = 0
        check_strategy(strategy, name)
        setting = setting_of(images, n_classes, features, seed, recipe=recipe, side=side, progress=progress)
        self.learner = learners.get(name, options)(setting, **options)
        self.first = self.learner.first_shown()
        if len(self.first.features_ND) != len(images):
            raise ValueError(f"{features} has {len(self.first.features_ND)} rows for {len(images)} images")
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

    def probs(self, answers_N: np.ndarray, stage: int) -> np.ndarray | None:
        """Probabilities (N, K + 1) from these answers; None without an iD one."""
        if not ((answers_N >= 0) & (answers_N < self.n_classes)).any():
            return None
        self.learner.fit(answers_N, stage)
        return self.learner.show().probs_NC

    def classes(self, probs_NC: np.ndarray, answers_N: np.ndarray) -> np.ndarray:
        """The class (N,) of each image by a classifier that has not learned its answer: `probs_NC`'s, else out of fold.

        An image that it could not be told for has -1.
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
        found_N[asked] = out_of_fold(classes_of, answers_N, self.n_classes, seed=self.seed)[asked]
        return found_N


def learner_of(features: str) -> tuple[str, dict]:
    """The learner, with its options, that has these features."""
    if features == "contrastive":
        return "probe", {"auxiliary": "all"}
    return "pretrained", {"features": features, "auxiliary": "all"}


def check_strategy(strategy: str, learner: str) -> None:
    """ValueError where no session can ask in the order of `strategy`."""
    known = acquisition.get(strategy)
    if known.reference:
        raise ValueError(f"strategy {strategy!r} sees hidden labels, which your images do not have; choose another one")
    shows = learners.get(learner).shows
    if missing := [need for need in known.needs if need not in shows]:
        raise ValueError(f"strategy {strategy!r} needs {', '.join(missing)}, which frozen features do not show")


def recipe_of(features: str) -> Recipe:
    """The numbers for pictures of things: MixCIFAR60's `laptop` ones, with all threads."""
    return replace(recipes.recipe("mixcifar60", "laptop"), cpu_threads=0)


def setting_of(
    images: Images,
    n_classes: int,
    features: str,
    seed: int,
    *,
    recipe: Recipe | None = None,
    side: int | None = None,
    progress: bool = False,
) -> Setting:
    """What the learner of these features is made from; an array of features needs no pixels."""
    recipe = recipe or recipe_of(features)
    known = sha256("".join(images.ids).encode())
    cache = Cache(images.keep / "features", images=known, side=side)
    if features.endswith(".npy"):
        check_rows(Path(features), images, known)
        nothing = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(len(images), 1, 1, 1)
        return Setting(nothing, n_classes, recipe, seed, cache, progress)
    side = side or (CONTRASTIVE_SIDE if features == "contrastive" else recipe.pre_side)
    pixels = images.pixels(side, progress=progress)
    return Setting(resident(pixels, default_device()), n_classes, recipe, seed, cache, progress)


def check_rows(path: Path, images: Images, known: str) -> None:
    """Hold an array of features to the images that it was first used with: a row has no name of its own.

    ValueError where it has another number of rows; StoreError where it was used with other images before.
    """
    given_array(path, 0, len(images), len(images))
    rows = len(np.load(path, mmap_mode="r"))
    how = "one row for each of Images.paths, in their order"
    if rows != len(images):
        raise ValueError(f"{path} has {rows} rows for {len(images)} distinct images; make it again: {how}")
    note = writable(images.keep) / f"rows-{hash_of(path)[:16]}.txt"
    if note.exists() and note.read_text() != known:
        raise StoreError(f"{path} was made for other images: files came or went since; make it again: {how}")
    write_atomic(note, known.encode())


def seconds_for(images: Images, features: str, *, recipe: Recipe | None = None, side: int | None = None) -> float:
    """About how many seconds the features will take on this machine, from a trial on a few images; 0 for an array."""
    if features.endswith(".npy"):
        return 0.0
    recipe = recipe or recipe_of(features)
    device, count = default_device(), min(SAMPLE, len(images))
    if features == "contrastive":
        x = torch.zeros(count, 3, side or CONTRASTIVE_SIDE, side or CONTRASTIVE_SIDE, dtype=torch.uint8, device=device)
        trial = Representation(Setting(x, 1, recipe, 0, Cache(images.keep / "features")))
        nothing = np.full(count, acquisition.NOT_ASKED)
        once = _seconds(lambda: trial.train(nothing, 0, epochs=1, warmup=0))
        return once / count * len(images) * recipe.con_first_epochs
    net, scale = network(features)
    net, size = net.to(device), recipe.pre_side
    x = torch.zeros(count, 3, size, size, dtype=torch.uint8, device=device)
    with torch.inference_mode():
        once = _seconds(lambda: [net(scale(resized(part, size))).cpu() for part in x.split(64)])
    return once / count * len(images)


def _seconds(act: Callable) -> float:
    """How long `act` takes the second time."""
    act()
    start = time.perf_counter()
    act()
    return time.perf_counter() - start
