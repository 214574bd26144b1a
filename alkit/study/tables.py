"""The result tables: one row per run and stage, with how it was made; a CSV file per benchmark and profile."""

import contextlib
import json
import re
from pathlib import Path

from alkit.paths import ROOT
from alkit.store import StoreError, writable, write_atomic

COLUMNS = (
    "benchmark",
    "profile",
    "learner",
    "strategy",
    "options",
    "initial",
    "seed",
    "stage",
    "n_id",
    "n_ambiguous",
    "n_ood",
    "cost",
    "accuracy",
    "train_seconds",
    "extract_seconds",
    "choose_seconds",
    "initial_hash",
    "fingerprint",
    "device",
    "version",
)


NUMBERS = COLUMNS[COLUMNS.index("seed") : COLUMNS.index("initial_hash")]


def label(benchmark: str, profile: str, name: str = "") -> str:
    """What the files of one set of results are called: "mixmnist-laptop", or "mixmnist-laptop-name"."""
    if name and not re.fullmatch(r"[a-z0-9_]+", name):
        raise ValueError(f"name must be of small letters, digits and _, got {name!r}")
    return "-".join([benchmark, profile, *([name] if name else [])])


def results_file(folder: Path, benchmark: str, profile: str, name: str = "") -> Path:
    return Path(folder) / "results" / f"{label(benchmark, profile, name)}.csv"


def write_results(rows: list[dict], folder: Path, name: str = ""):
    """Write the rows of one benchmark and profile to their result table below `folder`; returns them as a DataFrame.

    `name` tells it from other tables of the same benchmark and profile.
    """
    import pandas

    table = pandas.DataFrame(rows, columns=COLUMNS)
    found = sorted(set(zip(table.benchmark, table.profile, strict=True)))
    if len(found) != 1:
        raise ValueError(f"a result table is of one benchmark and profile, got rows of {found or 'none'}")
    path = results_file(folder, *found[0], name)
    writable(path.parent)
    write_atomic(path, table.to_csv(index=False, lineterminator="\n").encode())
    return table


def read_results(folder: Path, benchmark: str, profile: str, name: str = ""):
    """The result table of `benchmark` at `profile` below `folder`. StoreError where it is missing or damaged."""
    import pandas

    path = results_file(folder, benchmark, profile, name)
    if not path.exists():
        raise StoreError(
            f"there is no {path}; make it: python -m alkit run 04 -p benchmark {benchmark} -p profile {profile}"
        )
    with contextlib.suppress(ValueError, pandas.errors.ParserError, UnicodeDecodeError):
        table = pandas.read_csv(path)
        complete = len(table) and not table.isna().any(axis=None) and path.read_bytes().endswith(b"\n")
        if tuple(table.columns) == COLUMNS and complete and all(table[n].dtype.kind in "if" for n in NUMBERS):
            return table
    raise StoreError(f"{path} is truncated or edited: it lacks columns or values; delete it and run notebook 04 again")


def committed(benchmark: str, profile: str) -> list[str]:
    """Names of the committed result tables of this benchmark and profile, "" for the one without a name first."""
    return named(ROOT / "figures", benchmark, profile)


def named(folder: Path, benchmark: str, profile: str) -> list[str]:
    """Names of the result tables of this benchmark and profile below `folder`, "" for the one without a name first."""
    prefix = label(benchmark, profile)
    stems = [path.stem for path in (Path(folder) / "results").glob(f"{prefix}*.csv")]
    return sorted(stem[len(prefix) + 1 :] for stem in stems if stem == prefix or stem.startswith(f"{prefix}-"))


def _rows(cell, root: Path | None) -> list[dict]:
    from alkit.experiment import finish

    return [{name: {**about(cell), **record}[name] for name in COLUMNS} for record in finish(cell, root=root)]


def about(cell) -> dict:
    """The columns of a result table that say which cell a row is of."""
    names = ("benchmark", "profile", "learner", "strategy", "initial", "seed")
    return {name: getattr(cell, name) for name in names} | {"options": json.dumps(cell.options, sort_keys=True)}
