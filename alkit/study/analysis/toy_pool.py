"""A toy pool in the plane, for pictures of what every strategy asks first, and a toy learner for it.

Three iD classes, ambiguous samples on the bridges between them, OoD samples on four islands. A strategy runs here
through the same contract, the same oracle and the same rules of a stage as in the study.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from alkit import acquisition, rng
from alkit.acquisition import Head
from alkit.benchmarks import AMBIGUOUS, ID, OOD
from alkit.experiment import Oracle

N_CLASSES = 3


PER_CLASS, PER_BRIDGE, PER_ISLAND = 120, 40, 40


CENTRES_K2 = 2.0 * np.array([[np.cos(a), np.sin(a)] for a in np.deg2rad((90, 210, 330))])


ISLANDS = ((30, 4.0, 0.28), (150, 4.2, 0.4), (270, 3.6, 0.2), (90, 3.7, 0.25))  # angle, distance from the middle, width


RADIUS = 6.0  # of the sphere whose cap the plane is laid on


COSINES, REACH, INVERSE_REGULARISATION = 128, 0.9, 3.0  # of the classifier: cosines of the plane, their length scale


@dataclass(frozen=True)
class Toy:
    """`points_N2` in the plane, `labels_N` (0..2, or 3 for non-iD) and `category_N` (iD, ambiguous, OoD), shuffled."""

    points_N2: np.ndarray
    labels_N: np.ndarray
    category_N: np.ndarray

    @cached_property
    def features_N3(self) -> np.ndarray:
        """The plane laid on the cap of a sphere: of length 1, as strategies like features, at nearly its distances."""
        lifted_N3 = np.column_stack([self.points_N2, np.full(len(self.points_N2), RADIUS)])
        return (lifted_N3 / np.linalg.norm(lifted_N3, axis=1, keepdims=True)).astype(np.float32)

    @cached_property
    def cosines_ND(self) -> np.ndarray:
        """Random Fourier features of the plane: what the toy's classifier is linear in (Rahimi and Recht 2007)."""
        stream = rng.numpy_stream(0, "toy.cosines")
        frequencies_2D = stream.normal(scale=1 / REACH, size=(2, COSINES))
        phases_D = stream.uniform(0, 2 * np.pi, COSINES)
        return (np.sqrt(2 / COSINES) * np.cos(self.points_N2 @ frequencies_2D + phases_D)).astype(np.float32)


def pool(
    seed: int = 0,
    *,
    per_class: int = PER_CLASS,
    per_bridge: int = PER_BRIDGE,
    per_island: int = PER_ISLAND,
    width: float = 0.55,
) -> Toy:
    """iD samples of three classes, of standard deviation `width`; ambiguous ones on three bridges, OoD on four islands.

    By default 360, 120 and 160.
    """
    stream = rng.numpy_stream(seed, "toy.pool")
    parts = [(centre + stream.normal(scale=width, size=(per_class, 2)), k, ID) for k, centre in enumerate(CENTRES_K2)]
    for a, b in ((0, 1), (1, 2), (2, 0)):
        along_N1 = stream.uniform(0.38, 0.62, (per_bridge, 1))
        bridge_N2 = along_N1 * CENTRES_K2[a] + (1 - along_N1) * CENTRES_K2[b]
        parts.append((bridge_N2 + stream.normal(scale=0.12, size=bridge_N2.shape), N_CLASSES, AMBIGUOUS))
    for angle, distance, width in ISLANDS:
        middle_2 = distance * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
        parts.append((middle_2 + stream.normal(scale=width, size=(per_island, 2)), N_CLASSES, OOD))
    points_N2 = np.concatenate([points for points, _, _ in parts])
    labels_N = np.concatenate([np.full(len(points), label) for points, label, _ in parts])
    category_N = np.concatenate([np.full(len(points), kind, np.uint8) for points, _, kind in parts])
    order = stream.permutation(len(points_N2))
    return Toy(points_N2[order], labels_N[order], category_N[order])


