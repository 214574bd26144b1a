"""What learners share: what they show, which labelled samples they train on, and how."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from sklearn.preprocessing import normalize

from alkit import models, rng
from alkit.acquisition.view import Head
from alkit.learners.regression import Regression
from alkit.recipes import Recipe
from alkit.store import Cache
from alkit.training import extract, schedule, train_classifier

Augment = Literal["recipe", "none", "flip_crop", "affine"]
Auxiliary = Literal["undersampled", "all"]


@dataclass
class Setting:
    """What every learner is made from. `images_NCHW`: the pool, uint8, on the device it is to be trained on.

    `cache(name, inputs, build)` keeps what is the same for every run of a seed (the stage-0 representation).
    """

    images_NCHW: torch.Tensor
    n_classes: int
    recipe: Recipe
    seed: int
    cache: Cache
    progress: bool = False


@dataclass(frozen=True)
class Shown:
    """What a learner shows of the pool: `features_ND` and `probs_NC` (C = K + 1), float32, rows in pool order.

    `head` is the last layer of the classifier that gave the probabilities, with that classifier's own features.
    """

    features_ND: np.ndarray
    probs_NC: np.ndarray
    head: Head


def unlabelled(features_ND: np.ndarray, n_classes: int) -> Shown:
    """What a learner with features shows before anything is labelled: all probabilities alike."""
    n_outputs, width = n_classes + 1, features_ND.shape[1]
    head = Head(features_ND, np.zeros((n_outputs, width), np.float32), np.zeros(n_outputs, np.float32))
    return Shown(features_ND, np.full((len(features_ND), n_outputs), 1 / n_outputs, np.float32), head)


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


def train_on_labelled(
    net: models.Classifier, s: Setting, answers_N: np.ndarray, stage: int, prefix: str, augment: Augment = "recipe"
) -> list[dict]:
    """Train `net`, in place, on the labelled samples by the recipe's `sup_*` or `tune_*` numbers; its loss history.

    `augment`: how labelled images are augmented where that is not as the recipe says.
    """
    rows, labels = labelled_rows(answers_N, s.n_classes, s.seed, stage, s.images_NCHW.device)
    plan = schedule(s.recipe, prefix)
    if augment != "recipe":
        plan = replace(plan, augment=augment)
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


class NetLearner:
    """What the learners that train a net share: a classifier `net` and, with `auxiliary="all"`, a gate on its features.

    `auxiliary`: which labelled non-iD samples the model that strategies look at has learned from. "undersampled", as
    the paper has it: the classifier's own. "all": a logistic regression with K + 1 classes on the classifier's
    penultimate features, of unit length, that learned every labelled sample; accuracy is still that of the classifier,
    whose classes are balanced. `augment`: how the classifier's labelled images are augmented ("recipe": as it says).
    """

    shows = ("features", "probs", "head")
    net: models.Classifier  # from the first fit on

    def __init__(self, setting: Setting, *, augment: Augment = "recipe", auxiliary: Auxiliary = "undersampled"):
        self.setting, self.augment, self.auxiliary = setting, augment, auxiliary
        self.gate: Regression | None = None

    def _fit_gate(self, answers_N: np.ndarray) -> None:
        """The gate that has learned all that is labelled, where the options ask for one."""
        if self.auxiliary == "all":
            s, rows = self.setting, np.flatnonzero(answers_N >= 0)
            images = s.images_NCHW[torch.from_numpy(rows).to(s.images_NCHW.device)]
            unit_LD = normalize(probabilities(self.net, images, s.recipe)[0].features_ND)
            self.gate = Regression.fit(
                unit_LD, answers_N[rows], s.n_classes + 1, c=s.recipe.probe_c, n_threads=s.recipe.cpu_threads
            )

    def _classified(self) -> tuple[Head, np.ndarray]:
        """(head, probs_NC) of the pool: the classifier's, or the gate's where there is one."""
        head, probs_NC = probabilities(self.net, self.setting.images_NCHW, self.setting.recipe)
        if self.gate is None:
            return head, probs_NC
        unit_ND = normalize(head.features_ND)
        return self.gate.head(unit_ND), self.gate.probs(unit_ND)

    def predict(self, images_NCHW: torch.Tensor) -> np.ndarray:
        """Class probabilities (N, K + 1) of uint8 images on the learner's device, from the classifier."""
        return probabilities(self.net, images_NCHW, self.setting.recipe)[1]

    def state(self) -> dict:
        """Tensors that `restore` brings the learner back from."""
        return {"net": self.net.state_dict(), **({"gate": self.gate.state()} if self.gate else {})}

    def _restore(self, fresh: models.Classifier, state: dict) -> None:
        self.net = fresh
        self.net.load_state_dict(state["net"])
        self.gate = Regression.restored(state["gate"]) if "gate" in state else None
