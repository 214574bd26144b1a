"""Feature spaces of one pool: their two dimensions, and who is near whom in the space itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from alkit.explorer import projection
from alkit.explorer.columns import LARGEST


@dataclass(frozen=True)
class Space:
    """A feature space: `xy_N2` its points in two dimensions, `neighbours_NM` the M nearest of each, nearest first."""

    name: str
    xy_N2: np.ndarray
    neighbours_NM: np.ndarray  # int


def spaces(features, coordinates: Mapping | None, *, neighbours: int, projector: str | None, seed: int) -> list[Space]:
    """A `Space` for each of `features`: one array (N, D), or a dict of them by name, the first the one shown first.

    `coordinates`: (N, 2) arrays by name, for those that are projected already; others are, by `projector`. ValueError
    for arrays that are not (N, D), differ in length or hold values that are not finite or beyond `LARGEST`, and for
    names in `coordinates` that `features` lacks.
    """
    if coordinates is not None and not isinstance(coordinates, Mapping):
        raise ValueError(f"coordinates must be a dict of (N, 2) arrays by name, got {type(coordinates).__name__}")
    named = dict(features) if isinstance(features, Mapping) else {"features": features}
    if not named:
        raise ValueError("features are empty: give an array (N, D), or a dict of them by name")
    named = {str(name): _array(name, array) for name, array in named.items()}
    given = {str(name): np.asarray(xy) for name, xy in (coordinates or {}).items()}
    if unknown := sorted(set(given) - set(named)):
        raise ValueError(f"coordinates name {unknown}, features only {list(named)}; use the same names")
    first = next(iter(named.values()))
    n = len(first) if first.ndim else "N"
    for name, array in named.items():
        if array.ndim != 2 or len(array) != n or not array.shape[1] or array.dtype.kind not in "fiu":
            raise ValueError(f"features {name!r} must be numbers of shape ({n}, D), got {array.dtype} {array.shape}")
        for fine_ND, what in ((np.isfinite(array), "not finite"), (np.abs(array) <= LARGEST, f"beyond {LARGEST:g}")):
            if not fine_ND.all():
                rows = np.flatnonzero(~fine_ND.all(1))
                where = f"in {len(rows)} rows, first {rows[:5].tolist()}"
                raise ValueError(f"features {name!r} are {what} {where}; leave these rows out, or scale them")
    return [
        Space(
            name,
            given[name] if name in given else plane(array, projector=projector, seed=seed),
            nearest(array, neighbours),
        )
        for name, array in named.items()
    ]


def _array(name, values) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"features {str(name)!r} must be numbers of shape (N, D), got rows that differ") from error


def plane(features_ND: np.ndarray, *, projector: str | None = None, seed: int = 0) -> np.ndarray:
    """(N, 2) coordinates by "umap" or "pca"; None: UMAP where umap-learn is installed and there are 50 samples."""
    if projector not in (None, "umap", "pca"):
        raise ValueError(f"projector must be 'umap', 'pca' or None, got {projector!r}")
    features_ND = np.asarray(features_ND, np.float32)
    if min(features_ND.shape) < 2:  # nothing to project: a single sample or a single feature
        return np.column_stack([features_ND[:, 0], np.zeros(len(features_ND))]) if len(features_ND) > 1 else [[0, 0]]
    default = "umap" if len(features_ND) >= 50 and find_spec("umap") else "pca"
    return (projection.umap if (projector or default) == "umap" else projection.pca)(features_ND, seed)


def nearest(features_ND: np.ndarray, count: int) -> np.ndarray:
    """(N, M) positions of the `count` nearest others by cosine, nearest first; fewer where there are fewer."""
    if count < 0:
        raise ValueError(f"neighbours must be 0 or more, got {count}")
    n = len(features_ND)
    count = min(count, n - 1)
    if count < 1:
        return np.empty((n, 0), np.int64)
    unit_ND = normalize(np.asarray(features_ND, np.float32))
    model = NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(unit_ND)
    found = model.kneighbors(unit_ND, return_distance=False)
    other = found != np.arange(n)[:, None]
    other[other.all(1), -1] = False  # of many equal samples a sample may not find itself: drop the last instead
    return found[other].reshape(n, count)


def aligned(xy_N2: np.ndarray, onto_N2: np.ndarray) -> np.ndarray:
    """`xy_N2` turned, mirrored and moved to lie as near to `onto_N2` as it can: a projection has no up and no left."""
    from scipy.linalg import orthogonal_procrustes

    centre_2 = xy_N2.mean(0)
    rotation_22, _ = orthogonal_procrustes(xy_N2 - centre_2, onto_N2 - onto_N2.mean(0))
    return ((xy_N2 - centre_2) @ rotation_22).astype(np.float32)


def neighbour_agreement(features_ND, codes_N, *, k: int = 10) -> float:
    """Mean share of a sample's `k` nearest neighbours (cosine) that carry the sample's own code, in 0..1.

    1 means that the space keeps the codes apart. Of random neighbours, the share is the sum of the squared frequencies
    of the codes. ValueError for k not in 1..N-1.
    """
    codes_N = np.asarray(codes_N)
    if not 1 <= k < len(codes_N):
        raise ValueError(f"k must be between 1 and {len(codes_N) - 1}, one less than the samples; got {k}")
    return float((codes_N[nearest(features_ND, k)] == codes_N[:, None]).mean())
