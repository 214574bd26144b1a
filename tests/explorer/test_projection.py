"""Two-dimensional pictures of a feature space: what UMAP is asked for."""

import sys
import types

import numpy as np
import pytest

from alkit.explorer import projection


@pytest.mark.parametrize(("n", "metric"), [(60, "precomputed"), (projection.UMAP_SMALL, "cosine")])
def test_umap_has_the_cosine_distances_of_a_small_pool_at_once(n, metric, monkeypatch):
    """UMAP itself takes all distances below 4,096 rows, by sixteen million calls of a Python function (17 s of 4,000).

    The module is a stand-in that keeps what it is asked: UMAP takes ten seconds to compile.
    """
    asked = {}

    class UMAP:
        def __init__(self, **options):
            asked.update(options)

        def fit_transform(self, rows):
            asked["rows"] = rows
            return np.zeros((len(rows), 2))

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    features_ND = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32)
    assert projection.umap(features_ND, 0).shape == (n, 2)
    unit_ND = features_ND / np.linalg.norm(features_ND, axis=1, keepdims=True)
    expected = np.clip(1 - unit_ND @ unit_ND.T, 0, None) if metric == "precomputed" else features_ND
    assert asked["metric"] == metric and asked["rows"] == pytest.approx(expected, abs=1e-6)
    assert asked["rows"].dtype == np.float32
