"""Strategies that rank by a density of the feature space."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from alkit.acquisition import View, ranked, strategy

# Tried in turn until the covariance has a Cholesky factor.
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Gaussians:
    """One Gaussian per class that has labels: mean, lower Cholesky factor of the covariance, log of the weight."""

    mean_GD: np.ndarray
    factor_GDD: np.ndarray
    log_weight_G: np.ndarray


@strategy("ddu", citation="Mukhoti et al. 2023 (CVPR), arXiv 2102.11582", needs=("features", "probs"))
def ddu(view: View, *, auxiliary_filter: bool = True) -> Iterator[int]:
    """Lowest density log sum_k pi_k N(h; mu_k, Sigma_k) first, a full-covariance Gaussian per labelled iD class.

    Cost: O(K n D^2), for the whitening of n features by each of K Gaussians. Assumes features in which classes are
    close to Gaussian and distances mean something (the paper trains with residual connections and spectral
    normalisation). OoD samples have the lowest density of all and are bought first, unless the classifier's auxiliary
    class claims them; ambiguous samples, between classes, come next, and clear ones last. Where a class has no more
    labels than features, its covariance is singular and the jitter decides much of its density. Without one labelled
    iD sample there is no density, and the order is random.
    """
    labelled = (view.answers_N >= 0) & (view.answers_N < view.n_classes)
    if labelled.any():
        gaussians = fit_gaussians(view.features_ND[labelled], view.answers_N[labelled])
        score_N = log_density(view.features_ND, gaussians)
    else:
        score_N = np.zeros(len(view.answers_N))
    yield from ranked(view, score_N, auxiliary_filter=auxiliary_filter)


def fit_gaussians(features_ND: np.ndarray, labels_N: np.ndarray) -> Gaussians:
    """Gaussians of the classes that occur in `labels_N`; weights are class shares, covariances have n_k - 1 below."""
    classes, counts = np.unique(labels_N, return_counts=True)
    groups = [features_ND[labels_N == k].astype(np.float64) for k in classes]
    return Gaussians(
        mean_GD=np.stack([group_ND.mean(axis=0) for group_ND in groups]),
        factor_GDD=np.stack([_factor(group_ND) for group_ND in groups]),
        log_weight_G=np.log(counts / counts.sum()),
    )


def _factor(group_ND: np.ndarray) -> np.ndarray:
    """Lower Cholesky factor of the covariance plus the smallest jitter that makes it positive definite."""
    n, dim = group_ND.shape
    centred_ND = group_ND - group_ND.mean(axis=0)
    covariance_DD = centred_ND.T @ centred_ND / max(n - 1, 1)
    # n <= D samples span less than the whole space: a factor without jitter could then only be a rounding accident.
    for jitter in JITTERS[1:] if n <= dim else JITTERS:
        try:
            return cholesky(covariance_DD + jitter * np.eye(dim), lower=True)
        except LinAlgError:
            continue
    raise LinAlgError(f"no jitter up to {JITTERS[-1]} makes the covariance of {n} x {dim} features positive definite")


def log_density(features_ND: np.ndarray, gaussians: Gaussians, *, chunk: int = 8192) -> np.ndarray:
    """Log-density (N,) of the mixture at each row, in float64 and in log space throughout; `chunk` rows at a time."""
    chunks = [features_ND[i : i + chunk] for i in range(0, len(features_ND), chunk)]
    # Threads share out whole chunks and none splits a sum: results do not depend on the number of cores.
    with threadpool_limits(1), ThreadPoolExecutor() as threads:
        return np.concatenate(list(threads.map(lambda rows_ND: _chunk_log_density(rows_ND, gaussians), chunks)))


def _chunk_log_density(features_ND: np.ndarray, gaussians: Gaussians) -> np.ndarray:
    features_ND = features_ND.astype(np.float64)
    terms_GN = np.empty((len(gaussians.mean_GD), len(features_ND)))
    for g, (mean_D, factor_DD) in enumerate(zip(gaussians.mean_GD, gaussians.factor_GDD, strict=True)):
        centred_DN = (features_ND - mean_D).T
        white_DN = solve_triangular(factor_DD, centred_DN, lower=True, overwrite_b=True, check_finite=False)
        log_normaliser = np.log(np.diag(factor_DD)).sum() + 0.5 * len(mean_D) * np.log(2 * np.pi)
        terms_GN[g] = gaussians.log_weight_G[g] - log_normaliser - 0.5 * np.einsum("dn,dn->n", white_DN, white_DN)
    return logsumexp(terms_GN, axis=0)
