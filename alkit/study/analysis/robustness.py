"""How methods hold up from case to case: each one's difference to random on a harder pool or with poorer features.

Results of two cases are never put into one table: what cases share is the difference to random, each within its own.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from alkit import benchmarks, recipes
from alkit.benchmarks import harder_mixdigits, variants
from alkit.store import StoreError
from alkit.study.analysis import cost_tables, paired_differences
from alkit.study.tables import COLUMNS, label, read_results, results_file

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
    first labels, "beyond"; runs of other versions are left out. StoreError where there is no table of the sweep.
    """
    tables = _tables(folder, POOLS, profile, name, sweep="robustness")
    methods, versions = set(tables[0]["strategy"]), set().union(*(table["version"] for table in tables))
    wholes = {words: _whole(folder, pool, profile, methods) for pool, words in WHOLE.items()}
    found = {words: table for words, table in wholes.items() if len(table) and set(table["version"]) == versions}
    return {**found, **{case(table): table for table in tables}}


def read_variants(folder: Path, *, profile: str = "laptop", name: str = "variants") -> dict[str, pd.DataFrame]:
    """The tables of `notebooks/sweeps/variants.yaml` below `folder` by `case`; StoreError where there is none."""
    pools = [f"{pool}-{variant}" for variant in variants.VARIANTS for pool in WHOLE]
    return {case(table): table for table in _tables(folder, pools, profile, name, sweep="variants")}


def _tables(folder: Path, pools: Sequence[str], profile: str, name: str, *, sweep: str) -> list[pd.DataFrame]:
    """The tables called `name` of those `pools` that have one; StoreError, with the command, where none has."""
    there = [pool for pool in pools if results_file(folder, pool, profile, name).exists()]
    if not there:
        raise StoreError(
            f"there is no result table {label(pools[0], profile)}-{name}, nor one of a pool like it, below "
            f"{folder}; make them: python -m alkit sweep notebooks/sweeps/{sweep}.yaml --name {name}"
        )
    return [read_results(folder, pool, profile, name) for pool in there]


def _whole(folder: Path, benchmark: str, profile: str, methods: set[str]) -> pd.DataFrame:
    """Runs of `methods` at their defaults on the probe, those that bought their first labels among them, if any."""
    parts = [pd.DataFrame(columns=list(COLUMNS))]
    for name, initial in (("strategies", "shared"), ("beyond", "strategy")):
        if results_file(folder, benchmark, profile, name).exists():
            table = read_results(folder, benchmark, profile, name)
            plain = (table["learner"] == "probe") & (table["initial"] == initial) & (table["options"] == "{}")
            parts.append(table[plain & table["strategy"].isin(methods)])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def case(df: pd.DataFrame) -> str:
    """What is hard in the runs of `df`, and what the pool holds: "10 % iD: 72 iD, 324 ambiguous, 324 OoD".

    The latter of MixDigits alone, whose images are always there. ValueError for several benchmarks or recipes.
    """
    changes = {json.dumps(json.loads(text).get("changes", {})) for text in df["options"]}
    kinds = sorted(set(zip(df["benchmark"], df["profile"], strict=True)))
    if len(kinds) != 1 or len(changes) != 1:
        raise ValueError(f"a case is one benchmark, profile and recipe; got {kinds} with the changes {sorted(changes)}")
    (benchmark, profile), changed = kinds[0], json.loads(changes.pop())
    recipe = recipes.recipe(benchmark, profile)
    base, _, end = benchmark.rpartition("-")
    if end in variants.WORDS:
        words = [WHOLE.get(base, base).partition(" (")[0], variants.WORDS[end]]
    elif "-" in benchmark or not changed:
        words = [harder_mixdigits.WORDS.get(benchmark.partition("-")[2], benchmark)]
    else:
        words = []
    for name, value in changed.items():
        early = f"features after {100 * value / recipe.con_first_epochs:.0f} % of the schedule"
        words.append(early if name == "con_first_epochs" else f"{name}={value}")
    if not benchmark.startswith("mixdigits"):
        return ", ".join(words)
    pool = benchmarks.load(benchmark, share=changed.get("share", recipe.share)).pool
    held = [f"{(pool.category_N == code).sum():,} {name}" for code, name in enumerate(benchmarks.CATEGORIES)]
    return f"{', '.join(words)}: {', '.join(held)}"


