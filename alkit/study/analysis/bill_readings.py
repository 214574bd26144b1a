"""How large is the bill of uncertainty on MixMNIST? The paper's text can be read in several ways; each is run once.

The paper pays 6,582 looks for least confidence and 32,738 for entropy (Kim, Kim and Hwang 2023, Table 2); this study
pays a fraction of that. A reading changes one thing in the learner `supervised` or in who may be asked, and keeps the
rest. `python -m alkit.study.analysis.bill_readings` runs them and writes the table; runs that are finished are kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import entr
from torch import nn
from tqdm import tqdm

from alkit import __version__, experiment, learners, paths, rng
from alkit.acquisition import View
from alkit.acquisition.registry import STRATEGIES, strategy
from alkit.acquisition.view import ranked
from alkit.learners.base import labelled_rows
from alkit.learners.supervised import Supervised
from alkit.training import schedule, train_classifier

SEED, PROFILE = 20, "laptop"
PAPER = {"least_confidence": 6582, "entropy": 32738}  # looks, Table 2


@dataclass(frozen=True)
class Reading:
    """One way to read the paper: `learner` a name below, and what the cell changes."""

    words: str
    learner: str = "supervised"
    strategies: tuple[str, ...] = ("least_confidence", "entropy")
    changes: dict = field(default_factory=dict)
    auxiliary_filter: bool = True


ONE = ("least_confidence",)
READINGS = (
    Reading("as in this study"),
    Reading("no auxiliary filter", auxiliary_filter=False),
    Reading("auxiliary class as small as the smallest iD class", "supervised_smallest", ONE),
    Reading("auxiliary class of one sample", "supervised_one", ONE),
    Reading("filter by a net that never learned from junk", "supervised_none"),
    Reading("no batch norm", "supervised_no_norm", ONE),
    Reading("no label smoothing", strategies=ONE, changes={"sup_smoothing": 0.0}),
    Reading("entropy over the K iD classes", strategies=("entropy_of_classes",)),
    Reading("no filter, entropy over the K iD classes", strategies=("entropy_of_classes",), auxiliary_filter=False),
    Reading(
        "no batch norm, no smoothing, no junk learned, no filter",
        "supervised_plain",
        changes={"sup_smoothing": 0.0},
        auxiliary_filter=False,
    ),
)


class _Reading(Supervised):
    """`supervised` with other labelled junk: as many as an iD class has ("mean", "smallest"), "one" or "none"."""

    junk, norm = "mean", True

    def fit(self, answers_N: np.ndarray, stage: int) -> list[dict]:
        s = self.setting
        device = s.images_NCHW.device
        rows, labels = labelled_rows(answers_N, s.n_classes, s.seed, stage, device)
        is_id = labels < s.n_classes
        others = rows[~is_id]
        smallest = torch.bincount(labels[is_id], minlength=s.n_classes).min().item()
        most = {"mean": len(others), "smallest": max(1, smallest), "one": 1, "none": 0}[self.junk]
        kept = rng.numpy_stream(s.seed, "reading", stage).permutation(len(others))[:most]
        chosen = torch.cat([rows[is_id], others[torch.from_numpy(kept).to(device)]]).sort().values
        self.net = self._fresh(stage)
        plan, wanted = schedule(s.recipe, "sup"), torch.from_numpy(answers_N).to(device)[chosen]
        return train_classifier(
            self.net, s.images_NCHW, chosen, wanted, plan, s.recipe, seed=s.seed, stage=stage, progress=s.progress
        )

    def _fresh(self, stage: int):
        net = super()._fresh(stage)
        if not self.norm:
            for block in net.encoder.blocks:
                block[1] = Shift(block[1].num_features)
        return net


class Shift(nn.Module):
    """A number for each channel that is added to its map: what is left of batch norm without the norm."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, maps_BCHW):
        return maps_BCHW + self.bias


def _named(name: str, **values) -> type:
    return type(name, (_Reading,), values)


LEARNERS = {
    "supervised_smallest": _named("Smallest", junk="smallest"),
    "supervised_one": _named("One", junk="one"),
    "supervised_none": _named("NoJunk", junk="none"),
    "supervised_no_norm": _named("NoNorm", norm=False),
    "supervised_plain": _named("Plain", junk="none", norm=False),
}


def entropy_of_classes(view: View) -> Iterator[int]:
    """Highest entropy of the K iD probabilities first, made to sum to 1; the auxiliary class does not count."""
    id_NK = view.probs_NC[:, : view.n_classes].astype(np.float64)
    yield from ranked(view, -entr(id_NK / id_NK.sum(axis=1, keepdims=True)).sum(axis=1))


def cells() -> list[tuple[Reading, experiment.Cell]]:
    """Every reading with its cells; learners and the strategy that only readings have are known from now on."""
    learners.LEARNERS.update(LEARNERS)
    if "entropy_of_classes" not in STRATEGIES:
        strategy("entropy_of_classes", citation="a reading of the paper's text", needs=("probs",))(entropy_of_classes)
    return [
        (
            one,
            experiment.Cell(
                "mixmnist",
                PROFILE,
                one.learner,
                name,
                seed=SEED,
                changes=one.changes,
                auxiliary_filter=one.auxiliary_filter,
            ),
        )
        for one in READINGS
        for name in one.strategies
    ]


def row(reading: Reading, cell: experiment.Cell, records: list[dict]) -> dict:
    """What a finished run paid, as a row of the table."""
    last = records[-1]
    paid = {name: last[name] for name in ("n_id", "n_ambiguous", "n_ood", "cost")}
    made = {name: last[name] for name in ("fingerprint", "device")}
    about = {"benchmark": cell.benchmark, "profile": cell.profile, "seed": cell.seed, "version": __version__, **made}
    return {"reading": reading.words, "strategy": cell.strategy, **paid, "accuracy": last["accuracy"], **about}


def text(table: pd.DataFrame) -> str:
    """The table as aligned plain text: what each reading paid, the paper's bills first."""
    paper = [{"reading": "the paper", "strategy": name, "cost": cost} for name, cost in PAPER.items()]
    both = pd.concat([pd.DataFrame(paper), table])[["reading", "strategy", "cost", "n_ambiguous", "n_ood", "accuracy"]]
    both = both.assign(accuracy=[f"{100 * a:.1f}" if a == a else "" for a in both["accuracy"]])
    for name in ("cost", "n_ambiguous", "n_ood"):
        both[name] = [f"{n:,.0f}" if n == n else "" for n in both[name]]
    names = {"cost": "looks", "n_ambiguous": "ambiguous", "n_ood": "OoD", "accuracy": "accuracy (%)"}
    return both.rename(columns=names).to_string(index=False)


def file_of(folder: Path | None = None) -> Path:
    """The committed table."""
    return (folder or paths.checkout("committed results") / "figures" / "results") / "mixmnist-bills.csv"


def main() -> None:
    """Run what is missing, and write the table."""
    runs = tqdm(cells(), unit="run")
    rows = [row(reading, cell, experiment.finish(cell)) for reading, cell in runs]
    pd.DataFrame(rows).to_csv(file_of(), index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    main()
