"""What strategies for open sets share: labelled positions by kind, mixtures in one dimension, queues taken in turn."""

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import normalize
from threadpoolctl import ThreadpoolController

from alkit.acquisition.view import View

# of the published mixtures: LfOSA's code, and EAOA's after it
MIXTURE = {"max_iter": 10, "tol": 1e-2, "reg_covar": 5e-4}


@functools.cache
def _libraries() -> ThreadpoolController:
    """The loaded libraries that keep threads; looking for them takes longer than much of what is limited."""
    return ThreadpoolController()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread in torch and BLAS inside the block: the order of a sum must not depend on the number of cores."""
    before = torch.get_num_threads()
    with _libraries().limit(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def id_labelled(view: View) -> np.ndarray:
    """Pool positions answered with an iD class, ascending."""
    return np.flatnonzero((view.answers_N >= 0) & (view.answers_N < view.n_classes))


def non_id_labelled(view: View) -> np.ndarray:
    """Pool positions answered as non-iD, ascending."""
    return np.flatnonzero(view.answers_N == view.n_classes)


def seed_of(view: View) -> int:
    """One draw from the view's stream, for libraries that take a plain seed."""
    return int(view.rng.integers(2**31))


def closed_probs(probs_NC: np.ndarray) -> np.ndarray:
    """The K iD probabilities (N, K), float64, made to sum to 1; all the same where they are all 0."""
    id_NK = probs_NC[:, :-1].astype(np.float64)
    total_N1 = id_NK.sum(axis=1, keepdims=True)
    return np.where(total_N1 > 0, id_NK / np.where(total_N1 > 0, total_N1, 1), 1 / id_NK.shape[1])


def min_max(values_N: np.ndarray) -> np.ndarray:
    """Values scaled to 0..1; all 0 where they are all the same."""
    spread = np.ptp(values_N) if len(values_N) else 0
    return (values_N - values_N.min()) / spread if spread > 0 else np.zeros(len(values_N))


def upper_mode(values_N: np.ndarray, *, seed: int, modes: int = 2, others_M: np.ndarray | None = None) -> np.ndarray:
    """Posterior (N,) of the component with the largest mean, of a mixture of `modes` Gaussians fitted to the values.

    `others_M`: values that it is fitted to as well. 1 for all where the values that it is fitted to are all the same,
    or fewer than modes.
    """
    values_N = values_N.astype(np.float64)
    fitted_M = values_N if others_M is None else np.concatenate([values_N, others_M])
    if len(fitted_M) < modes or np.ptp(fitted_M) == 0:
        return np.ones(len(values_N))
    by_value = np.argsort(values_N)  # a fit to sorted values does not depend on the order of the pool
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few iterations are part of the method
        mixture = GaussianMixture(modes, random_state=seed, **MIXTURE).fit(np.sort(fitted_M)[:, None])
    posterior_N = np.empty(len(values_N))
    posterior_N[by_value] = mixture.predict_proba(values_N[by_value, None])[:, mixture.means_[:, 0].argmax()]
    return posterior_N


@one_thread()
def nearest(
    rows_ND: np.ndarray, others_MD: np.ndarray, *, other: bool = False, chunk: int = 2048
) -> tuple[np.ndarray, np.ndarray]:
    """For each row the largest cosine similarity with one of `others_MD` (M >= 1), and the index of that one.

    `other`: the two are the same rows, at least two, and each is to find another one than itself.
    """
    rows_ND, others_MD = normalize(rows_ND), normalize(others_MD)
    closest_N, index_N = np.empty(len(rows_ND), rows_ND.dtype), np.empty(len(rows_ND), np.int64)
    for start in range(0, len(rows_ND), chunk):
        part = slice(start, start + chunk)
        similarity_BM = rows_ND[part] @ others_MD.T
        if other:
            itself = np.arange(start, start + len(similarity_BM))
            similarity_BM[itself - start, itself] = -np.inf
        index_N[part] = similarity_BM.argmax(axis=1)
        closest_N[part] = np.take_along_axis(similarity_BM, index_N[part, None], axis=1)[:, 0]
    return closest_N, index_N


def in_turn(queues: Sequence[np.ndarray]) -> Iterator[int]:
    """The first of each queue, then the second of each, and so on; queues that are used up are passed over.

    Any beginning of the order takes equally many from every queue that has them.
    """
    for place in range(max(map(len, queues), default=0)):
        for queue in queues:
            if place < len(queue):
                yield int(queue[place])
