"""Who is better than whom: the win matrix, the performance profile and the probability of being best.

All leave reference lines out, as nobody can follow them. A case is one accuracy to compare: that of the last finished
stage (`curves`) at one annotation cost, of several at equal distances over the costs that all ranked runs of the seed
cover, after the initial set.
"""

import numpy as np
import pandas as pd
from scipy import stats

from alkit import rng
from alkit.study.analysis import cost_tables, curves, paired_differences


def cases(df: pd.DataFrame, checkpoints: int) -> tuple[list[str], np.ndarray]:
    """The ranked methods of a table, and their accuracies (methods, seeds, checkpoints) at common annotation costs."""
    table = cost_tables.prepared(df)
    table = table[table["family"] != "reference"]
    names, seeds = list(dict.fromkeys(table["method"])), table["seed"].nunique()
    if len(names) < 2:
        raise ValueError(f"a comparison needs at least two methods that are no reference lines, got {names}")
    accuracy_MST = np.empty((len(names), seeds, checkpoints))
    for s, (seed, own) in enumerate(table.groupby("seed")):
        runs = [curves.knots(run, "cost") for _, run in own.groupby("method", sort=False)]
        low, high = curves.common_range(runs, "cost", f"the methods of seed {seed}")
        grid = np.linspace(low, high, checkpoints + 1)[1:]  # at the first, where all begin, they are the same
        accuracy_MST[:, s] = [curves.accuracy_at(grid, *run) for run in runs]
    return names, accuracy_MST


def _several(tables: tuple[pd.DataFrame, ...], checkpoints: int) -> list[tuple[list[str], np.ndarray]]:
    if not tables or checkpoints < 1:
        raise ValueError(f"give at least one results table and one checkpoint, got {len(tables)} and {checkpoints}")
    return [cases(table, checkpoints) for table in tables]


def _everyone(settings: list[tuple[list[str], np.ndarray]]) -> list[str]:
    return list(dict.fromkeys(name for names, _ in settings for name in names))


def win_matrix(*tables: pd.DataFrame, checkpoints: int = 10) -> pd.DataFrame:
    """How often the method of the row beats the method of the column: shares of settings, a square table.

    A setting is one results table (a benchmark, a profile) at one of `checkpoints` shares of the costs to compare. The
    row beats the column in it where its mean accuracy is higher and a two-sided paired t test over seeds gives
    p < 0.05, the convention of Ash et al. 2020 (BADGE), uncorrected. So [a, b] + [b, a] <= 1, a row with large numbers
    is good, a column with large ones is bad. The diagonal, and methods that no table has both of, are NaN. ValueError
    for a table of one seed.
    """
    settings = _several(tables, checkpoints)
    names = _everyone(settings)
    won, held = np.zeros((len(names),) * 2), np.zeros((len(names),) * 2)
    for own, accuracy_MST in settings:
        if accuracy_MST.shape[1] < 2:
            raise ValueError("a win is a matter of several seeds; this table has one")
        place = np.ix_([names.index(name) for name in own], [names.index(name) for name in own])
        won[place] += _beats(accuracy_MST).sum(-1)
        held[place] += accuracy_MST.shape[-1]
    np.fill_diagonal(held, 0)
    share = np.divide(won, held, out=np.full_like(won, np.nan), where=held > 0)
    index = pd.Index(names, name="row beats column")
    return pd.DataFrame(share, index=index, columns=pd.Index(names, name="loses to row"))


def _beats(accuracy_MST: np.ndarray) -> np.ndarray:
    """(M, M, T): whether the first method is significantly above the second at each checkpoint."""
    difference = accuracy_MST[:, None] - accuracy_MST[None]
    n = difference.shape[2]
    mean, error = difference.mean(2), difference.std(2, ddof=1) / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean / error  # no spread: infinite, or NaN where all is equal, which is no win
    return t > stats.t.isf(paired_differences.LEVEL / 2, n - 1)


def performance_profile(*tables: pd.DataFrame, checkpoints: int = 10) -> pd.DataFrame:
    """In which share of cases a method's error is within a factor of the best method's (Dolan and More 2002).

    A case is one seed of one table at one of `checkpoints` annotation costs, the error 1 - accuracy, the best that of
    the case itself. Columns `method, factor, share`: one row per method and factor at which its share rises, from 1;
    all end at the largest factor seen. A method is judged on the cases that it was run in. Where the best error is 0,
    any other is infinitely worse, and its share stays below 1.
    """
    ratios: dict[str, list[np.ndarray]] = {}
    for names, accuracy_MST in _several(tables, checkpoints):
        error = 1 - accuracy_MST
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(error == error.min(0), 1.0, error / error.min(0))
        for name, own in zip(names, ratio, strict=True):
            ratios.setdefault(name, []).append(own.ravel())
    whole = {name: np.sort(np.concatenate(parts)) for name, parts in ratios.items()}
    everything = np.concatenate(list(whole.values()))
    most = everything[np.isfinite(everything)].max()
    rows = []
    for name, ratio in whole.items():
        factors = np.unique(np.concatenate([[1.0], ratio[np.isfinite(ratio)], [most]]))
        share = np.searchsorted(ratio, factors, side="right") / len(ratio)
        rows.append(pd.DataFrame({"method": name, "factor": factors, "share": share}))
    return pd.concat(rows, ignore_index=True)


def probability_of_best(runs: pd.DataFrame, number: str = "area", *, resamples: int = 9_999) -> pd.Series:
    """Each ranked method's probability that its mean `number` is the best, over seeds drawn again with replacement.

    `runs` as `paired_differences.per_run` returns them; all methods get the same draws (pairing kept), ties are shared.
    Sums to 1. Best is largest or smallest as `paired_differences.NUMBERS` says. The same runs give the same numbers.
    """
    if number not in paired_differences.NUMBERS:
        raise ValueError(f"number must be one of {', '.join(paired_differences.NUMBERS)}; got {number!r}")
    ranked = runs[runs["family"] != "reference"]
    wide = ranked.pivot(index="seed", columns="method", values=number)[list(dict.fromkeys(ranked["method"]))]
    values_SM = wide.to_numpy(float) * (1 if paired_differences.NUMBERS[number] else -1)
    n = len(values_SM)
    draws_BS = rng.numpy_stream(0, "bootstrap").multinomial(n, np.full(n, 1 / n), size=resamples)
    means_BM = draws_BS @ values_SM / n
    best_BM = np.isclose(means_BM, means_BM.max(1, keepdims=True), rtol=0, atol=1e-12)
    share_M = (best_BM / best_BM.sum(1, keepdims=True)).mean(0)
    return pd.Series(share_M, index=pd.Index(wide.columns, name="method"), name="probability of being best")
