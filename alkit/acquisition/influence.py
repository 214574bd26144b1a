"""Influence of a label on the loss of other samples, in closed form on the classifier's last layer: ISAL and DAO."""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import softmax

from alkit.acquisition import _small_heads
from alkit.acquisition._geometry import by_chunks
from alkit.acquisition._open_set import id_labelled, one_thread
from alkit.acquisition.registry import strategy
from alkit.acquisition.view import View

DAMPING = 0.01  # on the diagonal of the Hessian, as ISAL's published code


FOLDS, PRODUCTS, CHUNK = 4, 200, 4096  # of held-out labels; with the Hessian, at most; rows scored at a time


CANDIDATES, EVALUATED = 256, 256  # of each of DAO's picks; unlabelled samples that its loss is estimated on


@strategy("isal", citation="Liu et al. 2021 (ICCV), arXiv 2108.09331", needs=("head", "probs"), family="classic")
def isal(view: View) -> Iterator[int]:
    """Samples whose label, taken as predicted, would lower the loss of iD ones most (Liu et al. 2021).

    Lowest influence -S . G first: G = (p - e_y) h^T is the gradient in the last layer at the predicted class y, S =
    H^-1 R, R the mean gradient of a reference set and H the mean Hessian of all labelled samples + 0.01 I. h ends in a
    1 for the bias, and all K + 1 outputs count. With less than two labelled samples, or no iD one, the order is random.

    Departures: the published code takes its reference gradients from the test set. Here the reference set is the
    labelled iD samples, each seen by a linear head that was trained on the other three of four folds of labels (see
    `_small_heads`), because a classifier's gradients on what it was trained on say nothing. The paper's Hessian is of
    the whole network and its inverse a series; here it is of the last layer, and conjugate gradients solve for S.

    Cost: four heads on m labels, O(m C D) for each product with H, O(n C D) for scores; H is never formed. Assumes that
    the predicted label is right. Ambiguous samples have long gradients, in directions that labelled samples have as
    well: first or last. OoD samples share few directions with the reference set and are in the middle.
    """
    positions, answered = view.shuffled(), view.rng.permutation(np.flatnonzero(view.answers_N >= 0))
    if len(answered) < 2 or not len(id_labelled(view)):
        yield from positions.tolist()
        return
    if not len(positions):
        return
    labelled_ME = with_bias(view.head.features_ND[answered])
    slope_CE = held_out_slope(labelled_ME[:, :-1], view.answers_N[answered], view.n_classes)
    step_CE = solve_hessian(labelled_ME, view.probs_NC[answered].astype(np.float64), slope_CE)

    def influence(rows: slice) -> np.ndarray:
        residual_BC = view.probs_NC[positions[rows]].astype(np.float64)
        residual_BC[np.arange(len(residual_BC)), residual_BC.argmax(axis=1)] -= 1
        return -(residual_BC * (with_bias(view.head.features_ND[positions[rows]]) @ step_CE.T)).sum(axis=1)

    influence_U = by_chunks(influence, len(positions), chunk=CHUNK)
    yield from positions[np.argsort(influence_U, kind="stable")].tolist()


def with_bias(features_ND: np.ndarray) -> np.ndarray:
    """Rows, float64, that end in a 1."""
    return np.column_stack([features_ND, np.ones(len(features_ND))]).astype(np.float64)


def held_out_slope(features_MD: np.ndarray, labels_M: np.ndarray, n_classes: int) -> np.ndarray:
    """Mean gradient (K + 1, D + 1) of iD rows, in random order, each under a head trained on the other folds."""
    rows_MD, residual_MC = _small_heads.inputs(features_MD), np.zeros((len(labels_M), n_classes + 1))
    fold_M = np.arange(len(labels_M)) % FOLDS
    for fold in np.unique(fold_M):
        held_out = fold_M == fold
        head = _small_heads.classifier(rows_MD[~held_out], labels_M[~held_out], n_classes + 1)
        residual_MC[held_out] = softmax(head.logits(rows_MD[held_out]), axis=1)
    residual_MC[np.arange(len(labels_M)), labels_M] -= 1
    is_id = labels_M < n_classes
    return residual_MC[is_id].T @ with_bias(features_MD[is_id]) / is_id.sum()


@one_thread()
def solve_hessian(labelled_ME: np.ndarray, probs_MC: np.ndarray, slope_CE: np.ndarray) -> np.ndarray:
    """H^-1 `slope_CE` for the mean Hessian H of the rows' cross-entropy + DAMPING I."""

    def product(flat: np.ndarray) -> np.ndarray:
        step_CE = flat.reshape(slope_CE.shape)
        change_MC = labelled_ME @ step_CE.T
        change_MC = probs_MC * (change_MC - (probs_MC * change_MC).sum(axis=1, keepdims=True))
        return (change_MC.T @ labelled_ME / len(labelled_ME) + DAMPING * step_CE).ravel()

    hessian = LinearOperator((slope_CE.size, slope_CE.size), matvec=product, dtype=np.float64)
    found, _ = cg(hessian, slope_CE.ravel(), rtol=1e-8, maxiter=PRODUCTS)
    return found.reshape(slope_CE.shape)


