"""Frozen stage-0 contrastive features and a logistic regression on them."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from sklearn.preprocessing import normalize

from alkit.learners.base import Auxiliary, Setting, Shown, labelled_rows, unlabelled
from alkit.learners.mlp import Mlp
from alkit.learners.regression import Regression
from alkit.learners.representation import Features, Representation, first_features

Model = Regression | Mlp  # on the features


class FrozenFeatures(ABC):
    """A logistic regression with K + 1 classes on features that no answer changes: what `probe` and `pretrained` share.

    Features have unit length. `auxiliary`: which labelled non-iD samples the model that strategies look at has learned
    from; "undersampled", as the paper has it, or "all". Accuracy is that of the classifier with balanced classes.
    """

    shows = ("features", "probs", "head")
    pays_for_all = True
    pretrained = True
    features_ND: np.ndarray  # of the pool; these four from the first fit on
    unit_ND: np.ndarray
    classifier: Model
    gate: Model
    unit_seen: np.ndarray

    def __init__(self, setting: Setting, *, auxiliary: Auxiliary = "undersampled"):
        self.setting, self.auxiliary = setting, auxiliary
        self.images_seen: torch.Tensor | None = None  # the last other images: a loop tests on the same at each stage

    @abstractmethod
    def pool_features(self) -> np.ndarray:
        """(N, D) features of the pool."""

    @abstractmethod
    def features_of(self, images_NCHW: torch.Tensor) -> np.ndarray:
        """(M, D) features of other images, uint8, on the learner's device."""

    def _prepare(self) -> None:
        if not hasattr(self, "features_ND"):
            self.features_ND = self.pool_features()
            self.unit_ND = normalize(self.features_ND)

    def fit(self, answers_N: np.ndarray, stage: int) -> list[dict]:
        """Fit the classifier, and the gate where the options ask for one; no loss history."""
        self._prepare()
        s = self.setting
        rows, labels = (part.numpy() for part in labelled_rows(answers_N, s.n_classes, s.seed, stage, "cpu"))
        self.classifier = self._model(rows, labels, stage)
        if self.auxiliary == "all":
            asked = np.flatnonzero(answers_N >= 0)
            self.gate = self._model(asked, answers_N[asked], stage)
        else:
            self.gate = self.classifier
        return []

    def _model(self, rows: np.ndarray, labels: np.ndarray, stage: int) -> Model:
        """What has learned these rows of the pool with these labels; nothing in a regression is random."""
        recipe, n_outputs = self.setting.recipe, self.setting.n_classes + 1
        return Regression.fit(self.unit_ND[rows], labels, n_outputs, c=recipe.probe_c, n_threads=recipe.cpu_threads)

    def first_shown(self) -> Shown:
        """What it shows before anything is labelled: the features."""
        self._prepare()
        return unlabelled(self.features_ND, self.setting.n_classes)

    def show(self) -> Shown:
        """Features of every pool image, with the gate's probabilities and last layer."""
        return Shown(self.features_ND, self.gate.probs(self.unit_ND), self.gate.head(self.unit_ND))

    def predict(self, images_NCHW: torch.Tensor) -> np.ndarray:
        """Class probabilities (N, K + 1) of uint8 images on the learner's device, from the classifier."""
        if self.images_seen is not images_NCHW:
            self.images_seen, self.unit_seen = images_NCHW, normalize(self.features_of(images_NCHW))
        return self.classifier.probs(self.unit_seen)

    def state(self) -> dict:
        """Tensors that `restore` brings the learner back from."""
        return {"classifier": self.classifier.state(), "gate": self.gate.state()}

    def restore(self, state: dict) -> None:
        """Become the learner that `state` was taken from."""
        self._prepare()
        self.classifier, self.gate = (self._restored(state[name]) for name in ("classifier", "gate"))

    def _restored(self, state: dict) -> Model:
        """The model that `state` was taken from."""
        return Regression.restored(state)


class Probe(FrozenFeatures):
    """Frozen stage-0 contrastive features and a logistic regression on them: a stage costs well under a second.

    `features`: "encoder" (before the projection head) or "projected".
    """

    representation: Representation

    def __init__(self, setting: Setting, *, features: Features = "encoder", auxiliary: Auxiliary = "undersampled"):
        super().__init__(setting, auxiliary=auxiliary)
        self.which = features

    def pool_features(self) -> np.ndarray:
        """(N, D) features of the pool after stage 0."""
        self.representation, features_ND = first_features(self.setting, self.which)
        return features_ND

    def features_of(self, images_NCHW: torch.Tensor) -> np.ndarray:
        """(M, D) features of other images."""
        return self.representation.features(self.which, images_NCHW)
