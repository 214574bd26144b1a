"""The figures of notebook 6 show the numbers of `across`, `choice` and `paired`, and say what they leave out."""

import numpy as np
import pytest
from test_select_runs import tables

from alkit.study import figures
from alkit.study.analysis import display_names, paired_differences, ranking, recommend, select_runs, variance
from alkit.study.figures import recommend as recommend_figures


@pytest.fixture(scope="module")
def found():
    return select_runs.union(tables())


@pytest.fixture(scope="module")
def block(found):
    return select_runs.of_learner(found, "probe")


def test_learners_stand_in_a_row_per_strategy_at_their_difference_to_random_on_the_first(found):
    (crossing,) = variance.crossings(found)
    fig = figures.learners(crossing)
    spans, supervised, probe = fig.data
    expected = paired_differences.differences(paired_differences.per_run(crossing), "Random")
    shown = dict(zip(probe.y, probe.x, strict=True))
    assert shown["Margin"] == pytest.approx(expected.loc["margin, probe", "mean"])
    assert dict(zip(supervised.y, supervised.x, strict=True))["Random"] == 0
    assert len(set(spans.y)) == 4 and fig.layout.yaxis.categoryarray[0] == "Margin"
    lines = [shape.x0 for shape in fig.layout.shapes]
    assert lines == [0, pytest.approx(expected.loc["random, probe", "mean"])]
    filled = {name for name, symbol in zip(probe.y, probe.marker.symbol, strict=True) if "open" not in symbol}
    sure = [name for name in expected.index if name.endswith("probe") and expected.loc[name, "p_holm"] < 0.05]
    assert filled == {display_names.strategy(name.partition(",")[0]) for name in sure}


def test_bars_of_the_spread_add_up_to_100(found):
    (crossing,) = variance.crossings(found)
    fig = figures.shares(crossing)
    assert [trace.name for trace in fig.data] == list(variance.PARTS)
    np.testing.assert_allclose(sum(np.array(trace.x) for trace in fig.data), 100)
    share = variance.shares(paired_differences.per_run(crossing), "cost")["share"]
    assert fig.data[1].x[2] == pytest.approx(100 * share["strategy"])
    assert "2 learners (supervised and probe) x 4 strategies" in fig.layout.title.text


def test_agreement_names_what_is_significant_somewhere(block):
    one = paired_differences.strategy_differences(block)
    joint = variance.agreement(one, one.assign(mean=-one["mean"], p_holm=1.0))
    fig = figures.agreement(joint, "here", "there")
    code = {display_names.strategy(name): name for name in joint.index}
    written = {note.text for note in fig.layout.annotations if note.name == "mark"}
    for trace in fig.data:
        for x, y, name in zip(trace.x, trace.y, trace.hovertext, strict=True):
            row = joint.loc[code[name]]
            assert (x, y) == (row["mean_one"], row["mean_other"])
            assert (name in written) == (row["p_holm_one"] < 0.05)
    assert "0 of 3 strategies gain in both places, or lose in both" in fig.layout.title.text
    assert "rank correlation -1.00" in fig.layout.title.text
    assert fig.layout.xaxis.title.text.startswith("here") and fig.layout.yaxis.title.text.startswith("there")


def test_scorecard_has_every_number_and_marks_what_is_sure(block):
    fig = figures.scorecard(block, "random, probe", 72)
    heat, better, worse, _ = fig.data
    table = recommend.scores(block, "random, probe", 72)
    columns = list(recommend_figures.SCORECARD)
    assert columns[0] == "area" and set(columns) <= {*paired_differences.NUMBERS, "to_target"}
    assert heat.z.shape == (len(table), 1) and set(heat.x) == {0}  # one number has a ground in colour
    assert sum(len(trace.text) for trace in fig.data[1:]) == len(columns) * len(table)
    cells = {(x, y): text for trace in fig.data[1:] for x, y, text in zip(trace.x, trace.y, trace.text, strict=True)}
    assert cells[1, "Margin"] == f"\u25b2 {table.loc['margin, probe', 'accuracy']:.1f}"
    assert cells[2, "Margin"].startswith("\u25bc") and cells[3, "LfOSA"] == "-"
    assert cells[4, "Margin"].endswith(f"{100 * table.loc['margin, probe', 'purity']:.0f} %")
    ahead, behind = (int((table["better_area"] == sign).sum()) for sign in (1, -1))
    assert fig.layout.title.text.startswith(f"<b>{ahead} of 3 strategies") and int((heat.z == 1).sum()) == ahead
    assert f"{behind or 'none'} less" in fig.layout.title.text
    assert all(text[0] == "\u25b2" for text in better.text) and all(text[0] == "\u25bc" for text in worse.text)
    assert fig.layout.xaxis.ticktext[3] == "looks to<br>72 %"


def test_chances_of_the_best_are_rankings_own_and_the_rest_is_counted(block):
    fig = figures.best(block)
    chance = ranking.probability_of_best(paired_differences.per_run(block), "accuracy")
    shown = dict(zip(fig.data[1].y, fig.data[1].x, strict=True))
    assert shown["Margin"] == pytest.approx(100 * chance["margin, probe"])
    hidden = 4 - len(shown)
    assert (f"{hidden} others are below 2 %" in fig.layout.title.text) == (hidden > 0)


def test_seeds_needed_fall_with_the_difference_and_rise_with_the_comparisons(block):
    fig = figures.seeds_for(block, "random, probe")
    alone, corrected = (trace for trace in fig.data if trace.mode == "lines" and trace.showlegend is None)
    assert list(alone.y) == sorted(alone.y, reverse=True) and all(np.array(corrected.y) >= np.array(alone.y))
    wide = paired_differences.pairs(paired_differences.per_run(block), "random, probe")
    middle = wide[wide.std().sort_values().index[1]]
    assert alone.y[4] == paired_differences.seeds_of(middle, alone.x[4]) and corrected.y[
        4
    ] == paired_differences.seeds_of(middle, alone.x[4], 3)
    assert any("these tables: 16 seeds" in note.text for note in fig.layout.annotations)
    with pytest.raises(ValueError, match="this table has one"):
        figures.seeds_for(block[block["seed"] == 0], "random, probe")


def test_sections_of_notebook_6_draw_what_there_is_and_say_what_is_missing(found, block, monkeypatch):
    kept, displayed = {}, []
    monkeypatch.setattr("IPython.display.display", displayed.append)

    def keep(figure, kind):
        kept[kind] = figure
        return figure

    drawn = {
        **figures.of_learners(variance.crossings(found)),
        **figures.of_strategies(block, "random, probe", 72),
        **figures.of_places(block, found, {}, ("mixdigits", "mixmnist")),
        **figures.of_choice(block),
    }
    figures.show({kind: drawn[kind] for kind in ("all_learners", "elsewhere", "best")}, keep)
    more, elsewhere, figure = displayed
    assert more.data.startswith("Not drawn, all_learners: no crossing has more learners")
    assert elsewhere.data.startswith("Not drawn, elsewhere: ") and figure is kept["best"]
    assert list(kept) == ["best"] and {"learners", "shares", "scorecard", "wins", "seeds"} < set(drawn)
    one = figures.of_strategies(block[block["seed"] == 0], "random, probe", 72)
    assert [kind for kind, figure in one.items() if isinstance(figure, str)] == ["differences", "wins", "seeds"]
    assert set(figures.of_learners([]).values()) == {
        "no two learners share random and another strategy in these tables"
    }
