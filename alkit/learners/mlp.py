"""A network with one hidden layer on fixed features: the `mlp` head of `pretrained`."""

import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from alkit import rng
from alkit.acquisition.view import Head
from alkit.recipes import Recipe
from alkit.training import batches, cosine, limited, set_rate, step

HIDDEN, DROPOUT = 512, 0.5
STEPS, BATCH, RATE, WEIGHT_DECAY = 300, 256, 3e-3, 0.3  # whatever the number of labels: two seconds of a thread
ROWS = 4096  # that go through the network at once: hidden values of more leave a processor's cache


class Mlp:
    """Class probabilities softmax(relu(x U^T + a) W^T + b) of K + 1 classes, on features x of length 1.

    AdamW, its rate falling as a cosine, with dropout on the hidden layer. On iD images of MixCIFAR60 that nothing was
    learned from: 63.7 % right after 2,000 labels and 70.0 % after 8,000, the logistic regression 63.3 and 69.5.
    """

    def __init__(self, width: int, n_outputs: int):
        self.scale = width**0.5  # gives features of length 1 a mean square of 1 in each dimension
        self.hidden, self.last = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, n_outputs)

    @classmethod
    def fit(
        cls, features_LD: np.ndarray, labels_L: np.ndarray, n_outputs: int, recipe: Recipe, *, seed: int, stage: int
    ) -> "Mlp":
        """The network of L labelled rows (labels 0..`n_outputs` - 1); `seed` and `stage` name its random streams."""
        with rng.seeded(rng.integer(seed, "mlp", stage)):
            mlp = cls(features_LD.shape[1], n_outputs)
            order = rng.torch_stream(seed, "mlp.batches", stage)
            _train(mlp, torch.from_numpy(features_LD), torch.from_numpy(labels_L), order, recipe)
        return mlp

    def _hidden(self, features_BD: torch.Tensor) -> torch.Tensor:
        return F.relu(self.hidden(features_BD * self.scale))

    @torch.inference_mode()
    def head(self, features_ND: np.ndarray) -> Head:
        """The last layer, with the hidden layer's values as this classifier's own features."""
        hidden_NH = torch.cat([self._hidden(rows) for rows in torch.from_numpy(features_ND).split(ROWS)])
        return Head(hidden_NH.numpy(), *(part.detach().numpy().copy() for part in self.last.parameters()))

    @torch.inference_mode()
    def probs(self, features_ND: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K + 1) of features, float32."""
        parts = torch.from_numpy(features_ND).split(ROWS)
        return torch.cat([self.last(self._hidden(rows)).softmax(1) for rows in parts]).numpy()

    def state(self) -> dict:
        return {"hidden": self.hidden.state_dict(), "last": self.last.state_dict()}

    @classmethod
    def restored(cls, state: dict) -> "Mlp":
        """The network that `state` was taken from."""
        mlp = cls(state["hidden"]["weight"].shape[1], len(state["last"]["bias"]))
        mlp.hidden.load_state_dict(state["hidden"])
        mlp.last.load_state_dict(state["last"])
        return mlp


@limited
def _train(mlp: Mlp, features_LD, labels_L, order: torch.Generator, recipe: Recipe) -> None:
    """`STEPS` steps on batches of the labelled rows, in place; dropout draws from torch's own stream."""
    parameters = [*mlp.hidden.parameters(), *mlp.last.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=WEIGHT_DECAY, fused=True)
    rows_L = torch.arange(len(labels_L))
    epochs = (batches(rows_L, BATCH, order) for _ in itertools.count())
    for number, rows in enumerate(itertools.islice(itertools.chain.from_iterable(epochs), STEPS)):
        set_rate(optimiser, RATE * cosine(number, STEPS, 0))
        hidden_BH = F.dropout(mlp._hidden(features_LD[rows]), DROPOUT)
        step(optimiser, F.cross_entropy(mlp.last(hidden_BH), labels_L[rows]), parameters, 0.0)
