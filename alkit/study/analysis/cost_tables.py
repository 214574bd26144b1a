"""Numbers that compare methods: the cost table, curves over annotation cost, the area under them, what was bought.

Everything starts from one results table (a pandas DataFrame): one row per (learner, strategy, options, initial, seed,
stage) with the columns of `COLUMNS`. `n_id`, `n_ambiguous`, `n_ood` and `cost` are cumulative; `accuracy` is a
fraction. Every function but `method` first refuses results that cannot be compared (`check_comparable`), ignores the
order of the rows and leaves its argument alone. With one seed a standard deviation is NaN, never 0.
"""

import json

import numpy as np
import pandas as pd

from alkit import acquisition
from alkit.study import tables

COLUMNS = tables.COLUMNS[: tables.COLUMNS.index("device")]  # the other columns say how a row was made


PAPER_METHODS = {  # names and order of Table 2 of Kim, Kim and Hwang (2023), arXiv 2303.14433
    ("random", "supervised"): "Random",
    ("least_confidence", "supervised"): "Least confidence",
    ("entropy", "supervised"): "Entropy",
    ("ddu", "supervised"): "DDU",
    ("ddu", "supervised_sn"): "DDU (spectral norm)",
    ("random_cl", "contrastive"): "Random(CL)",
    ("distance_cl", "contrastive"): "Distance(CL)",
}


FAMILIES = {  # of strategies, as tables and figures head their groups
    "paper": "the paper's strategies",
    "classic": "classic",
    "open-set": "for open sets",
    "ours": "past the paper",
    "reference": "reference lines, never ranked",
}


BOUGHT = ("n_id", "n_ambiguous", "n_ood")


PHASES = ("train_seconds", "extract_seconds", "choose_seconds")


def method(df: pd.DataFrame) -> pd.Series:
    """The display name of each row's method: the paper's, or "strategy, learner"; then options that are not default.

    Where the table mixes initial protocols, the name says which: two protocols of one pairing are two methods. Changes
    of the recipe are named where rows differ in them.
    """
    options = [json.loads(text) for text in df["options"]]
    if df["options"].map(lambda text: json.dumps(json.loads(text).get("changes"))).nunique() == 1:
        options = [{key: value for key, value in given.items() if key != "changes"} for given in options]
    names = [_name(*row) for row in zip(df["strategy"], df["learner"], options, strict=True)]
    if df["initial"].nunique() > 1:
        names = [f"{name}, initial={initial}" for name, initial in zip(names, df["initial"], strict=True)]
    return pd.Series(names, index=df.index, name="method", dtype=object)


def _name(strategy: str, learner: str, options: dict) -> str:
    """`options`: what departs from the defaults, as in a cell's `options`: by part, or the value itself."""
    name = PAPER_METHODS.get((strategy, learner), f"{strategy}, {learner}")
    flat = {}
    for key, value in options.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return ", ".join([name, *(f"{key}={value}" for key, value in sorted(flat.items()))])


def families(df: pd.DataFrame) -> pd.Series:
    """The family of each row's strategy, a key of `FAMILIES`."""
    options = [json.loads(text).get("strategy", {}) for text in df["options"]]
    found = [acquisition.family(*row) for row in zip(df["strategy"], options, strict=True)]
    return pd.Series(found, index=df.index, name="family", dtype=object)


def ordered(family_of: dict[str, str]) -> list[str]:
    """The names of methods, given with their families: by family, then in the paper's order, then alphabetically."""
    paper, known = list(PAPER_METHODS.values()), list(FAMILIES)
    place = {name: paper.index(name) if name in paper else len(paper) for name in family_of}
    return sorted(family_of, key=lambda name: (known.index(family_of[name]), place[name], name))


def check_comparable(df: pd.DataFrame) -> None:
    """Raise ValueError, naming what differs, unless the rows of `df` may stand in one table or figure.

    They may when they come from one benchmark, profile and fingerprint; when all runs of a seed and an initial protocol
    began with the same samples; when every run has each of its stages 0, 1, ... once; and when every method was run
    with the same seeds.
    """
    if missing := [column for column in COLUMNS if column not in df.columns]:
        raise ValueError(f"the results table lacks the columns {missing}")
    if df.empty:
        raise ValueError("the results table has no rows")
    if holes := [column for column in COLUMNS if column not in PHASES and df[column].isna().any()]:
        raise ValueError(f"the results table has missing values in {holes}")
    named = df.assign(method=method(df))
    for column in ("benchmark", "profile", "fingerprint"):
        if len(values := sorted(set(df[column]))) > 1:
            raise ValueError(
                f"results of different {column}s cannot be compared: {values}; select one of them. "
                f"They are of: {_who(named, column)}"
            )
    for (seed, initial), group in named.groupby(["seed", "initial"]):
        if len(values := sorted(set(group["initial_hash"]))) > 1:
            raise ValueError(
                f"the initial sets of seed {seed} (initial={initial!r}) differ: {values}; every method of a "
                f"seed must begin with the same samples: rerun the odd ones. They are of: {_who(group, 'initial_hash')}"
            )
    for (name, seed), run in named.groupby(["method", "seed"]):
        if sorted(run["stage"]) != list(range(len(run))):
            raise ValueError(f"{name}, seed {seed}: expected each stage 0, 1, ... once, got {sorted(run['stage'])}")
    seeds = named.groupby("method")["seed"].agg(set)
    everyone = set().union(*seeds)
    if short := {name: sorted(everyone - own) for name, own in seeds.items() if own != everyone}:
        missing = "; ".join(f"{name} lacks {absent}" for name, absent in short.items())
        raise ValueError(f"methods were run with different seeds: {missing}; run these, or select the common seeds")


