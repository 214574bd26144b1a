"""The figures of notebook 9 show the medians, means and errors of the rows that they were given."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from alkit.experiment.costs import COSTS
from alkit.study.analysis.answers import RATIOS
from alkit.study.figures import answers


def traces(fig, name):
    """Lines of that name, left panel first."""
    return [trace for trace in fig.data if trace.name == name and trace.mode != "none"]


@pytest.fixture(scope="module")
def bills():
    """Random reaches 90 % for 20 looks; `dear` for twice that and more ambiguous images; `never` does not."""
    rows = []
    for strategy, factor, ambiguous in (("random", 1, 0), ("dear", 2, 10), ("never", 1, 0)):
        for seed in (1, 2, 3):
            for stage, accuracy in enumerate((0.8, 0.9 if strategy != "never" else 0.85)):
                looks = 10 * factor * (stage + 1)
                paid = {name: looks * (0.2 if (name, strategy) == ("yes_no", "dear") else 1) for name in COSTS}
                counts = dict(n_id=looks - ambiguous * stage, n_ambiguous=ambiguous * stage, n_ood=0)
                rows.append(
                    dict(
                        benchmark="mixdigits",
                        strategy=strategy,
                        seed=seed,
                        stage=stage,
                        accuracy=accuracy,
                        **counts,
                        **paid,
                    )
                )
    return pd.DataFrame(rows)


def test_cheapest_is_over_random_and_ringed(bills):
    fig = answers.cheapest(bills, target=90)
    left, right = traces(fig, "Dear")
    assert np.allclose(left.y, [2, 2, 2, 0.4])
    assert np.allclose(right.y, (30 + 10 * np.array(RATIOS)) / 20)
    rings = traces(fig, "cheapest")
    assert np.allclose(rings[0].y, [1, 1, 1, 0.4]) and np.allclose(rings[1].y, 1)
    assert not traces(fig, "Never") and "below: Never" in fig.layout.title.text and "90 %" in fig.layout.title.text


def test_accuracy_per_answer_is_the_mean_of_the_seeds_at_each_stage():
    rows = []
    for kind, share, way, seed, stage in product(("symmetric", "votes"), (0.2, 0.4), answers.WAYS, (1, 2), range(3)):
        more = seed if way == "two that agree" else 0
        known = dict(
            benchmark="mixdigits", errors=kind, share=share, way=way, seed=seed, answers=60 + 20 * stage + more
        )
        rows.append(dict(known, accuracy=0.5 + 0.1 * seed - (share if kind == "votes" else 0)))
    fig = answers.per_answer(pd.DataFrame(rows))
    lines = traces(fig, "two that agree")
    assert np.allclose(lines[0].x, [61.5, 81.5, 101.5])
    assert [line.y[0] for line in lines] == pytest.approx([65, 45, 65, 25])  # a row for each share
    band = next(trace for trace in fig.data if trace.mode == "none" and trace.legendgroup == "two that agree")
    assert np.allclose(band.y, [70] * 3 + [60] * 3)  # a standard error of 5
    assert sum(bool(trace.showlegend) for trace in fig.data) == len(answers.WAYS)
    assert [note.text for note in fig.layout.annotations][:2] == [
        "20% errors: any other answer", "20% errors: what voters mix up",
    ]  # fmt: skip


def test_few_tests_shows_errors_of_estimates_and_what_a_choice_loses():
    rows = [
        dict(
            benchmark="mixdigits",
            draw=draw,
            seed=seed,
            repeat=repeat,
            tests=tests,
            best=0.9,
            chosen=0.9 - (0.2 if draw == "alike" else 0.1) / tests,
        )
        for draw in answers.DRAWS
        for seed in (1, 2)
        for repeat in (0, 1)
        for tests in (5, 10)
    ]
    one = [
        dict(benchmark="mixdigits", draw=draw, seed=seed, repeat=repeat, tests=tests, value=0.9 + off / tests, true=0.9)
        for draw, seed, tests in product(("alike", "errors"), (1, 2), (5, 10))
        for repeat, off in enumerate((0.3, -0.4))
    ]
    fig = answers.few_tests(pd.DataFrame(one), pd.DataFrame(rows))
    left, right = traces(fig, "all alike")
    assert np.allclose(right.y, [4, 2]) and np.allclose(left.y, 100 * np.sqrt((0.09 + 0.16) / 2) / np.array([5, 10]))
    assert np.allclose(traces(fig, "where errors are likely")[1].y, [2, 1])
    assert len(traces(fig, "where the classifiers differ")) == 1
    assert sum(bool(trace.showlegend) for trace in fig.data) == 3


def test_self_labelling_shows_changes_to_the_same_run_without_pseudo_labels():
    rows = [
        dict(
            benchmark="mixdigits",
            pool=pool,
            choice=choice,
            strategy=name,
            seed=seed,
            share=share,
            accuracy=0.8 + 0.05 * seed - (0.1 * share if (pool, choice) == ("with junk", "of all") else 0),
        )
        for pool in ("with junk", "iD alone")
        for choice in ("of each class", "of all")
        for name in ("first labels", "margin")
        for seed in (1, 2)
        for share in (0.0, 0.5)
    ]
    fig = answers.self_labelling(pd.DataFrame(rows), ["first labels", "margin"])
    *others, bad, good = traces(fig, "Margin")
    assert len(others) == 2 and all(np.allclose(line.y, 0) for line in (*others, good))
    assert np.allclose(bad.y, [0, -5]) and np.allclose(bad.x, [0, 50])
    assert len(traces(fig, "First labels")) == 4
    titles = [note.text for note in fig.layout.annotations]
    assert titles[2:] == ["surest of all, the pool as it is", "surest of all, its unlabelled junk taken out"]