@dataclass(frozen=True)
class Game:
    """What one strategy asked on the toy: `initial` and `picks`, positions in order, and `stage_P` of each pick."""

    initial: list[int]
    picks: list[int]
    stage_P: np.ndarray


def play(
    toy: Toy, strategy: str, *, seed: int = 0, stages: int = 3, quota: int = 10, first: int = 9, **options
) -> Game:
    """Start from random samples with `first` iD ones among them, then buy `quota` iD answers a stage, as the loop does.

    ValueError for an unknown strategy or option.
    """
    oracle, answers_N = Oracle(toy), np.full(len(toy.points_N2), acquisition.NOT_ASKED)
    only_id = acquisition.get(strategy).reference
    initial = oracle.examine(rng.numpy_stream(seed, "initial"), first)
    for index in initial:
        _take(oracle, answers_N, index)
    picks, stage_P = [], []
    for stage in range(1, stages + 1):
        bought = 0
        for index in acquisition.order(strategy, view(toy, answers_N, quota, seed, stage), **options):
            if only_id and not oracle.is_id(index):
                continue
            picks.append(index)
            stage_P.append(stage)
            bought += _take(oracle, answers_N, index)
            if bought == quota:
                break
    return Game(initial, picks, np.array(stage_P))


def view(toy: Toy, answers_N: np.ndarray, quota: int, seed: int, stage: int) -> acquisition.View:
    """What a strategy sees of the toy: the sphere's features, and a logistic regression on cosines of the plane."""
    asked = answers_N != acquisition.NOT_ASKED
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=1000).fit(toy.cosines_ND[asked], answers_N[asked])
    weight_CD, bias_C = np.zeros((N_CLASSES + 1, COSINES), np.float32), np.full(N_CLASSES + 1, -1e4, np.float32)
    weight_CD[model.classes_], bias_C[model.classes_] = model.coef_, model.intercept_
    probs_NC = np.zeros((len(answers_N), N_CLASSES + 1), np.float32)
    probs_NC[:, model.classes_] = model.predict_proba(toy.cosines_ND)
    head = Head(toy.cosines_ND, weight_CD, bias_C)
    stream = rng.numpy_stream(seed, "strategy", stage)
    return acquisition.View(toy.features_N3, probs_NC, answers_N.copy(), N_CLASSES, quota, stream, head, answers_N)


def _take(oracle: Oracle, answers_N: np.ndarray, index: int) -> bool:
    """Ask; whether the sample is iD."""
    answer = oracle.ask(index)
    answers_N[index] = N_CLASSES if answer.label is None else answer.label
    return answer.kind == ID


def compare(cases: dict, toy: Toy, *, seed: int = 0, n_toys: int = 1) -> tuple[dict[str, Game], dict[str, np.ndarray]]:
    """(games, shares) of the `cases`, name -> (strategy, options): each one's game on `toy`, and what it buys.

    A share is (3,): of iD, ambiguous and OoD samples among its picks, mean over the pools of `n_toys` seeds from `seed`
    on, the initial set being drawn anew in each.
    """
    games = {name: play(toy, strategy, seed=seed, **options) for name, (strategy, options) in cases.items()}
    pools = {s: pool(s) for s in range(seed, seed + n_toys)}
    shares = {
        name: np.mean([_share(other, play(other, strategy, seed=s, **options)) for s, other in pools.items()], axis=0)
        for name, (strategy, options) in tqdm(cases.items(), desc="toy pools", mininterval=2)
    }
    return games, shares


def _share(toy: Toy, game: Game) -> np.ndarray:
    return np.bincount(toy.category_N[game.picks], minlength=3) / len(game.picks)


def of_families(cases: dict, *families: str) -> list[str]:
    """Names of the `cases` whose strategies are of these families, family by family."""
    return [name for family in families for name, case in cases.items() if acquisition.family(*case) == family]
