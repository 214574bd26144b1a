"""The titles of figures: what the numbers that are drawn say, in a sentence, or what the figure asks where none holds.

Every function takes the numbers of its figure and returns text, so that a title cannot say what is not drawn. Numbers
are means over seeds; a title speaks of certainty only where the figure shows a test.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from alkit.study.analysis import cost_tables, display_names

NEAR = 1.0  # points below the best that a cheaper method may end, to be spoken of
CHEAPER = 0.15  # share of the best one's looks that it must save for that


def _random(names: Mapping[str, str]) -> str | None:
    """The method that asks at random: of several learners' the paper's own."""
    found = [name for name in names if name == "Random" or name.startswith("random, ") or name == "random"]
    found = [name for name in found if "=" not in name.replace("initial=shared", "").partition("(")[0]]
    return min(found, key=lambda name: name != "Random") if found else None


def _points(number: float) -> str:
    return f"{number:.1f} point{'s' * (f'{number:.1f}' != '1.0')}"


def of_ends(ranked: pd.DataFrame, names: Mapping[str, str], *, same_labels: bool = False) -> tuple[str, list[str]]:
    """What the last stages say, and the methods that the sentence is of; `ranked`: rows of `cost_tables.table2`."""
    accuracy, cost, chance = ranked["accuracy_mean"], ranked["cost_mean"], _random(names)
    best = accuracy.idxmax()
    if len(ranked) < 2:
        return "What a label is worth" if same_labels else "What a strategy costs, and what it is worth", [best]
    if best == chance:
        return "Nobody ends above random choice", [best]
    told = [best] if chance is None else [best, chance]
    if same_labels:
        if chance is None:
            return f"For the same labels, {names[best]} ends highest", told
        gain = _points(accuracy[best] - accuracy[chance])
        return f"For as many labels, {names[best]} ends {gain} above random choice", told
    saved = 1 - cost / cost[best]
    near = accuracy.index[(accuracy >= accuracy[best] - NEAR) & (saved >= CHEAPER) & (accuracy.index != chance)]
    if len(near):
        cheap = saved[near].idxmax()
        gap = max(round(accuracy[best] - accuracy[cheap], 1), 0.1)
        said = f"{names[cheap]} ends within {_points(gap)} of the best for {100 * saved[cheap]:.0f} % fewer looks"
        return said, [cheap, *told]
    if chance is None:
        return f"{names[best]} ends highest", told
    gain, ratio = accuracy[best] - accuracy[chance], cost[best] / cost[chance]
    looks = "about as many looks" if 0.9 <= ratio <= 1.1 else f"{ratio:.1f} times the looks"
    return f"{names[best]} ends highest, {_points(gain)} above random choice, for {looks}", told


def of_losses(loss: pd.Series, con: pd.Series) -> str:
    """From where to where the loss went, and whether its part L_con went the other way."""
    first, last = float(loss.iloc[0]), float(loss.iloc[-1])
    word = "falls" if last < first else "rises"
    if f"{first:.2f}" == f"{last:.2f}":
        return "Training loss"
    against = len(con) and (con.iloc[-1] - con.iloc[0]) * (last - first) < 0
    other = f", that of unlabelled images {'rises' if last < first else 'falls'}" if against else ""
    return f"The loss {word} from {first:.2f} to {last:.2f}{other}"


def of_purchases(df: pd.DataFrame) -> str:
    """Who spent the largest and who the smallest share of what it bought on images without a class."""
    table = cost_tables.composition(df)
    total = table[table["stage"] > 0].groupby("method", sort=False)[list(cost_tables.BOUGHT)].sum()
    family = cost_tables.table2(df)["family"]
    total = total[total.index.map(family) != "reference"]
    share = 1 - total["n_id"] / total.sum(axis=1)
    if len(share) < 2 or f"{share.max():.0%}" == f"{share.min():.0%}":
        return "What the annotation budget bought"
    names, most, least = display_names.methods(share.index), share.idxmax(), share.idxmin()
    high, low = (f"{100 * share[name]:.0f} %" for name in (most, least))
    return f"{high} of what {names[most]} buys has no class, {low} of what {names[least]} buys"


def of_seconds(table: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Whose runs take longest, against the shortest; where all take alike, which phase takes most."""
    whole = table.sum(axis=1)
    slow, fast = whole.idxmax(), whole.idxmin()
    if len(table) > 1 and whole[fast] > 0 and whole[slow] >= 1.5 * whole[fast]:
        return f"A run of {names[slow]} takes {whole[slow] / whole[fast]:.1f} times as long as one of {names[fast]}"
    shares = table.sum() / max(whole.sum(), 1e-12)
    verb = {"train": "Training", "extract": "Computing features", "choose": "Choosing"}
    part = shares.idxmax()
    return f"{verb[part.removesuffix('_seconds')]} takes {100 * shares[part]:.0f} % of the time"


