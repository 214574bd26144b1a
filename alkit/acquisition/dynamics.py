"""TiDAL (Kye et al. 2023): the course of a training, predicted for samples that were not in it."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.special import entr, softmax
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from alkit.acquisition import _small_heads
from alkit.acquisition._open_set import id_labelled, one_thread
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

EPOCHS = 200  # as published


@strategy("tidal", citation="Kye et al. 2023 (ICCV), arXiv 2210.06788", needs=("features",), family="classic")
def tidal(view: View) -> Iterator[int]:
    """Highest entropy of the predicted mean probabilities along a training first (Kye et al. 2023).

    A classifier is trained for 200 epochs, and the probabilities of each labelled sample are averaged over the epochs:
    what was learned late, or never, has a flat mean. A second head learns these means (Kullback-Leibler divergence) and
    predicts them for the pool; the score is the entropy of its prediction, over K + 1 outputs. With no labelled iD
    sample the order is random.

    Departures: both are linear heads on the learner's features, where the paper trains a ResNet and a module on its
    inner layers together. The classifier takes 200 steps of gradient descent on all labels at once, from zeros, as long
    as the curvature allows; the second head is trained to the end, on the final means (see `_small_heads`).

    Cost: O(200 m C D) for m labels, O(n C D) for scores. Assumes that what resembles late-learned samples is worth a
    label. Ambiguous samples lie among late-learned ones, between classes, and come early. OoD samples do where they
    resemble no class, or junk that was learned late.
    """
    positions, answered = view.shuffled(), np.flatnonzero(view.answers_N >= 0)
    if not len(id_labelled(view)):
        yield from positions.tolist()
        return
    if not len(positions):
        return
    rows_ND, n_outputs = _small_heads.inputs(view.features_ND), view.n_classes + 1
    labelled_MD = rows_ND[answered]
    mean_MC = mean_course(labelled_MD, view.answers_N[answered], n_outputs)
    head = course_head(labelled_MD, mean_MC)
    entropy_U = entr(softmax(head.logits(rows_ND[positions]), axis=1)).sum(axis=1)
    yield from positions[np.argsort(-entropy_U, kind="stable")].tolist()


@one_thread()
def mean_course(rows_MD: Tensor, labels_M: np.ndarray, n_outputs: int, *, epochs: int = EPOCHS) -> np.ndarray:
    """Mean (M, C) of each row's probabilities before each of `epochs` steps of gradient descent on mean cross-entropy.

    Rows have a length of sqrt(D): no curvature is above (D + 1) / 2, and a step is 2 / (D + 1) times the slope.
    """
    rows_ME = np.column_stack([rows_MD.double().numpy(), np.ones(len(labels_M))])
    weight_CE, mean_MC = np.zeros((n_outputs, rows_ME.shape[1])), np.zeros((len(labels_M), n_outputs))
    one_hot_MC = np.eye(n_outputs)[labels_M]
    for _ in range(epochs):
        probs_MC = softmax(rows_ME @ weight_CE.T, axis=1)
        mean_MC += probs_MC / epochs
        weight_CE -= 2 / rows_ME.shape[1] * ((probs_MC - one_hot_MC).T @ rows_ME) / len(labels_M)
    return mean_MC


def course_head(rows_MD: Tensor, mean_MC: np.ndarray) -> _small_heads.Linear:
    """The layer whose softmax predicts the mean probabilities of a training."""
    target_MC = torch.from_numpy(mean_MC)
    return _small_heads.train(
        lambda out_MC: kl_div(log_softmax(out_MC, 1), target_MC, reduction="batchmean"), rows_MD, mean_MC.shape[1]
    )
