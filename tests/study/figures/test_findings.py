"""Titles say what the numbers say, and ask where they say nothing."""

import numpy as np
import pandas as pd
import pytest

from alkit.study.figures import findings

NAMES = {"random, probe": "Random", "margin, probe": "Margin", "cautious_coverage, probe": "Cautious coverage"}


def ends(accuracy, cost):
    return pd.DataFrame({"accuracy_mean": accuracy, "cost_mean": cost}, index=list(NAMES))


@pytest.mark.parametrize(
    ("accuracy", "cost", "said", "told"),
    [
        ([90, 97, 96.6], [300, 500, 300], "Cautious coverage ends within 0.4 points of the best for 40 % fewer looks",
         ["cautious_coverage, probe", "margin, probe", "random, probe"]),
        ([90, 97, 95], [300, 600, 300], "Margin ends highest, 7.0 points above random choice, for 2.0 times the looks",
         ["margin, probe", "random, probe"]),
        ([90, 97, 95], [300, 310, 300], "Margin ends highest, 7.0 points above random choice, for about as many looks",
         ["margin, probe", "random, probe"]),
        ([98, 97, 95], [300, 310, 300], "Nobody ends above random choice", ["random, probe"]),
    ],
)  # fmt: skip
def test_ends_name_the_cheap_one_near_the_best_else_the_best(accuracy, cost, said, told):
    assert findings.of_ends(ends(accuracy, cost), NAMES) == (said, told)


def test_ends_of_equal_labels_speak_of_accuracy_alone():
    title, told = findings.of_ends(ends([90, 91, 89], [1, 1, 1]), NAMES, same_labels=True)
    assert title == "For as many labels, Margin ends 1.0 points above random choice".replace("1.0 points", "1.0 point")
    assert told == ["margin, probe", "random, probe"]


@pytest.mark.parametrize(
    ("mean", "p", "said"),
    [
        ([2, 1, -1], [0.01, 0.2, 0.01], "1 of 3 strategies are ahead of Random, 1 behind"),
        ([2, 1, -1], [0.01, 0.01, 0.2], "2 of 3 strategies are ahead of Random, none behind"),
        ([-2, -1, 1], [0.01, 0.01, 0.2], "Random is ahead of 2 of 3 strategies, behind none"),
        ([2, 1, -1], [0.2, 0.2, 0.2], "Not one of 3 strategies is surely better or worse than Random"),
    ],
)
def test_differences_count_what_the_test_is_sure_of(mean, p, said):
    table = pd.DataFrame({"mean": mean, "p_holm": p})
    assert findings.of_differences(table, "Random", more=True, level=0.05) == said
    assert findings.of_differences(table.assign(mean=-table["mean"]), "Random", more=False, level=0.05) == said


def test_other_titles_take_their_numbers_from_what_is_drawn():
    loss, none = pd.Series([5.0, 4.0, 3.5]), pd.Series([], dtype=float)
    assert findings.of_losses(loss, none) == findings.of_losses(loss, loss) == "The loss falls from 5.00 to 3.50"
    assert findings.of_losses(loss, -loss).endswith("3.50, that of unlabelled images rises")
    assert findings.of_losses(pd.Series([5.0, 5.001]), none) == "Training loss"
    share = pd.DataFrame([[np.nan, 1, 0.5], [0, np.nan, 0], [0, 1, np.nan]], list(NAMES), list(NAMES))
    assert findings.of_wins(share, NAMES).startswith("Random beats another in 75 % of comparisons and loses 0 %")
    assert findings.of_wins(share * 0, NAMES) == "Nobody beats anybody"
    chance = pd.Series([0.1, 0.7, 0.2], list(NAMES))
    assert findings.of_chances(chance, NAMES) == "Margin is the best for the same money with a probability of 70 %"
    assert "No strategy is likely" in findings.of_chances(chance.clip(upper=0.4), NAMES)
    seconds = pd.DataFrame(
        {"train_seconds": [1.0, 3.0], "choose_seconds": [0.0, 1.0]}, ["random, probe", "margin, probe"]
    )
    assert findings.of_seconds(seconds, NAMES) == "A run of Margin takes 4.0 times as long as one of Random"
    assert findings.of_seconds(seconds[:1], NAMES) == "Training takes 100 % of the time"
    assert (
        findings.of_seeds(11, np.array([0.5, 1, 2]), [90, 11, 5])
        == "11 seeds show a difference of 1.0 points, not much less"
    )
    assert findings.of_seeds(3, np.array([0.5, 1, 2]), [90, 11, 5]) == "3 seeds show none of these differences"
    table = pd.DataFrame({"mean": [-1.0, -2.0], "p_holm": [0.2, 0.3]}, ["twice the caution", "without doubt"])
    assert findings.of_ablation(table, 0.05) == "No ingredient is sure to matter"
    assert findings.of_ablation(table[:1], 0.05).startswith("Twice the caution makes no sure difference")
    lost = findings.of_ablation(table.assign(p_holm=[0.2, 0.01]), 0.05)
    assert lost == "Most is lost without doubt: 2.0 points of accuracy for the same money"
