"""Which small net is worth ranking strategies on: accuracy with few labels against speed, on the pools of digits.

    python tests/speed/nets.py [mixmnist] [mixdigits] [--seeds 5] [--jobs 2] [--device cpu]

Accuracy: `supervised` of the pool's recipe (100 epochs at `paper`) on 100 and 300 (MixDigits: 100 and 200) iD labels
drawn at random, on the pool's test images, mean and standard deviation over seeds; with `augment`, on affine views.
Speed: views a second of the forward and backward pass on 1,024 images, one thread, all nets in turn in one run, over
the net of plain strides that the study had before. Seeds 100 and up: choosing must not see the seeds that count.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pandas as pd
import torch
from measured import in_turn, keep, machine, rounded
from torch import nn

from alkit import benchmarks, learners, models, rng, training
from alkit.recipes import recipe

LABELS = {"mixmnist": (100, 300), "mixdigits": (100, 200)}
FIRST_SEED, BATCH, PASSES = 100, 1024, 10


class Strided(models.ConvNet):
    """The net of version 0.1.0: 3x3 convolutions of stride 2 where the others have a mean."""

    def __init__(self, channels, widths, strides, readout):
        super().__init__(channels, widths, (1, 1, 1), readout)
        for block, stride in zip(self.blocks, strides, strict=True):
            block[0].stride = (stride, stride)


class Separate(models.ConvNet):
    """Convolution and mean as two operations."""

    def __init__(self, channels, widths, pooling, readout):
        super().__init__(channels, widths, (1, 1, 1), readout)
        for block, pool in zip(self.blocks, pooling, strict=True):
            if pool == 2:
                block[0] = nn.Sequential(block[0], nn.AvgPool2d(2))


class MaxPooled(models.ConvNet):
    """A maximum over 2x2 after each ReLU."""

    def __init__(self, channels, widths, pooling, readout):
        super().__init__(channels, widths, (1, 1, 1), readout)
        for block, pool in zip(self.blocks, pooling, strict=True):
            if pool == 2:
                block.append(nn.MaxPool2d(2))


def nets(name: str) -> dict:
    """The candidates by name: a function that makes each."""
    wide, narrow, mid = (32, 64, 128), (16, 32, 128), (16, 64, 128)
    if name == "mixmnist":
        down, readout, strides = (2, 2, 2), "linear", (2, 2, 2)
        others = {"16-32-64": (16, 32, 64), "24-48-128": (24, 48, 128), "8-32-128": (8, 32, 128)}
    else:
        down, readout, strides = (1, 2, 2), "mean", (1, 2, 2)
        others = {"32-64-64": (32, 64, 64), "16-64-128": mid, "16-32-128": narrow}
    made = {
        "strides 32-64-128 (0.1.0)": lambda: Strided(1, wide, strides, readout),
        "mean 32-64-128": lambda: models.ConvNet(1, wide, down, readout),
        "mean 32-64-128, two operations": lambda: Separate(1, wide, down, readout),
        "max after ReLU 32-64-128": lambda: MaxPooled(1, wide, down, readout),
        "mean 16-32-128": lambda: models.ConvNet(1, narrow, down, readout),
        **{
            f"mean {text}": lambda widths=widths: models.ConvNet(1, widths, down, readout)
            for text, widths in others.items()
        },
    }
    if name == "mixdigits":
        made["mean 32-64-128, linear readout of 3x3"] = lambda: models.ConvNet(1, wide, down, "linear")
        made["mean twice at the end 32-64-128"] = lambda: models.ConvNet(1, wide, (1, 1, 2), readout)
    return made


def accuracy(name: str, net: str, labels: int, augment: str, seed: int, device: str) -> float:
    """Accuracy (%) on the test images of one net that was trained from scratch on random iD labels."""
    torch.set_num_threads(1)
    profile = "paper" if name == "mixmnist" else "laptop"
    chosen = replace(recipe(name, profile), sup_augment=augment, cpu_threads=1)
    pool = benchmarks.load(name)
    drawn = rng.numpy_stream(seed, "nets").permutation(np.flatnonzero(pool.pool.category_N == benchmarks.ID))[:labels]
    rows, where = torch.from_numpy(np.sort(drawn)), torch.device(device)
    images = torch.from_numpy(pool.pool.images_NCHW.copy()).to(where)
    with rng.seeded(rng.integer(seed, "model", 0)):
        body = nets(name)[net]()
    body = body.to(where, memory_format=torch.channels_last)
    classifier = models.classifier(body, pool.n_classes + 1, seed=seed, device=where)
    answers = torch.from_numpy(pool.pool.labels_N[rows.numpy()]).to(where)
    plan = training.schedule(chosen, "sup")
    training.train_classifier(classifier, images, rows.to(where), answers, plan, chosen, seed=seed, stage=0)
    tested = torch.from_numpy(pool.test_images_MCHW.copy()).to(where)
    probs = learners.probabilities(classifier, tested, chosen)[1][:, : pool.n_classes]
    return 100 * float((probs.argmax(1) == pool.test_labels_M).mean())


def speed(name: str, rounds: int) -> dict[str, float]:
    """Views a second of each net's forward and backward pass over those of the strided net, in one run, one thread."""
    torch.set_num_threads(1)
    chosen, turns = recipe(name, "paper"), {}
    side = 28 if name == "mixmnist" else 8
    x = torch.rand(BATCH, 1, side, side).contiguous(memory_format=torch.channels_last)
    for net, make in nets(name).items():
        body = make().to(memory_format=torch.channels_last).train()

        def turn(body=body):
            for _ in range(PASSES):
                body.zero_grad(set_to_none=True)
                with training.autocast(chosen, x.device):
                    out = body(x)
                out.float().sum().backward()

        turns[net] = turn
    seconds = {net: spent.cpu_seconds for net, spent in in_turn(turns, rounds).items()}
    first = next(iter(seconds.values()))
    return {net: rounded(first / own) for net, own in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pools", nargs="*", default=["mixmnist", "mixdigits"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    for name in args.pools or ["mixmnist", "mixdigits"]:
        rows = []
        fast = speed(name, args.rounds)
        kinds = [(labels, augment) for labels in LABELS[name] for augment in ("none", "affine")]
        tasks = [
            (name, net, labels, augment, FIRST_SEED + i, args.device)
            for net in nets(name)
            for labels, augment in kinds
            for i in range(args.seeds)
        ]
        with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(accuracy, *zip(*tasks, strict=True)))
        table = pd.DataFrame([(*task[:4], score) for task, score in zip(tasks, found, strict=True)],
                             columns=["pool", "net", "labels", "augment", "accuracy"])  # fmt: skip
        for (net, labels, augment), group in table.groupby(["net", "labels", "augment"], sort=False):
            scores = group["accuracy"]
            rows.append(
                {
                    "pool": name,
                    "net": net,
                    "labels": labels,
                    "augment": augment,
                    "accuracy": round(scores.mean(), 2),
                    "sd": round(scores.std(), 2),
                    "seeds": len(scores),
                    "views_over_strides": fast[net],
                }
            )
        keep(f"nets-{name}", rows, on=machine(args.device))


if __name__ == "__main__":
    main()
