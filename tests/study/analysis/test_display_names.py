"""Every strategy has one name, whatever table or figure it stands in."""

import pytest

from alkit.acquisition import STRATEGIES
from alkit.explorer.palette import HIGHLIGHTED, METHOD_STYLE
from alkit.study.analysis import display_names


def test_every_registered_strategy_has_a_name_of_its_own_and_every_style_is_of_one():
    own = {name for name, known in STRATEGIES.items() if known.function.__module__.startswith("alkit.")}
    assert own == set(display_names.STRATEGIES)
    names = list(display_names.STRATEGIES.values())
    assert len(set(names)) == len(names) and not any("_" in name for name in names)
    assert set(HIGHLIGHTED) <= set(METHOD_STYLE) <= {*names, "DDU (spectral norm)"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cautious_coverage", "Cautious coverage"),
        ("cautious_coverage, caution=2", "Cautious coverage, caution=2"),
        ("similar, initial=strategy", "SIMILAR, own first labels"),
        ("of_a_notebook", "Of a notebook"),
    ],
)
def test_strategies_keep_their_options_and_unknown_ones_their_words(name, shown):
    assert display_names.strategy(name) == shown


def test_the_learner_is_named_where_it_differs_and_nowhere_else():
    one = ["margin, probe(auxiliary=all)", "alfa_mix, probe(auxiliary=all), variant=code"]
    assert list(display_names.methods(one).values()) == ["Margin", "ALFA-Mix, variant=code"]
    two = display_names.methods([*one, "margin, probe"])
    assert list(two.values()) == [
        "Margin, probe(auxiliary=all)", "ALFA-Mix, probe(auxiliary=all), variant=code", "Margin, probe",
    ]  # fmt: skip
    six = display_names.methods(["cautious_coverage, contrastive", "Distance(CL), filter=off", "random, contrastive"])
    assert list(six.values()) == ["Cautious coverage", "Distance(CL)", "Random"]  # all on contrastive


def test_the_papers_contrastive_methods_have_no_filter_and_others_say_that_they_have_one():
    names = ["Random", "Random(CL), filter=off", "Distance(CL), filter=off", "Distance(CL)"]
    shown = ["Random", "Random(CL)", "Distance(CL)", "Distance(CL), filter=on"]
    assert list(display_names.methods(names).values()) == shown


def test_pools_have_their_names():
    assert display_names.pool("mixdigits") == "MixDigits"
    assert display_names.pool("mixcifar60-house_numbers-scenes") == "MixCIFAR60 (house_numbers-scenes)"
