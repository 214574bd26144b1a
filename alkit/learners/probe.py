"""Frozen stage-0 contrastive features and a logistic regression on them."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from alkit.acquisition.view import Head
from alkit.learners.base import Setting, Shown, labelled_rows
from alkit.learners.representation import Features, first_features
from alkit.runtime import threads

NEVER = -1e4  # a logit whose exponential is 0


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
