"""Learners: each turns images and the oracle's answers into features and class probabilities of the whole pool.

A learner knows no benchmark and no strategy. It sees the pool's images, the answers so far and a recipe:

    learner.fit(answers_N, stage)        answers: -1 not asked, 0..K-1 an iD class, K non-iD
    learner.show() -> Shown              features and probabilities of every pool image, in evaluation mode
    learner.predict(images) -> probs     of other images
    learner.state() / learner.restore()  tensors that bring a killed run back, bit for bit

The `stage` names the random streams that a fit draws from, so a fit depends on nothing but its arguments (and, for
`contrastive`, on the weights of the stage before).
"""

import copy
import inspect
from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from . import models, rng
from .head import Head
from .recipes import closest
from .representation import Features, Setting, first_features, first_representation
from .representation import Representation as Representation
from .training import extract, schedule, threads, train_classifier

NEVER = -1e4  # a logit whose exponential is 0


@dataclass(frozen=True)
class Shown:
    """What a learner shows of the pool: `features_ND` and `probs_NC` (C = K + 1), float32, rows in pool order.

    `head` is the last layer of the classifier that gave the probabilities, with that classifier's own features.
    """

    features_ND: np.ndarray
    probs_NC: np.ndarray
    head: Head


def first_shown(setting: Setting, which: Features) -> Shown:
    """What a pretrained learner shows before anything is labelled: stage-0 features, and probabilities all alike."""
    features_ND, n_outputs = first_features(setting, which)[1], setting.n_classes + 1
    probs_NC = np.full((len(features_ND), n_outputs), 1 / n_outputs, np.float32)
    weight_CD = np.zeros((n_outputs, features_ND.shape[1]), np.float32)
    return Shown(features_ND, probs_NC, Head(features_ND, weight_CD, np.zeros(n_outputs, np.float32)))


def labelled_rows(answers_N: np.ndarray, n_classes: int, seed: int, stage: int, device) -> tuple:
    """(rows, labels) for classifier training: every labelled iD sample, and non-iD samples undersampled.

    Non-iD samples are cut, at random, to the mean size of an iD class (Kim, Kim and Hwang 2023, experimental settings).
    ValueError where nothing iD is labelled.
    """
    id_rows = np.flatnonzero((answers_N >= 0) & (answers_N < n_classes))
    other_rows = np.flatnonzero(answers_N == n_classes)
    if not len(id_rows):
        raise ValueError("no iD sample is labelled: a classifier has nothing to learn; raise initial_id")
    keep = min(len(other_rows), max(1, round(len(id_rows) / n_classes)))
    chosen = rng.numpy_stream(seed, "undersample", stage).permutation(other_rows)[:keep]
    rows = np.sort(np.concatenate([id_rows, chosen]))
    return torch.from_numpy(rows).to(device), torch.from_numpy(answers_N[rows]).to(device)


def train_on_labelled(net: models.Classifier, s: Setting, answers_N: np.ndarray, stage: int, prefix: str) -> list[dict]:
    """Train `net`, in place, on the labelled samples by the recipe's `sup_*` or `tune_*` numbers; its loss history."""
    rows, labels = labelled_rows(answers_N, s.n_classes, s.seed, stage, s.images_NCHW.device)
    plan = schedule(s.recipe, prefix)
    return train_classifier(
        net, s.images_NCHW, rows, labels, plan, s.recipe, seed=s.seed, stage=stage, progress=s.progress
    )


def probabilities(net, images_NCHW, recipe) -> tuple[Head, np.ndarray]:
    """(head, probs_NC) of a `models.Classifier` in one pass over the images."""

    def both(x):
        features = net.encoder(x)
        return torch.cat([features, net.linear(features)], 1)

    out = extract(net, images_NCHW, recipe, forward=both)
    features, logits = out.split([net.encoder.width, net.linear.out_features], 1)
    weight_CD, bias_C = (part.detach().cpu().numpy() for part in (net.linear.weight, net.linear.bias))
    return Head(features.numpy(), weight_CD, bias_C), logits.softmax(1).numpy()


