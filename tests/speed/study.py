"""Wall time and peak memory of `make study` on MixDigits, notebook by notebook, and of what each notebook waits for.

    python tests/speed/study.py [--profile laptop] [--seeds 5] [--notebooks 01 02 ...]

The study runs as `make study` runs it, headless and from nothing, into a folder of its own that is deleted afterwards.
Memory is that of the command and of all processes that it starts (proportional set size), looked at five times a
second; processor time counts them all too. The runs that the notebooks make are split into training, extraction and
choice by their own clocks, added up over all runs, of which several ran at a time. The rest of a notebook is its
kernel's start, imports, figures and their pictures. What importing the loop costs, and UMAP with and without its
compilation, is measured apart.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import charts
from measured import ROOT, cpu_seconds, keep, machine, memory, rounded

from alkit.study.batch import notebook_runs

PHASES = ("train_seconds", "extract_seconds", "choose_seconds")
SMALL = {
    "python -m alkit --help": ["-m", "alkit", "--help"],
    "import alkit": ["-c", "import alkit"],
    "import torch": ["-c", "import torch"],
    "import of the loop": ["-c", "import alkit.experiment"],
}
UMAP = """
import sys, time
import numpy as np
from alkit import projection
points = np.random.default_rng(0).normal(size=(1945, 128)).astype(np.float32)
for _ in range(2):
    start = time.perf_counter()
    projection.umap(points, 0)
    print(time.perf_counter() - start)
"""


class Watched(threading.Thread):
    """A command, the most memory that it and its children had at once, and what processor time they took."""

    def __init__(self, words: list[str], environment: dict):
        super().__init__(daemon=True)
        self.process = subprocess.Popen(words, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)
        self.most, self.cpu = 0.0, 0.0

    def run(self):
        while self.process.poll() is None:
            self.most = max(self.most, memory(self.process.pid))
            self.cpu = max(self.cpu, cpu_seconds(self.process.pid))
            time.sleep(0.2)


def watch(words: list[str], environment: dict) -> dict:
    """Seconds, processor seconds and MB of one command; SystemExit where it fails."""
    start = time.perf_counter()
    watched = Watched(words, environment)
    watched.start()
    status = watched.process.wait()
    seconds = time.perf_counter() - start
    watched.join()
    if status:
        sys.exit(f"{' '.join(words)} ended with {status}")
    return {"seconds": rounded(seconds), "cpu_seconds": rounded(watched.cpu), "peak_MB": round(watched.most)}


def phases(runs: Path) -> list[dict]:
    """What the clocks of all runs below `runs` say, phase by phase."""
    total = dict.fromkeys(PHASES, 0.0)
    for file in runs.glob("cells/**/seconds.csv"):
        with open(file, newline="") as lines:
            for row in csv.DictReader(lines):
                for phase in PHASES:
                    total[phase] += float(row[phase])
    return [{"part": f"all runs: {phase.removesuffix('_seconds')}", "seconds": rounded(seconds)}
            for phase, seconds in total.items()]  # fmt: skip


def small() -> list[dict]:
    """Imports and UMAP, each the best of three, a process each time."""
    rows = []
    for name, words in SMALL.items():
        best = min(
            (watch([sys.executable, *words], dict(os.environ)) for _ in range(3)), key=lambda row: row["seconds"]
        )
        rows.append({"part": name, "seconds": best["seconds"]})
    done = subprocess.run([sys.executable, "-c", UMAP], capture_output=True, text=True, cwd=ROOT, check=True)
    first, second = map(float, done.stdout.split())
    rows.append({"part": "UMAP of 1,945 rows, compiled before", "seconds": rounded(second)})
    rows.append({"part": "UMAP's import and compilation", "seconds": rounded(first - second)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--notebooks", nargs="+", default=notebook_runs.notebooks(), help="default: all")
    parser.add_argument("--into", type=Path, default=ROOT / "figures", help="folder of the figure and of results/")
    args = parser.parse_args()
    on, rows = machine(), []
    with tempfile.TemporaryDirectory() as runs:
        environment = {**os.environ, "ALKIT_RUNS": runs}
        given = ["-p", "benchmark", "mixdigits", "-p", "profile", args.profile]
        for notebook in args.notebooks:
            seeds = (
                ["-p", "n_seeds", str(args.seeds)]
                if "n_seeds" in notebook_runs.parameters(notebook_runs.find(notebook))
                else []
            )
            words = [sys.executable, "-m", "alkit", "run", notebook, *given, *seeds]
            rows.append({"part": f"notebook {notebook[:2]}", **watch(words, environment)})
        rows += phases(Path(runs)) + small()
    charts.save(charts.study(keep("study", rows, on=on, into=args.into / "results")), "study", args.into)


if __name__ == "__main__":
    main()
