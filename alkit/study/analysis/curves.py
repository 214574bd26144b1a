"""Accuracy against annotation cost, and the area under it."""

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


def common_range(runs: list[tuple[np.ndarray, np.ndarray]], x: str, who: str) -> tuple[float, float]:
    """[latest first x, earliest last x] of the curves of `who`; ValueError where they share none."""
    low, high = max(xs[0] for xs, _ in runs), min(xs[-1] for xs, _ in runs)
    if not low < high:
        raise ValueError(
            f"{who} share no range of {x}: the last to begin begins at {low:g}, the first to end ends at "
            f"{high:g}; compare fewer methods, or run them further"
        )
    return low, high


def curve(df: pd.DataFrame, x: str = "cost") -> pd.DataFrame:
    """Accuracy against `x` ("cost" or "n_id") per method: mean and sample standard deviation over seeds.

    Each seed's accuracy is interpolated linearly between its stages, never beyond them, on the union of all the
    method's stage points within the range that all its seeds cover: [latest first x, earliest last x]. Returns columns
    `method, x, mean, sd, n_seeds`, one row per method and point. ValueError if the seeds of a method share no range.
    """
    rows = []
    for name, group in prepared(df).groupby("method", sort=False):
        runs = [knots(run, x) for _, run in group.groupby("seed")]
        low, high = common_range(runs, x, f"the seeds of {name}")
        grid = np.unique(np.concatenate([xs for xs, _ in runs]))
        grid = grid[(grid >= low) & (grid <= high)]
        values = np.stack([np.interp(grid, *run) for run in runs])
        sd = values.std(0, ddof=1) if len(runs) > 1 else np.full(len(grid), np.nan)
        rows.append(pd.DataFrame({"method": name, "x": grid, "mean": values.mean(0), "sd": sd, "n_seeds": len(runs)}))
    return pd.concat(rows, ignore_index=True)


def area(df: pd.DataFrame, x: str = "cost") -> pd.DataFrame:
    """Area under accuracy against `x` ("cost" or "n_id") of every method and seed, divided by the length of the range.

    The range is one and the same for all runs in `df`: [the latest first x, the earliest last x]. So a method that
    spent more than the cheapest one is judged only up to the end of the cheapest, and adding a method can change every
    area. Reference lines do not narrow it: nobody could follow them, and they end where others' money has only begun;
    one that does not cover the range has no area (NaN). Accuracy is linear between stages, so the trapezoid rule is
    exact. Returns columns `method, seed, area` (mean accuracy over the range, a fraction) and `low, high` (the range).
    ValueError if there is no common range.
    """
    return areas(prepared(df), x)


def areas(table: pd.DataFrame, x: str = "cost") -> pd.DataFrame:
    """`area` of a table that is `prepared`, or of some of its seeds."""
    runs = {key: knots(run, x) for key, run in table.groupby(["method", "seed"], sort=False)}
    lines = set(table.loc[table["family"] == "reference", "method"])
    ranked = [run for (name, _), run in runs.items() if name not in lines] or list(runs.values())
    low, high = common_range(ranked, x, "the runs")
    rows = []
    for (name, seed), (xs, ys) in runs.items():
        covers = xs[0] <= low and high <= xs[-1]
        rows.append((name, seed, mean_over(xs, ys, low, high) if covers else np.nan, low, high))
    return pd.DataFrame(rows, columns=["method", "seed", "area", "low", "high"])


def mean_over(xs: np.ndarray, ys: np.ndarray, low: float, high: float) -> float:
    """The mean of a curve that is linear between its points (`xs` ascending), over [low, high] within its range."""
    grid = np.concatenate([[low], xs[(xs > low) & (xs < high)], [high]])
    return float(np.trapezoid(np.interp(grid, xs, ys), grid) / (high - low))
