"""A graph of nearest neighbours over part of the pool, and the probability of being iD that it gives each node.

The two kinds of non-iD samples are recognised in two ways. OoD samples gather: a few answers, spread over the graph,
tell their neighbourhoods from those of classes. Ambiguous samples lie between classes, where the pool is thin: their
nearest neighbours are far, before anything is labelled.
"""

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, logit

from alkit.acquisition._geometry import CELLS, by_chunks, unit_rows

SPREAD_NEIGHBOURS, STEPS, RESTART = 10, 20, 0.1  # of how answers spread


FOLDS, NEWTON_STEPS, FEWEST = 4, 20, 20  # of the calibration, and answers that it needs


ROUNDING = 1e-9  # of its loss


SMALLEST = 0.01  # a purity stays this far from 0 and 1


def nearest_neighbours(rows_ND: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine similarity (N, k) and index (N, k) of each row's k = min(neighbours, N - 1) nearest others, nearest first.

    Cost: O(n^2 D), in chunks of CELLS similarities.
    """
    unit_ND, n = unit_rows(rows_ND), len(rows_ND)
    k = min(neighbours, n - 1)

    def found(rows: slice) -> np.ndarray:
        similarity_BN = unit_ND[rows] @ unit_ND.T
        own = np.arange(rows.start, min(rows.stop, n))
        similarity_BN[own - rows.start, own] = -np.inf
        index_Bk = np.argpartition(-similarity_BN, k - 1, axis=1)[:, :k] if k else np.empty((len(own), 0), int)
        close_Bk = np.take_along_axis(similarity_BN, index_Bk, axis=1)
        order_Bk = np.argsort(-close_Bk, axis=1, kind="stable")
        both = (np.take_along_axis(part, order_Bk, axis=1) for part in (close_Bk, index_Bk))
        return np.stack([part.astype(np.float64) for part in both], axis=2)

    found_Nk2 = by_chunks(found, n, chunk=max(1, CELLS // n))
    return found_Nk2[..., 0], found_Nk2[..., 1].astype(np.int64)


def graph(similarity_Nk: np.ndarray, index_Nk: np.ndarray) -> sp.csr_matrix:
    """Symmetric edges exp((similarity - 1) / scale) between each node and its neighbours, none with itself.

    The scale is the median over nodes of 1 - the similarity with the farthest of the k, so that nothing depends on how
    much of the sphere the features fill.
    """
    n, k = similarity_Nk.shape
    scale = max(float(np.median(1 - similarity_Nk[:, -1])), 1e-6) if k else 1.0
    starts = np.arange(0, n * k + 1, k) if k else np.zeros(n + 1, np.int64)
    edges_NN = sp.csr_matrix((np.exp((similarity_Nk.ravel() - 1) / scale), index_Nk.ravel(), starts), shape=(n, n))
    return edges_NN.maximum(edges_NN.T).tocsr()


class Purity:
    """Probability that each node is iD: what answers spread over the graph, and how dense it is there, calibrated.

    logit P(iD) = a logit(s) + b z + c. s: the share of iD among the answers that reach the node by label spreading
    (Zhou et al. 2003), shrunk to the overall share where few do; z: the mean similarity with its 10 nearest, as a
    standard score. (a, b, c) is the most probable under a Gaussian prior of unit width at (1, 1, 0), given answers that
    were held out from the spreading, in 4 folds; (1, 1, 0) itself with fewer than 20 answers. `gates`: "both", or only
    "answers" (without b z) or "density" (without a logit(s)).
    """

    def __init__(self, similarity_Nk, index_Nk, rng: np.random.Generator, *, gates: str = "both"):
        near = slice(0, SPREAD_NEIGHBOURS)
        edges_NN = graph(similarity_Nk[:, near], index_Nk[:, near])
        degree_N = np.asarray(edges_NN.sum(axis=1)).ravel()
        scale_NN = sp.diags(1 / np.sqrt(np.where(degree_N > 0, degree_N, 1)))
        self.walk_NN = (scale_NN @ edges_NN @ scale_NN).tocsr()
        density_N = similarity_Nk[:, near].mean(axis=1) if similarity_Nk.shape[1] else np.zeros(len(similarity_Nk))
        self.density_N = (density_N - density_N.mean()) / max(density_N.std(), 1e-6)
        self.weights, self.rng = np.array([1.0, 1.0, 0.0]), rng
        self.kept_3 = np.array([gates != "density", gates != "answers", True])

    def evidence(self, is_id_N: np.ndarray, is_other_N: np.ndarray) -> np.ndarray:
        """logit(s) (N,) for boolean answers: iD, and non-iD."""
        answers_N2 = np.stack([is_id_N, is_other_N], axis=1).astype(np.float64)
        mass_N2 = answers_N2
        for _ in range(STEPS):
            mass_N2 = (1 - RESTART) * (self.walk_NN @ mass_N2) + RESTART * answers_N2
        overall = (is_id_N.sum() + 1) / (is_id_N.sum() + is_other_N.sum() + 2)
        total_N = mass_N2.sum(axis=1)
        prior = max(0.1 * np.median(total_N), 1e-4)
        return logit(np.clip((mass_N2[:, 0] + prior * overall) / (total_N + prior), SMALLEST, 1 - SMALLEST))

    def __call__(self, is_id_N: np.ndarray, is_other_N: np.ndarray) -> np.ndarray:
        """P(iD) (N,) given these answers."""
        return expit(self._inputs(self.evidence(is_id_N, is_other_N)) @ self.weights)

    def calibrate(self, is_id_N: np.ndarray, is_other_N: np.ndarray) -> None:
        """Fit (a, b, c) to these answers, each seen from the other folds; nothing with too few of them."""
        answered = np.flatnonzero(is_id_N | is_other_N)
        if len(answered) < FEWEST:
            return
        fold_N = np.full(len(is_id_N), -1)
        fold_N[answered] = self.rng.permutation(len(answered)) % FOLDS
        evidence_N = np.zeros(len(is_id_N))
        for fold in range(FOLDS):
            others = fold_N != fold
            evidence_N[~others] = self.evidence(is_id_N & others, is_other_N & others)[~others]
        self.weights = most_probable(self._inputs(evidence_N)[answered], is_id_N[answered], self.weights)

    def _inputs(self, evidence_N: np.ndarray) -> np.ndarray:
        return np.stack([evidence_N, self.density_N, np.ones_like(evidence_N)], axis=1) * self.kept_3


def most_probable(inputs_MD: np.ndarray, target_M: np.ndarray, prior_D: np.ndarray) -> np.ndarray:
    """Weights (D,) of a logistic regression of booleans, the most probable under a Gaussian of unit width at `prior_D`.

    Newton's method, a step halved for as long as it leads uphill: where the prior is sure and wrong, the curvature
    there is next to nothing, and a whole step goes so far that no later one comes back.
    """

    def loss(weights_D):
        logit_M = inputs_MD @ weights_D
        return np.logaddexp(0, logit_M).sum() - logit_M[target_M].sum() + ((weights_D - prior_D) ** 2).sum() / 2

    weights_D = prior_D
    for _ in range(NEWTON_STEPS):
        p_M = expit(inputs_MD @ weights_D)
        slope_D = inputs_MD.T @ (p_M - target_M) + weights_D - prior_D
        step_D = np.linalg.solve((inputs_MD.T * (p_M * (1 - p_M))) @ inputs_MD + np.eye(len(prior_D)), slope_D)
        while loss(weights_D - step_D) > loss(weights_D) + ROUNDING:
            step_D = step_D / 2
        weights_D = weights_D - step_D
    return weights_D
