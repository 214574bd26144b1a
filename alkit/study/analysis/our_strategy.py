"""What notebook 7 asks of `cautious_coverage`: its state on the toy pool, its ablations, its runs beside others'.

Its runs are those of the committed sweep `beyond.yaml`. Ablations stand in no other comparison: they explain one
strategy, and would raise every p-value that Holm's correction gives to the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit

from alkit.acquisition import NOT_ASKED, cautious
from alkit.experiment.methods import UNFILTERED
from alkit.study.analysis import cost_tables, paired_differences, select_runs, toy_pool
from alkit.study.batch import grid
from alkit.study.tables import COLUMNS as TABLE_COLUMNS

STRATEGY = "cautious_coverage"


ABLATIONS = {  # options, as names of methods have them -> what is left out, or otherwise
    "doubt=0": "without doubt",
    "caution=0": "without caution",
    "neighbours=1": "without a neighbourhood",
    "gates=answers": "without the density gate",
    "gates=density": "without the answers gate",
    "at_once=False": "answers used a stage later",
    "caution=2": "twice the caution",
}


WHOLE = "the whole strategy"


@dataclass(frozen=True)
class Snapshot:
    """The state of `cautious_coverage` over the toy samples when it asked about sample `asked`; all arrays (N,).

    `answers_N` as in a view. `density_N`: mean similarity with the 10 nearest, as a standard score; `share_N`: of the
    answers that spread to a sample, the share of iD ones; `purity_N`: P(iD); `doubt_N`, to its power; `covered_N`;
    `score_N`, by which the question was chosen, 0 where it was asked already or looks non-iD to the classifier.
    """

    asked: int
    answers_N: np.ndarray
    density_N: np.ndarray
    share_N: np.ndarray
    purity_N: np.ndarray
    doubt_N: np.ndarray
    covered_N: np.ndarray
    score_N: np.ndarray

    @property
    def left_N(self) -> np.ndarray:
        """The doubtful, likely iD mass of each sample that no iD answer covers."""
        return self.purity_N * self.doubt_N * (1 - self.covered_N)


def snapshot(
    pool: toy_pool.Toy, game: toy_pool.Game, number: int, *, answer: int | None = None, seed: int = 0, quota: int = 10
) -> Snapshot:
    """The state behind question `number` (from 1) of a `game` of `toy_pool.play` with this strategy's defaults.

    With `answer` (a class, or K for non-iD) the question before it was answered so, whatever the truth: then the
    question may be another than the game's. `seed` and `quota`: those of the game. ValueError where there is no such
    question, or with `answer` for a stage's first.
    """
    if not 1 <= number <= len(game.picks):
        raise ValueError(f"the game has questions 1 to {len(game.picks)}, got {number}")
    stage = game.stage_P[number - 1]
    within = number - 1 - int((game.stage_P < stage).sum())
    if answer is not None and not within:
        raise ValueError(f"question {number} is its stage's first: no answer was given in that stage before it")
    answers_N = np.full(len(pool.labels_N), NOT_ASKED)
    before = [*game.initial, *game.picks[: number - 1 - within]]
    answers_N[before] = pool.labels_N[before]
    view = toy_pool.view(pool, answers_N, quota, seed, int(stage))
    looks_id_N = view.probs_NC.argmax(axis=1) != toy_pool.N_CLASSES
    view = replace(view, candidates_N=looks_id_N)  # the auxiliary filter's first pass, in which a toy stage ends
    nodes = cautious.nodes_of(view, len(answers_N))
    questions = cautious.moments(view, nodes)
    for count in range(within):
        index = nodes[next(questions).asked]
        answers_N[index] = pool.labels_N[index] if answer is None or count < within - 1 else answer
    return _of(next(questions), nodes, answers_N, looks_id_N)


def _of(moment: cautious.Moment, nodes: np.ndarray, answers_N: np.ndarray, looks_id_N: np.ndarray) -> Snapshot:
    place_N = np.argsort(nodes)  # the nodes are all of the toy pool, in another order
    share_M = expit(moment.purity.evidence(moment.is_id_M, moment.is_other_M))
    may_ask_M = (answers_N[nodes] == NOT_ASKED) & looks_id_N[nodes]
    score_M = np.where(may_ask_M, moment.gain_M * moment.purity_M, 0)
    parts = (moment.purity.density_N, share_M, moment.purity_M, moment.doubt_M, moment.covered_M, score_M)
    return Snapshot(int(nodes[moment.asked]), answers_N.copy(), *(part_M[place_N] for part_M in parts))


def turning_point(pool: toy_pool.Toy, game: toy_pool.Game, stage: int, *, seed: int = 0, quota: int = 10) -> int:
    """Of a stage's questions, the one after which P(iD) depends most on the answer, over the whole pool."""

    def difference(number: int) -> float:
        iD, other = (
            snapshot(pool, game, number + 1, answer=label, seed=seed, quota=quota) for label in (0, toy_pool.N_CLASSES)
        )
        return float(np.abs(iD.purity_N - other.purity_N).sum())

    return max((int(number) for number in np.flatnonzero(game.stage_P == stage)[:-1] + 1), key=difference)