class Supervised:
    """A classifier trained from scratch on the labelled samples at each stage; features are its penultimate layer."""

    shows = ("features", "probs", "head")
    pays_for_all = False  # under `initial="paper"` it sees and pays for the initial set's iD samples only
    pretrained = False  # begins with the stage-0 representation, which all such runs of a seed share
    spectral = False

    def __init__(self, setting: Setting):
        self.setting = setting
        self.net = None

    def fit(self, answers_N: np.ndarray, stage: int) -> list[dict]:
        self.net = self._fresh(stage)
        return train_on_labelled(self.net, self.setting, answers_N, stage, "sup")

    def _fresh(self, stage: int) -> models.Classifier:
        s = self.setting
        device, seed = s.images_NCHW.device, rng.integer(s.seed, "model", stage)
        body = models.encoder(s.recipe, s.images_NCHW.shape[1], seed=seed, device=device, spectral=self.spectral)
        return models.classifier(body, s.n_classes + 1, seed=seed, device=device)

    def show(self) -> Shown:
        head, probs_NC = probabilities(self.net, self.setting.images_NCHW, self.setting.recipe)
        return Shown(head.features_ND, probs_NC, head)

    def predict(self, images_NCHW: torch.Tensor) -> np.ndarray:
        """Class probabilities (N, K + 1) of uint8 images on the learner's device."""
        return probabilities(self.net, images_NCHW, self.setting.recipe)[1]

    def state(self) -> dict:
        return {"net": self.net.state_dict()}

    def restore(self, state: dict) -> None:
        self.net = self._fresh(0)
        self.net.load_state_dict(state["net"])


class SpectralSupervised(Supervised):
    """`supervised` on a net whose convolutions are capped in spectral norm, as DDU wants them (Mukhoti et al. 2023)."""

    spectral = True


class Contrastive:
    """SimCLR on the unlabelled pool + SupCon on the labelled (Eq. 2), and a classifier fine-tuned from it at each
    stage.

    The representation carries on from stage to stage; the classifier is a copy of it with a linear layer, so that
    fine-tuning never touches it. `features`: "encoder" (before the projection head) or "projected".
    """

    shows = ("features", "probs", "head")
    pays_for_all = True
    pretrained = True

    def __init__(self, setting: Setting, *, features: Features = "encoder"):
        self.setting, self.which = setting, features
        self.representation, self.net = None, None

    def fit(self, answers_N: np.ndarray, stage: int) -> list[dict]:
        if self.representation is None:
            self.representation, _ = first_representation(self.setting)
        # stage + 1: the first representation has used stage 0 of these streams
        history = self.representation.train(answers_N, stage + 1, epochs=self.setting.recipe.con_epochs, warmup=0)
        self.net = self._classifier(stage)
        train_on_labelled(self.net, self.setting, answers_N, stage, "tune")
        return history

    def _classifier(self, stage: int) -> models.Classifier:
        s = self.setting
        body = copy.deepcopy(self.representation.encoder)
        seed = rng.integer(s.seed, "model", stage)
        return models.classifier(body, s.n_classes + 1, seed=seed, device=s.images_NCHW.device)

    def show(self) -> Shown:
        head, probs_NC = probabilities(self.net, self.setting.images_NCHW, self.setting.recipe)
        return Shown(self.representation.features(self.which), probs_NC, head)

    predict = Supervised.predict

    def state(self) -> dict:
        return {"representation": self.representation.state(), "net": self.net.state_dict()}

    def restore(self, state: dict) -> None:
        self.representation = Representation(self.setting)
        self.representation.restore(state["representation"])
        self.net = self._classifier(0)
        self.net.load_state_dict(state["net"])


