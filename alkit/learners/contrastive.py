"""The paper's learner: a contrastive representation that goes on at each stage, and a classifier fine-tuned from it."""

import copy

import numpy as np

from alkit import models, rng
from alkit.learners.base import Setting, Shown, probabilities, train_on_labelled
from alkit.learners.representation import Features, Representation, first_representation
from alkit.learners.supervised import Supervised


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
