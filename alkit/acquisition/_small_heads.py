"""Small heads trained on fixed features, for strategies whose papers train networks of their own beside the classifier.

They are linear layers on features scaled to a length of sqrt(D), trained on the CPU from zeros by L-BFGS on the loss
plus a small penalty on the weights: a fraction of a second for thousands of labels, no rate and no epochs to tune, and
no randomness; on one thread, so that no result depends on the number of cores. What the papers do to the backbone at
the same time is left out, because features are the learner's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.preprocessing import normalize
from torch import Tensor
from torch.nn.functional import cross_entropy

from alkit.acquisition._open_set import one_thread

ITERATIONS, PENALTY = 50, 1e-2


@dataclass(frozen=True)
class Linear:
    """A linear layer: weight (C, D) and bias (C,), float32."""

    weight_CD: Tensor
    bias_C: Tensor

    def __call__(self, rows_ND: Tensor) -> Tensor:
        return rows_ND @ self.weight_CD.T + self.bias_C

    @one_thread()
    def logits(self, rows_ND: Tensor) -> np.ndarray:
        """Outputs (N, C), float64, outside of any gradient."""
        with torch.no_grad():
            return self(rows_ND).double().numpy()


def inputs(features_ND: np.ndarray) -> Tensor:
    """Rows scaled to a length of sqrt(D), float32, so that one penalty fits every width."""
    width = features_ND.shape[1]
    return torch.from_numpy(np.asarray(normalize(features_ND) * np.sqrt(width), dtype=np.float32))


@one_thread()
def train(loss: Callable[[Tensor], Tensor], rows_ND: Tensor, n_outputs: int) -> Linear:
    """The layer that minimises `loss(outputs (N, C)) + PENALTY / 2 |weight|^2`, both taken in float64."""
    rows_ND, split = rows_ND.double(), n_outputs * rows_ND.shape[1]

    def value_and_slope(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        made = torch.from_numpy(parameters).requires_grad_()
        weight_CD, bias_C = made[:split].view(n_outputs, -1), made[split:]
        total = loss(rows_ND @ weight_CD.T + bias_C) + PENALTY / 2 * weight_CD.square().sum()
        (slope,) = torch.autograd.grad(total, made)
        return float(total.detach()), slope.numpy()

    start = np.zeros(split + n_outputs)
    found = minimize(value_and_slope, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    found = torch.from_numpy(found.astype(np.float32))
    return Linear(found[:split].view(n_outputs, -1), found[split:])


def classifier(rows_ND: Tensor, labels_N: np.ndarray, n_outputs: int, *, temperature: Tensor | float = 1.0) -> Linear:
    """Softmax regression: cross-entropy of outputs / temperature, a number or one per row (N, 1)."""
    targets_N = torch.from_numpy(labels_N)
    return train(lambda out_NC: cross_entropy(out_NC / temperature, targets_N), rows_ND, n_outputs)
