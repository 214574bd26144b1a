"""A finished run of the contrastive learner, seen again: what Distance(CL) saw at each stage, and the last features.

A run keeps its answers and its last weights, not the weights of each stage. But every stage draws from streams named
after (seed, stage) alone, and the representation never depends on the classifier that is fine-tuned from it; so
training it again on the recorded answers gives the same features, bit for bit on one machine's CPU. Whether it did is
tested, stage by stage: the strategy, asked again, must name what the run bought.
"""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from sklearn.preprocessing import normalize

from alkit import acquisition, experiment, paths, rng, runtime
from alkit.acquisition.clusters import Clusters, clusters, distance_order
from alkit.experiment import Cell
from alkit.experiment.methods import method
from alkit.explorer import Circles, Purchases
from alkit.explorer.purchases import INSIDE, LABELLED_ID, LABELLED_NON_ID, OUTSIDE, UNLABELLED
from alkit.learners import base
from alkit.learners.representation import Representation, first_representation
from alkit.store import canonical, sha256
from alkit.study.figures.features import directions


def read(cell: Cell, name: str, *, root: Path | None = None) -> Purchases:
    """What the finished run of `cell` bought, from its tables."""
    picks, stages, _ = _tables(cell, root)
    return Purchases(name, picks, [float(row["accuracy"]) for row in stages])


def _tables(cell: Cell, root: Path | None) -> tuple[list[np.ndarray], list[dict], dict]:
    """Picks by stage, the rows of stages.csv, and the learner's last state."""
    root = Path(root or paths.runs_folder())
    device = runtime.default_device()
    with experiment.folder(cell, root, experiment.benchmark_of(cell), device) as run:
        rows, stages, state = run.read("picks.csv"), run.read("stages.csv"), run.learner_state(str(device))
    picks = [np.array([int(row["index"]) for row in rows if int(row["stage"]) == s], int) for s in range(len(stages))]
    return picks, stages, state


def last_features(cell: Cell, *, root: Path | None = None) -> np.ndarray:
    """(N, D) features of the contrastive learner after the last stage of the finished run of `cell`."""
    setting = experiment.setting_of(cell, root=root)
    representation = Representation(setting)
    representation.restore(_tables(cell, root)[2]["representation"])
    return representation.features(cell.learner_options.get("features", "encoder"))


def with_circles(bought: Purchases, cell: Cell, *, root: Path | None = None, progress: bool = False) -> Purchases:
    """`bought`, the purchases of a finished `contrastive+distance_cl+filter=off` run, with the circles of each stage.

    Trains the representation again, stage by stage (see the module's text); kept in the cache that runs share. The note
    says at how many stages the strategy, asked again, named the very samples that the run bought. ValueError for a run
    with the auxiliary filter, which goes by probabilities that are not computed again.
    """
    if not is_replayable(cell):
        raise ValueError(f"only contrastive+distance_cl+filter=off can be replayed, got {method(cell)!r}")
    setting = experiment.setting_of(cell, root=root, progress=progress)
    inputs = {
        "cell": canonical([cell.learner_options, cell.strategy_options, cell.changes, cell.stop, cell.seed]),
        "picks": sha256(canonical([picks.tolist() for picks in bought.picks]).encode()),
        "profile": cell.profile,
        "device": setting.images_NCHW.device.type,
    }
    kept = setting.cache("circles", inputs, lambda: _replayed(bought, cell, setting))
    stages = range(1, len(bought.picks))
    circles = {stage: Circles(**{name: _plain(value) for name, value in kept[str(stage)].items()}) for stage in stages}
    same = kept["same"]
    note = (
        "Features of each stage were computed again by training on the recorded answers; "
        f"asked again, the strategy names the same samples at {sum(same)} of {len(same)} stages."
    )
    return replace(bought, circles=circles, note=note)


def is_replayable(cell: Cell) -> bool:
    """Whether `with_circles` can show the run of `cell`: Distance(CL) as the paper has it, without the filter."""
    return (cell.learner, cell.strategy, cell.auxiliary_filter) == ("contrastive", "distance_cl", False)


