"""The paper's learner: a contrastive representation that goes on at each stage, and a classifier fine-tuned from it."""

import copy

import numpy as np

from alkit import models, rng
from alkit.learners.base import Augment, Auxiliary, NetLearner, Setting, Shown, train_on_labelled, unlabelled
from alkit.learners.representation import Features, Representation, first_features, first_representation


class Contrastive(NetLearner):
    """SimCLR on the unlabelled pool + SupCon on the labelled (Eq. 2); at each stage a classifier fine-tuned from it.

    The representation carries on from stage to stage; the classifier is a copy of it with a linear layer, so that
    fine-tuning never touches it. `features`: "encoder" (before the projection head) or "projected".
    """

    pays_for_all = True
    pretrained = True
    representation: Representation  # from the first fit on

    def __init__(
        self,
        setting: Setting,
        *,
        features: Features = "encoder",
        augment: Augment = "recipe",
        auxiliary: Auxiliary = "undersampled",
    ):
        super().__init__(setting, augment=augment, auxiliary=auxiliary)
        self.which = features

    def fit(self, answers_N: np.ndarray, stage: int) -> list[dict]:
        """Train the representation on, then a classifier from it; the representation's loss history."""
        if not hasattr(self, "representation"):
            self.representation, _ = first_representation(self.setting)
        # stage + 1: the first representation has used stage 0 of these streams
        history = self.representation.train(answers_N, stage + 1, epochs=self.setting.recipe.con_epochs, warmup=0)
        self.net = self._classifier(stage)
        train_on_labelled(self.net, self.setting, answers_N, stage, "tune", self.augment)
        self._fit_gate(answers_N)
        return history

    def _classifier(self, stage: int) -> models.Classifier:
        s = self.setting
        body = copy.deepcopy(self.representation.encoder)
        seed = rng.integer(s.seed, "model", stage)
        return models.classifier(body, s.n_classes + 1, seed=seed, device=s.images_NCHW.device)

    def first_shown(self) -> Shown:
        """What it shows before anything is labelled: features of stage 0."""
        return unlabelled(first_features(self.setting, self.which)[1], self.setting.n_classes)

    def show(self) -> Shown:
        """The representation's features of every pool image, the classifier's probabilities and last layer."""
        head, probs_NC = self._classified()
        return Shown(self.representation.features(self.which), probs_NC, head)

    def state(self) -> dict:
        """Tensors that `restore` brings the learner back from."""
        return {"representation": self.representation.state(), **super().state()}

    def restore(self, state: dict) -> None:
        """Become the learner that `state` was taken from."""
        self.representation = Representation(self.setting)
        self.representation.restore(state["representation"])
        self._restore(self._classifier(0), state)
