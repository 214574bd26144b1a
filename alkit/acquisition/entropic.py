"""EOAL (Safaei et al. 2024): entropies of one-against-the-rest heads, and of distances to known unknowns."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.special import entr, expit, softmax
from torch import Tensor
from torch.nn.functional import logsigmoid

from alkit.acquisition import _small_heads
from alkit.acquisition._open_set import id_labelled, in_turn, nearest, non_id_labelled
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

TEMPERATURE, ALPHA = 0.5, 0.8


FINCH_ROWS = 10_000


@strategy("eoal", citation="Safaei et al. 2024 (AAAI), arXiv 2312.14126", needs=("features",), family="open-set")
def eoal(view: View) -> Iterator[int]:
    """Lowest entropic score first, equally many of each cluster of the samples predicted iD (Safaei et al. 2024).

    score = mean_j H(P_j) / log 2 - H(softmax_m(-|z - c_m|)) / log M: low where every one-against-the-rest head P_j is
    sure and no centre c_m of the labelled non-iD samples is nearer than the others. The heads learn from iD labels by
    -log P_y(1) + max over j != y of -log P_j(0), times (1 - alpha) / 2, alpha = 0.8, once there are labelled non-iD
    samples; from these by -(log P_j(0) + log P_j(1)) alpha / (2 K) summed over j, lowest at the highest entropy. A
    detector of K + 1 outputs (T = 0.5) says which samples are iD; FINCH's finest partition of them with at most quota
    clusters is taken from in turn. Samples predicted non-iD come last, by score. Without labelled non-iD samples, or
    with one centre (log 1 = 0), the second term is 0; with none iD labelled the order is random.

    Departures: linear heads on the learner's features, so that the paper's regulariser of the backbone has nothing to
    act on; z are features scaled to a length of sqrt(D); centres are FINCH's finest partition into at most K clusters,
    where the published code merges to exactly K; above 10,000 samples FINCH clusters as many, drawn at random.

    Cost: O(m K D) per step of training on m labels, O(n K D) for the scores, O(10,000^2 D) for FINCH. Assumes that iD
    classes are separable one against the rest. OoD samples near known ones score high; an OoD cluster without a label
    is queried like an iD one. Ambiguous samples leave two heads unsure and come late.
    """
    positions, labelled = view.rng.permutation(view.unlabelled), id_labelled(view)
    if not len(labelled) or not len(positions):
        yield from view.only_candidates(positions).tolist()
        return
    rows_ND, answered, rejects = _small_heads.inputs(view.features_ND), view.answers_N >= 0, non_id_labelled(view)
    rows_UD, rows_MD = rows_ND[torch.from_numpy(positions)], rows_ND[torch.from_numpy(answered)]
    labels_M = view.answers_N[answered]
    known_UK = expit(binary_heads(rows_MD, labels_M, view.n_classes).logits(rows_UD))
    detector = _small_heads.classifier(rows_MD, labels_M, view.n_classes + 1, temperature=TEMPERATURE)
    looks_id = detector.logits(rows_UD).argmax(axis=1) < view.n_classes
    distance_UM = None
    if len(rejects):
        rejects_RD = rows_ND[torch.from_numpy(rejects)]
        cluster_R = finch(rejects_RD.numpy(), at_most=view.n_classes, rng=view.rng)
        centres_MD = torch.stack([rejects_RD[torch.from_numpy(cluster_R == m)].mean(0) for m in np.unique(cluster_R)])
        distance_UM = torch.cdist(rows_UD, centres_MD).double().numpy()
    score_U = eoal_score(known_UK, distance_UM)
    by_score = np.argsort(score_U, kind="stable")
    candidates, rest = by_score[looks_id[by_score]], by_score[~looks_id[by_score]]
    if len(candidates):
        cluster_C = finch(rows_UD[torch.from_numpy(candidates)].numpy(), at_most=view.quota, rng=view.rng)
        first = np.unique(cluster_C, return_index=True)[1]  # clusters in the order of their best members
        queues = [positions[candidates[cluster_C == cluster_C[i]]] for i in np.sort(first)]
        yield from in_turn([view.only_candidates(queue) for queue in queues])
    yield from view.only_candidates(positions[rest]).tolist()


def eoal_score(known_NK: np.ndarray, distance_NM: np.ndarray | None) -> np.ndarray:
    """EOAL's score (N,), lower first: `known_NK` is P_j(1) of each head, `distance_NM` to each centre of non-iD."""
    closed_N = (entr(known_NK) + entr(1 - known_NK)).mean(axis=1) / np.log(2)
    if distance_NM is None or distance_NM.shape[1] < 2:
        return closed_N
    return closed_N - entr(softmax(-distance_NM, axis=1)).sum(axis=1) / np.log(distance_NM.shape[1])


def binary_heads(rows_MD: Tensor, labels_M: np.ndarray, n_classes: int) -> _small_heads.Linear:
    """K heads of one output, P_j(1) = sigmoid: trained on labels 0..K with the losses that `eoal` names."""
    known_M = torch.from_numpy(labels_M < n_classes)
    mine_MK = torch.nn.functional.one_hot(torch.from_numpy(labels_M), n_classes + 1)[:, :n_classes].bool()[known_M]
    weight = 1 - ALPHA if not known_M.all() else 1.0

    def loss(out_MK: Tensor) -> Tensor:
        yes_MK, no_MK = -logsigmoid(out_MK), -logsigmoid(-out_MK)
        own_M = (yes_MK[known_M] * mine_MK).sum(1)
        hardest_M = (no_MK[known_M] * ~mine_MK).amax(1)
        total = weight / 2 * (own_M + hardest_M).mean()
        if not known_M.all():
            total = total + ALPHA / 2 * (yes_MK + no_MK)[~known_M].mean()
        return total

    return _small_heads.train(loss, rows_MD, n_classes)


def finch(rows_ND: np.ndarray, *, at_most: int, rng: np.random.Generator) -> np.ndarray:
    """Cluster labels (N,) of FINCH's finest partition with at most `at_most` >= 1 clusters (Sarfraz et al. 2019, arXiv
    1902.11266).

    Each partition links every row to its nearest other by cosine similarity; its clusters' means are the rows of the
    next. Above FINCH_ROWS rows, as many are drawn by `rng` and clustered, and the others join the nearest mean.
    """
    if len(rows_ND) > FINCH_ROWS:
        some = rng.permutation(len(rows_ND))[:FINCH_ROWS]
        label_S = finch(rows_ND[some], at_most=at_most, rng=rng)
        return nearest(rows_ND, _means(rows_ND[some], label_S))[1]
    label_N, means_CD = np.arange(len(rows_ND)), rows_ND
    while len(means_CD) > 1:
        nearest_C = nearest(means_CD, means_CD, other=True)[1]
        links = np.arange(len(means_CD)), nearest_C
        links_CC = csr_array((np.ones(len(means_CD), bool), links), shape=2 * (len(means_CD),))
        label_N = connected_components(links_CC, directed=False)[1][label_N]
        means_CD = _means(rows_ND, label_N)
        if len(means_CD) <= at_most:
            break
    return label_N


def _means(rows_ND: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """Mean row of each label 0..C-1."""
    member_CN = csr_array((np.ones(len(label_N), rows_ND.dtype), (label_N, np.arange(len(label_N)))))
    return member_CN @ rows_ND / np.bincount(label_N)[:, None].astype(rows_ND.dtype)
