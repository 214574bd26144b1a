"""A whole supervised active-learning run by entropy on MixMNIST: ours against DeepAL+'s loop, stage by stage.

    python tests/speed/al_run.py DEEPAL [--stages 21] [--share 1.0] [--threads 2] [--workers 4 0] [--epochs 100]

DEEPAL (or the environment variable ALKIT_DEEPAL) is a checkout of github.com/SineZHAN/deepALplus, which is run as it
is: its Data, Net, handlers and EntropySampling train, predict on the test set and score the pool. Both start from
MixMNIST's 100 iD samples and buy 10 iD samples a stage until there are 300, which is 20 stages. So that both do the
same work, DeepAL+ trains at each stage on the very images that ours trained on (which images is all that is
prescribed), on the same net, for as many epochs of the same batches, with Adam at the same rate and weight decay.
Not prescribed is how: DeepAL+ has fp32, PIL images and a DataLoader; ours a resident pool and bf16 where the hardware
has it, and besides writes its state and results to disk after each stage. DeepAL+ is measured once with its four
workers a loader and once with none. Ours and theirs take turns stage by stage; seconds are those of the clock.
"""

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import types
import warnings
from functools import partial
from pathlib import Path

import charts
import numpy as np
import torch
from measured import ROOT, keep, machine, rounded, spent
from torch import nn
from torchvision import transforms

from alkit import experiment, models
from alkit.benchmarks import Benchmark
from alkit.experiment import Cell, Loop, folder
from alkit.learners import labelled_rows


class TwoOutputs(nn.Module):
    """Our classifier as DeepAL+ calls a net: logits and features."""

    def __init__(self, chosen, n_outputs: int):
        super().__init__()
        encoder = models.encoder(chosen, 1, seed=0).to(memory_format=torch.contiguous_format)
        self.classifier = models.classifier(encoder, n_outputs, seed=0)

    def forward(self, images_BCHW):
        features = self.classifier.encoder(images_BCHW)
        return self.classifier.linear(features), features


class Theirs:
    """DeepAL+'s loop on the benchmark's pool and test set."""

    def __init__(self, path: Path, benchmark: Benchmark, cell: Cell, device: torch.device, workers: int):
        sys.modules.setdefault("faiss", types.ModuleType("faiss"))  # one of its strategies imports it; entropy does not
        sys.path.insert(0, str(path))
        try:
            from data import Data
            from handlers import MNIST_Handler
            from nets import Net
            from query_strategies.entropy_sampling import EntropySampling
        finally:
            sys.path.remove(str(path))
        chosen, pool = cell.recipe, benchmark.pool
        plain = transforms.ToTensor()
        task = {
            "n_epoch": chosen.sup_epochs, "transform_train": plain, "transform": plain, "pretrained": False,
            "loader_tr_args": {"batch_size": chosen.sup_batch, "num_workers": workers},
            "loader_te_args": {"batch_size": 1000, "num_workers": workers}, "num_class": benchmark.n_classes + 1,
            "optimizer": "Adam", "optimizer_args": {"lr": chosen.sup_lr, "weight_decay": chosen.sup_weight_decay},
        }  # fmt: skip
        images, test = (
            torch.from_numpy(np.array(part[:, 0])) for part in (pool.images_NCHW, benchmark.test_images_MCHW)
        )
        labels, answers = (torch.from_numpy(np.array(part)) for part in (pool.labels_N, benchmark.test_labels_M))
        self.data = Data(images, labels, test, answers, MNIST_Handler, task)

        def make(dim, pretrained, num_classes):
            return TwoOutputs(chosen, num_classes)

        self.strategy = EntropySampling(self.data, Net(make, task, device), None, task)

    def stage(self, rows: np.ndarray, questions: int) -> float:
        """One round of its demo: query (not before the first training), label, train, predict; the accuracy."""
        if questions:
            self.strategy.query(questions)
        self.data.labeled_idxs[:] = False
        self.strategy.update(rows)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            self.strategy.train()
        return self.data.cal_test_acc(self.strategy.predict(self.data.get_test_data()))


def run(args) -> list[dict]:
    changes = {"sup_epochs": args.epochs, "share": args.share, "cpu_threads": args.threads}
    cell = Cell("mixmnist", "laptop", "supervised", "entropy", changes=changes)
    benchmark, device = experiment.benchmark_of(cell), torch.device(args.device)
    others = {f"DeepAL+, {n} workers": Theirs(args.deepal, benchmark, cell, device, n) for n in args.workers}
    rows = []
    with tempfile.TemporaryDirectory() as root, folder(cell, Path(root), benchmark, device) as run_folder:
        loop = Loop(cell, benchmark, run_folder, Path(root), device, progress=False)
        records, cost = loop.records(), 0
        for stage in range(args.stages):
            ours, record = timed(partial(next, records), device)
            trained = labelled_rows(loop.answers_N, benchmark.n_classes, cell.seed, stage, "cpu")[0].numpy()
            rows.append(row(stage, "ours", ours, record["accuracy"], trained, record["cost"]))
            for name, other in others.items():
                questions = record["cost"] - cost if stage else 0
                took, accuracy = timed(partial(other.stage, trained, questions), device)
                rows.append(row(stage, name, took, accuracy, trained, record["cost"]))
            cost = record["cost"]
            print(*(f"{r['contestant']} {r['seconds']} s" for r in rows[-1 - len(others) :]), sep=", ", file=sys.stderr)
    return rows


def timed(function, device):
    """What it took, and what it gave."""
    given = []
    return spent(lambda: given.append(function()), device), given[0]


def row(stage: int, name: str, took, accuracy: float, trained: np.ndarray, cost: int) -> dict:
    return {
        "stage": stage, "contestant": name, "trained_on": len(trained), "questions_so_far": cost,
        "seconds": rounded(took.seconds), "cpu_seconds": rounded(took.cpu_seconds), "accuracy": round(accuracy, 4),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deepal", nargs="?", type=Path, default=os.environ.get("ALKIT_DEEPAL"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--stages", type=int, default=21, help="the first of them; 21 is the initial set and 20 more")
    parser.add_argument("--share", type=float, default=1.0, help="of the pool")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, nargs="+", default=[4, 0], help="of DeepAL+'s loaders")
    parser.add_argument("--into", type=Path, default=ROOT / "figures", help="folder of the figure and of results/")
    args = parser.parse_args()
    if not args.deepal or not (Path(args.deepal) / "query_strategies").is_dir():
        parser.error("name a checkout of github.com/SineZHAN/deepALplus, or set ALKIT_DEEPAL to one")
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than a small machine has cores
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of Pillow, on how it reads its images
    torch.set_num_threads(args.threads)
    args.deepal = Path(args.deepal).resolve()
    name = "al_run" if args.device == "cpu" else "al_run-cuda"
    on = f"{machine(args.device)}, DeepAL+ {revision(args.deepal)}"
    charts.save(charts.al_run(keep(name, run(args), on=on, into=args.into / "results")), name, args.into)


def revision(path: Path) -> str:
    """The commit of a checkout."""
    asked = subprocess.run(["git", "-C", str(path), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return asked.stdout.strip() or "of unknown commit"


if __name__ == "__main__":
    main()
