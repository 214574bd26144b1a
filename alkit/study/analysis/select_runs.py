"""What there is to compare: the committed result tables of a benchmark, one's own, and which runs fit together.

Tables overlap (notebook 4's six methods are in a sweep of all strategies again) and differ in their seeds. Here each
method is taken from one table, never mixed from several, and a set of methods is cut to seeds that all of them have.
Whether they may be compared at all is left to `metrics.check_comparable`, which everything after this calls.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields

import pandas as pd

from alkit import paths
from alkit.paths import runs_folder
from alkit.store import StoreError, journal
from alkit.study.analysis import cost_tables
from alkit.study.tables import COLUMNS, label, named, read_results

METHOD = ["learner", "strategy", "options"]  # what tells two methods of one protocol apart


SWEEPS = paths.ROOT / "notebooks" / "sweeps"


APART = ("beyond",)  # names of tables of one strategy's variants, which stand in no comparison of strategies


def tables(benchmark: str, profile: str, *, own: bool = False) -> dict[str, pd.DataFrame]:
    """The committed result tables of `benchmark` at `profile` by file name; {} where there are none.

    Those named in `APART` are left out. With `own`, also the tables among the runs ("runs/..."), and as "finished
    cells" what is on disk without a table. StoreError for one that is damaged.
    """
    places = {"": paths.ROOT / "figures", **({"runs/": runs_folder() / "figures"} if own else {})}
    found = {}
    for place, folder in places.items():
        for name in named(folder, benchmark, profile):
            if name in APART:
                continue
            file = place + label(benchmark, profile, name)
            found[file] = read_results(folder, benchmark, profile, name)
    if own and (rows := list(_cells(benchmark, profile))):
        found["finished cells"] = pd.DataFrame(rows, columns=COLUMNS)
    return found


def _cells(benchmark: str, profile: str) -> Iterator[dict]:
    """The rows of all finished cells on disk, every byte held against its journal. StoreError where one is damaged."""
    import torch

    from alkit import experiment
    from alkit.study.batch import plan

    names = [field.name for field in fields(experiment.Cell)]
    for path in sorted((runs_folder() / "cells" / f"{benchmark}-{profile}").glob("*/config.json")):
        if not journal(path.parent).get("done"):
            continue
        try:
            config = json.loads(path.read_bytes())["config"]
            cell, device = experiment.Cell(**{name: config[name] for name in names}), torch.device(config["device"])
        except (ValueError, LookupError, TypeError) as error:
            raise StoreError(f"{path} cannot be read ({error}); delete {path.parent} to run it again") from error
        pool = experiment.benchmark_of(cell)
        folder = experiment.folder(cell, runs_folder(), pool, device)
        if folder.path == path.parent:  # else of another version, or of a recipe or pool that has changed since
            yield from plan.rows(plan.Planned(cell, folder, pool))


def union(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The runs of all tables under the default protocol, with the names of what tells them apart.

    Left out: other initial protocols, other ends of a stage, changed recipes; they answer other questions. Every method
    is taken whole from the table that has most seeds of it, of several the first. Adds the columns `table`, `method`
    (as `metrics.method`), `learner_name` and `strategy_name` (each with its options). ValueError where nothing is left.
    """
    plain = [table[_plain(table)].assign(table=name) for name, table in found.items()]
    if not any(map(len, plain)):
        raise ValueError(f"no run under the default protocol in the tables {list(found) or '(none)'}")
    rows = pd.concat([table for table in plain if len(table)], ignore_index=True)
    seeds = rows.groupby([*METHOD, "table"], sort=False)["seed"].nunique().reset_index()
    best = seeds.loc[seeds.groupby(METHOD, sort=False)["seed"].idxmax(), [*METHOD, "table"]]
    rows = rows.merge(best, on=[*METHOD, "table"])
    options = [json.loads(text) for text in rows["options"]]
    return rows.assign(
        method=cost_tables.method(rows),
        learner_name=[
            with_options(name, own.get("learner", {})) for name, own in zip(rows["learner"], options, strict=True)
        ],
        strategy_name=[
            with_options(name, own.get("strategy", {})) for name, own in zip(rows["strategy"], options, strict=True)
        ],
    )


def _plain(table: pd.DataFrame) -> pd.Series:
    given = table["options"].map(lambda text: set(json.loads(text)))
    return (table["initial"] == "shared") & given.map(lambda names: names <= {"learner", "strategy"})


