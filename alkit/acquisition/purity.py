"""Strategies for open sets that weigh purity, the similarity with labelled iD samples, against informativeness."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.special import entr, softmax
from sklearn.preprocessing import normalize
from torch import Tensor

from alkit.acquisition import _small_heads
from alkit.acquisition._open_set import (
    closed_probs,
    id_labelled,
    in_turn,
    min_max,
    nearest,
    non_id_labelled,
    one_thread,
)
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

SHARPNESS, THRESHOLD = 100.0, 0.9  # CCAL's k and t


FOLDS, HIDDEN, META_STEPS, META_RATE, META_BATCH = 3, 64, 100, 0.1, 512


@strategy("ccal", citation="Du et al. 2021 (ICCV), pp. 8927-8936", needs=("features", "head"), family="open-set")
def ccal(view: View) -> Iterator[int]:
    """Like a labelled iD sample in meaning and unlike its class in detail, equally many per class (Du et al. 2021).

    score = tanh(k (S - t) / 2) + D, k = 100, t = 0.9. S is the largest cosine similarity with a labelled iD sample in
    the learner's features, scaled to 0..1 over the pool; i is that sample's class. D = 1 - s, where s is c_1 - c_2 +
    cos(A_1, A_2) + c_1, scaled to 0..1 over the pool for each class: A_1 and A_2 are the class's labelled samples
    nearest in the classifier's own features, at cosine similarities c_1 and c_2 (a lone one stands for both). Classes
    give their highest scores in turn; with no labelled iD sample the order is random.

    Departures: the paper trains two encoders, SimCLR for S and one that also tells rotations apart for D, and averages
    ten augmented views and four rotations; here S is seen in the learner's features and D in those of its classifier,
    one view each. A learner with one set of features shows the same in both.

    Cost: O(n m D) for m labelled iD samples. Assumes that the representation draws iD classes together. OoD samples
    fall below t as soon as most of the pool is nearer to labels. Ambiguous samples, near a class and unlike its labels,
    pass and have a high D. Labelled non-iD samples change nothing, as the method uses iD labels alone.
    """
    positions, labelled = view.rng.permutation(view.unlabelled), id_labelled(view)
    if not len(labelled) or not len(positions):
        yield from view.only_candidates(positions).tolist()
        return
    labels_M = view.answers_N[labelled]
    similarity_U, index_U = nearest(view.features_ND[positions], view.features_ND[labelled])
    detail_UK = distinctive(view.head.features_ND[positions], view.head.features_ND[labelled], labels_M, view.n_classes)
    score_U = ccal_score(similarity_U, labels_M[index_U], detail_UK)
    by_score = np.argsort(-score_U, kind="stable")
    nearest_class = labels_M[index_U][by_score]
    queues = [positions[by_score[nearest_class == k]] for k in view.rng.permutation(view.n_classes)]
    yield from in_turn([view.only_candidates(queue) for queue in queues])


def ccal_score(similarity_N: np.ndarray, class_N: np.ndarray, detail_NK: np.ndarray) -> np.ndarray:
    """CCAL's score (N,) for the class of the nearest labelled sample, higher first; see `ccal`."""
    semantic_N = np.tanh(SHARPNESS * (min_max(similarity_N.astype(np.float64)) - THRESHOLD) / 2)
    score_N = np.empty(len(class_N))
    for k in np.unique(class_N):
        members = class_N == k
        score_N[members] = semantic_N[members] + 1 - min_max(detail_NK[:, k])[members]
    return score_N


@one_thread()
def distinctive(rows_ND: np.ndarray, labelled_MD: np.ndarray, labels_M: np.ndarray, n_classes: int) -> np.ndarray:
    """c_1 - c_2 + cos(A_1, A_2) + c_1 of each row for each class (N, K); 0 for a class without labels."""
    rows_ND, labelled_MD = normalize(rows_ND), normalize(labelled_MD)
    detail_NK = np.zeros((len(rows_ND), n_classes))
    for k in np.unique(labels_M):
        class_MD = labelled_MD[labels_M == k]
        if len(class_MD) == 1:
            class_MD = np.repeat(class_MD, 2, axis=0)
        similarity_NM = torch.from_numpy(rows_ND @ class_MD.T)
        top_N2, index_N2 = (part.numpy() for part in similarity_NM.topk(2, dim=1))
        between_N = (class_MD @ class_MD.T)[index_N2[:, 0], index_N2[:, 1]]
        detail_NK[:, k] = 2 * top_N2[:, 0] - top_N2[:, 1] + between_N
    return detail_NK


