"""What notebook 7 asks of `gated_margin`: thousands of labels on the whole of MixCIFAR60, on pretrained features.

Others pay for the shared initial set, a stage of the published quota chosen at random. `gated_margin` buys its own
first labels, and they are on its bill.
"""

import json
from pathlib import Path

import pandas as pd

from alkit.study.analysis import cost_tables, our_strategy, paired_differences
from alkit.study.tables import read_results

POOL, PROFILE = "mixcifar60-house_numbers-scenes", "paper"
LABELS, PAPER = 8000, 66.38  # iD labels at which bills are compared; where Distance(CL) ends in the paper (%)


ABLATIONS = {  # options -> what is left out, or otherwise
    '{"kinds": 1}': "all junk is one kind",
    '{"shares": false}': "classes do not take turns",
    '{"caution": 0}': "without caution",
    '{"caution": 4}': "twice the caution",
}


WHOLE = "the whole strategy"


def beside(figures: Path) -> pd.DataFrame:
    """Whole runs: every strategy that was run on this pool, and `gated_margin`. StoreError where there is no table."""
    whole = _ours(figures)
    return our_strategy.beside(read_results(figures, POOL, PROFILE, "strategies"), whole[whole["options"] == "{}"])


def ablations(figures: Path) -> pd.DataFrame:
    """Bill and accuracy at LABELS labels of the whole strategy and without each ingredient; index `ablation`.

    Of the seeds that all have: the whole strategy has more.
    """
    ours = _ours(figures)
    left_out = ours["options"].map(lambda text: json.dumps(json.loads(text).get("strategy", {}))).map(ABLATIONS)
    ours = ours[ours["n_id"] <= LABELS].assign(method=left_out.fillna(WHOLE))
    shared = frozenset.intersection(*ours.groupby("method")["seed"].agg(frozenset))
    ours = ours[ours["seed"].isin(shared)]
    return _at_labels(ours, LABELS).rename_axis("ablation").reindex([WHOLE, *ABLATIONS.values()])


def at_labels(runs: pd.DataFrame, n_id: int = LABELS, target: float = PAPER) -> pd.DataFrame:
    """Per method, cheapest first: bill and accuracy at `n_id` iD labels, and looks to the accuracy `target` (%).

    Columns `looks`, `looks a label` and `accuracy (%)`, means over seeds; `sd` of the accuracy; and `looks to <target>
    %`, the median over seeds (`paired_differences.median_cost_to_target`).
    """
    found = _at_labels(runs.assign(method=cost_tables.method), n_id)
    found[f"looks to {target:g} %"] = paired_differences.median_cost_to_target(runs, target)["median"]
    return found.sort_values("looks")


def promised(runs: pd.DataFrame) -> pd.DataFrame:
    """What was asked for before `gated_margin` was written, and what `runs` (see `beside`) reached.

    Columns `promised`, `measured` and `verdict`.
    """
    table, per_run = at_labels(runs), paired_differences.per_run(runs)
    (own,) = (name for name in table.index if name.startswith("gated_margin"))
    ours, others = table.loc[own], table.drop(own)
    behind = others["accuracy (%)"].max() - ours["accuracy (%)"]
    found = paired_differences.differences(per_run, own, "area", resamples=99)  # intervals do not judge
    ahead = (found["mean"] < 0) & (found["p_holm"] < paired_differences.LEVEL)
    price = ours["looks a label"]
    rows = [
        (f"at most 1.2 looks a label at {LABELS:,} iD labels", f"{price:.2f}", price <= 1.2),
        ("there, at most 0.3 points below the most accurate", f"{behind:.1f} below", behind <= 0.3),
        (f"{PAPER} % with at most 5,000 looks (median)", f"{ours.iloc[-1]:,.0f}", ours.iloc[-1] <= 5000),
        ("ahead of every other for the same money", f"of {ahead.sum()} of {len(ahead)}", bool(ahead.all())),
    ]  # fmt: skip
    verdicts = [(text, measured, "reached" if reached else "not reached") for text, measured, reached in rows]
    return pd.DataFrame(verdicts, columns=["promised", "measured", "verdict"])


def _ours(figures: Path) -> pd.DataFrame:
    ours = read_results(figures, POOL, PROFILE, "beyond")
    return ours[ours["initial"] == "strategy"]


def _at_labels(runs: pd.DataFrame, n_id: int) -> pd.DataFrame:
    runs = runs[runs["n_id"] == n_id].assign(percent=100 * runs["accuracy"]).groupby("method")
    looks, accuracy = runs["cost"].mean(), runs["percent"].mean()
    columns = {"looks": looks, "looks a label": looks / n_id, "accuracy (%)": accuracy, "sd": runs["percent"].std()}
    return pd.DataFrame(columns)