@strategy(
    "dao",
    citation="Zhao, Jiang and Chen 2024, arXiv 2402.06045",
    needs=("features", "head", "probs"),
    family="classic",
)
def dao(view: View) -> Iterator[int]:
    """The candidate whose label is expected to leave the lowest loss on the pool (Zhao, Jiang and Chen 2024).

    A surrogate gives label probabilities q. The label of a candidate x moves the last layer by -1/(m + 1) H^-1
    (p_x - q_x) h_x^T, its influence, and so the logits of others. Their cross-entropy with q is estimated on 256
    unlabelled samples, drawn in proportion to it and weighted to make up for that (LURE, Farquhar et al. 2021). Of 256
    random candidates the one of lowest estimate is next; the classifier is moved by it, and the rest goes on from
    there. With no labelled iD sample the order is random.

    Departures: the surrogate is a linear head on the learner's features (see `_small_heads`), trained on all labels. H
    is the bound of Böhning (1992) on the Hessian, (I - 1/C) / 2 x the mean of h h^T + 0.01 I, whose inverse is in
    closed form: a step of the logits is 2 / (m + 1) (p_x - q_x) h_x^T S^-1 h. All K + 1 outputs count. The sample that
    the loss is estimated on is drawn anew for each round of quota picks.

    Cost: a head on m labels, O(m D^2 + n D^2), and for each pick O(n (D + C)) and 256^2 C exponentials. Assumes that
    surrogate and classifier differ where the classifier errs. Samples that many others are like come first, if the two
    disagree on them; OoD and ambiguous ones do where they are many.
    """
    group, answered = view.shuffled(), np.flatnonzero(view.answers_N >= 0)
    if not len(id_labelled(view)):
        yield from group.tolist()
        return
    if not len(group):
        return
    pool, rows_ND = view.rng.permutation(view.unlabelled), _small_heads.inputs(view.features_ND)
    surrogate = _small_heads.classifier(rows_ND[answered], view.answers_N[answered], view.n_classes + 1)
    target_UC = softmax(surrogate.logits(rows_ND[pool]), axis=1)
    features_UE = whitened(with_bias(view.head.features_ND[pool]), with_bias(view.head.features_ND[answered]))
    logits_UC = with_bias(view.head.features_ND[pool]) @ np.column_stack([view.head.weight_CD, view.head.bias_C]).T
    left = np.flatnonzero(np.isin(pool, group))
    for number in range(len(left)):
        if number % view.quota == 0:
            seen, weight_B = weighted_sample(cross_entropy(target_UC, logits_UC), EVALUATED, view.rng)
        tried = view.rng.permutation(left)[:CANDIDATES]
        step_AC = 2 / (len(answered) + number + 1) * (target_UC[tried] - softmax(logits_UC[tried], axis=1))
        gain_AB = features_UE[tried] @ features_UE[seen].T
        moved_ABC = logits_UC[seen] + gain_AB[:, :, None] * step_AC[:, None]
        best = int((cross_entropy(target_UC[seen], moved_ABC) @ weight_B).argmin())
        pick = int(tried[best])
        logits_UC += (features_UE @ features_UE[pick])[:, None] * step_AC[best]
        left = left[left != pick]
        yield int(pool[pick])


def cross_entropy(target_NC: np.ndarray, logits_NC: np.ndarray) -> np.ndarray:
    """Cross-entropy (..., N) of the softmax of logits (..., N, C) with the target of each row."""
    largest_N1 = logits_NC.max(axis=-1, keepdims=True)
    total_N = np.log(np.exp(logits_NC - largest_N1).sum(axis=-1)) + largest_N1[..., 0]
    return total_N - np.einsum("...nc,nc->...n", logits_NC, target_NC)


@one_thread()
def whitened(rows_NE: np.ndarray, labelled_ME: np.ndarray) -> np.ndarray:
    """Rows whose inner products are x^T S^-1 y, S the labelled rows' mean of h h^T + DAMPING I."""
    mean_EE = labelled_ME.T @ labelled_ME / len(labelled_ME) + DAMPING * np.eye(labelled_ME.shape[1])
    return solve_triangular(cholesky(mean_EE, lower=True), rows_NE.T, lower=True).T


def weighted_sample(loss_N: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices of `size` rows drawn without replacement, half at random and half by loss, and LURE's weights of them.

    The mean of weight x value over the sample is an unbiased estimate of the mean over all rows.
    """
    n, total = len(loss_N), loss_N.sum()
    share_N = (loss_N / total if total > 0 else np.full(n, 1 / n)) / 2 + 1 / (2 * n)
    order = np.argsort(-(np.log(share_N) + rng.gumbel(size=n)), kind="stable")[:size]
    size = len(order)
    before_B = np.concatenate([[0.0], share_N[order].cumsum()[:-1]])
    chance_B, number_B = share_N[order] / np.maximum(1 - before_B, share_N[order]), np.arange(1, size + 1)
    if size == n:
        return order, np.ones(size)
    weight_B = 1 + (n - size) / (n - number_B) * (1 / ((n - number_B + 1) * chance_B) - 1)
    return order, weight_B