class Probe:
    """Frozen stage-0 contrastive features and a logistic regression on them: a stage costs well under a second.

    `features`: "encoder" (before the projection head) or "projected".
    """

    shows = ("features", "probs", "head")
    pays_for_all = True
    pretrained = True

    def __init__(self, setting: Setting, *, features: Features = "encoder"):
        self.setting, self.which = setting, features
        self.representation, self.features_ND, self.unit_ND = None, None, None
        self.classes = self.weights = self.bias = None
        self.images_seen, self.unit_seen = None, None  # the last other images: a loop tests on the same at each stage

    def _prepare(self) -> None:
        if self.features_ND is None:
            self.representation, self.features_ND = first_features(self.setting, self.which)
            self.unit_ND = normalize(self.features_ND)

    def fit(self, answers_N: np.ndarray, stage: int) -> list[dict]:
        self._prepare()
        s = self.setting
        rows, labels = (part.numpy() for part in labelled_rows(answers_N, s.n_classes, s.seed, stage, "cpu"))
        self.classes = np.unique(labels)
        if len(self.classes) == 1:  # a regression needs two classes; one class seen is one class predicted
            self.weights, self.bias = np.zeros((1, self.features_ND.shape[1])), np.zeros(1)
            return []
        with threads(s.recipe.cpu_threads):
            model = LogisticRegression(C=s.recipe.probe_c, max_iter=1000).fit(self.unit_ND[rows], labels)
        self.weights, self.bias = model.coef_, model.intercept_
        if len(self.classes) == 2:  # scikit-learn keeps one row for two classes
            self.weights, self.bias = (np.concatenate([-part / 2, part / 2]) for part in (self.weights, self.bias))
        return []

    def _probs(self, unit_ND: np.ndarray) -> np.ndarray:
        logits = torch.from_numpy(unit_ND @ self.weights.T + self.bias)
        probs_NC = np.zeros((len(unit_ND), self.setting.n_classes + 1), dtype=np.float32)
        probs_NC[:, self.classes] = logits.softmax(1).numpy()
        return probs_NC

    def show(self) -> Shown:
        return Shown(self.features_ND, self._probs(self.unit_ND), self._head())

    def _head(self) -> Head:
        """The regression as a layer of K + 1 outputs; a class without a label has a bias that leaves it nothing."""
        n_outputs, width = self.setting.n_classes + 1, self.features_ND.shape[1]
        weight_CD, bias_C = np.zeros((n_outputs, width), np.float32), np.full(n_outputs, NEVER, np.float32)
        weight_CD[self.classes], bias_C[self.classes] = self.weights, self.bias
        return Head(self.unit_ND, weight_CD, bias_C)

    def predict(self, images_NCHW: torch.Tensor) -> np.ndarray:
        """Class probabilities (N, K + 1) of uint8 images on the learner's device."""
        if self.images_seen is not images_NCHW:
            self.images_seen = images_NCHW
            self.unit_seen = normalize(self.representation.features(self.which, images_NCHW))
        return self._probs(self.unit_seen)

    def state(self) -> dict:
        return {name: torch.from_numpy(getattr(self, name)) for name in ("classes", "weights", "bias")}

    def restore(self, state: dict) -> None:
        self._prepare()
        self.classes, self.weights, self.bias = (state[name].cpu().numpy() for name in ("classes", "weights", "bias"))


LEARNERS = {"supervised": Supervised, "supervised_sn": SpectralSupervised, "contrastive": Contrastive, "probe": Probe}


def get(name: str, options: dict | None = None) -> type:
    """The learner called `name`; ValueError for an unknown name, option or value, listing what there is."""
    if name not in LEARNERS:
        raise ValueError(f"unknown learner {name!r}{closest(name, LEARNERS)}; known: {', '.join(LEARNERS)}")
    known = {n: p for n, p in inspect.signature(LEARNERS[name]).parameters.items() if p.kind is p.KEYWORD_ONLY}
    for option, value in (options or {}).items():
        if option not in known:
            raise ValueError(f"learner {name!r} has no option {option!r}; it has: {', '.join(known) or 'none'}")
        allowed = get_args(known[option].annotation)
        if value not in allowed:
            raise ValueError(f"learner {name!r}: {option} must be one of {', '.join(allowed)}, got {value!r}")
    return LEARNERS[name]
