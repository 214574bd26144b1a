"""What there is to compare: the committed result tables of a benchmark, one's own, and which runs fit together.

Tables overlap (notebook 4's six methods are in a sweep of all strategies again) and differ in their seeds. Here each
method is taken from one table, never mixed from several, and a set of methods is cut to seeds that all of them have.
Whether they may be compared at all is left to `cost_tables.check_comparable`, which everything after this calls.

Runs at seeds on which options were chosen do not show how well the choice holds: committed tables are read without
them. Sweeps that count have the seeds 20 to 30.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields

import numpy as np
import pandas as pd

from alkit import paths
from alkit.paths import runs_folder
from alkit.store import StoreError, journal
from alkit.study.analysis import cost_tables, paired_differences
from alkit.study.tables import COLUMNS, label, named, read_results

METHOD = ["learner", "strategy", "options"]  # what tells two methods of one protocol apart


DEVELOPMENT_SEEDS = {  # of a pool and its variants: those that choices were made on (figures/results/beyond-log.md)
    "mixdigits": frozenset([*range(5), *range(100, 110)]),
    "mixmnist": frozenset([0, 100]),
}


SWEEPS = paths.ROOT / "notebooks" / "sweeps"


APART = ("beyond",)  # names of tables of one strategy's ablations, which stand in no comparison of strategies


def tables(benchmark: str, profile: str, *, own: bool = False) -> dict[str, pd.DataFrame]:
    """The committed result tables of `benchmark` at `profile` by file name; {} where there are none.

    Left out: tables named in `APART`, and `development_runs`. With `own`, also the tables among the runs ("runs/..."),
    and as "finished cells" what is on disk without a table, all with every seed. StoreError for one that is damaged.
    """
    places = {"": paths.ROOT / "figures", **({"runs/": runs_folder() / "figures"} if own else {})}
    found = {}
    for place, folder in places.items():
        for name in named(folder, benchmark, profile):
            if name in APART:
                continue
            file = place + label(benchmark, profile, name)
            table = read_results(folder, benchmark, profile, name)
            found[file] = table if place else table.drop(development_runs(table).index)
    if own and (rows := list(_cells(benchmark, profile))):
        found["finished cells"] = pd.DataFrame(rows, columns=COLUMNS)
    return found


def _cells(benchmark: str, profile: str) -> Iterator[dict]:
    """The rows of all finished cells on disk, every byte held against its journal. StoreError where one is damaged."""
    import torch

    from alkit import __version__, experiment
    from alkit.study.batch import plan

    names = [field.name for field in fields(experiment.Cell)]
    for path in sorted((runs_folder() / "cells" / f"{benchmark}-{profile}").glob("*/config.json")):
        if not journal(path.parent).get("done"):
            continue
        try:
            config = json.loads(path.read_bytes())["config"]
            if config["alkit"] != __version__:
                continue  # its cells have other fields
            cell, device = experiment.Cell(**{name: config[name] for name in names}), torch.device(config["device"])
        except (ValueError, LookupError, TypeError) as error:
            raise StoreError(f"{path} cannot be read ({error}); delete {path.parent} to run it again") from error
        pool = experiment.benchmark_of(cell)
        folder = experiment.folder(cell, runs_folder(), pool, device)
        if folder.path == path.parent:  # else of another version, or of a recipe or pool that has changed since
            yield from plan.rows(plan.Planned(cell, folder, pool))


def development_seeds(benchmark: str) -> frozenset[int]:
    """The seeds that choices were made on, of a pool or the pool that it is a variant of; may be empty."""
    return DEVELOPMENT_SEEDS.get(benchmark.partition("-")[0], frozenset())


def development_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Those rows of a result table that no comparison may count: their seeds are development seeds."""
    chosen_on = [seed in development_seeds(name) for name, seed in zip(table["benchmark"], table["seed"], strict=True)]
    return table[np.array(chosen_on, bool)]


def development_note(benchmark: str) -> str:
    """A sentence on the seeds that choices were made on, and that pool and test images are the same; "" for none."""
    seeds = sorted(development_seeds(benchmark))
    if not seeds:
        return ""
    starts = [seed for seed in seeds if seed - 1 not in seeds]
    ends = [seed for seed in seeds if seed + 1 not in seeds]
    spans = [str(a) if a == b else f"{a} to {b}" for a, b in zip(starts, ends, strict=True)]
    return f"Options were chosen on seeds {', '.join(spans)}: same pool and test images, other first labels."


