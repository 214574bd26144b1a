"""What the benchmarks share: seconds and memory of a process with all its children, turns, tables and their machine."""

import ctypes
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

ROOT = Path(__file__).resolve().parents[2]
RESULTS, FIGURES = ROOT / "figures" / "results", ROOT / "figures"


class Spent(NamedTuple):
    """Seconds on the clock, and of processor time of this process and all that descend from it."""

    seconds: float
    cpu_seconds: float


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def memory(pid: int) -> float:
    """MB of a process and its descendants; what several share is counted once (proportional set size)."""
    total = 0
    for one in family(pid):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total / 1000


def cpu_seconds(pid: int) -> float:
    """Processor time so far of a process, its living descendants, and the dead that one of them has waited for."""
    ticks = 0
    for one in family(pid):
        try:
            ticks += sum(map(int, Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def grown_mib(function: Callable[[], object]) -> float:
    """By how many MiB the process's resident memory rose above its start, at its highest, while `function` ran."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # Linux: forget the highest mark so far
    before = status_kib("VmRSS")
    function()
    return (status_kib("VmHWM") - before) / 1024


def status_kib(field: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))


def settle(device: str | torch.device) -> None:
    """Wait for what a GPU was told to do; a CPU does it at once."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def spent(function: Callable[[], object], device: str | torch.device = "cpu") -> Spent:
    """What one call takes, a GPU's work included."""
    settle(device)
    start, work = time.perf_counter(), cpu_seconds(os.getpid())
    function()
    settle(device)
    return Spent(time.perf_counter() - start, cpu_seconds(os.getpid()) - work)


def in_turn(contestants: Mapping[str, Callable[[], object]], rounds: int, device="cpu") -> dict[str, Spent]:
    """Medians over `rounds`, in each of which every contestant has a turn, so that a slow minute hits all of them.

    A first round, which is not counted, warms caches and starts worker processes; who begins changes with the round.
    """
    times = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(spent(contestants[name], device))
    return {
        name: Spent(*(statistics.median(part) for part in zip(*found[1:], strict=True)))
        for name, found in times.items()
    }


def slope(rows: Sequence[float], values: Sequence[float], *, last: int = 3) -> float:
    """The power of `rows` that `values` grow with, fitted to the `last` measurements: 1 is linear, 2 quadratic."""
    logs = [(math.log(n), math.log(value)) for n, value in sorted(zip(rows, values, strict=True))[-last:]]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def machine(device: str | torch.device = "cpu") -> str:
    """The hardware, the load that it had besides, and the versions that a measurement depends on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    gpu = f", {torch.cuda.get_device_name(device)}" if torch.device(device).type == "cuda" else ""
    packages = ("torch", "torchvision", "numpy", "scikit-learn")
    versions = [f"{name} {found}" for name in packages if (found := installed(name))]
    return (
        f"{(names or [platform.machine()])[0]}, {os.cpu_count()} cores, torch threads: {torch.get_num_threads()}{gpu}, "
        f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {', '.join(versions)}"
    )


def installed(package: str) -> str:
    """The version of a package, '' where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def command() -> str:
    """How this benchmark was started."""
    return " ".join(["python", *(str(Path(sys.argv[0]).resolve().relative_to(ROOT)), *sys.argv[1:])])


def keep(name: str, rows: Sequence[dict], *, on: str, into: Path | None = None) -> pd.DataFrame:
    """Write `benchmark-<name>.csv`: every row with the machine, the date and the command; and show it."""
    table = pd.DataFrame(rows).assign(machine=on, date=time.strftime("%Y-%m-%d"), command=command())
    folder = into or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"benchmark-{name}.csv", index=False, lineterminator="\n")
    print(table.drop(columns=["machine", "date", "command"]).to_string(), f"\n{on}")
    return table


def rounded(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")