def of_differences(table: pd.DataFrame, baseline: str, *, more: bool, level: float) -> str:
    """How many methods the study's test puts ahead of the baseline, and how many behind."""
    sure, gain = table["p_holm"] < level, table["mean"] * (1 if more else -1)
    ahead, behind, n = int((sure & (gain > 0)).sum()), int((sure & (gain < 0)).sum()), len(table)
    strategies = "one strategy" if n == 1 else f"{n} strategies"
    if not ahead and not behind:
        return (
            f"Not one of {strategies} is surely better or worse than {baseline}"
            if n > 1
            else f"No sure difference to {baseline}"
        )
    if not ahead:
        whom = f"all {strategies}" if behind == n > 1 else f"{behind} of {strategies}"
        return f"{baseline} is ahead of {whom}, behind none"
    if not behind:
        return f"{ahead} of {strategies} are ahead of {baseline}, none behind"
    return f"{ahead} of {strategies} are ahead of {baseline}, {behind} behind"


def of_wins(share: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Who wins most, how often and how often it loses; rows of `share` beat columns."""
    values, n = share.to_numpy(), max(len(share) - 1, 1)
    wins, losses = (pd.Series(np.nansum(values, axis=axis) / n, index=share.index) for axis in (1, 0))
    top = (wins - losses).idxmax()
    if len(share) < 2 or not wins[top]:
        return "Nobody beats anybody"
    return f"{names[top]} beats another in {100 * wins[top]:.0f} % of comparisons and loses {100 * losses[top]:.0f} %"


def of_profile(table: pd.DataFrame, names: Mapping[str, str], factor: float = 1.25) -> str:
    """How often the most reliable method comes within `factor` of the best error, and how often the next."""
    inside = table[table["factor"] <= factor]
    share = inside.groupby("method")["share"].max().reindex(names, fill_value=0.0).sort_values(ascending=False)
    if len(share) < 2 or share.iloc[0] == share.iloc[1]:
        return "How close each method comes to the best"
    first, second = (f"{100 * share.iloc[i]:.0f} %" for i in (0, 1))
    more = f"{100 * (factor - 1):.0f} %"
    return f"{names[share.index[0]]} errs at most {more} more than the best in {first} of cases, the next in {second}"


def of_chances(chance: pd.Series, names: Mapping[str, str]) -> str:
    """The method that is likeliest to be the best for the same money."""
    top = chance.idxmax()
    if chance[top] < 0.5:
        return "No strategy is likely to be the best for the same money"
    return f"{names[top]} is the best for the same money with a probability of {100 * chance[top]:.0f} %"


def of_seeds(seeds: int, sizes: np.ndarray, needed: list[float]) -> str:
    """The smallest of these differences that so many seeds show in the median."""
    seen = [size for size, count in zip(sizes, needed, strict=True) if count <= seeds]
    if not seen:
        return f"{seeds} seeds show none of these differences"
    return f"{seeds} seeds show a difference of {min(seen):.1f} points, not much less"


def of_learners(gains: Mapping[str, float], added: float, first: str, unit: str) -> str:
    """`gains`: of each other learner with random choice, over the first one; `added`: the most that a strategy adds."""
    learner = max(gains, key=lambda name: abs(gains[name]))
    word = "more" if abs(gains[learner]) > added else "less"
    text = f"The learner matters {word} than the strategy: {learner} for {first} brings {gains[learner]:+.1f}"
    return f"{text}, the best strategy {added:+.1f}{unit}"


def of_shares(shares: pd.Series, what: str) -> str:
    """The part that explains most of the spread, the rest left out."""
    part = shares.drop("rest", errors="ignore").idxmax()
    whose = "is of learner and strategy together" if " x " in part else f"is the {part}'s"
    return f"{100 * shares[part]:.0f} % of the spread of {what} {whose}"


def of_ablation(table: pd.DataFrame, level: float) -> str:
    """The ingredient whose absence costs most, of those whose absence surely matters."""
    lost = table[(table["p_holm"] < level) & (table["mean"] < 0)]
    if lost.empty and len(table) == 1:
        return f"{table.index[0].capitalize()} makes no sure difference for the same money"
    if lost.empty:
        return "No ingredient is sure to matter"
    worst = lost["mean"].idxmin()
    return f"Most is lost {worst}: {_points(-lost.loc[worst, 'mean'])} of accuracy for the same money"


def of_cases(counts: pd.DataFrame, cases: int, baseline: str) -> str:
    """Of `robustness.tally`: the method that is ahead of the baseline most often."""
    top = counts.index[0]
    behind = counts.loc[top, "behind"]
    return (
        f"{display_names.strategy(top)} is ahead of {baseline} in {counts.loc[top, 'ahead']} of {cases} cases, "
        f"behind in {behind or 'none'}"
    )