def union(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The runs of all tables under the default protocol, with the names of what tells them apart.

    Left out: other initial protocols, other ends of a stage, changed recipes; they answer other questions. A strategy
    with and without the auxiliary filter is two. Every method is taken whole from the table that has most seeds of it,
    of several the first. Adds the column `table` and those of `cost_tables.with_names`. ValueError where nothing is
    left.
    """
    plain = [table[_plain(table)].assign(table=name) for name, table in found.items()]
    if not any(map(len, plain)):
        raise ValueError(f"no run under the default protocol in the tables {list(found) or '(none)'}")
    rows = pd.concat([table for table in plain if len(table)], ignore_index=True)
    seeds = rows.groupby([*METHOD, "table"], sort=False)["seed"].nunique().reset_index()
    best = seeds.loc[seeds.groupby(METHOD, sort=False)["seed"].idxmax(), [*METHOD, "table"]]
    rows = rows.merge(best, on=[*METHOD, "table"])
    return cost_tables.with_names(rows)


def _plain(table: pd.DataFrame) -> pd.Series:
    given = table["options"].map(lambda text: set(json.loads(text)))
    return (table["initial"] == "shared") & given.map(
        lambda names: names <= {"learner", "strategy", "auxiliary_filter"}
    )


def balanced(df: pd.DataFrame, by: str = "method", *, baseline: str | None = None) -> pd.DataFrame:
    """Those rows of a `union` that make the largest set in which everything in column `by` has the same seeds.

    The seeds are those that one of `by` has, or shares with the `baseline`, whichever gives most runs; what lacks one
    of them is left out, the baseline never. Sets in which the study's test can find a difference (enough seeds for so
    many comparisons) come before larger ones in which it cannot. ValueError for a baseline that is not there.
    """
    seeds = df.groupby([by, *METHOD])["seed"].agg(frozenset).groupby(by).agg(lambda own: frozenset.intersection(*own))
    if baseline is not None and baseline not in seeds.index:
        raise ValueError(f"no runs of {baseline!r} to compare with; there are: {'; '.join(seeds.index) or 'none'}")
    limit = seeds[baseline] if baseline is not None else frozenset().union(*seeds)
    choices = sorted({own & limit for own in seeds} - {frozenset()}, key=sorted)
    if not choices:
        return df[:0]

    def worth(own: frozenset) -> tuple[bool, int]:
        size = sum(own <= other for other in seeds)
        return len(own) >= paired_differences.fewest_seeds(max(1, size - 1)), len(own) * size

    chosen = max(choices, key=worth)
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
    """The runs of the paper's own pairings of learner and strategy with the seeds that all of these have, if any.

    They have two learners: a difference between two of them may be the learners' (`cost_tables.learners_note`).
    """
    rows = df[df["method"].isin(cost_tables.paper_names(df["method"]))]
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

    Columns `strategies`, `seeds` ("5", or "5 to 20"), `runs`, `development` (runs of them at `development_seeds`),
    `wanted` (runs of the sweep), `missing` (those of them that the tables do not have) and `tables`.
    """
    wanted, chosen_on, rows = _wanted(benchmark, set(df["profile"])), development_seeds(benchmark), {}
    for name in dict.fromkeys([*df["learner_name"], *(learner for learner, *_ in wanted)]):
        own = df[df["learner_name"] == name]
        seeds = own.groupby("strategy_name")["seed"].nunique()
        asked = {run for run in wanted if run[0] == name}
        have = set(zip(own["learner_name"], own["strategy_name"], own["seed"], strict=True))
        span = " to ".join(str(n) for n in sorted({seeds.min(), seeds.max()})) if len(seeds) else "-"
        places = ", ".join(dict.fromkeys(own["table"])) or "-"
        development = sum(seed in chosen_on for *_, seed in have)
        rows[name] = len(seeds), span, len(have), development, len(asked), len(asked - have), places
    columns = ["strategies", "seeds", "runs", "development", "wanted", "missing", "tables"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("learner")


def _wanted(benchmark: str, profiles: set[str]) -> set[tuple[str, str, int]]:
    """(learner, strategy, seed), each with its options, of every cell of these profiles in the sweep of `benchmark`."""
    from alkit.study.batch import grid

    file = SWEEPS / f"{benchmark}.yaml"
    cells = grid.cells(grid.read(file)) if file.exists() else []
    return {
        (
            cost_tables.learner_name(cell.learner, cell.learner_options),
            cost_tables.strategy_name(cell.strategy, cell.strategy_options, cost_tables.filter_option(cell.options)),
            cell.seed,
        )
        for cell in cells
        if cell.profile in profiles and cell.initial == "shared"
    }
