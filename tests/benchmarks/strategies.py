"""Measures every strategy (`bench_strategies.py`) and keeps the table, with the machine it was made on.

python tests/benchmarks/strategies.py [CSV]      by default figures/results/benchmark-strategies.csv
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
TABLE = HERE.parents[1] / "figures" / "results" / "benchmark-strategies.csv"


def main(target: Path = TABLE) -> int:
    """Run the benchmark in a process of its own and write its table; the exit status is pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        plugins = ["-o", "addopts=", f"--benchmark-json={report}", "--benchmark-disable-gc"]
        status = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", str(HERE / "bench_strategies.py"), *plugins], check=False
        ).returncode
        if status == 0:
            table = rows(json.loads(report.read_text()))
            table.to_csv(target, index=False, lineterminator="\n")
            print(table.drop(columns="machine").to_string())
    return status


def rows(report: dict) -> pd.DataFrame:
    """One row per measurement: seconds (median), MiB beyond the pool, the peer's seconds, and on what."""
    machine, versions = report["machine_info"], {name: _version(name) for name in ("torch", "numpy", "scikit-learn")}
    cpu = machine["cpu"]
    on = (
        f"{cpu.get('brand_raw', machine['machine'])}, {cpu['count']} cores, Python {machine['python_version']}, "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
    )
    found = []
    for entry in report["benchmarks"]:
        info = entry["extra_info"]
        seconds = info.get("ours", entry["stats"]["median"])
        found.append({
            "table": info["table"], "strategy": info["strategy"], "rows": info["rows"], "columns": info["columns"],
            "seconds": round(seconds, 4), "mib": info.get("mib"), "theirs": info.get("theirs"), "machine": on,
        })  # fmt: skip
    return pd.DataFrame(found)


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:2])))