def _plain(value):
    return value.numpy() if isinstance(value, torch.Tensor) else value


def _replayed(bought: Purchases, cell: Cell, setting) -> dict:
    """For each stage from 1 on, the fields of `Circles`; under "same", whether the picks came out as recorded."""
    labels_N = torch.from_numpy(np.array(experiment.benchmark_of(cell).pool.labels_N)).numpy()
    representation, _ = first_representation(setting)
    which = cell.learner_options.get("features", "encoder")
    answers_N = np.full(len(labels_N), acquisition.NOT_ASKED, dtype=np.int64)
    answers_N[bought.picks[0]] = labels_N[bought.picks[0]]  # the oracle's answer: a class, or K for all that is not iD
    made, same = {}, []
    for stage in range(1, len(bought.picks)):
        representation.train(answers_N, stage, epochs=setting.recipe.con_epochs, warmup=0)
        features_ND, picks = representation.features(which), bought.picks[stage]
        view = _view(cell, setting, features_ND, answers_N, stage)
        found, clustered_ND = found_clusters(view, cell.strategy_options)
        same.append(list(islice(distance_order(view, found), len(picks))) == picks.tolist())
        made[str(stage)] = _circles(view, found, clustered_ND, picks)
        answers_N[picks] = labels_N[picks]
    return {**made, "same": same}


def _view(cell: Cell, setting: base.Setting, features_ND, answers_N, stage: int) -> acquisition.View:
    """What the strategy saw, without the probabilities, which it does not read."""
    n_id = int(((answers_N >= 0) & (answers_N < setting.n_classes)).sum())
    quota = min(setting.recipe.stage_id, setting.recipe.stop_id - n_id)
    nothing_NC = np.zeros((len(answers_N), setting.n_classes + 1), np.float32)
    stream = rng.numpy_stream(cell.seed, "strategy", stage)
    return acquisition.View(features_ND, nothing_NC, answers_N.copy(), setting.n_classes, quota, stream)


def found_clusters(view: acquisition.View, strategy_options: dict) -> tuple[Clusters, np.ndarray]:
    """The clusters that Distance(CL) of these options makes of `view`, and the features as k-means saw them."""
    options = {name: value for name, value in strategy_options.items() if name != "clusters_per_class"}
    n_clusters = strategy_options.get("clusters_per_class", 1) * (view.n_classes + 1)
    features_ND = normalize(view.features_ND) if options.get("normalise", True) else view.features_ND
    return clusters(view, n_clusters=n_clusters, **options), features_ND


def _circles(view: acquisition.View, found: Clusters, features_ND: np.ndarray, picks: np.ndarray) -> dict:
    """The fields of `Circles`; `features_ND` as k-means saw them."""
    non_id = view.answers_N == view.n_classes
    kinds_N = np.where(view.answers_N < 0, UNLABELLED, np.where(non_id, LABELLED_NON_ID, LABELLED_ID)).astype(np.uint8)
    inside = found.distances_N[picks] <= found.radius_K[found.labels_N[picks]]
    kinds_N[picks] = np.where(inside, INSIDE, OUTSIDE)
    angles_N, setter_K = np.zeros(len(kinds_N), np.float32), np.full(len(found.radius_K), -1)
    for k, radius in enumerate(found.radius_K):
        members = np.flatnonzero(found.labels_N == k)
        cosine_sine = directions(features_ND[members], found.centroids[k])
        angles_N[members] = np.arctan2(cosine_sine[:, 1], cosine_sine[:, 0])
        if np.isfinite(radius):
            rivals = members[non_id[members]]
            setter_K[k] = rivals[np.abs(found.distances_N[rivals] - radius).argmin()]
    arrays = {
        "labels_N": found.labels_N.astype(np.uint8),
        "distances_N": found.distances_N.astype(np.float32),
        "angles_N": angles_N,
        "kinds_N": kinds_N,
        "radius_K": found.radius_K,
        "setter_K": setter_K,
        "shares_K": found.shares_K,
    }
    return {**{name: torch.from_numpy(array) for name, array in arrays.items()}, "excluded": found.excluded}
