"""Strategies for open sets that train a detector with an output for the non-iD samples: LfOSA and BUAL."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from alkit.acquisition import _small_heads
from alkit.acquisition._open_set import id_labelled, min_max, non_id_labelled, one_thread, seed_of, upper_mode
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

Variant = Literal["paper", "code"]


TEMPERATURE = 0.5


LFOSA_CODE_UNKNOWN_TEMPERATURE = 2.0


# BUAL's negative learning: pool rows that take part, steps, rate of Adam, steps between two predictions of the pool
NEGATIVE_ROWS, NEGATIVE_STEPS, NEGATIVE_RATE, NEGATIVE_EVERY = 5000, 100, 0.02, 5


@strategy("lfosa", citation="Ning et al. 2022 (CVPR), arXiv 2201.06758", needs=("features",), family="open-set")
def lfosa(view: View, *, variant: Variant = "paper") -> Iterator[int]:
    """Samples first whose largest activation is of the larger mode of their predicted class (Ning et al. 2022).

    A detector of K + 1 outputs a_c is trained by cross-entropy of a / T, T = 0.5, on all labels, non-iD being class K +
    1. For each class predicted for at least two samples, two Gaussians are fitted to max_c a_c (10 iterations at most);
    the score is the posterior of the one with the larger mean, compared over all iD classes together. Samples alone in
    their predicted class have no mixture and follow; those predicted non-iD come last. With nothing labelled the order
    is random.

    variant="code" divides the outputs of labelled non-iD samples by T = 2, the default of the published command line;
    its README's runs use 0.5 for both. The published code drops samples alone in their class; here none is dropped.
    Departure: the detector is a linear head on the learner's features.

    Cost: O(m C D) per step of training on m labels, O(n C D) for the scores, O(n) for the mixtures. Assumes that large
    activation means iD. OoD samples come late wherever some like them are labelled; ambiguous samples activate two
    classes at half strength and come late as well. So purity is high, and what is queried is what the detector knows
    best already.
    """
    positions, answered = view.rng.permutation(view.unlabelled), view.answers_N >= 0
    if not answered.any() or not len(positions):
        yield from view.only_candidates(positions).tolist()
        return
    temperature = torch.full((int(answered.sum()), 1), TEMPERATURE)
    if variant == "code":
        temperature[torch.from_numpy(view.answers_N[answered] == view.n_classes)] = LFOSA_CODE_UNKNOWN_TEMPERATURE
    rows_ND = _small_heads.inputs(view.features_ND)
    detector = _small_heads.classifier(
        rows_ND[torch.from_numpy(answered)], view.answers_N[answered], view.n_classes + 1, temperature=temperature
    )
    score_U = lfosa_score(detector.logits(rows_ND[torch.from_numpy(positions)]), seed=seed_of(view))
    yield from view.only_candidates(positions[np.argsort(-score_U, kind="stable")]).tolist()


def lfosa_score(logits_NC: np.ndarray, *, seed: int) -> np.ndarray:
    """LfOSA's score (N,), higher first: a posterior in 0..1; 0 alone in a predicted class; -1 if predicted non-iD."""
    activation_N, predicted_N = logits_NC.max(axis=1), logits_NC.argmax(axis=1)
    score_N = np.where(predicted_N == logits_NC.shape[1] - 1, -1.0, 0.0)
    for k in range(logits_NC.shape[1] - 1):
        members = np.flatnonzero(predicted_N == k)
        if len(members) > 1:
            score_N[members] = upper_mode(activation_N[members], seed=seed)
    return score_N


