"""The figures of many strategies show the table's own numbers, and no reference line is ranked."""

import numpy as np
import pandas as pd
import pytest
from test_metrics import rows

from alkit.study import figures
from alkit.study.analysis import cost_tables, display_names, toy_pool
from alkit.study.figures.label_places import led_labels


@pytest.fixture
def df():
    return pd.concat(
        [
            rows(name, [20, 30 + 3 * seed, end + seed], [0.5, 0.6, accuracy + 0.01 * seed], learner="probe", seed=seed)
            for name, end, accuracy in (("random", 45, 0.7), ("margin", 90, 0.9), ("coreset", 95, 0.8),
                                        ("lfosa", 40, 0.6), ("ddu_gate", 60, 0.65), ("oracle_random", 36, 0.99))
            for seed in (0, 1)
        ],
        ignore_index=True,
    )  # fmt: skip


def bars(figure):
    """(family, method) -> (iD, ambiguous, OoD)."""
    found = {}
    for trace in figure.data:
        for family, name, value in zip(*trace.y, trace.x, strict=True):
            found.setdefault((family, name), []).append(value)
    return found


def test_bars_are_what_was_bought_after_the_initial_set_by_family(df):
    found = bars(figures.bought(df))
    bought = cost_tables.composition(df)
    code = {shown: name for name, shown in display_names.methods(bought["method"]).items()}
    for (_, name), values in found.items():
        own = bought[(bought["method"] == code[name]) & (bought["stage"] > 0)]
        np.testing.assert_allclose(values, own[list(cost_tables.BOUGHT)].sum())
    assert [family for family, _ in found] == [
        "the paper's strategies", "classic", "classic", "for open sets", "past the paper",
        "reference lines, never ranked",
    ]  # fmt: skip


def test_a_strategy_far_beyond_the_others_is_named_and_does_not_squeeze_them(df):
    far = pd.concat([df, *(rows("ddu", [20, 500, 4_000], [0.5, 0.6, 0.7], learner="probe", seed=s) for s in (0, 1))])
    figure = figures.bought(far)
    assert "off the scale: DDU 3,980" in figure.layout.title.text
    assert figure.layout.xaxis.range[1] < 100
    assert "off the scale" not in figures.bought(df).layout.title.text


def test_plane_shows_table_2_and_joins_the_ranked_that_no_other_beats_in_both(df):
    figure, table = figures.plane(df), cost_tables.table2(df)
    front, *families = figure.data
    assert list(front.x) == [40.5, 45.5, 90.5] and list(front.y) == pytest.approx([60.5, 70.5, 90.5])
    shown = {name: (x, y) for trace in families for name, x, y in zip(trace.text, trace.x, trace.y, strict=True)}
    names = display_names.methods(table.index)
    assert set(shown) == set(names.values())
    for name, shown_as in names.items():
        assert shown[shown_as] == tuple(table.loc[name, ["cost_mean", "accuracy_mean"]])


def test_title_of_the_plane_is_what_it_shows():
    several = [
        rows("random", [20, 40], [0.5, 0.8], learner="probe"),
        rows("margin", [20, 100], [0.5, 0.91], learner="probe"),
    ]
    title = figures.plane(pd.concat(several)).layout.title.text
    assert title.startswith("<b>Margin ends highest, 11.0 points above random choice, for 2.5 times the looks</b>")
    worse = [several[0], rows("margin", [20, 100], [0.5, 0.7], learner="probe")]
    assert "Nobody ends above random choice" in figures.plane(pd.concat(worse)).layout.title.text
    assert "What a strategy costs" in figures.plane(several[1]).layout.title.text


def test_plane_draws_the_ceiling_where_it_is_known(df):
    assert not figures.plane(df).layout.shapes
    (line,) = figures.plane(df, ceiling=0.987).layout.shapes
    assert line.y0 == line.y1 == pytest.approx(98.7)


def test_learners_stay_in_the_names_where_there_are_several(df):
    both = pd.concat([df, df[df["strategy"] == "margin"].assign(learner="contrastive")])
    assert {"Margin, probe", "Margin, contrastive"} <= {name for _, name in bars(figures.bought(both))}


def test_forty_names_near_their_marks_meet_no_other_name_no_mark_and_no_edge():
    """Most marks in one corner, as the strategies that cost little are."""
    rng = np.random.default_rng(0)
    across = np.concatenate([rng.uniform(20, 220, 28), rng.uniform(220, 790, 14)])
    up = np.concatenate([rng.uniform(60, 300, 28), rng.uniform(250, 480, 14)])
    names = [f"name {'x' * (i % 12)}{i}" for i in range(42)]
    shift_N2 = led_labels(across, up, names, 805, 490)
    middle_N2 = np.stack([across, up], axis=1) + shift_N2
    half_N2 = np.array([[3.0 * len(name), 6.5] for name in names])
    assert (middle_N2 - half_N2 >= -1e-9).all() and (middle_N2 + half_N2 <= [805, 490]).all()
    for i in range(42):
        apart_N2 = np.abs(middle_N2 - middle_N2[i]) - half_N2 - half_N2[i]
        assert (np.delete(apart_N2, i, axis=0).max(axis=1) >= 0).all(), names[i]
        on_mark_N2 = np.abs(np.stack([across, up], axis=1) - middle_N2[i]) - half_N2[i]
        assert (on_mark_N2.max(axis=1) >= 0).all(), names[i]


def test_a_name_keeps_off_a_line_and_a_lone_one_stays_close():
    one = np.array([100.0]), np.array([100.0]), ["name"]
    near = led_labels(*one, 805, 490)[0]
    assert np.hypot(*near) < 40
    low, high = near - [12, 6.5] + 100, near + [12, 6.5] + 100
    line = np.array([[low[0], 100 + near[1], high[0], 100 + near[1]]])
    moved = led_labels(*one, 805, 490, lines_L4=line)[0]
    assert abs(moved[1] - near[1]) > 6.5 or abs(moved[0] - near[0]) >= 24


def test_numbered_points_show_a_number_for_whoever_was_not_asked_and_the_answer_for_whoever_was():
    toy = toy_pool.pool(3, per_class=4, per_bridge=2, per_island=1)
    assert len(toy.points_N2) == 3 * 4 + 3 * 2 + 4
    asked = [0, 5, 7, 11]
    traces = {trace.name: trace for trace in figures.numbered_points(toy, asked).data}
    assert list(traces["not asked"].text) == [str(i) for i in range(len(toy.points_N2)) if i not in asked]
    shown = [(float(x), float(y)) for name, t in traces.items() if name != "not asked" for x, y in zip(t.x, t.y)]
    assert sorted(shown) == sorted(map(tuple, toy.points_N2[asked].tolist()))
    for k, name in enumerate("ABC"):
        of_class = int((toy.labels_N[asked] == k).sum())
        assert list(getattr(traces.get(f"iD, class {name}"), "text", ())) == [name] * of_class
    with pytest.raises(ValueError, match="numbers 0 to 21, got .99."):
        figures.numbered_points(toy, [99])


def test_the_loop_is_drawn_with_an_arrow_for_each_step_and_texts_that_stand_in_their_boxes():
    drawn = figures.loop()
    assert sum(bool(a.showarrow) for a in drawn.layout.annotations) == 6 and len(drawn.layout.shapes) == 6
    for word in ("pool", "strategy", "annotator", "labels", "learner", "accuracy"):
        assert any(f"<b>{word}</b>" in a.text for a in drawn.layout.annotations)
