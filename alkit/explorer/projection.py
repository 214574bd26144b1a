"""Feature spaces in two dimensions. Coordinates are kept: UMAP is slow, and not the same on every machine."""

import warnings

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_distances

from alkit.rng import integer
from alkit.store import Cache, sha256

UMAP_SMALL = 4096  # rows below which UMAP takes all distances: by itself, a call of a Python function for each pair


def project(features_ND: np.ndarray, projector: str, *, seed: int, cache: Cache) -> np.ndarray:
    """(N, 2) float32 coordinates by "umap" (McInnes et al. 2018, cosine distance) or "pca", from `cache` where known.

    ValueError for another projector. ImportError with what to do where umap-learn is missing.
    """
    if projector not in ("umap", "pca"):
        raise ValueError(f"projector must be 'umap' or 'pca', got {projector!r}")
    inputs = {"projector": projector, "seed": seed, "features": sha256(np.ascontiguousarray(features_ND).tobytes())}
    fit = umap if projector == "umap" else pca
    return cache("projection", inputs, lambda: {"xy": torch.from_numpy(fit(features_ND, seed))})["xy"].numpy()


def pca(features_ND: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2) coordinates on the two first principal components."""
    return PCA(2, random_state=integer(seed, "projection") % 2**32).fit_transform(features_ND).astype(np.float32)


def umap(features_ND: np.ndarray, seed: int) -> np.ndarray:
    """(N, 2) UMAP coordinates; ImportError with what to do where umap-learn is missing."""
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError("umap-learn is not installed; install it, or take projector 'pca'") from error
    small = len(features_ND) < UMAP_SMALL
    rows, metric = (cosine_distances(features_ND), "precomputed") if small else (features_ND, "cosine")
    model = UMAP(metric=metric, random_state=integer(seed, "projection") % 2**32, n_jobs=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # of spectral initialisation, of distances given
        return model.fit_transform(rows).astype(np.float32)
