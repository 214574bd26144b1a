"""The claims in the notebooks' texts against the committed tables, by the definitions that hold now."""

import re

import pytest

from alkit import paths
from alkit.study import notebook, tables
from alkit.study.analysis import (
    claims,
    our_strategy,
    paired_differences,
    paper_table2,
    select_runs,
    thousands,
    variance,
)


@pytest.fixture
def no_intervals(monkeypatch):
    """Whether a claim holds is a matter of its p alone; intervals are most of the work."""
    monkeypatch.setattr(paired_differences, "interval", lambda *_, **__: (float("nan"), float("nan")))


@pytest.mark.parametrize("pool", ["mixdigits", "mixmnist"])
def test_no_claim_of_a_text_is_contradicted_by_the_tables_but_for_those_named_here(pool, no_intervals):
    story, found = notebook.story(pool), select_runs.tables(pool, "laptop")
    every = select_runs.union(found)
    paper = select_runs.paper_rows(every)
    ours = tables.read_results(paths.ROOT / "figures", pool, "laptop", "beyond")
    blocks = {
        "06 answer": variance.blocks(every) + ([paired_differences.per_run(paper)] if len(paper) else []),
        "07 ingredients": [paired_differences.per_run(our_strategy.ablation_runs(ours))],
        "07 answer": [paired_differences.per_run(rows) for rows in our_strategy.ways(found, ours)],
    }
    wrong = [slot for key, runs in blocks.items() for slot in claims.contradictions(story[key], runs)]
    assert len(claims.SLOT.findall(story["06 answer"])) > 5  # there is something to contradict
    assert wrong == []


@pytest.mark.parametrize(
    ("pool", "section", "profile", "names", "least"),
    [
        ("mixcifar60-house_numbers-scenes", "04 learned", "paper", ("pretrained", "strategies", "beyond"), 11),
        ("mixmnist", "04 learned", "laptop", ("protocols",), 6),
        ("mixmnist", "05 learned", "laptop", ("strategies",), 10),
    ],
)
def test_accuracies_and_bills_of_a_text_are_means_of_its_tables(pool, section, profile, names, least):
    there = set()
    for name in names:
        table = tables.read_results(paths.ROOT / "figures", pool, profile, name)
        last = table.groupby(["strategy", "options", "initial", "seed"]).tail(1)
        means = last.groupby(["strategy", "options", "initial"])[["accuracy", "cost"]].mean()
        there |= {(f"{100 * accuracy:.1f}", f"{cost:,.0f}") for accuracy, cost in means.itertuples(index=False)}
    said = re.findall(r"(\d\d\.\d) % for ([\d,]+) looks", notebook.story(pool)[section])
    assert len(said) >= least and set(said) <= there


def test_bills_of_8000_labels_and_of_the_papers_accuracies_are_those_of_the_runs():
    runs, story = thousands.beside(paths.ROOT / "figures"), notebook.story("mixcifar60-house_numbers-scenes")
    found, text = thousands.at_labels(runs), story["04 learned"]
    bills = re.findall(r"looks \| ([\d,]+) \| (\d\d\.\d) %", text)
    assert sorted(bills) == sorted((f"{row.looks:,.0f}", f"{row[3]:.1f}") for row in found.itertuples())
    order = ["random", "margin", "least_confidence", "similar", "cautious_coverage", "gated_margin"]
    for accuracy, *_ in paper_table2.TABLE_2["mixcifar60"].values():
        median = paired_differences.median_cost_to_target(runs, accuracy)["median"]
        looks = median.set_axis([name.partition(",")[0] for name in median.index])[order]
        assert f"| {accuracy:.2f} % | " in text and " | ".join(f"{look:,.0f}" for look in looks) in text
    (own,) = (name for name in found.index if name.startswith("gated_margin"))
    ahead = paired_differences.differences(paired_differences.per_run(runs), own, "area", resamples=99)
    assert (ahead["mean"] < 0).all() and f"(p = {ahead['p_holm'].max():.3f} after Holm)" in text
    points = {name.partition(",")[0]: f"{-mean:.1f}" for name, mean in ahead["mean"].items()}
    said = "of random by {random} points, of margin by {margin}, of SIMILAR by {similar}, of `cautious_coverage` by"
    assert f"{said.format(**points)} {points['cautious_coverage']}." in text
    assert set(re.findall(r"by (\d\.\d)", story["06 answer"])) | {points["random"]} == set(points.values())


def test_what_is_said_of_gated_margin_with_the_shared_first_labels_is_what_its_runs_say():
    figures, text = paths.ROOT / "figures", notebook.story("mixcifar60-house_numbers-scenes")["04 learned"]
    ours = tables.read_results(figures, thousands.POOL, thousands.PROFILE, "beyond")
    ours = ours[(ours["initial"] == "shared") & (ours["options"] == "{}")]
    runs = our_strategy.beside(tables.read_results(figures, thousands.POOL, thousands.PROFILE, "strategies"), ours)
    price = thousands.at_labels(runs).loc["gated_margin, pretrained", "looks a label"]
    found = paired_differences.per_run(runs)
    ahead = paired_differences.differences(found, "gated_margin, pretrained", "area", resamples=99)
    points = {name.partition(",")[0]: f"{-mean:.1f}" for name, mean in ahead["mean"].items()}
    said = (
        f"it pays {price:.2f} looks a label at 8,000, and is still ahead of each: of random by {points['random']} "
        f"points, of margin by {points['margin']}, of SIMILAR by {points['similar']}, of `cautious_coverage` by "
        f"{points['cautious_coverage']} (p = {ahead['p_holm'].max():.3f} after Holm)"
    )
    assert said in text and (ahead["mean"] < 0).all() and ours["seed"].nunique() == 11
