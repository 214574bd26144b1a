"""The explorer's page of one benchmark, profile and seed, from what the study's runs have left on disk."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from alkit import acquisition, experiment, learners, rng
from alkit.benchmarks import CATEGORIES, Benchmark
from alkit.benchmarks.mixcifar60 import original_classes
from alkit.experiment import Cell
from alkit.experiment.methods import cells_of, paper_methods
from alkit.explorer import Purchases
from alkit.explorer.page import check_path, write_spaces
from alkit.explorer.projection import project
from alkit.explorer.spaces import Space, aligned, nearest
from alkit.learners.base import Setting
from alkit.options import check_name
from alkit.store import sha256
from alkit.study import tables
from alkit.study.analysis import cost_tables, display_names
from alkit.study.explore import replay, tour
from alkit.study.figures.style import method_styles, strategy_names

BEYOND = ("cautious_coverage", "margin", "typiclust")  # strategies past the paper's that a page shows, on the probe
FROZEN = ("random", "least_confidence", "distance_cl", "similar", *BEYOND)  # on a learner of frozen features
NEIGHBOURS = 8
LARGE = 20_000  # above, neighbours are those of the learner's spaces alone: of raw pixels, they take many minutes
LAST, PIXELS = "contrastive, last stage", "raw pixels"


def buyers(benchmark: str, learner: str = "contrastive") -> list[str]:
    """The methods whose purchases the page of `benchmark` shows: the paper's and those `BEYOND` it; of another learner
    than the paper's, its runs of `FROZEN`.
    """
    if learner != "contrastive":
        return [f"{learner}+{strategy}" for strategy in FROZEN]
    return [*paper_methods(benchmark), *(f"probe+{strategy}" for strategy in BEYOND)]


def write_benchmark(
    path: str | Path,
    benchmark: str,
    profile: str,
    *,
    learner: str = "contrastive",
    methods: Sequence[str] = (),
    seed: int = 0,
    root: Path | None = None,
    progress: bool = False,
) -> list[Purchases]:
    """Write the page of one pool to `path`; returns what strategies bought, as the page shows it.

    Features are those of the learner before any label (from the cache that runs share), beside raw pixels and, where a
    run of `contrastive+distance_cl+filter=off` is finished, its last features; scores and clusters those after the
    initial set. Purchases are those of the finished runs among `methods` (default: `buyers`), in the colours of the
    figures; none are run here. A tour in three steps shows who buys the OoD images. ValueError for an unknown
    benchmark, profile, learner or method; before any work for a `path` that no page can be written to.
    """
    check_path(path)
    check_name(learner, learners.LEARNERS, "learner")
    if not learners.LEARNERS[learner].pretrained:
        raise ValueError(f"{learner} has no features before a label, which a page shows; take contrastive or probe")
    cells = cells_of(benchmark, profile, list(methods) or buyers(benchmark, learner), seed, 1)
    done = [cell for cell in cells if experiment.finished(cell, root=root)]
    cell = Cell(benchmark, profile, learner, "distance_cl", seed, auxiliary_filter=False)
    data, setting = experiment.benchmark_of(cell), experiment.setting_of(cell, root=root, progress=progress)
    purchases = [_bought(one, root, progress) for one in done]
    names = [bought.name for bought in purchases]
    styles, shown = method_styles(names), strategy_names(names)
    purchases = [replace(bought, name=shown[bought.name], style=styles[bought.name]) for bought in purchases]
    features = {f"{learner}, no label yet": learners.LEARNERS[learner](setting).first_shown().features_ND}
    if ours := [one for one in done if replay.is_replayable(one)]:
        features[LAST] = replay.last_features(ours[0], root=root)
    features[PIXELS] = data.pool.images_NCHW.reshape(len(data.pool), -1).astype(np.float32) / 255
    table = _table(cell, data, setting)
    write_spaces(
        path,
        _spaces(features, cell, setting),
        data.pool.images_NCHW,
        table,
        purchases=purchases,
        title=f"The feature space of {display_names.pool(benchmark)}",
        about=f"{len(data.pool):,} images of an unlabelled pool; profile {profile}, seed {seed}; "
        f"projection: {cell.recipe.projector.upper()}",
        tour=tour.steps(data.pool, table, purchases),
    )
    return purchases


def _bought(cell: Cell, root: Path | None, progress: bool) -> Purchases:
    import pandas

    name = cost_tables.method(pandas.DataFrame([tables.about(cell)])).iloc[0]
    bought = replay.read(cell, name, root=root)
    circular = replay.is_replayable(cell)
    return replay.with_circles(bought, cell, root=root, progress=progress) if circular else bought


def _spaces(features: dict[str, np.ndarray], cell: Cell, setting: Setting) -> list[Space]:
    """Projections (turned to lie like the first) and neighbours, both kept in the cache."""
    made = []
    for name, features_ND in features.items():
        count = 0 if name == PIXELS and len(features_ND) > LARGE else NEIGHBOURS
        xy_N2 = project(features_ND, cell.recipe.projector, seed=cell.seed, cache=setting.cache)
        inputs = {"count": count, "features": sha256(np.ascontiguousarray(features_ND).tobytes())}
        kept = setting.cache(
            "neighbours",
            inputs,
            lambda f=features_ND, c=count: {"rows": torch.from_numpy(nearest(f, c).astype(np.int32))},
        )
        made.append(Space(name, aligned(xy_N2, made[0].xy_N2) if made else xy_N2, kept["rows"].numpy()))
    return made


def _table(cell: Cell, data, setting: Setting) -> dict:
    """What is hidden, and what the learner shows after the initial set."""
    k = data.n_classes
    inputs = {**asdict(setting.recipe), "seed": cell.seed, "device": setting.images_NCHW.device.type}
    inputs |= {} if cell.learner == "contrastive" else {"learner": cell.learner}
    looks = setting.cache("first_look", inputs, lambda: _first_look(cell, setting))
    probs_NC = looks["probs"].numpy().astype(np.float64)
    clusters_N = looks["clusters"].numpy()
    return {
        **hidden(data),
        "cluster": (clusters_N, [str(cluster) for cluster in range(clusters_N.max() + 1)]),
        "source": data.pool.source_N,
        "entropy": -(probs_NC * np.log(np.maximum(probs_NC, 1e-30))).sum(1),
        "least confidence": 1 - probs_NC.max(1),
        "P(non-iD)": probs_NC[:, k],
        "distance to centroid": looks["distances"].numpy(),
    }


def hidden(data: Benchmark) -> dict[str, tuple[np.ndarray, Sequence[str]]]:
    """What strategies do not see of a pool, codes (N,) and their names by column: category, class and, of MixCIFAR60,
    the superclass. Code -1: none.
    """
    pool, k = data.pool, data.n_classes
    columns: dict[str, tuple[np.ndarray, Sequence[str]]] = {
        "category": (pool.category_N.astype(np.int64), CATEGORIES),
        "class": (np.where(pool.labels_N < k, pool.labels_N, -1), data.class_names),
    }
    if data.name.partition("-")[0] == "mixcifar60":
        names, codes_N = np.unique(original_classes(data)[1], return_inverse=True)
        columns["superclass"] = codes_N - 1, names[1:].tolist()  # the first name is that of none
    return columns


def _first_look(cell: Cell, setting: Setting) -> dict:
    """Probabilities and Distance(CL)'s clusters after the initial set: what the first choice is made from."""
    answers_N = experiment.initial_answers(cell)
    learner = learners.LEARNERS[cell.learner](setting)
    learner.fit(answers_N, 0)
    shown = learner.show()
    stream = rng.numpy_stream(cell.seed, "strategy", 1)
    quota = setting.recipe.stage_id
    view = acquisition.View(shown.features_ND, shown.probs_NC, answers_N, setting.n_classes, quota, stream)
    found, _ = replay.found_clusters(view, {})
    arrays = {"probs": shown.probs_NC, "clusters": found.labels_N.astype(np.int64), "distances": found.distances_N}
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
