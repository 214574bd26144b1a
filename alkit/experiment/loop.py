"""The active-learning loop: one cell of the study is one (benchmark, profile, learner, strategy, protocol, seed).

`run(cell)` is a generator of one record per stage. Stage 0 is the initial labelled set; each later stage asks the
oracle, in the strategy's order, until the iD quota is met, and fits the learner again. Everything is committed stage
by stage, so a generator that is dropped, or killed, goes on where it stopped.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alkit import __version__, acquisition, learners, rng
from alkit.benchmarks import ID, OOD, Benchmark
from alkit.experiment import best_of
from alkit.experiment.cell import Cell, benchmark_of, check
from alkit.experiment.oracle import Oracle
from alkit.learners.base import Setting
from alkit.paths import runs_folder
from alkit.runtime import Clock, default_device, environment, resident, threads
from alkit.store import Cache, RunFolder, StoreError, canonical, sha256, writable

KINDS = ("n_id", "n_ambiguous", "n_ood")


def folder(cell: Cell, root: Path, benchmark: Benchmark, device: torch.device) -> RunFolder:
    """The run directory of `cell` below `root`; nothing is touched before it is entered.

    A learner that pays for all of the initial set does the same under either protocol: one run serves both.
    """
    learner: Any = learners.get(cell.learner)
    initial = "shared" if cell.initial == "paper" and learner.pays_for_all else cell.initial
    config = {
        **asdict(cell),
        "initial": initial,
        "recipe": asdict(cell.recipe),
        "fingerprint": benchmark.fingerprint,
        "alkit": __version__,
        "device": device.type,
    }
    if source := acquisition.source_hash(cell.strategy):
        config["strategy_source"] = source
    name = f"{cell.benchmark}-{cell.profile}/{cell.learner}+{cell.strategy}-{initial}-s{cell.seed}"
    return RunFolder(root / "cells", name, config, environment(device))


def run(
    cell: Cell,
    *,
    root: Path | None = None,
    device: torch.device | None = None,
    progress=False,
    benchmark: Benchmark | None = None,
) -> Iterator[dict]:
    """Run `cell`, or go on with it, and yield one record per stage, finished ones included.

    `benchmark`: the cell's, for who has it at hand already.

    A record has the columns of `stages.csv` and `seconds.csv`, and `initial_hash`, `fingerprint`, `device`,
    `version`. ValueError (from `check`) or StoreError before anything is written where it cannot run.
    """
    check(cell, benchmark=benchmark)
    root, device = Path(root or runs_folder()), device or default_device()
    benchmark = benchmark or benchmark_of(cell)
    writable(root, runs=True)
    with folder(cell, root, benchmark, device) as run_folder:
        yield from Loop(cell, benchmark, run_folder, root, device, progress).records()


def setting_of(
    cell: Cell,
    *,
    root: Path | None = None,
    device: torch.device | None = None,
    progress=False,
    benchmark: Benchmark | None = None,
) -> Setting:
    """What a learner of `cell` is made from, for use outside the loop; the cache is the one that runs share."""
    benchmark, root = benchmark or benchmark_of(cell), Path(root or runs_folder())
    images_NCHW = resident(benchmark.pool.images_NCHW, device or default_device())
    cache = Cache(root / "cache", fingerprint=benchmark.fingerprint, alkit=__version__)
    return Setting(images_NCHW, benchmark.n_classes, cell.recipe, cell.seed, cache, progress)


def initial_answers(cell: Cell) -> np.ndarray:
    """The answers (N,) that every method of a seed starts from under `initial="shared"`; -1 where not asked."""
    benchmark = benchmark_of(cell)
    oracle = Oracle(benchmark.pool)
    answers_N = np.full(len(benchmark.pool), acquisition.NOT_ASKED, dtype=np.int64)
    for index in initial_draw(cell, oracle)[0]:
        label = oracle.ask(index).label
        answers_N[index] = benchmark.n_classes if label is None else label
    return answers_N


def finished(cell: Cell, *, root: Path | None = None, device: torch.device | None = None) -> bool:
    """Whether all stages of `cell` are on disk."""
    root, device = Path(root or runs_folder()), device or default_device()
    return folder(cell, root, benchmark_of(cell), device).done


def numbers(row: dict) -> dict:
    """A row of `stages.csv` or `seconds.csv` as it was before it became text."""
    exact = ("stage", *KINDS, "cost")
    return {name: (int if name in exact else float)(value) for name, value in row.items()}


def initial_draw(cell: Cell, oracle: Oracle) -> tuple[list[int], str]:
    """What is examined for the initial set of a seed, and its hash: the same for every method under one protocol."""
    examined = []
    if cell.initial != "strategy":  # which chooses for itself
        examined = oracle.examine(rng.numpy_stream(cell.seed, "initial"), cell.recipe.initial_id)
    return examined, sha256(canonical(examined).encode())[:12]


def stored(cell: Cell, run_folder: RunFolder, benchmark: Benchmark) -> list[dict]:
    """The records (see `run`) of the stages that are on disk, read without the run's lock; nothing is run."""
    run_folder.load()
    made = {
        "initial_hash": initial_draw(cell, Oracle(benchmark.pool))[1],
        "fingerprint": benchmark.fingerprint,
        "device": run_folder.about["device"],
        "version": __version__,
    }
    rows = zip(run_folder.read("stages.csv"), run_folder.read("seconds.csv"), strict=True)
    return [{**numbers(row), **numbers(times), **made} for row, times in rows]