@strategy("bual", citation="Zong et al. 2024 (ECCV), arXiv 2402.15198", needs=("features",), family="open-set")
def bual(view: View, *, variant: Variant = "paper") -> Iterator[int]:
    """Lowest p_A conf(p_neg) + r (1 - p_A) conf(p_P) first, conf being the largest probability (Zong et al. 2024).

    P is a classifier of the iD labels. Random-label negative learning goes on from it with the loss -log(1 - p_y): y is
    drawn at every step, one of the other classes for labelled samples, any class for 5,000 of the pool. p_neg is the
    mean softmax on the pool over 20 moments of that training. p_A is the share of the non-iD class in an auxiliary
    classifier of K + 1 outputs; what it predicts non-iD comes last, by the same rule. r is the precision: the share of
    iD among the answers. With no labelled non-iD sample score = conf(p_neg) + r conf(p_P); with none iD the order is
    random. variant="code": p_A, conf(p_neg) and conf(p_P) are each scaled to 0..1 over the samples that are compared,
    and r = 0 before a non-iD sample is labelled, as published.

    Departures: linear heads on the learner's features stand for deep nets; r counts all answers, as a view does not
    show the last round's alone; the published stopping rule reads true labels, and is a fixed number of steps here;
    what is predicted non-iD is dropped in the published code.

    Cost: O((m + 5,000) K D) per step for m labels, O(n K D) for each of the 20 moments. Assumes that negative learning
    moves unknown samples more than known ones: of deep nets that is truer than of a linear head. OoD samples come as
    late as the auxiliary classifier sees to it; ambiguous samples are unsure by labels and come first where it does not
    claim them.
    """
    positions, labelled = view.rng.permutation(view.unlabelled), id_labelled(view)
    if not len(labelled) or not len(positions):
        yield from view.only_candidates(positions).tolist()
        return
    rows_ND = _small_heads.inputs(view.features_ND)
    pool_UD = rows_ND[torch.from_numpy(positions)]
    positive = _small_heads.classifier(rows_ND[torch.from_numpy(labelled)], view.answers_N[labelled], view.n_classes)
    positive_U = softmax(positive.logits(pool_UD), axis=1).max(axis=1)
    negative_U = _negative_confidence(view, positive, rows_ND[torch.from_numpy(labelled)], labelled, pool_UD)
    auxiliary_UC, answered = None, view.answers_N >= 0
    if len(non_id_labelled(view)):
        rows = torch.from_numpy(answered)
        auxiliary = _small_heads.classifier(rows_ND[rows], view.answers_N[answered], view.n_classes + 1)
        auxiliary_UC = softmax(auxiliary.logits(pool_UD), axis=1)
    precision = len(labelled) / answered.sum()
    by_score = bual_order(negative_U, positive_U, auxiliary_UC, precision, scaled=variant == "code")
    yield from view.only_candidates(positions[by_score]).tolist()


def bual_order(
    negative_N: np.ndarray, positive_N: np.ndarray, auxiliary_NC: np.ndarray | None, precision: float, *, scaled: bool
) -> np.ndarray:
    """Indices (N,) by ascending score from two confidences and the auxiliary probabilities; predicted non-iD last.

    `scaled` is the published code's variant; see `bual`. Equal scores keep the order of the rows.
    """
    if auxiliary_NC is None:
        weight = 0 if scaled else precision
        return np.argsort(_scale(negative_N, scaled) + weight * _scale(positive_N, scaled), kind="stable")
    rejected_N = auxiliary_NC.argmax(axis=1) == auxiliary_NC.shape[1] - 1
    order = []
    for group in (np.flatnonzero(~rejected_N), np.flatnonzero(rejected_N)):
        terms = (negative_N[group], positive_N[group], auxiliary_NC[group, -1])
        negative_G, positive_G, non_id_G = (_scale(term, scaled) for term in terms)
        score_G = non_id_G * negative_G + precision * (1 - non_id_G) * positive_G
        order.append(group[np.argsort(score_G, kind="stable")])
    return np.concatenate(order)


def _scale(values_N: np.ndarray, scaled: bool) -> np.ndarray:
    return min_max(values_N) if scaled else values_N


@one_thread()
def _negative_confidence(
    view: View, positive: _small_heads.Linear, labelled_MD: Tensor, labelled: np.ndarray, pool_UD: Tensor
) -> np.ndarray:
    """conf(p_neg) of each pool row: the largest entry of the softmax averaged over negative learning."""
    n_classes, mean_UC = view.n_classes, np.zeros((len(pool_UD), view.n_classes))
    if n_classes == 1:  # one class has no complement, and its probability is always 1
        return np.ones(len(pool_UD))
    some = torch.from_numpy(view.rng.permutation(len(pool_UD))[:NEGATIVE_ROWS])
    rows_BD = torch.cat([labelled_MD, pool_UD[some]])
    parameters = [part.clone().requires_grad_() for part in (positive.weight_CD, positive.bias_C)]
    layer = _small_heads.Linear(*parameters)
    optimiser = torch.optim.Adam(parameters, lr=NEGATIVE_RATE, fused=True)
    for step in range(1, NEGATIVE_STEPS + 1):
        complement_M = (view.answers_N[labelled] + view.rng.integers(1, n_classes, len(labelled))) % n_classes
        labels_B = torch.from_numpy(np.concatenate([complement_M, view.rng.integers(0, n_classes, len(some))]))
        probs_B = layer(rows_BD).softmax(1).gather(1, labels_B[:, None])[:, 0]
        optimiser.zero_grad()
        (-torch.log((1 - probs_B).clamp(min=1e-5)).mean()).backward()
        optimiser.step()
        if step % NEGATIVE_EVERY == 0:
            mean_UC += softmax(layer.logits(pool_UD), axis=1) * NEGATIVE_EVERY / NEGATIVE_STEPS
    return mean_UC.max(axis=1)
