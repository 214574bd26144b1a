"""The numbers that the paper prints, and ours beside them.

Kim, Kim and Hwang, 2023 (arXiv:2303.14433), Table 2: accuracy (%), cumulative annotation cost at the last stage
(samples shown to the oracle), and their ratio.
"""

import pandas as pd

from alkit import recipes
from alkit.study.analysis import cost_tables

TABLE_2 = {
    "mixmnist": {
        "Random": (93.84, 440, 4.69),
        "Least confidence": (96.80, 6_582, 68.00),
        "Entropy": (93.89, 32_738, 348.68),
        "Random(CL)": (96.07, 420, 4.37),
        "Distance(CL)": (96.65, 406, 4.20),
    },
    "mixcifar60": {
        "Random": (67.95, 39_270, 577.92),
        "Least confidence": (69.90, 42_676, 610.53),
        "Entropy": (70.43, 42_678, 605.96),
        "DDU (spectral norm)": (67.38, 32_162, 477.32),
        "Random(CL)": (68.38, 34_560, 505.41),
        "Distance(CL)": (66.38, 27_891, 420.17),
    },
}


def beside(df: pd.DataFrame) -> pd.DataFrame:
    """`cost_tables.table2` of `df` with the paper's numbers beside ours, one row per method of ours.

    Columns `accuracy (%)`, `cost`, `cost / accuracy`, `cost / iD label` (1 is the floor; it alone means the same on a
    smaller pool), each "ours" (mean and, with several seeds, standard deviation) and "paper", "-" where it has no such
    row. ValueError for a benchmark that the paper does not have.
    """
    family = df["benchmark"].iloc[0].partition("-")[0]
    if family not in TABLE_2:
        raise ValueError(f"the paper has no table of {family!r}; it has {' and '.join(TABLE_2)}")
    ours, labels = (
        cost_tables.table2(df),
        {"ours": int(df["n_id"].max()), "paper": recipes.recipe(family, "paper").stop_id},
    )
    names = cost_tables.paper_names(ours.index)
    published = [TABLE_2[family].get(names.get(name)) for name in ours.index]
    columns = {}
    for number, (column, title, digits) in enumerate(
        (("accuracy", "accuracy (%)", 2), ("cost", "cost", 0), ("cost_per_accuracy", "cost / accuracy", 2))
    ):
        columns[title, "ours"] = _with_spread(ours[f"{column}_mean"], ours[f"{column}_sd"], digits)
        columns[title, "paper"] = [f"{row[number]:,.{digits}f}" if row else "-" for row in published]
    title = "cost / iD label"
    columns[title, "ours"] = _with_spread(ours["cost_mean"] / labels["ours"], ours["cost_sd"] / labels["ours"], 2)
    columns[title, "paper"] = [f"{row[1] / labels['paper']:,.2f}" if row else "-" for row in published]
    return pd.DataFrame(columns, index=ours.index)


def _with_spread(means, deviations, digits: int) -> list[str]:
    return [
        f"{mean:,.{digits}f}" + ("" if pd.isna(sd) else f" \u00b1 {sd:,.{digits}f}")
        for mean, sd in zip(means, deviations, strict=True)
    ]


def pool_departures(df: pd.DataFrame, share: float) -> list[str]:
    """What makes the pool of the runs in `df` another one than the paper's; with any, numbers are not comparable.

    `share`: the recipe's share of the pool.
    """
    benchmark, _, variant = df["benchmark"].iloc[0].partition("-")
    found = [f"{100 * share:g} % of the pool and of its quotas"] if share < 1 else []
    if benchmark == "mixmnist":
        found.append("ambiguous digits by this study's generator, not by NVAE")
    if benchmark == "mixcifar60":
        found.append("classes by the alphabet or drawn: the paper's list is not printed")
    if variant:
        found.append(f"stand-ins: {', '.join(variant.split('-'))}")
    return found
