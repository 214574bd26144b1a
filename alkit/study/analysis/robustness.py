"""How methods hold up from case to case: each one's difference to random, within its own pool, and where it is lost.

Cases (`variants`, changed recipes) are never put into one table: what they share is the difference to random.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from alkit import benchmarks, recipes
from alkit.benchmarks import harder_mixdigits
from alkit.store import StoreError
from alkit.study.analysis import cost_tables, paired_differences, select_runs
from alkit.study.tables import COLUMNS as TABLE_COLUMNS
from alkit.study.tables import label, read_results, results_file

POOLS = (*(f"mixdigits-{name}" for name in harder_mixdigits.VARIANTS), "mixdigits")


WHOLE = {  # the benchmarks themselves, in words
    "mixdigits": "MixDigits",
    "mixmnist": "MixMNIST",
    "mixcifar60-house_numbers-scenes": "MixCIFAR60 (K = 60), a tenth, with stand-ins",
}


OWN_START = "buys its first labels"


def read(folder: Path, *, profile: str = "laptop", name: str = "robustness") -> dict[str, pd.DataFrame]:
    """The tables of `notebooks/sweeps/robustness.yaml` below `folder` by `case`, after those of `WHOLE` benchmarks.

    Of these, what the same methods did on the probe, by the tables "strategies" and, where the strategy bought its
    first labels, "beyond". StoreError where the sweep left no table.
    """
    there = [pool for pool in POOLS if results_file(folder, pool, profile, name).exists()]
    if not there:
        raise StoreError(
            f"there is no result table {label('mixdigits-...', profile)}-{name} below {folder}; make them: "
            f"python -m alkit sweep notebooks/sweeps/robustness.yaml --name {name}"
        )
    tables = [read_results(folder, pool, profile, name) for pool in there]
    methods = set(tables[0]["strategy"])
    wholes = {words: _whole(folder, pool, profile, methods) for pool, words in WHOLE.items()}
    found = {words: table for words, table in wholes.items() if len(table)}
    return {**found, **{case(table): table for table in tables}}


def _whole(folder: Path, benchmark: str, profile: str, methods: set[str]) -> pd.DataFrame:
    """Runs of `methods` at their defaults on the probe, those that bought their first labels among them, if any."""
    parts = [pd.DataFrame(columns=list(TABLE_COLUMNS))]
    for name, initial in (("strategies", "shared"), ("beyond", "strategy")):
        if results_file(folder, benchmark, profile, name).exists():
            table = read_results(folder, benchmark, profile, name)
            plain = (table["learner"] == "probe") & (table["initial"] == initial) & (table["options"] == "{}")
            parts.append(table[plain & table["strategy"].isin(methods)])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def case(df: pd.DataFrame) -> str:
    """What is hard in the runs of `df`, and what the pool holds: "10 % iD: 72 iD, 324 ambiguous, 324 OoD".

    ValueError where they are of several benchmarks or recipes; StoreError where the benchmark's images are missing.
    """
    changes = {json.dumps(json.loads(text).get("changes", {})) for text in df["options"]}
    kinds = sorted(set(zip(df["benchmark"], df["profile"], strict=True)))
    if len(kinds) != 1 or len(changes) != 1:
        raise ValueError(f"a case is one benchmark, profile and recipe; got {kinds} with the changes {sorted(changes)}")
    (benchmark, profile), changed = kinds[0], json.loads(changes.pop())
    recipe = recipes.recipe(benchmark, profile)
    words = (
        [harder_mixdigits.WORDS.get(benchmark.partition("-")[2], benchmark)] if "-" in benchmark or not changed else []
    )
    for name, value in changed.items():
        early = f"features after {100 * value / recipe.con_first_epochs:.0f} % of the schedule"
        words.append(early if name == "con_first_epochs" else f"{name}={value}")
    pool = benchmarks.load(benchmark, share=changed.get("share", recipe.share)).pool
    held = [f"{(pool.category_N == code).sum():,} {name}" for code, name in enumerate(benchmarks.CATEGORIES)]
    return f"{', '.join(words)}: {', '.join(held)}"


def differences(df: pd.DataFrame, *, baseline: str = "random") -> pd.DataFrame:
    """Each method of one case minus the baseline, in the mean accuracy (points) over the costs that both cover.

    Index `method`: the strategy with its options, and `OWN_START` where it chose the initial set too. Columns `family`,
    `mean`, `low, high` (the 95 % bootstrap interval of `paired`), `sure` (that interval leaves 0 out; no correction
    over methods or cases), `n_seeds`, and `before` and `after`: in how many seeds the two runs share no cost, because
    the method had finished before the baseline's first stage, or began after its last. Where there are such seeds,
    there is no number (NaN): seeds left out would choose the result.

    What is compared: method and baseline alone, so that no other method narrows the range, and run with run of the same
    seed, from the later first cost to the earlier last cost of the two. Under `initial="shared"` the two begin with the
    same samples for the same money. A method under `initial="strategy"` does not: it is held against the baseline's run
    under "shared" with the same features (of stage 0) but other first labels. What it paid for its own is part of its
    cost; the accuracy it had before the baseline's first stage counts for nothing, nor what it had after the earlier
    end. ValueError where results cannot be compared (`metrics.check_comparable`), learners are mixed, or the baseline
    is not there under "shared".
    """
    table = cost_tables.prepared(df)
    if len(learners := sorted(set(zip(table["learner"], _options(table, "learner").map(str), strict=True)))) > 1:
        raise ValueError(f"a case is one learner's, got {learners}; select one")
    table = table[table["family"] != "reference"].assign(column=_columns)
    if baseline not in set(table["column"]):
        raise ValueError(f"no {baseline!r} under initial='shared'; there are: {'; '.join(dict.fromkeys(table.column))}")
    rows = {}
    for name in dict.fromkeys(table["column"]):
        if name != baseline:
            rows[name] = _difference(table[table["column"].isin([baseline, name])], baseline)
    columns = ["family", "mean", "low", "high", "n_seeds", "before", "after"]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("method")
    found.insert(4, "sure", (found["low"] > 0) | (found["high"] < 0))
    return found


def _difference(pair: pd.DataFrame, baseline: str) -> tuple:
    """`family, mean, low, high, n_seeds, before, after` of the two methods in `pair`."""
    is_zero, nothing = pair["column"] == baseline, float("nan")
    own, zero = (pair[mask].groupby("seed")["cost"].agg(["min", "max"]) for mask in (~is_zero, is_zero))
    before, after = int((own["max"] <= zero["min"]).sum()), int((own["min"] >= zero["max"]).sum())
    family = pair.loc[~is_zero, "family"].iloc[0]
    if before or after:
        return family, nothing, nothing, nothing, len(own), before, after
    found = paired_differences.differences(
        paired_differences.per_run(pair), cost_tables.method(pair)[is_zero].iloc[0]
    ).iloc[0]
    return family, found["mean"], found["low"], found["high"], len(own), 0, 0


def _options(df: pd.DataFrame, part: str) -> pd.Series:
    return df["options"].map(lambda text: json.loads(text).get(part, {}))


def _columns(df: pd.DataFrame) -> list[str]:
    """What the methods are called here: one learner's strategies, and who chose their initial set."""
    start = {"shared": "", "strategy": f", {OWN_START}"}
    rows = zip(df["strategy"], _options(df, "strategy"), df["initial"], strict=True)
    return [
        select_runs.with_options(name, given) + start.get(initial, f", initial={initial}")
        for name, given, initial in rows
    ]