def against_baseline(df: pd.DataFrame, *, baseline: str = "random") -> pd.DataFrame:
    """Each method of one case minus the baseline, in the mean accuracy (points) over the costs that the two cover.

    Index `method`: the strategy with its options, and `OWN_START` where it chose the initial set too. Columns `family`,
    `mean, low, high` (`paired_differences.differences`), `p`, `p_holm` (Holm's correction over the case's methods),
    `sure` (the study's test tells the two apart: `p_holm` < `LEVEL`), `n_seeds`, and `before` and `after`: in how many
    seeds the two share no cost, as the method ended before the baseline's first stage, or began after its last. Where
    there are such seeds there is no number (NaN). ValueError where results cannot be compared
    (`cost_tables.check_comparable`), learners are mixed, or there is no baseline under `initial="shared"`.
    """
    # Method and baseline alone, so that no third method narrows the range. Seeds without a common cost are not left
    # out, as that would choose the result. Under initial="strategy" a method has other first labels than the baseline's
    # run, but the same stage-0 features, pool and test images; what it paid for them is part of its cost.
    table = cost_tables.prepared(df)
    if len(learners := sorted(set(table["learner_name"]))) > 1:
        raise ValueError(f"a case is one learner's, got {learners}; select one")
    table = table[table["family"] != "reference"].assign(column=_names_in_case)
    if baseline not in set(table["column"]):
        raise ValueError(f"no {baseline!r} under initial='shared'; there are: {'; '.join(dict.fromkeys(table.column))}")
    rows = {}
    for name in dict.fromkeys(table["column"]):
        if name != baseline:
            rows[name] = _difference(table[table["column"].isin([baseline, name])], baseline)
    columns = ["family", "mean", "low", "high", "p", "n_seeds", "before", "after"]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("method")
    known = found["p"].notna()
    p_holm = pd.Series(paired_differences.holm(found.loc[known, "p"]), index=found.index[known])
    found.insert(5, "p_holm", p_holm.reindex(found.index))
    found.insert(6, "sure", found["p_holm"] < paired_differences.LEVEL)
    return found


def _difference(pair: pd.DataFrame, baseline: str) -> tuple:
    """`family, mean, low, high, p, n_seeds, before, after` of the two methods in `pair`."""
    is_zero, nothing = pair["column"] == baseline, float("nan")
    own, zero = (pair[mask].groupby("seed")["cost"].agg(["min", "max"]) for mask in (~is_zero, is_zero))
    before, after = int((own["max"] <= zero["min"]).sum()), int((own["min"] >= zero["max"]).sum())
    family = pair.loc[~is_zero, "family"].iloc[0]
    if before or after:
        return family, nothing, nothing, nothing, nothing, len(own), before, after
    runs = paired_differences.per_run(pair)
    found = paired_differences.differences(runs, cost_tables.method(pair)[is_zero].iloc[0]).iloc[0]
    return family, found["mean"], found["low"], found["high"], found["p"], len(own), 0, 0


def _names_in_case(df: pd.DataFrame) -> list[str]:
    """What the methods of one learner are called here: strategies, and who chose their initial set."""
    start = {"shared": "", "strategy": f", {OWN_START}"}
    rows = zip(df["strategy_name"], df["initial"], strict=True)
    return [name + start.get(initial, f", initial={initial}") for name, initial in rows]


def compared(cases: Mapping[str, pd.DataFrame], *, baseline: str = "random") -> pd.DataFrame:
    """`against_baseline` of every case, one under the other, with the columns `case` and `method` before its own.

    ValueError for no case.
    """
    if not cases:
        raise ValueError("there is no case to compare methods in")
    parts = [against_baseline(df, baseline=baseline).reset_index().assign(case=name) for name, df in cases.items()]
    found = pd.concat(parts, ignore_index=True)
    return found[["case", *found.columns.drop("case")]]


def ends(cases: Mapping[str, pd.DataFrame], *, baseline: str = "random") -> pd.DataFrame:
    """Where each method of each case ends: index (case, method), means over seeds at the last stage.

    Columns: `accuracy` (%), `cost`, `junk` (share of the cost that was not iD), and `gain`, the mean of
    `against_baseline`. A case is named without what its pool holds. ValueError as `compared`.
    """
    gain = compared(cases, baseline=baseline).set_index(["case", "method"])["mean"]
    parts = {}
    for name, df in cases.items():
        table = cost_tables.prepared(df).assign(method=_names_in_case)
        last = table.groupby(["method", "seed"]).tail(1)
        last = last.assign(accuracy=100 * last["accuracy"], junk=1 - last["n_id"] / last["cost"])
        found = last.groupby("method")[["accuracy", "cost", "junk"]].mean()
        parts[name.partition(": ")[0]] = found.assign(gain=gain[name])
    return pd.concat(parts, names=["case"])


def tally(found: pd.DataFrame) -> pd.DataFrame:
    """In how many cases of a `compared` each method is `ahead` of the baseline, `level` with it, `behind` it.

    `ahead` and `behind`: p < 0.05 by the study's test; `level`: the difference may be chance; `apart`: no
    cost is shared, so that there is no number. Index `method`, by `ahead`.
    """
    sign = found["mean"].gt(0).map({True: "ahead", False: "behind"}).where(found["sure"], "level")
    sign = sign.where(found["mean"].notna(), "apart")
    counts = pd.crosstab(found["method"], sign).reindex(columns=["ahead", "level", "behind", "apart"], fill_value=0)
    return counts.sort_values(["ahead", "level"], ascending=False, kind="stable").rename_axis(columns=None)
