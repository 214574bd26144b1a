"""The contrastive representation: encoder and projection head trained by Eq. 2 of Kim, Kim and Hwang, 2023."""

from dataclasses import asdict
from typing import Literal

import numpy as np
import torch

from alkit import models, rng
from alkit.learners.base import Setting
from alkit.training import extract, train_contrastive

Features = Literal["encoder", "projected"]


class Representation:
    """Encoder and projection head; the part that the learners `contrastive` and `probe` share."""

    def __init__(self, setting: Setting):
        self.setting = setting
        recipe, images = setting.recipe, setting.images_NCHW
        seed = rng.integer(setting.seed, "model")
        self.encoder = models.encoder(recipe, images.shape[1], seed=seed, device=images.device)
        self.head = models.projection_head(recipe, self.encoder.width, seed=seed, device=images.device)

    def train(self, answers_N: np.ndarray, stage: int, *, epochs: int, warmup: int) -> list[dict]:
        """Train on, in place: L_con on what is not asked, L_supcon on what is."""
        s, device = self.setting, self.setting.images_NCHW.device
        asked = answers_N >= 0
        rows_U, rows_L = (torch.from_numpy(np.flatnonzero(mask)).to(device) for mask in (~asked, asked))
        if not len(rows_U):
            return []
        labels_L = torch.from_numpy(answers_N[asked]).to(device)
        return train_contrastive(
            self.encoder,
            self.head,
            s.images_NCHW,
            rows_U,
            rows_L,
            labels_L,
            s.recipe,
            epochs=epochs,
            warmup=warmup,
            seed=s.seed,
            stage=stage,
            progress=s.progress,
        )

    def features(self, which: Features, images_NCHW: torch.Tensor | None = None) -> np.ndarray:
        """(N, D) features of the pool, or of other images: the encoder's output, or the projection head's."""
        net = self.encoder if which == "encoder" else torch.nn.Sequential(self.encoder, self.head)
        images_NCHW = self.setting.images_NCHW if images_NCHW is None else images_NCHW
        return extract(net, images_NCHW, self.setting.recipe).numpy()

    def state(self) -> dict:
        return {"encoder": self.encoder.state_dict(), "head": self.head.state_dict()}

    def restore(self, state: dict) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.head.load_state_dict(state["head"])


USED = (
    "net",
    "widths",
    "pooling",
    "readout",
    "projection",
    "con_",
    "rotate",
    "shear",
    "scale",
    "shift",
    "bf16",
    "cpu_threads",
)


def _inputs(setting: Setting) -> dict:
    """What the stage-0 representation depends on, beside the pool: for the cache's key."""
    used = {n: v for n, v in asdict(setting.recipe).items() if n.startswith(USED) and n != "con_epochs"}
    return {**used, "seed": setting.seed, "device": setting.images_NCHW.device.type}


def first_representation(setting: Setting) -> tuple[Representation, list[dict]]:
    """The representation of stage 0, trained on the whole pool with nothing labelled, and its loss history.

    It is the same for every strategy of a seed, so it comes from the setting's cache where it was trained before.
    """
    representation = Representation(setting)
    recipe, images = setting.recipe, setting.images_NCHW

    def build() -> dict:
        nothing = np.full(len(images), -1, dtype=np.int64)
        epochs, warmup = recipe.con_first_epochs, recipe.con_warmup
        history = representation.train(nothing, 0, epochs=epochs, warmup=warmup)
        return {**representation.state(), "history": history}

    state = setting.cache("representation", _inputs(setting), build)
    representation.restore(state)
    return representation, state["history"]


def first_features(setting: Setting, which: Features) -> tuple[Representation, np.ndarray]:
    """The representation of stage 0 and its features (N, D) of the pool, from the setting's cache as the former is."""
    representation, _ = first_representation(setting)

    def build() -> dict:
        return {"features": torch.from_numpy(representation.features(which))}

    inputs = {**_inputs(setting), "which": which, "eval_batch": setting.recipe.eval_batch}
    return representation, setting.cache("features", inputs, build)["features"].cpu().numpy()