def finish(cell: Cell, **options) -> list[dict]:
    """All records of `cell`, running what is missing; see `run`."""
    return list(run(cell, **options))


class Loop:
    """The state of one run between stages: answers so far, their kinds, the learner."""

    def __init__(self, cell: Cell, benchmark: Benchmark, run_folder: RunFolder, root: Path, device, progress: bool):
        self.cell, self.benchmark, self.folder, self.recipe = cell, benchmark, run_folder, cell.recipe
        self.setting = setting_of(cell, root=root, device=device, progress=progress, benchmark=benchmark)
        self.images = self.setting.images_NCHW
        self.test_images = resident(benchmark.test_images_MCHW, device)
        self.learner = learners.get(cell.learner)(self.setting, **cell.learner_options)
        self.oracle = Oracle(benchmark.pool)
        self.answers_N = np.full(len(self.images), acquisition.NOT_ASKED, dtype=np.int64)
        self.counts, self.declared = [0, 0, 0], False
        examined, self.initial_hash = initial_draw(cell, self.oracle)
        id_only = cell.initial == "paper" and not self.learner.pays_for_all
        self.initial = [i for i in examined if self.oracle.is_id(i)] if id_only else examined

    def records(self) -> Iterator[dict]:
        yield from self._replay()
        stage = self.folder.stages
        while not self._done(stage):
            yield self._stage(stage)
            stage += 1

    def _done(self, stage: int) -> bool:
        """Whether the run ends before stage number `stage`."""
        return stage > 0 and (self.counts[ID] >= self.recipe.stop_id or not (self.answers_N < 0).any())

    def _replay(self) -> Iterator[dict]:
        """Take in what finished stages wrote, holding every line against the pool."""
        if not self.folder.stages:
            return
        picks = self.folder.read("picks.csv")
        stages, seconds = self.folder.read("stages.csv"), self.folder.read("seconds.csv")
        for row, times in zip(stages, seconds, strict=True):
            mine = [pick for pick in picks if pick["stage"] == row["stage"]]
            for pick in mine:
                self._take(int(pick["index"]))
            self._declare()
            free = int(row["stage"]) > 0 or self.cell.initial == "strategy"
            same_start = free or [int(pick["index"]) for pick in mine] == self.initial
            if not same_start or [int(row[k]) for k in KINDS] != self.counts:
                raise StoreError(f"{self.folder.path}: picks and stages disagree; delete it to start this run again")
            yield self._record(numbers(row), numbers(times))
        if not self._done(self.folder.stages):
            self.learner.restore(self.folder.learner_state(str(self.images.device)))

    def _record(self, stage: dict, seconds: dict) -> dict:
        made = {
            "fingerprint": self.benchmark.fingerprint,
            "device": self.folder.about["device"],
            "version": __version__,
        }
        return {**stage, **seconds, "initial_hash": self.initial_hash, **made}

    def _stage(self, stage: int) -> dict:
        clock = Clock()
        if stage == 0 and self.cell.initial != "strategy":
            with clock("choose"):
                picks = self._initial()
        else:
            with clock("extract"):
                shown = self.learner.show() if stage else self.learner.first_shown()
            with clock("choose"), threads(self.recipe.cpu_threads):
                picks = self._buy(shown, stage)
        self._declare()
        with clock("train"):
            self.learner.fit(self.answers_N.copy(), stage)
        with clock("extract"):
            accuracies = self._accuracies()
        row = {"stage": stage, **dict(zip(KINDS, self.counts)), "cost": self.oracle.cost, **accuracies}
        seconds = {"stage": stage, **clock.seconds()}
        state = self.learner.state()
        self.folder.commit(picks=picks, stage=row, seconds=seconds, learner=state, done=self._done(stage + 1))
        return self._record(row, seconds)

    def _initial(self) -> list[dict]:
        return [self._pick(0, position, index) for position, index in enumerate(self.initial)]

    def _buy(self, shown: learners.Shown, stage: int) -> list[dict]:
        """Ask in the strategy's order until the stage's iD quota is met or the pool is empty.

        For a reference line, non-iD samples are skipped: not asked, not paid for, and still unasked at the next stage.
        StrategyError where the strategy ends before that.
        """
        wanted = self.recipe.stage_id if stage else self.recipe.initial_id
        wanted = min(wanted, self.recipe.stop_id - self.counts[ID])
        stream = rng.numpy_stream(self.cell.seed, "strategy", stage)
        view = acquisition.View(
            shown.features_ND,
            shown.probs_NC,
            self.answers_N.copy(),
            self.benchmark.n_classes,
            wanted,
            stream,
            shown.head,
            self.answers_N,
        )
        target, picks = self.counts[ID] + wanted, list[dict]()
        only_id = acquisition.get(self.cell.strategy).reference
        filtered = self.cell.auxiliary_filter
        order = acquisition.order(self.cell.strategy, view, auxiliary_filter=filtered, **self.cell.strategy_options)
        if self.cell.strategy == best_of.NAME:
            order = iter(best_of.best_batch(view, wanted, self.benchmark.pool, self.recipe))
        for index in order:
            if only_id and not self.oracle.is_id(index):
                continue
            picks.append(self._pick(stage, len(picks), index))
            at_round_end = self.cell.stop == "quota" or len(picks) % wanted == 0
            if self.counts[ID] >= target and at_round_end:
                return picks
        left = [i for i in np.flatnonzero(self.answers_N < 0).tolist() if not only_id or self.oracle.is_id(i)]
        if left:
            raise acquisition.StrategyError(
                f"strategy {self.cell.strategy!r} ended at stage {stage} after {len(picks)} questions, with "
                f"{max(0, target - self.counts[ID])} of {wanted} iD answers missing and {len(left)} samples unasked: "
                "it must yield every position of view.unasked; finished stages are kept"
            )
        return picks

    def _pick(self, stage: int, position: int, index: int) -> dict:
        kind, label = self._take(index)
        return {"stage": stage, "position": position, "index": index, "kind": kind, "label": label}

    def _take(self, index: int) -> tuple[int, int | str]:
        answer = self.oracle.ask(index)
        self.answers_N[index] = self.benchmark.n_classes if answer.label is None else answer.label
        self.counts[answer.kind] += 1
        return answer.kind, "" if answer.label is None else answer.label

    def _declare(self) -> None:
        """Once half of the run's iD labels are there, the annotator makes classes of junk (`variants.new_class`)."""
        recipe = self.recipe
        if self.declared or self.counts[ID] < (recipe.initial_id + recipe.stop_id) / 2:
            return
        self.declared = True
        for index, label in self.oracle.declare(self.benchmark.n_classes).items():
            self.answers_N[index] = label
            self.counts[OOD] -= 1
            self.counts[ID] += 1

    def _accuracies(self) -> dict[str, float]:
        """Share of the test images, all iD, whose class has the largest probability, of the K iD ones or of all K + 1.

        Under `accuracy_k1`, an image that goes to the auxiliary class is wrong.
        """
        probs_MC = self.learner.predict(self.test_images)
        found = {"accuracy": probs_MC[:, : self.benchmark.n_classes], "accuracy_k1": probs_MC}
        return {name: float((p.argmax(1) == self.benchmark.test_labels_M).mean()) for name, p in found.items()}
