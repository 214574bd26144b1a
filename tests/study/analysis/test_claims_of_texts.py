"""The claims in the notebooks' texts against the committed tables, by the definitions that hold now."""

import pytest

from alkit import paths
from alkit.study import notebook, tables
from alkit.study.analysis import claims, our_strategy, paired_differences, select_runs, targets, variance


@pytest.fixture
def no_intervals(monkeypatch):
    """Whether a claim holds is a matter of its p alone; intervals are most of the work."""
    monkeypatch.setattr(paired_differences, "interval", lambda *_, **__: (float("nan"), float("nan")))


@pytest.mark.parametrize("pool", targets.POOLS)
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
