"""Multinomial logistic regression on fixed features: the classifier of `probe` and `pretrained`, and every gate.

It is trained until it has converged (a gradient of 1e-8), so that machines whose arithmetic differs in the last bits
agree in the fifth digit of a probability; a regression that stops at scikit-learn's default differs in the second.
Two solvers find the same optimum: scikit-learn's L-BFGS, and from `LARGE` on `newton`. With 20,000 labels, 256 features
and 61 outputs they take 18.9 s and 2.82 s of one thread (figures/results/benchmark-regression.csv).
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from alkit.acquisition.view import Head
from alkit.learners import newton
from alkit.runtime import threads

NEVER = -1e4  # a logit whose exponential is 0
TOLERANCE, ITERATIONS = 1e-8, 10_000
# labels x features x classes from which on `newton` fits: there a fit takes it 0.27 s of a thread, scikit-learn 0.43.
# Fits of MixDigits and MixMNIST are far below, and stay as in committed results, to the bit.
LARGE = 2**24


class Regression:
    """Class probabilities softmax(x W^T + b) of K + 1 classes; a class without a label has a bias that leaves it none.

    `weight_CD`, `bias_C`: float64.
    """

    def __init__(self, weight_CD: np.ndarray, bias_C: np.ndarray):
        self.weight_CD, self.bias_C = weight_CD, bias_C

    @classmethod
    def fit(cls, features_LD: np.ndarray, labels_L: np.ndarray, n_outputs: int, *, c: float, n_threads: int):
        """The regression of L labelled rows (labels 0..`n_outputs` - 1); `c`: inverse L2 regularisation of the weights.

        One class alone is predicted for all. ValueError where nothing is labelled.
        """
        classes = np.unique(labels_L)
        if not len(classes):
            raise ValueError("nothing is labelled: a regression has nothing to learn")
        weight_CD, bias_C = np.zeros((n_outputs, features_LD.shape[1])), np.full(n_outputs, NEVER)
        if len(classes) == 1:
            bias_C[classes] = 0.0
            return cls(weight_CD, bias_C)
        with threads(n_threads):
            if len(classes) > 2 and features_LD.size * len(classes) >= LARGE:
                numbers_L = np.searchsorted(classes, labels_L)
                found = newton.fit(features_LD, numbers_L, c=c, tolerance=TOLERANCE)
                weight_CD[classes], bias_C[classes] = found
                return cls(weight_CD, bias_C)
            solver = LogisticRegression(C=c, tol=TOLERANCE, max_iter=ITERATIONS)
            solver.fit(features_LD.astype(np.float64), labels_L)
        weight, bias = solver.coef_, solver.intercept_
        if len(classes) == 2:  # scikit-learn keeps one row for two classes
            weight, bias = (np.concatenate([-part / 2, part / 2]) for part in (weight, bias))
        weight_CD[classes], bias_C[classes] = weight, bias
        return cls(weight_CD, bias_C)

    def probs(self, features_ND: np.ndarray) -> np.ndarray:
        """Class probabilities (N, K + 1) of features, float32."""
        logits = features_ND @ self.weight_CD.T.astype(features_ND.dtype) + self.bias_C.astype(features_ND.dtype)
        return torch.from_numpy(logits).softmax(1).float().numpy()

    def head(self, features_ND: np.ndarray) -> Head:
        """The regression as the last layer of a classifier whose features these are."""
        return Head(features_ND, self.weight_CD.astype(np.float32), self.bias_C.astype(np.float32))

    def state(self) -> dict:
        return {"weight": torch.from_numpy(self.weight_CD), "bias": torch.from_numpy(self.bias_C)}

    @classmethod
    def restored(cls, state: dict) -> "Regression":
        """The regression that `state` was taken from."""
        return cls(state["weight"].cpu().numpy(), state["bias"].cpu().numpy())
