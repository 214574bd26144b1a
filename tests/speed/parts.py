"""Ten voters as one network against ten in turn; a stage of the probe learner; k-means and Distance(CL) at a million.

    python tests/speed/parts.py [--rounds 3] [--threads 2] [--quick]

Voters: the classifiers that keep ambiguous digits, trained on `load_digits` for three epochs, all ten as one grouped
network or each as a network of its own, one after the other. Probe: fit, show and test after 300 and after 2,000
answers on 94,000 x 128 features. k-means (300 clusters) and the first 300 picks of Distance(CL): on 1,000,000 x 128.
Features are Gaussian blobs, one for each of ten classes and five of non-iD samples (`bench_strategies.parts`). Medians
in turn.
"""

import argparse
import itertools
import os
from dataclasses import replace
from pathlib import Path

import charts
import numpy as np
import torch
from bench_strategies import parts
from measured import ROOT, in_turn, keep, machine, rounded
from sklearn.preprocessing import normalize

from alkit.acquisition import View, order
from alkit.acquisition._geometry import k_means
from alkit.benchmarks import ambiguous, mixdigits
from alkit.learners import Probe
from alkit.learners.base import Setting
from alkit.recipes import recipe

PICKS = 300  # of Distance(CL), and clusters


def voters(epochs: int) -> dict:
    """Contestants: all voters at once, and one after the other."""
    images, labels, *_ = mixdigits.split_digits()
    together = replace(ambiguous.DIGITS_8PX, voter_epochs=epochs)
    alone = replace(together, voters=1)

    def in_a_row():
        for seed in range(together.voters):
            ambiguous.train_voters(images, labels, alone, seed=seed)

    return {
        "ten voters, one batched network": lambda: ambiguous.train_voters(images, labels, together, seed=0),
        "ten voters, one after the other": in_a_row,
    }


def probe(n: int, answers: int) -> dict:
    """A stage of the probe learner on features that are there: fit, show, and predict 10,000 test images' features."""
    made = parts(n, 11)
    images = torch.zeros(n, 1, 8, 8, dtype=torch.uint8)
    learner = Probe(Setting(images, 10, recipe("mixmnist", "laptop"), 0, cache=None))
    learner.features_ND, learner.unit_ND = made["features_ND"], normalize(made["features_ND"])
    answers_N = np.full(n, -1)
    asked = np.random.default_rng(0).choice(n, answers, replace=False)
    blobs_N = made["probs_NC"].argmax(axis=1)
    answers_N[asked] = blobs_N[asked]
    tests = torch.zeros(10_000, 1, 8, 8, dtype=torch.uint8)
    learner.images_seen, learner.unit_seen = tests, learner.unit_ND[:10_000]

    def stage():
        learner.fit(answers_N, 1)
        learner.show()
        learner.predict(tests)

    return {f"probe, a stage after {answers:,} answers": stage}


def large(n: int) -> dict:
    """k-means and the first picks of Distance(CL) on `n` rows."""
    made = parts(n, 11)

    def pick():
        view = View(**made, quota=100, rng=np.random.default_rng(1))
        list(itertools.islice(order("distance_cl", view), PICKS))

    return {
        f"k-means, {PICKS} clusters": lambda: k_means(made["features_ND"], PICKS, np.random.default_rng(1)),
        f"Distance(CL), {PICKS} picks": pick,
    }


def measure(turns: dict, rounds: int, rows: int, target: float | None = None) -> list[dict]:
    """One row for each of the contestants."""
    return [
        {"what": name, "rows": rows, "seconds": rounded(took.seconds), "cpu_seconds": rounded(took.cpu_seconds),
         "target_seconds": target}
        for name, took in in_turn(turns, rounds).items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="a twentieth of the rows: whether it runs, not how fast")
    parser.add_argument("--into", type=Path, default=ROOT / "figures", help="folder of the figure and of results/")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    share = 20 if args.quick else 1
    found = measure(voters(1 if args.quick else 3), args.rounds, len(mixdigits.split_digits()[0]))
    for answers in (300, 2_000):
        found += measure(probe(94_000 // share, answers), args.rounds, 94_000 // share, 0.5)
    found += measure(large(1_000_000 // share), args.rounds, 1_000_000 // share, 30.0)
    charts.save(charts.parts(keep("parts", found, on=machine(), into=args.into / "results")), "parts", args.into)


if __name__ == "__main__":
    main()
