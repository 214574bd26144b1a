"""Accuracy against annotation cost, and the area under it.

A run's accuracy at a cost c is that of its last finished stage with cost <= c: a step function. A question asked in
the middle of a stage has bought nothing yet, as the learner is trained only when the stage ends. `steps=False` joins
the stages by straight lines instead, the definition of version 0.1.0; it credits accuracy that is not reached yet.
"""

import numpy as np
import pandas as pd

from alkit.study.analysis.cost_tables import prepared


def knots(run: pd.DataFrame, x: str) -> tuple[np.ndarray, np.ndarray]:
    """A run's (x, accuracy) points in order of x; of stages with one and the same x, the last."""
    if x not in ("cost", "n_id"):
        raise ValueError(f"x must be 'cost' or 'n_id', got {x!r}")
    xs = run[x].to_numpy(float)  # cumulative, so equal ones are neighbours
    last = np.append(xs[1:] != xs[:-1], True)
    return xs[last], run["accuracy"].to_numpy(float)[last]


def common_range(runs: list[tuple[np.ndarray, np.ndarray]], x: str, owner: str) -> tuple[float, float]:
    """[latest first x, earliest last x] of the curves of `owner`; ValueError where they share none."""
    low, high = max(xs[0] for xs, _ in runs), min(xs[-1] for xs, _ in runs)
    if not low < high:
        raise ValueError(
            f"{owner} share no range of {x}: the last to begin begins at {low:g}, the first to end ends at "
            f"{high:g}; compare fewer methods, or run them further"
        )
    return low, high


def accuracy_at(points: np.ndarray, xs: np.ndarray, ys: np.ndarray, *, steps: bool = True) -> np.ndarray:
    """The accuracy that a run with the `knots` (xs, ys) has at `points`, none of which is before its first stage."""
    return ys[np.searchsorted(xs, points, side="right") - 1] if steps else np.interp(points, xs, ys)


def curve(df: pd.DataFrame, x: str = "cost", *, steps: bool = True) -> pd.DataFrame:
    """Accuracy against `x` ("cost" or "n_id") per method: mean and sample standard deviation over seeds.

    Rows are the union of all the method's stage points within the range that all its seeds cover, [latest first x,
    earliest last x]; each seed has the accuracy of its last finished stage there (`steps=False`: linear between its
    stages). Columns `method, x, mean, sd, n_seeds`. ValueError if the seeds of a method share no range.
    """
    rows = []
    for name, group in prepared(df).groupby("method", sort=False):
        runs = [knots(run, x) for _, run in group.groupby("seed")]
        low, high = common_range(runs, x, f"the seeds of {name}")
        grid = np.unique(np.concatenate([xs for xs, _ in runs]))
        grid = grid[(grid >= low) & (grid <= high)]
        values = np.stack([accuracy_at(grid, *run, steps=steps) for run in runs])
        sd = values.std(0, ddof=1) if len(runs) > 1 else np.full(len(grid), np.nan)
        rows.append(pd.DataFrame({"method": name, "x": grid, "mean": values.mean(0), "sd": sd, "n_seeds": len(runs)}))
    return pd.concat(rows, ignore_index=True)


def area(df: pd.DataFrame, x: str = "cost", *, steps: bool = True) -> pd.DataFrame:
    """Area under accuracy against `x` ("cost" or "n_id") of every run, divided by the length of the range.

    The range is the same for all runs in `df`: [latest first x, earliest last x]. A method that spent more than the
    cheapest one is judged up to the end of the cheapest only, so adding a method can change every area. Reference
    lines do not narrow the range, as nobody can follow them; one that does not cover it has no area (NaN). `steps`: a
    run has the accuracy of its last finished stage; False: linear between stages. Columns `method, seed, area` (mean
    accuracy over the range, a fraction), `low, high` (the range). ValueError if there is no common range.
    """
    return areas(prepared(df), x, steps=steps)


def areas(table: pd.DataFrame, x: str = "cost", *, steps: bool = True) -> pd.DataFrame:
    """`area` of a table that is `prepared`, or of some of its seeds."""
    runs = {key: knots(run, x) for key, run in table.groupby(["method", "seed"], sort=False)}
    lines = set(table.loc[table["family"] == "reference", "method"])
    ranked = [run for (name, _), run in runs.items() if name not in lines] or list(runs.values())
    low, high = common_range(ranked, x, "the runs")
    rows = []
    for (name, seed), (xs, ys) in runs.items():
        covers = xs[0] <= low and high <= xs[-1]
        rows.append((name, seed, mean_over(xs, ys, low, high, steps=steps) if covers else np.nan, low, high))
    return pd.DataFrame(rows, columns=["method", "seed", "area", "low", "high"])


def mean_over(xs: np.ndarray, ys: np.ndarray, low: float, high: float, *, steps: bool = True) -> float:
    """The mean accuracy over [low, high], which lies within the run's `knots` (xs, ys)."""
    grid = np.concatenate([[low], xs[(xs > low) & (xs < high)], [high]])
    values = accuracy_at(grid, xs, ys, steps=steps)
    whole = values[:-1] @ np.diff(grid) if steps else np.trapezoid(values, grid)
    return float(whole / (high - low))


def staircase(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the step line that keeps each y until the next x: what a drawing needs to fill below it."""
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
