"""The result tables: one row per run and stage, with how it was made; a CSV file per benchmark and profile.

`accuracy` is the test accuracy of the argmax over the K iD classes, `accuracy_k1` over all K + 1 outputs, where a test
image that is taken for the auxiliary class counts as wrong; both are fractions.
"""

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
    "accuracy_k1",
    "train_seconds",
    "extract_seconds",
    "choose_seconds",
    "initial_hash",
    "fingerprint",
    "device",
    "version",
)


NUMBERS = COLUMNS[COLUMNS.index("seed") : COLUMNS.index("initial_hash")]


LATER = ("accuracy_k1",)  # columns that tables of version 0.1.0 lack


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
    """The result table of `benchmark` at `profile` below `folder`. StoreError where it is missing or damaged.

    The columns of `LATER` are NaN where the runs are of version 0.1.0, in no other.
    """
    import pandas

    path = results_file(folder, benchmark, profile, name)
    if not path.exists():
        named_so = f" -p name {name}, or with a sweep of that --name" if name else ""
        raise StoreError(
            f"there is no {path}; make it: python -m alkit run 04 -p benchmark {benchmark} -p profile {profile}"
            f"{named_so}; there are: {', '.join(all_labels(folder)) or 'none yet'}"
        )
    with contextlib.suppress(ValueError, pandas.errors.ParserError, UnicodeDecodeError):
        table = pandas.read_csv(path)
        first = [name for name in COLUMNS if name not in LATER]
        if list(table.columns) == first and (table["version"] == "0.1.0").all():
            for column in LATER:
                table.insert(COLUMNS.index(column), column, float("nan"))
        if tuple(table.columns) == COLUMNS:
            holes = table[first].isna().any(axis=None) or table[table["version"] != "0.1.0"].isna().any(axis=None)
            complete = len(table) and not holes and path.read_bytes().endswith(b"\n")
            if complete and all(table[n].dtype.kind in "if" for n in NUMBERS):
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


def all_labels(folder: Path) -> list[str]:
    """What the result tables below `folder` are called (`label`), in alphabetical order; other CSV files are not."""
    begins = ",".join(COLUMNS[:3]).encode()
    paths = (Path(folder) / "results").glob("*.csv")
    return sorted(path.stem for path in paths if path.read_bytes().startswith(begins))


def rows_of(cell, root: Path | None) -> list[dict]:
    """The rows of one cell's run, a dict per stage; it is run, or its finished run is read."""
    from alkit.experiment import finish

    return [{**about(cell), **record} for record in finish(cell, root=root)]


def about(cell) -> dict:
    """The columns of a result table that say which cell a row is of."""
    names = ("benchmark", "profile", "learner", "strategy", "initial", "seed")
    return {name: getattr(cell, name) for name in names} | {"options": json.dumps(cell.options, sort_keys=True)}