@strategy(
    "mqnet", citation="Park et al. 2022 (NeurIPS), arXiv 2210.07805", needs=("features", "probs"), family="open-set"
)
def mqnet(view: View) -> Iterator[int]:
    """Highest s(exp z(u), exp z(q)) first: a network weighs informativeness u and purity q (Park et al. 2022).

    q is the largest cosine similarity with a labelled iD sample, u the entropy of the K iD probabilities made to sum to
    1, z standardises over the pool. s = relu(w_2) sigmoid(relu(W_1) x + b_1) + b_2, 64 hidden units, all parameters
    from U(0, 1), rises in both inputs. It learns to rank pairs of labelled samples by the hinge loss max(0, 1 - sgn(m_i
    - m_j) (s_i - s_j)), with m the classifier's cross-entropy for iD samples and 0 for non-iD ones. Before a non-iD
    sample is labelled, s = exp z(u) + exp z(q); with no labelled iD sample the order is random.

    Departures: the paper trains s on the batch just labelled, scored by the classifier of before; a view shows no
    rounds, so that all labelled samples train it here, each scored by linear heads of the other two of three folds. 100
    steps at a rate of 0.1 with up to 512 samples stand for the paper's 10,000 at 0.001 with 32. q is seen in the
    learner's features, in place of the paper's CSI encoder.

    Cost: O(n m D) for m labelled iD samples, and O(n) for the network. Assumes that the trade-off among the labels
    holds for the pool. OoD samples far from all labels have a low q. Ambiguous samples have a high u and a fair q: they
    come late only once labelled ones have taught the network that purity counts.
    """
    positions, labelled = view.rng.permutation(view.unlabelled), id_labelled(view)
    if not len(labelled) or not len(positions):
        yield from view.only_candidates(positions).tolist()
        return
    purity_U = nearest(view.features_ND[positions], view.features_ND[labelled])[0]
    inputs_U2 = mqnet_inputs(closed_entropy(view.probs_NC[positions]), purity_U)
    if len(non_id_labelled(view)):
        score_U = _meta_net(view, *_meta_set(view))(inputs_U2)
    else:
        score_U = inputs_U2.sum(axis=1)
    yield from view.only_candidates(positions[np.argsort(-score_U, kind="stable")]).tolist()


def mqnet_inputs(informativeness_N: np.ndarray, purity_N: np.ndarray) -> np.ndarray:
    """exp of both, standardised over the rows (N, 2), float64; 1 where a column is constant."""
    both_N2 = np.stack([informativeness_N, purity_N], axis=1).astype(np.float64)
    spread_2 = both_N2.std(axis=0)
    return np.exp((both_N2 - both_N2.mean(axis=0)) / np.where(spread_2 > 0, spread_2, 1))


def closed_entropy(probs_NC: np.ndarray) -> np.ndarray:
    """Entropy (N,) of the K iD probabilities made to sum to 1; log K where they are all 0."""
    return entr(closed_probs(probs_NC)).sum(axis=1)


def _meta_set(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (M, 2) and targets (M,) of all answered samples, each seen by what learnt from the other folds."""
    answered = np.flatnonzero(view.answers_N >= 0)
    labels_M, rows_MD = view.answers_N[answered], _small_heads.inputs(view.features_ND[answered])
    is_id_M, fold_M = labels_M < view.n_classes, view.rng.permutation(len(answered)) % FOLDS
    entropy_M, purity_M, loss_M = np.zeros(len(answered)), np.zeros(len(answered)), np.zeros(len(answered))
    for fold in np.unique(fold_M):
        mine, teachers = np.flatnonzero(fold_M == fold), np.flatnonzero((fold_M != fold) & is_id_M)
        if not len(teachers):
            continue
        head = _small_heads.classifier(rows_MD[torch.from_numpy(teachers)], labels_M[teachers], view.n_classes)
        probs_BK = softmax(head.logits(rows_MD[torch.from_numpy(mine)]), axis=1)
        own_B = probs_BK[np.arange(len(mine)), np.minimum(labels_M[mine], view.n_classes - 1)]
        entropy_M[mine] = entr(probs_BK).sum(axis=1)
        purity_M[mine] = nearest(rows_MD[torch.from_numpy(mine)].numpy(), rows_MD[torch.from_numpy(teachers)].numpy())[
            0
        ]
        loss_M[mine] = np.where(is_id_M[mine], -np.log(np.maximum(own_B, np.finfo(float).tiny)), 0)
    return mqnet_inputs(entropy_M, purity_M), loss_M


class _MonotoneNet:
    """MQ-Net's scorer, with parameters from U(0, 1); called on inputs (N, 2), it gives scores (N,)."""

    def __init__(self, generator: torch.Generator):
        shapes = (HIDDEN, 2), (HIDDEN,), (HIDDEN,), (1,)
        made = [torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes]
        self.parameters = [part.requires_grad_() for part in made]

    def scores(self, inputs_N2: Tensor) -> Tensor:
        in_H2, bias_H, out_H, bias_1 = self.parameters
        return torch.sigmoid(inputs_N2 @ in_H2.relu().T + bias_H) @ out_H.relu() + bias_1

    def __call__(self, inputs_N2: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.scores(torch.from_numpy(inputs_N2)).numpy()


@one_thread()
def _meta_net(view: View, inputs_M2: np.ndarray, target_M: np.ndarray) -> _MonotoneNet:
    """The scorer, trained on pairs (i, reversed i) of random batches; an odd batch leaves out its middle one."""
    net = _MonotoneNet(torch.Generator().manual_seed(int(view.rng.integers(2**63))))
    inputs, target = torch.from_numpy(inputs_M2), torch.from_numpy(target_M)
    for _ in range(META_STEPS if len(target_M) > 1 else 0):
        batch = torch.from_numpy(view.rng.permutation(len(target_M))[:META_BATCH])
        half = len(batch) // 2
        left, right = batch[:half], batch.flip(0)[:half]
        sign = torch.where(target[left] > target[right], 1.0, -1.0)  # the published code counts a tie as lower
        loss = (1 - sign * (net.scores(inputs[left]) - net.scores(inputs[right]))).relu().mean()
        for part, slope in zip(net.parameters, torch.autograd.grad(loss, net.parameters)):
            part.data -= META_RATE * slope
    return net