def cells(benchmark: str, profile: str, seed: int, n_seeds: int) -> list:
    """The probe's runs of `beyond.yaml`, on this benchmark and profile and with these seeds instead.

    On every benchmark those of MixDigits. ValueError for fewer than one seed.
    """
    if n_seeds < 1:
        raise ValueError(f"n_seeds must be at least 1, got {n_seeds}")
    listed = grid.cells(grid.read(select_runs.SWEEPS / "beyond.yaml"))
    kinds = {grid.without_seed(cell): cell for cell in listed if cell.learner == "probe"}
    kinds = [cell for cell in kinds.values() if cell.benchmark == "mixdigits"]
    seeds = range(seed, seed + n_seeds)
    return [replace(cell, benchmark=benchmark, profile=profile, seed=s) for cell in kinds for s in seeds]


def ablation_runs(df: pd.DataFrame) -> pd.DataFrame:
    """The probe's runs with the shared initial set: the whole strategy and its ablations."""
    return df[(df["learner"] == "probe") & (df["initial"] == "shared") & (df["strategy"] == STRATEGY)]


def ablation(df: pd.DataFrame, number: str = "area") -> pd.DataFrame:
    """`paired_differences.differences` of ablations to the whole strategy; index `ablation`, ordered as `ABLATIONS`.

    ValueError where the whole strategy is not among the runs, or no ablation is.
    """
    runs = paired_differences.per_run(ablation_runs(df))
    found = paired_differences.differences(runs, f"{STRATEGY}, probe", number)
    names = {f"{STRATEGY}, probe, {options}": text for options, text in ABLATIONS.items()}
    found = found.loc[[name for name in names if name in found.index]]
    if found.empty:
        raise ValueError(f"these runs have no ablation to hold against {STRATEGY}: run notebooks/sweeps/beyond.yaml")
    return found.set_axis(pd.Index([names[name] for name in found.index], name="ablation"), axis=0)


def beside(others: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    """Runs of other strategies (of one learner, all under "shared") and `ours`, whichever initial set they paid for.

    Where the strategy bought its first labels itself the initial set is another one, and its price a part of what is
    compared: such runs are paired with the others by seed (pool, test set and features are the same) and named by their
    protocol. An area then begins where the last of all has its initial set. Seeds that not all have are left out;
    ValueError where none is left, or results cannot be compared.
    """
    others = others[~others["strategy"].isin(ours["strategy"])]
    both = pd.concat([table.reindex(columns=TABLE_COLUMNS) for table in (others, ours)])
    seeds = both.groupby(["learner", *select_runs.METHOD[1:], "initial"])["seed"].agg(frozenset)
    shared = frozenset.intersection(*seeds)
    if not shared:
        raise ValueError(f"the other strategies and {ours['strategy'].iloc[0]} share no seed")
    both = both[both["seed"].isin(shared)].reset_index(drop=True)
    cost_tables.check_comparable(both)
    return both


def beside_paper(tables: Mapping[str, pd.DataFrame], ours: pd.DataFrame | None) -> pd.DataFrame:
    """The paper's strategies and ours, all on the paper's `contrastive` learner: the runs of the seeds that all have.

    All begin with the shared initial set. `tables` and `ours` as in `ways`. ValueError where ours, or every strategy of
    the paper, is missing on this learner, or no seed is shared.
    """
    every = select_runs.union(dict(tables) if ours is None else {**tables, "ours": ours})
    own = every[every["learner_name"] == "contrastive"]
    names = [STRATEGY]
    for strategy in dict.fromkeys(strategy for strategy, _ in cost_tables.PAPER_METHODS):
        off = f"{strategy}, filter=off"  # as the paper has it, if it is there
        names.append(off if strategy in UNFILTERED and off in set(own["strategy_name"]) else strategy)
    both = own[own["strategy_name"].isin(names)]
    seeds = both.groupby("strategy_name")["seed"].agg(frozenset)
    shared = frozenset.intersection(*seeds) if STRATEGY in seeds and len(seeds) > 1 else frozenset()
    if not shared:
        raise ValueError(f"there is no seed with strategies of the paper and {STRATEGY}, all on contrastive")
    return both[both["seed"].isin(shared)].reset_index(drop=True)


def finals(df: pd.DataFrame) -> pd.DataFrame:
    """Our runs that targets are held against: the defaults, and more caution; no ingredient is missing from them."""
    return df[df["options"].isin(["{}", '{"strategy": {"caution": 2}}']) & (df["strategy"] == STRATEGY)]


def ways(tables: Mapping[str, pd.DataFrame], ours: pd.DataFrame | None) -> list[pd.DataFrame]:
    """On the probe, the defaults `beside` all other strategies, and then all `finals` beside them.

    `tables` as `select_runs.tables`; `ours`: the table of `beyond.yaml`, or None. ValueError where there is nothing to
    compare, saying what is missing.
    """
    if ours is None:
        raise ValueError("there is no table of this strategy's runs: run notebooks/sweeps/beyond.yaml")
    others = select_runs.of_learner(select_runs.union(tables), "probe")
    probe = finals(ours[ours["learner"] == "probe"])
    plain = (probe["options"] == "{}") & (probe["initial"] == "shared")
    return [beside(others, probe[plain]), beside(others, probe)]
