"""Learners trained from scratch on the labelled samples at each stage."""

import numpy as np
import torch

from alkit import models, rng
from alkit.learners.base import Setting, Shown, probabilities, train_on_labelled


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
