"""How the time and the memory of each phase of a run grow with the pool, from 2,000 to 1,000,000 images.

    python tests/speed/growth.py [--most 1000000] [--threads 2] [--quick]

Images have 8 x 8 pixels, so that a million of them are quick. Each phase runs once at each size, after a run at the
two smallest sizes that is not counted. `mib_beyond` is what memory rose by at its highest, less what the phase returns.
The slope is the power of the number of rows that the three largest sizes show; n log n has 1.08 there. UMAP is
measured up to 50,000 rows, one epoch of training up to 200,000: both are projected no further.

Strategies have a benchmark of their own (`strategies.py`) at 10,000, 100,000 and 1,000,000 rows.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import charts
import numpy as np
import torch
from bench_strategies import parts, stage
from measured import ROOT, grown_mib, keep, machine, rounded, slope, spent

from alkit import benchmarks, learners, runtime
from alkit.benchmarks import Pool
from alkit.explorer import projection
from alkit.learners.base import Setting
from alkit.learners.representation import Representation
from alkit.recipes import recipe

SIZES = (2_000, 10_000, 50_000, 200_000, 1_000_000)
SIDE, CLASSES = 8, 10


def pool_of(n: int) -> Pool:
    """`n` images of noise, two thirds of them iD."""
    rng = np.random.default_rng(0)
    labels_N = np.minimum(rng.integers(0, 15, n), CLASSES)
    images = rng.integers(0, 256, (n, 1, SIDE, SIDE), dtype=np.uint8)
    kinds = (labels_N == CLASSES).astype(np.uint8)
    return Pool(images, labels_N, kinds, np.repeat("noise", n))


def phases(n: int, chosen) -> Iterator[tuple[str, int, Callable[[], object]]]:
    """(name, MiB that it returns, function) of every phase at `n` rows."""
    pool = pool_of(n)
    setting = Setting(runtime.resident(pool.images_NCHW, torch.device("cpu")), CLASSES, chosen, 0, cache=None)
    width, outputs = 128, CLASSES + 1
    yield "fingerprint of the pool", 0, lambda: benchmarks.fingerprint(pool, pool.images_NCHW[:10], pool.labels_N[:10])
    representation = Representation(setting)
    nothing = np.full(n, -1)
    if n <= 200_000:
        yield "contrastive training, an epoch", 0, lambda: representation.train(nothing, 0, epochs=1, warmup=0)
    yield "features of the pool", n * width * 4 / 2**20, lambda: representation.features("encoder")
    learner = learners.Supervised(setting)
    answers_N = np.where(np.arange(n) < 300, pool.labels_N, -1)
    yield "classifier training, 300 labels", 0, lambda: learner.fit(answers_N, 0)
    shown = n * (width + outputs) * 4 / 2**20
    yield "classifier's view of the pool", shown, learner.show
    probe = learners.Probe(setting)
    made = parts(n, CLASSES + 1)
    probe.features_ND, probe.unit_ND = made["features_ND"], made["head"].features_ND
    yield "probe: fit and view", n * outputs * 4 / 2**20, lambda: (probe.fit(answers_N, 0), probe.show())
    for name in ("entropy", "ddu", "distance_cl"):
        yield f"choice: {name}", 0, lambda name=name: stage((name, {}), n, CLASSES + 1)
    yield "picture: PCA", n * 8 / 2**20, lambda: projection.pca(made["features_ND"], 0)
    if n <= 50_000:
        yield "picture: UMAP", n * 8 / 2**20, lambda: projection.umap(made["features_ND"], 0)


def measure(sizes, chosen) -> list[dict]:
    """One row for each phase and size."""
    for n in sizes[:2]:  # imports, thread pools and compilation (UMAP's second search too) are no part of a phase
        for _, _, function in phases(n, chosen):
            function()
    rows = []
    for n in sizes:
        for name, returned, function in phases(n, chosen):
            took = []
            grown = grown_mib(lambda f=function, t=took: t.append(spent(f)))
            rows.append({"phase": name, "rows": n, "seconds": rounded(took[0].seconds),
                         "cpu_seconds": rounded(took[0].cpu_seconds),
                         "mib_beyond": round(max(0.0, grown - returned), 1)})  # fmt: skip
    return rows


def with_slopes(rows: list[dict]) -> list[dict]:
    """The rows, each with its phase's slope in seconds and in processor time."""
    for row in rows:
        mine = [other for other in rows if other["phase"] == row["phase"]]
        row["slope"] = round(slope([r["rows"] for r in mine], [max(r["cpu_seconds"], 0.01) for r in mine]), 2)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=SIZES[-1])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="2,000 and 4,000 rows: whether it runs, not how it grows")
    parser.add_argument("--into", type=Path, default=ROOT / "figures", help="folder of the figure and of results/")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    chosen = replace(recipe("mixdigits", "laptop"), cpu_threads=args.threads)
    sizes = (2_000, 4_000) if args.quick else tuple(n for n in SIZES if n <= args.most)
    found = with_slopes(measure(sizes, chosen))
    charts.save(charts.growth(keep("growth", found, on=machine(), into=args.into / "results")), "growth", args.into)


if __name__ == "__main__":
    main()