def compared(cases: Mapping[str, pd.DataFrame], *, baseline: str = "random") -> pd.DataFrame:
    """`differences` of every case, one under the other: columns `case`, `method` and those. ValueError for no case."""
    if not cases:
        raise ValueError("there is no case to compare methods in")
    parts = [
        differences(df, baseline=baseline).reset_index().assign(case=name)[["case", "method", *COLUMNS]]
        for name, df in cases.items()
    ]
    return pd.concat(parts, ignore_index=True)


def tally(found: pd.DataFrame) -> pd.DataFrame:
    """In how many cases of a `compared` each method is `ahead` of the baseline, `level` with it, `behind` it.

    `level`: the interval holds 0; `apart`: no cost is shared, so that there is no number. Index `method`, by `ahead`.
    """
    sign = found["mean"].gt(0).map({True: "ahead", False: "behind"}).where(found["sure"], "level")
    sign = sign.where(found["mean"].notna(), "apart")
    counts = pd.crosstab(found["method"], sign).reindex(columns=["ahead", "level", "behind", "apart"], fill_value=0)
    return counts.sort_values(["ahead", "level"], ascending=False, kind="stable").rename_axis(columns=None)


COLUMNS = ("family", "mean", "low", "high", "sure", "n_seeds", "before", "after")