def _who(named: pd.DataFrame, column: str, most: int = 4) -> str:
    """Which methods and seeds have which value of `column`, a few of each."""
    told = []
    for value, group in named.groupby(column):
        runs = [f"{name} (seed {seed})" for name, seed in dict.fromkeys(zip(group["method"], group["seed"]))]
        more = f" and {len(runs) - most} more" if len(runs) > most else ""
        told.append(f"{value!r}: {', '.join(runs[:most])}{more}")
    return "; ".join(told)


def prepared(df: pd.DataFrame) -> pd.DataFrame:
    """A checked copy with the columns `method` and `family`, ordered by family, method (`ordered`), seed and stage."""
    check_comparable(df)
    table = df.assign(method=method(df), family=families(df))
    rank = {name: i for i, name in enumerate(ordered(dict(zip(table["method"], table["family"], strict=True))))}
    table = table.assign(_rank=table["method"].map(rank)).sort_values(["_rank", "seed", "stage"], kind="stable")
    return table.drop(columns="_rank").reset_index(drop=True)


def table2(df: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table 2: per method, mean and sample standard deviation over seeds at the last stage.

    Index `method`, by family and then in the paper's order; columns `family`, `accuracy_mean, accuracy_sd` (%),
    `cost_mean, cost_sd` (samples shown to the oracle), `cost_per_accuracy_mean, cost_per_accuracy_sd` (samples per 1 %
    of accuracy, the ratio taken per seed) and `n_seeds`. ValueError if the runs do not all end at the same stage; those
    whose stages end with a round of questions (`stop="round"`) overshoot, and may need fewer.
    """
    runs = prepared(df).groupby(["method", "seed"], sort=False).tail(1)
    exact = runs[[json.loads(text).get("stop") != "round" for text in runs["options"]]]
    if exact["stage"].nunique() > 1:
        ends = {name: sorted(set(group["stage"])) for name, group in exact.groupby("method", sort=False)}
        raise ValueError(f"runs end at different stages: {ends}; finish them, or select the stages that all have")
    runs = runs.assign(accuracy=runs["accuracy"] * 100, cost_per_accuracy=runs["cost"] / (runs["accuracy"] * 100))
    grouped = runs.groupby("method", sort=False)[["accuracy", "cost", "cost_per_accuracy"]].agg(["mean", "std"])
    grouped.columns = [f"{column}_{'sd' if statistic == 'std' else statistic}" for column, statistic in grouped.columns]
    grouped.insert(0, "family", runs.groupby("method", sort=False)["family"].first())
    return grouped.assign(n_seeds=runs.groupby("method", sort=False).size())


def table2_text(df: pd.DataFrame) -> str:
    """`table2` as aligned plain text, best (highest accuracy, lowest cost and cost per accuracy) marked with `*`.

    Reference lines are never marked. Strategies of several families stand under a heading each.
    """
    table = table2(df)
    ranked = (table["family"] != "reference").to_numpy()
    head = ["Method", "Accuracy (%)", "Cost (samples)", "Cost / accuracy", "Seeds"]
    columns = [list(table.index)]
    for column, digits, best in (("accuracy", 2, "max"), ("cost", 0, "min"), ("cost_per_accuracy", 2, "min")):
        mean, sd = table[f"{column}_mean"], table[f"{column}_sd"]
        marks = np.where(ranked & (mean == getattr(mean[ranked], best)()), "*", " ")
        columns.append(
            [
                f"{m:,.{digits}f}" + ("" if np.isnan(s) else f" \u00b1 {s:,.{digits}f}") + mark
                for m, s, mark in zip(mean, sd, marks, strict=True)
            ]
        )
    columns.append([str(n) for n in table["n_seeds"]])
    return aligned(head, columns, list(table["family"]))


def aligned(head: list[str], columns: list[list[str]], families: list[str]) -> str:
    """Columns of text, the first set left, the others right; rows of several families under a heading each."""
    widths = [max(map(len, [title, *cells])) for title, cells in zip(head, columns, strict=True)]
    lines, last = [_row(head, widths), _row(["-" * width for width in widths], widths)], None
    for cells, family in zip(zip(*columns, strict=True), families, strict=True):
        if family != last and len(set(families)) > 1:
            lines.append(f"[{FAMILIES[family]}]")
        lines.append(_row(cells, widths))
        last = family
    return "\n".join(lines)


def _row(cells, widths) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def composition(df: pd.DataFrame) -> pd.DataFrame:
    """What a stage newly bought: mean over seeds of new iD, ambiguous and OoD samples, per method and stage.

    Stage 0 is the initial set. Returns columns `method, stage, n_id, n_ambiguous, n_ood`.
    """
    table = prepared(df)
    new = table.groupby(["method", "seed"], sort=False)[list(BOUGHT)].diff()
    table[list(BOUGHT)] = new.fillna(table[list(BOUGHT)])
    return table.groupby(["method", "stage"], sort=False)[list(BOUGHT)].mean().reset_index()


def seconds(df: pd.DataFrame) -> pd.DataFrame:
    """Seconds that one whole run took per phase (summed over its stages), mean over seeds; index `method`."""
    runs = prepared(df).groupby(["method", "seed"], sort=False)[list(PHASES)].sum()
    return runs.groupby("method", sort=False).mean()
