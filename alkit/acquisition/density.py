"""Strategies that rank by a density of the feature space."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.special import logsumexp

from alkit.acquisition._geometry import by_chunks
from alkit.acquisition._open_set import id_labelled, non_id_labelled
from alkit.acquisition.registry import strategy
from alkit.acquisition.uncertainty import margins
from alkit.acquisition.view import View, ranked
from alkit.options import Range

HELD_OUT = 5  # of how many labels of a class one is kept from the fit


# Tried in turn until the covariance has a Cholesky factor.
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1e-1, 1.0)


Jitter = Literal["class", "shared"]


@dataclass(frozen=True)
class Gaussians:
    """One Gaussian per class that has labels: mean, lower Cholesky factor of the covariance, log of the weight."""

    mean_GD: np.ndarray
    factor_GDD: np.ndarray
    log_weight_G: np.ndarray


@strategy("ddu", citation="Mukhoti et al. 2023 (CVPR), arXiv 2102.11582", needs=("features", "probs"), family="paper")
def ddu(view: View, *, jitter: Jitter = "class") -> Iterator[int]:
    """Lowest density first, log sum_k pi_k N(h; mu_k, Sigma_k), one Gaussian per iD class (Mukhoti et al. 2023).

    Means, full covariances and the class shares pi_k come from the labelled iD samples; without any the order is
    random. A covariance that is singular, as it is with no more labels than features, gets a jitter: its diagonal is
    raised by the first of 1e-10, 1e-8, ..., 1 that makes it positive definite. `jitter`: each class its own ("class",
    this study's choice), or all classes the largest that one needs ("shared", as in the published code, whose steps
    begin at 2e-308). Where the jitter is needed it decides much of the density.

    Cost: O(K n D^2), for whitening n features by each of K Gaussians. Assumes that classes are nearly Gaussian in the
    features and that distances mean something (the paper trains with residual connections and spectral normalisation).
    OoD samples have the lowest density and come first; ambiguous samples, between classes, come next, and clear ones
    last.
    """
    labelled = id_labelled(view)
    if len(labelled):
        gaussians = fit_gaussians(view.features_ND[labelled], view.answers_N[labelled], jitter=jitter)
        score_N = log_density(view.features_ND, gaussians)
    else:
        score_N = np.zeros(len(view.answers_N))
    yield from ranked(view, score_N)


@strategy(
    "ddu_gate", citation="alkit; density of Mukhoti et al. 2023 (CVPR), arXiv 2102.11582", needs=("features", "probs")
)
def ddu_gate(
    view: View, *, low: Annotated[float, Range(0, 1)] = 0.9, high: Annotated[float, Range(0, 1)] = 0.9
) -> Iterator[int]:
    """Smallest margin first within a band of density: above known non-iD samples, below what labels cover well.

    rho(h) is the density of `ddu`, fitted to four of five labelled iD samples of each class. The band runs from the
    `low`-quantile of rho over the labelled non-iD samples to the `high`-quantile of rho over the labelled iD samples
    left out of the fit (a sample is always dense under a fit to itself). Samples in the band come first, by ascending
    margin; then denser ones, likewise; then sparser ones, the densest first. Without labelled non-iD samples the band
    has no lower end, with fewer than five labels in every class no upper one; without iD labels there is no density and
    the margin alone decides. The strategy is this study's.

    Cost: O(K n D^2), as `ddu`. Assumes that non-iD samples are sparser than iD ones. OoD samples come last where some
    like them are labelled or `low` is high enough. Ambiguous samples lie between classes, nearly as dense as these:
    they pass the gate and have the smallest margins, so that only the auxiliary class holds them back.
    """
    positions = view.shuffled()
    score_N = margins(view.probs_NC[positions])
    tier_N = np.zeros(len(positions), np.int64)
    fitted, held_out = _split(view)
    if len(fitted) and len(positions):
        gaussians = fit_gaussians(view.features_ND[fitted], view.answers_N[fitted])
        density_N = log_density(view.features_ND[positions], gaussians)
        non_id = non_id_labelled(view)
        lowest = np.quantile(log_density(view.features_ND[non_id], gaussians), low) if len(non_id) else -np.inf
        highest = np.quantile(log_density(view.features_ND[held_out], gaussians), high) if len(held_out) else np.inf
        tier_N = np.where(density_N < lowest, 2, np.where(density_N > highest, 1, 0))
        score_N = np.where(tier_N == 2, -density_N, score_N)
    yield from positions[np.lexsort((score_N, tier_N))].tolist()


def _split(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Labelled iD positions to fit a density to, and a random fifth of each class's, kept from the fit."""
    fitted, held_out = [], []
    for k in range(view.n_classes):
        members = view.rng.permutation(np.flatnonzero(view.answers_N == k))
        held_out.append(members[: len(members) // HELD_OUT])
        fitted.append(members[len(members) // HELD_OUT :])
    return np.concatenate(fitted), np.concatenate(held_out)


def fit_gaussians(features_ND: np.ndarray, labels_N: np.ndarray, *, jitter: Jitter = "class") -> Gaussians:
    """Gaussians of the classes that occur in `labels_N`; weights are class shares, covariances have n_k - 1 below.

    The diagonal of a covariance is raised by the first of `JITTERS` that makes it positive definite: its own, or with
    "shared" the largest that any class needs.
    """
    classes, counts = np.unique(labels_N, return_counts=True)
    groups = [features_ND[labels_N == k].astype(np.float64) for k in classes]
    covariances = [_covariance(group_ND) for group_ND in groups]
    needs = [_smallest_jitter(*pair) for pair in zip(covariances, counts, strict=True)]
    if jitter == "shared":
        needs = [max(needs)] * len(needs)
    return Gaussians(
        mean_GD=np.stack([group_ND.mean(axis=0) for group_ND in groups]),
        factor_GDD=np.stack([_factor(*pair) for pair in zip(covariances, needs, strict=True)]),
        log_weight_G=np.log(counts / counts.sum()),
    )


def _covariance(group_ND: np.ndarray) -> np.ndarray:
    centred_ND = group_ND - group_ND.mean(axis=0)
    return centred_ND.T @ centred_ND / max(len(group_ND) - 1, 1)


def _factor(covariance_DD: np.ndarray, jitter: float) -> np.ndarray:
    """Lower Cholesky factor of the covariance plus the jitter; LinAlgError where that is not positive definite."""
    return cholesky(covariance_DD + jitter * np.eye(len(covariance_DD)), lower=True)


def _smallest_jitter(covariance_DD: np.ndarray, n: int) -> float:
    """The smallest jitter that makes the covariance of `n` samples positive definite."""
    dim = len(covariance_DD)
    # n <= D samples span less than the whole space: a factor without jitter could then only be a rounding accident.
    for jitter in JITTERS[1:] if n <= dim else JITTERS:
        try:
            _factor(covariance_DD, jitter)
        except LinAlgError:
            continue
        return jitter
    raise LinAlgError(f"no jitter up to {JITTERS[-1]} makes the covariance of {n} x {dim} features positive definite")


def log_density(features_ND: np.ndarray, gaussians: Gaussians, *, chunk: int = 8192) -> np.ndarray:
    """Log-density (N,) of the mixture at each row, in float64 and in log space throughout; `chunk` rows at a time."""
    return by_chunks(lambda rows: _chunk_log_density(features_ND[rows], gaussians), len(features_ND), chunk=chunk)


def _chunk_log_density(features_ND: np.ndarray, gaussians: Gaussians) -> np.ndarray:
    features_ND = features_ND.astype(np.float64)
    terms_GN = np.empty((len(gaussians.mean_GD), len(features_ND)))
    for g, (mean_D, factor_DD) in enumerate(zip(gaussians.mean_GD, gaussians.factor_GDD, strict=True)):
        centred_DN = (features_ND - mean_D).T
        white_DN = solve_triangular(factor_DD, centred_DN, lower=True, overwrite_b=True, check_finite=False)
        log_normaliser = np.log(np.diag(factor_DD)).sum() + 0.5 * len(mean_D) * np.log(2 * np.pi)
        terms_GN[g] = gaussians.log_weight_G[g] - log_normaliser - 0.5 * np.einsum("dn,dn->n", white_DN, white_DN)
    return logsumexp(terms_GN, axis=0)