def with_options(name: str, options: Mapping) -> str:
    """A learner's or strategy's name and those of its options that are given: "distance_cl, radius=0.1"."""
    return ", ".join([name, *(f"{key}={value}" for key, value in sorted(options.items()))])


def balanced(df: pd.DataFrame, by: str = "method", *, baseline: str | None = None) -> pd.DataFrame:
    """Those rows of a `union` that make the largest set in which everything in column `by` has the same seeds.

    The seeds are those that one of `by` has, or shares with the `baseline`, whichever gives most runs; what lacks one
    of them is left out, the baseline never. ValueError for a baseline that is not there.
    """
    seeds = df.groupby([by, *METHOD])["seed"].agg(frozenset).groupby(by).agg(lambda own: frozenset.intersection(*own))
    if baseline is not None and baseline not in seeds.index:
        raise ValueError(f"no runs of {baseline!r} to compare with; there are: {'; '.join(seeds.index) or 'none'}")
    limit = seeds[baseline] if baseline is not None else frozenset().union(*seeds)
    choices = sorted({own & limit for own in seeds} - {frozenset()}, key=sorted)
    if not choices:
        return df[:0]
    chosen = max(choices, key=lambda own: len(own) * sum(own <= other for other in seeds))
    names = [name for name, own in seeds.items() if chosen <= own]
    return df[df[by].isin(names) & df["seed"].isin(chosen)]


def of_learner(df: pd.DataFrame, learner: str, *, baseline: str = "random") -> pd.DataFrame:
    """The largest balanced set of one learner's strategies, by `strategy_name`, the baseline among them.

    ValueError where the learner or the baseline is not there.
    """
    own = df[df["learner_name"] == learner]
    if own.empty:
        there = ", ".join(sorted(set(df["learner_name"])))
        raise ValueError(f"these tables have no run of the learner {learner}; there are: {there}")
    return balanced(own, "strategy_name", baseline=baseline)


def paper_rows(df: pd.DataFrame) -> pd.DataFrame:
    """The runs of the paper's own pairings of learner and strategy with the seeds that all of these have, if any."""
    rows = df[df["method"].isin(set(cost_tables.PAPER_METHODS.values()))]
    if rows.empty:
        return rows
    shared = rows.groupby("method")["seed"].agg(frozenset).agg(lambda seeds: frozenset.intersection(*seeds))
    return rows[rows["seed"].isin(shared)]


def fullest(df: pd.DataFrame, *, baseline: str = "random") -> str:
    """The learner with most runs of those that were run with the baseline, of several the first of the alphabet.

    ValueError where there is none.
    """
    learners = df.loc[df["strategy_name"] == baseline, "learner_name"]
    runs = (
        df[df["learner_name"].isin(learners)]
        .drop_duplicates(["method", "seed"])["learner_name"]
        .value_counts()
        .sort_index()
    )
    if runs.empty:
        raise ValueError(f"no learner was run with {baseline!r}, which the others are compared with")
    return runs.idxmax()


def inventory(df: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """What a `union` holds of each learner, and what the benchmark's committed sweep asks for; index `learner`.

    Columns `strategies`, `seeds` ("5", or "5 to 20"), `runs`, `wanted` (runs of the sweep), `missing` (those of them
    that the tables do not have) and `tables`.
    """
    wanted, rows = _wanted(benchmark), {}
    for name in dict.fromkeys([*df["learner_name"], *(learner for learner, *_ in wanted)]):
        own = df[df["learner_name"] == name]
        seeds = own.groupby("strategy_name")["seed"].nunique()
        asked = {run for run in wanted if run[0] == name}
        have = set(zip(own["learner_name"], own["strategy_name"], own["seed"], strict=True))
        span = " to ".join(str(n) for n in sorted({seeds.min(), seeds.max()})) if len(seeds) else "-"
        places = ", ".join(dict.fromkeys(own["table"])) or "-"
        rows[name] = len(seeds), span, len(have), len(asked), len(asked - have), places
    columns = ["strategies", "seeds", "runs", "wanted", "missing", "tables"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("learner")


def _wanted(benchmark: str) -> set[tuple[str, str, int]]:
    """(learner, strategy, seed), each with its options, of every cell in the committed sweep of `benchmark`."""
    from alkit.study.batch import grid

    file = SWEEPS / f"{benchmark}.yaml"
    cells = grid.cells(grid.read(file)) if file.exists() else []
    return {
        (
            with_options(cell.learner, cell.learner_options),
            with_options(cell.strategy, cell.strategy_options),
            cell.seed,
        )
        for cell in cells
    }
