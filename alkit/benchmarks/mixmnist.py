"""MixMNIST of Kim, Kim and Hwang, 2023 (arXiv:2303.14433), mixed from sources in the data folder."""

import json
from dataclasses import asdict, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from alkit.benchmarks import ambiguous
from alkit.benchmarks.pool import AMBIGUOUS, ID, NO_VOTE, OOD, Benchmark, Part, assemble
from alkit.benchmarks.sources import catalogue, files
from alkit.benchmarks.sources.catalogue import draw_by_content, read_labelled, stamps
from alkit.paths import data_folder
from alkit.store import StoreError

GREY_28 = (28, 28)
MIXMNIST = {"iD": 60_000, "ambiguous": 15_000, "OoD": 18_724, "test": 10_000}


def mixmnist(folder: Path | None = None) -> Benchmark:
    """MixMNIST: MNIST's digits, 15,000 mixtures of two of them, notMNIST's letters; the test digits of MNIST.

    The ambiguous digits are those of `mixmnist_ambiguous.npz`, which ships with alkit and which
    `build_mixmnist_ambiguous` makes. A file of that name in the data folder that holds `images` alone (uint8, 15,000 or
    more of 28x28), such as NVAE's own, is taken in its place: its source is then called `nvae_mnist`, and it has no
    votes and no parents. StoreError where a source is missing, damaged or too small; it says what to do.
    """
    folder = data_folder(folder)
    return _mixmnist(folder, stamps(folder, "mnist_train", "mnist_test", "notmnist_small", "mixmnist_ambiguous"))


@lru_cache(maxsize=1)
def _mixmnist(folder: Path, stamps: tuple) -> Benchmark:
    train, labels, order = _digits(folder)
    mixed = catalogue.read("mixmnist_ambiguous", folder, shape=GREY_28)
    letters = catalogue.read("notmnist_small", folder, shape=GREY_28)
    test = read_labelled("mnist_test", folder, GREY_28)
    rows, test_rows = (
        draw_by_content(arrays, MIXMNIST[part], part, source)
        for arrays, part, source in ((mixed, "ambiguous", "mixmnist_ambiguous"), (test, "test", "mnist_test"))
    )
    own = "votes" in mixed and "parents" in mixed
    parts = [
        Part(ID, "mnist", train[order], labels[order]),
        Part(AMBIGUOUS, "mixmnist_ambiguous" if own else "nvae_mnist", mixed["images"][rows]),
        Part(
            OOD, "notmnist_small", letters["images"][draw_by_content(letters, MIXMNIST["OoD"], "OoD", "notmnist_small")]
        ),
    ]
    tested = test["images"][test_rows], test["labels"][test_rows]
    benchmark, position = assemble("mixmnist", parts, *tested, [str(digit) for digit in range(10)])
    if not own:
        return benchmark
    n, places = len(order), position[len(order) : len(order) + len(rows)]
    made, chosen = mixed["parents"][rows], mixed["votes"][rows]
    if chosen.ndim != 2 or made.shape != (len(rows), 2) or made.min() < 0 or made.max() >= n:
        raise StoreError(f"mixmnist_ambiguous.npz has votes or parents that do not fit {n} digits; build it again")
    votes, parents = np.full((len(position), chosen.shape[1]), NO_VOTE, np.uint8), np.array(benchmark.parents_N2)
    votes[places], parents[places] = chosen, position[made]
    return replace(benchmark, votes_NV=votes, parents_N2=parents)


def _digits(folder: Path):
    """MNIST's training images and labels, and the rows of those in the pool, in the order that parents count in."""
    train = read_labelled("mnist_train", folder, GREY_28)
    return train["images"], train["labels"], draw_by_content(train, MIXMNIST["iD"], "iD", "mnist_train")


def provenance(folder: Path | None = None) -> dict:
    """How MixMNIST's ambiguous digits were made, as `build_mixmnist_ambiguous` wrote it; {} for made elsewhere."""
    stored = catalogue.read("mixmnist_ambiguous", folder, shape=GREY_28)
    return json.loads(str(stored["provenance"])) if "provenance" in stored else {}


def build_mixmnist_ambiguous(
    into: Path | None = None,
    *,
    folder: Path | None = None,
    recipe=ambiguous.MNIST_28PX,
    count: int = MIXMNIST["ambiguous"],
    seed: int = 0,
    device=None,
    progress=False,
) -> dict:
    """Make `mixmnist_ambiguous.npz` from the MNIST of the data folder, and put it there or `into` another folder.

    Returns what was measured. Trains the generator and its voters, on a GPU where there is one: many minutes on a CPU.
    Nothing is replaced before everything is made.
    """
    folder = data_folder(folder)
    into = Path(into or folder)
    files.check_writable(into, "--into")  # now, not after all the work
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    train, labels, order = _digits(folder)
    test = read_labelled("mnist_test", folder, GREY_28)
    images_N1HW = train[order, None]
    made = ambiguous.build(
        images_N1HW,
        labels[order],
        test_images=test["images"][:, None],
        test_labels=test["labels"],
        count=count,
        recipe=recipe,
        seed=seed,
        device=device,
        progress=progress,
    )
    measured = ambiguous.measured(made, images_N1HW[:count])  # as many real images: all would take gigabytes
    provenance = {
        "made by": "alkit.benchmarks.mixmnist.build_mixmnist_ambiguous",
        "seed": seed,
        "recipe": asdict(recipe),
        "licence": catalogue.SOURCES["mixmnist_ambiguous"].licence,
        "versions": {name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        **measured,
    }
    files.write(
        into,
        "mixmnist_ambiguous",
        compress=True,
        images=made.images_N1HW[:, 0],
        votes=made.votes_NV,
        parents=made.parents_N2.astype(np.int32),
        provenance=np.array(json.dumps(provenance)),
    )
    return measured
