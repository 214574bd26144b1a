"""Learners trained from scratch on the labelled samples at each stage."""

from dataclasses import replace

import numpy as np

from alkit import models, rng
from alkit.learners.base import NetLearner, Shown, train_on_labelled


class Supervised(NetLearner):
    """A classifier trained from scratch on the labelled samples at each stage; features are its penultimate layer."""

    pays_for_all = False  # under `initial="paper"` it sees and pays for the initial set's iD samples only
    pretrained = False  # has no features before a label
    spectral = False

    def fit(self, answers_N: np.ndarray, stage: int) -> list[dict]:
        """Train a fresh net on the answers; its loss history."""
        self.net = self._fresh(stage)
        history = train_on_labelled(self.net, self.setting, answers_N, stage, "sup", self.augment)
        self._fit_gate(answers_N)
        return history

    def _fresh(self, stage: int) -> models.Classifier:
        s = self.setting
        recipe = replace(s.recipe, net="resnet18", net_width=s.recipe.sn_width) if self.spectral else s.recipe
        device, seed = s.images_NCHW.device, rng.integer(s.seed, "model", stage)
        body = models.encoder(recipe, s.images_NCHW.shape[1], seed=seed, device=device, spectral=self.spectral)
        return models.classifier(body, s.n_classes + 1, seed=seed, device=device)

    def show(self) -> Shown:
        """Penultimate features, probabilities and last layer, for every pool image."""
        head, probs_NC = self._classified()
        return Shown(head.features_ND, probs_NC, head)

    def restore(self, state: dict) -> None:
        """Become the learner that `state` was taken from."""
        self._restore(self._fresh(0), state)


class SpectralSupervised(Supervised):
    """`supervised` on a residual net whose convolutions are capped in spectral norm (Mukhoti et al. 2023, for DDU).

    The net is a ResNet-18 of `sn_width` channels on every pool: DDU's features keep distances only where residual
    connections and the cap hold together.
    """

    spectral = True
