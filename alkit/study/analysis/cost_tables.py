"""What methods are called, which runs may be compared, and the cost table: accuracy and annotation cost per method.

Everything starts from one result table (a pandas DataFrame): one row per (learner, strategy, options, initial, seed,
stage) with the columns `NEEDED`. `n_id`, `n_ambiguous`, `n_ood` and `cost` are cumulative; `accuracy` is a fraction.
Every function but those that only name things first refuses results that cannot be compared (`check_comparable`),
ignores the order of the rows and leaves its argument alone. With one seed a standard deviation is NaN, never 0.
"""

import json
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from alkit import acquisition
from alkit.experiment.methods import UNFILTERED
from alkit.study import tables
from alkit.study.analysis import display_names
from alkit.study.analysis.display_names import PAPER_METHODS

NEEDED = tuple(name for name in tables.COLUMNS if name not in ("accuracy_k1", "device", "version"))


ACCURACIES = {  # columns that hold an accuracy -> in words
    "accuracy": "over the K iD classes",
    "accuracy_k1": "over all K + 1 outputs",
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
    """What code calls each row's method: the paper's name, or "strategy, learner"; then options that are not default.

    Tables and figures show it as `display_names` has it.

    A learner's options stand with it, "margin, probe(auxiliary=all)"; the paper's names have all options behind them.
    A run without the auxiliary filter says "filter=off". Where the table mixes initial protocols, or changes of the
    recipe, the name says which: two protocols of one pairing are two methods.
    """
    options = [json.loads(text) for text in df["options"]]
    if len({json.dumps(given.get("changes"), sort_keys=True) for given in options}) == 1:
        options = [{key: value for key, value in given.items() if key != "changes"} for given in options]
    names = [_name(*row) for row in zip(df["strategy"], df["learner"], options, strict=True)]
    if df["initial"].nunique() > 1:
        names = [f"{name}, initial={initial}" for name, initial in zip(names, df["initial"], strict=True)]
    return pd.Series(names, index=df.index, name="method", dtype=object)


def _name(strategy: str, learner: str, options: dict) -> str:
    """`options`: what departs from the defaults, as in a cell's `options`: by part, or the value itself."""
    rest = {key: value for key, value in options.items() if key != "learner"}
    if (strategy, learner) in PAPER_METHODS:
        return strategy_name(PAPER_METHODS[strategy, learner], options.get("learner", {}), rest)
    return strategy_name(f"{strategy}, {learner_name(learner, options.get('learner', {}))}", rest)


def strategy_name(name: str, *options: Mapping) -> str:
    """A name and behind it the options that are given: "distance_cl, radius=0.1"; "filter=off" without the filter."""
    flat = {}
    for given in options:
        for key, value in given.items():
            flat |= value if isinstance(value, dict) else {key: value}
    if "auxiliary_filter" in flat:
        flat["filter"] = "on" if flat.pop("auxiliary_filter") else "off"
    return ", ".join([name, *(f"{key}={value}" for key, value in sorted(flat.items()))])


def learner_name(name: str, options: Mapping) -> str:
    """A learner's name with the options that are given: "probe", or "probe(auxiliary=all)"."""
    inside = ", ".join(f"{key}={value}" for key, value in sorted(options.items()))
    return f"{name}({inside})" if inside else name


def with_names(df: pd.DataFrame) -> pd.DataFrame:
    """A copy with the columns `method`, `learner_name` and `strategy_name`, each with its options."""
    options = [json.loads(text) for text in df["options"]]
    learners = [learner_name(name, own.get("learner", {})) for name, own in zip(df["learner"], options, strict=True)]
    strategies = [
        strategy_name(name, own.get("strategy", {}), filter_option(own))
        for name, own in zip(df["strategy"], options, strict=True)
    ]
    return df.assign(method=method(df), learner_name=learners, strategy_name=strategies)


def filter_option(options: Mapping) -> dict:
    """Of a cell's `options` what says that it has no auxiliary filter; {} where it has one."""
    return {key: value for key, value in options.items() if key == "auxiliary_filter"}


def paper_names(methods: Iterable[str]) -> dict[str, str]:
    """Those of these `methods` that are the paper's, as it has them -> its name; a strategy has one at most.

    The paper has Random(CL) and Distance(CL) without the auxiliary filter: "Distance(CL), filter=off", if it is there;
    in tables of version 0.1.0 these two never have it, and their names do not say so.
    """
    there, found = set(methods), {}
    for (strategy, _), name in PAPER_METHODS.items():
        unfiltered = f"{name}, filter=off" if strategy in UNFILTERED else name
        if own := next((one for one in (unfiltered, name) if one in there), None):
            found[own] = name
    return found


def learners_note(df: pd.DataFrame) -> str:
    """A sentence where the methods of `df` have different learners; "" where all have the same one."""
    names = sorted(set(with_names(df)["learner_name"]))
    if len(names) < 2:
        return ""
    return f"Methods of different learners ({', '.join(names)}): a difference between two may be the learners'."


def families(df: pd.DataFrame) -> pd.Series:
    """The family of each row's strategy, a key of `FAMILIES`."""
    options = [json.loads(text).get("strategy", {}) for text in df["options"]]
    found = [acquisition.family(*row) for row in zip(df["strategy"], options, strict=True)]
    return pd.Series(found, index=df.index, name="family", dtype=object)


def ordered(family_of: dict[str, str]) -> list[str]:
    """The names of methods, given with their families: by family, then in the paper's order, then alphabetically."""
    paper, known = list(PAPER_METHODS.values()), list(FAMILIES)
    names = {**{name: name for name in paper}, **paper_names(family_of)}
    place = {name: paper.index(names[name]) if name in names else len(paper) for name in family_of}
    return sorted(family_of, key=lambda name: (known.index(family_of[name]), place[name], name))


def check_comparable(df: pd.DataFrame) -> None:
    """Raise ValueError, naming what differs, unless the rows of `df` may stand in one table or figure.

    They may when they come from one benchmark, profile and fingerprint; when all runs of a seed and an initial protocol
    began with the same samples; when every run has each of its stages 0, 1, ... once; and when every method was run
    with the same seeds.
    """
    if missing := [column for column in NEEDED if column not in df.columns]:
        raise ValueError(f"the result table lacks the columns {missing}")
    if df.empty:
        raise ValueError("the result table has no rows")
    if holes := [column for column in NEEDED if column not in PHASES and df[column].isna().any()]:
        raise ValueError(f"the result table has missing values in {holes}")
    named = df.assign(method=method(df))
    for column in ("benchmark", "profile", "fingerprint"):
        if len(values := sorted(set(df[column]))) > 1:
            raise ValueError(
                f"results of different {column}s cannot be compared: {values}; select one of them. "
                f"They are of: {_runs_by_value(named, column)}"
            )
    for (seed, initial), group in named.groupby(["seed", "initial"]):
        if len(values := sorted(set(group["initial_hash"]))) > 1:
            runs = _runs_by_value(group, "initial_hash")
            raise ValueError(
                f"the initial sets of seed {seed} (initial={initial!r}) differ: {values}; every method of a seed must "
                f"begin with the same samples: rerun the odd ones. They are of: {runs}"
            )
    for (name, seed), run in named.groupby(["method", "seed"]):
        if sorted(run["stage"]) != list(range(len(run))):
            raise ValueError(f"{name}, seed {seed}: expected each stage 0, 1, ... once, got {sorted(run['stage'])}")
    seeds = named.groupby("method")["seed"].agg(set)
    everyone = set().union(*seeds)
    if short := {name: sorted(everyone - own) for name, own in seeds.items() if own != everyone}:
        missing = "; ".join(f"{name} lacks {absent}" for name, absent in short.items())
        raise ValueError(f"methods were run with different seeds: {missing}; run these, or select the common seeds")


def _runs_by_value(named: pd.DataFrame, column: str, most: int = 4) -> str:
    """Which methods and seeds have which value of `column`, a few of each."""
    parts = []
    for value, group in named.groupby(column):
        runs = [f"{name} (seed {seed})" for name, seed in dict.fromkeys(zip(group["method"], group["seed"]))]
        more = f" and {len(runs) - most} more" if len(runs) > most else ""
        parts.append(f"{value!r}: {', '.join(runs[:most])}{more}")
    return "; ".join(parts)


def prepared(df: pd.DataFrame) -> pd.DataFrame:
    """A checked copy with the columns of `with_names` and `family`, by family, method (`ordered`), seed and stage."""
    check_comparable(df)
    table = with_names(df).assign(family=families(df))
    rank = {name: i for i, name in enumerate(ordered(dict(zip(table["method"], table["family"], strict=True))))}
    table = table.assign(_rank=table["method"].map(rank)).sort_values(["_rank", "seed", "stage"], kind="stable")
    return table.drop(columns="_rank").reset_index(drop=True)


def with_accuracy(df: pd.DataFrame, column: str) -> pd.DataFrame:
    """A copy whose `accuracy` is that of `column`, a key of `ACCURACIES`, for any table, comparison or figure.

    ValueError for another column, or where runs have no such number.
    """
    if column not in ACCURACIES:
        raise ValueError(f"accuracy must be one of {', '.join(ACCURACIES)}; got {column!r}")
    if column not in df or df[column].isna().any():
        empty = len(df) if column not in df else int(df[column].isna().sum())
        raise ValueError(
            f"{empty} of {len(df)} rows have no {column} (accuracy {ACCURACIES[column]}), as in tables of version "
            "0.1.0; run them again with this version"
        )
    return df.assign(accuracy=df[column])


def accuracy_by_outputs(df: pd.DataFrame) -> pd.DataFrame:
    """Both accuracies (%) of each method at the last stage: over K outputs, over K + 1, and their difference.

    Index `method`; columns `family, over_k, over_k1, difference` (K + 1 minus K), means over seeds. ValueError as
    `with_accuracy` and `table2`.
    """
    over_k, over_k1 = (table2(with_accuracy(df, column)) for column in ACCURACIES)
    found = over_k[["family"]].assign(over_k=over_k["accuracy_mean"], over_k1=over_k1["accuracy_mean"])
    return found.assign(difference=found["over_k1"] - found["over_k"])


def accuracy_by_outputs_text(df: pd.DataFrame) -> str:
    """`accuracy_by_outputs` as aligned plain text, with a note where methods have different learners."""
    table = accuracy_by_outputs(df)
    head = [_head(table), "Accuracy over K (%)", "over K + 1 (%)", "Difference"]
    columns = [
        list(display_names.methods(table.index).values()),
        *([f"{value:.2f}" for value in table[column]] for column in ("over_k", "over_k1")),
        [f"{value:+.2f}" for value in table["difference"]],
    ]
    return _noted(aligned(head, columns, list(table["family"])), df)


def _head(table: pd.DataFrame) -> str:
    """The head of the column of methods; where all have the same learner, it is named here and nowhere else."""
    learners = {display_names.learner(name) for name in table.index}
    return f"Method, on {learners.pop()}" if len(learners) == 1 else "Method"


def _noted(text: str, df: pd.DataFrame) -> str:
    note = learners_note(df)
    return f"{text}\n\n{note}" if note else text


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

    Reference lines are never marked. Strategies of several families stand under a heading each; where methods have
    different learners, a sentence below the table says so.
    """
    table = table2(df)
    ranked = (table["family"] != "reference").to_numpy()
    head = [_head(table), "Accuracy (%)", "Cost (samples)", "Cost / accuracy", "Seeds"]
    columns = [list(display_names.methods(table.index).values())]
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
    return _noted(aligned(head, columns, list(table["family"])), df)


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
    first, *numbers = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in numbers)]).rstrip()


def composition(df: pd.DataFrame) -> pd.DataFrame:
    """What a stage newly bought: mean over seeds of new iD, ambiguous and OoD samples, per method and stage.

    Stage 0 is the initial set. Returns columns `method, stage, n_id, n_ambiguous, n_ood`.
    """
    table = prepared(df)
    new = table.groupby(["method", "seed"], sort=False)[list(BOUGHT)].diff()
    table[list(BOUGHT)] = new.fillna(table[list(BOUGHT)])
    return table.groupby(["method", "stage"], sort=False)[list(BOUGHT)].mean().reset_index()


def seconds(df: pd.DataFrame) -> pd.DataFrame:
    """Seconds of one run per phase (summed over its stages), mean over seeds; index `method`.

    Without the first training: the runs of a seed share it, so that it is on the clock of one of them alone.
    """
    table = prepared(df)
    table.loc[table["stage"] == 0, "train_seconds"] = 0.0
    runs = table.groupby(["method", "seed"], sort=False)[list(PHASES)].sum()
    return runs.groupby("method", sort=False).mean()
