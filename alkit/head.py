"""The last layer of a classifier: what strategies that need more than its probabilities work on."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Head:
    """A classifier's penultimate `features_ND` of the pool and its linear layer, `weight_CD` and `bias_C`; float32.

    Its probabilities are softmax(features @ weight.T + bias), up to the rounding of the arithmetic that it ran in. The
    features are the classifier's own, which need not be those that a learner shows for geometry: the contrastive
    learner shows its representation, and fine-tunes its classifier away from it.
    """

    features_ND: np.ndarray
    weight_CD: np.ndarray
    bias_C: np.ndarray
