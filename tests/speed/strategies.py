"""Measures every strategy (`bench_strategies.py`) and keeps the table, with the machine it was made on.

python tests/speed/strategies.py [stage] [growth] [beside]      by default all three parts

The table is written after each part, in which that part's rows take the place of earlier ones, and drawn.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import charts
import pandas as pd

HERE = Path(__file__).resolve().parent
TABLE = HERE.parents[1] / "figures" / "results" / "benchmark-strategies.csv"
PARTS = {"stage": "stage", "growth": "growth", "beside": "beside scikit-activeml"}


def main(parts: list[str]) -> int:
    """Run each part in a process of its own and write its rows; the exit status is the first that is not 0."""
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        sys.exit(f"unknown part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    for part in parts or PARTS:
        status, found = measured(part)
        if status:
            return status
        kept = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame(columns=found.columns)
        table = pd.concat([kept[kept["table"] != PARTS[part]], found]) if len(kept) else found
        table.to_csv(TABLE, index=False, lineterminator="\n")
        print(found.drop(columns="machine").to_string())
        if {"stage", "growth"} <= set(table["table"]):
            charts.save(charts.strategies(table), "strategies", TABLE.parents[1])
    return 0


def measured(part: str) -> tuple[int, pd.DataFrame | None]:
    """(pytest's exit status, the rows of `part`)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["-o", "addopts=", f"--benchmark-json={report}", "--benchmark-disable-gc", "-k", part]
        status = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", str(HERE / "bench_strategies.py"), *options], check=False
        ).returncode
        return status, None if status else rows(json.loads(report.read_text()))


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
    sys.exit(main(sys.argv[1:]))
