"""What learners share: what they show, which labelled samples they train on, and how."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from alkit import models, rng
from alkit.acquisition.view import Head
from alkit.recipes import Recipe
from alkit.training import extract, schedule, train_classifier


@dataclass
class Setting:
    """What every learner is made from. `images_NCHW`: the pool, uint8, on the device it is to be trained on.

    `cache(name, inputs, build)` keeps what is the same for every run of a seed (the stage-0 representation).
    """

    images_NCHW: torch.Tensor
    n_classes: int
    recipe: Recipe
    seed: int
    cache: Callable
    progress: bool = False


@dataclass(frozen=True)
class Shown:
    """What a learner shows of the pool: `features_ND` and `probs_NC` (C = K + 1), float32, rows in pool order.

    `head` is the last layer of the classifier that gave the probabilities, with that classifier's own features.
    """

    features_ND: np.ndarray
    probs_NC: np.ndarray
    head: Head


def labelled_rows(answers_N: np.ndarray, n_classes: int, seed: int, stage: int, device) -> tuple:
    """(rows, labels) for classifier training: every labelled iD sample, and non-iD samples undersampled.

    Non-iD samples are cut, at random, to the mean size of an iD class (Kim, Kim and Hwang 2023, experimental settings).
    ValueError where nothing iD is labelled.
    """
    id_rows = np.flatnonzero((answers_N >= 0) & (answers_N < n_classes))
    other_rows = np.flatnonzero(answers_N == n_classes)
    if not len(id_rows):
        raise ValueError("no iD sample is labelled: a classifier has nothing to learn; raise initial_id")
    keep = min(len(other_rows), max(1, round(len(id_rows) / n_classes)))
    chosen = rng.numpy_stream(seed, "undersample", stage).permutation(other_rows)[:keep]
    rows = np.sort(np.concatenate([id_rows, chosen]))
    return torch.from_numpy(rows).to(device), torch.from_numpy(answers_N[rows]).to(device)


def train_on_labelled(net: models.Classifier, s: Setting, answers_N: np.ndarray, stage: int, prefix: str) -> list[dict]:
    """Train `net`, in place, on the labelled samples by the recipe's `sup_*` or `tune_*` numbers; its loss history."""
    rows, labels = labelled_rows(answers_N, s.n_classes, s.seed, stage, s.images_NCHW.device)
    plan = schedule(s.recipe, prefix)
    return train_classifier(
        net, s.images_NCHW, rows, labels, plan, s.recipe, seed=s.seed, stage=stage, progress=s.progress
    )


def probabilities(net, images_NCHW, recipe) -> tuple[Head, np.ndarray]:
    """(head, probs_NC) of a `models.Classifier` in one pass over the images."""

    def both(x):
        features = net.encoder(x)
        return torch.cat([features, net.linear(features)], 1)

    out = extract(net, images_NCHW, recipe, forward=both)
    features, logits = out.split([net.encoder.width, net.linear.out_features], 1)
    weight_CD, bias_C = (part.detach().cpu().numpy() for part in (net.linear.weight, net.linear.bias))
    return Head(features.numpy(), weight_CD, bias_C), logits.softmax(1).numpy()
