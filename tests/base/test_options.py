"""One validator of names and values: what passes, what does not, and what the errors say."""

from typing import Annotated, Literal

import pytest

from alkit.options import Range, check_name, check_value, describe, fits

QUANTILE, AT_LEAST_ONE, RATE = (
    Annotated[float, Range(0, 1)],
    Annotated[int, Range(1)],
    Annotated[float, Range(0, 1, True)],
)


@pytest.mark.parametrize(
    ("annotation", "passes", "fails"),
    [
        (bool, [True, False], [0, 1, "True", None, 1.0]),
        (int, [0, -3], [True, 1.0, "1", None]),
        (float, [0, -1.5, 2], [True, "1", float("nan"), float("inf"), None, 1j]),
        (str, ["", "a"], [1, None]),
        (list, [[], [1]], [(), "a"]),
        (dict, [{}], [[], None]),
        (Literal["a", 1], ["a", 1], ["b", True, 1.0, None]),
        (tuple[int, int], [(1, 2)], [(1,), (1, 2, 3), [1, 2], (1, "2"), (1, True), 1]),
        (tuple[float, ...], [(), (0.5,), (1, 2.5)], [(1, None), 0.5, [0.5]]),
        (QUANTILE, [0, 1, 0.5], [-1e-9, 1.01, True, float("nan")]),
        (AT_LEAST_ONE, [1, 10**9], [0, -1, 1.5]),
        (RATE, [1, 1e-9], [0, 0.0, 1.1]),
        (Annotated[tuple[int, int], Range(0, above=True)], [(1, 2)], [(0, 1), (1, -1)]),
    ],
)
def test_values_are_held_against_the_annotated_type_strictly(annotation, passes, fails):
    assert [value for value in passes if not fits(value, annotation)] == []
    assert [value for value in fails if fits(value, annotation)] == []


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (bool, "True or False"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "a mapping of names to values"),
        (Literal["a", "b"], "one of a, b"),
        (tuple[int, int, int], "3 values, each a whole number"),
        (Annotated[tuple[float, ...], Range(0)], "some values, each a number from 0 up"),
        (QUANTILE, "a number from 0 to 1"),
        (RATE, "a number above 0 and at most 1"),
        (AT_LEAST_ONE, "a whole number from 1 up"),
        (Annotated[float, Range(0, above=True)], "a number above 0"),
        (Annotated[float, Range(high=3)], "a number of at most 3"),
    ],
)
def test_the_error_says_what_a_value_must_be(annotation, said):
    assert describe(annotation) == said
    with pytest.raises(ValueError) as error:
        check_value(None, annotation, "rate")
    assert str(error.value) == f"rate must be {said}, got None"


def test_unknown_names_come_with_the_closest_and_all_that_are_known():
    check_name("margin", ["margin", "entropy"], "strategy")
    for name, known, how, said in [
        ("margn", ["margin", "entropy"], {"what": "strategy"},
         "unknown strategy 'margn' (did you mean 'margin'?); known: margin, entropy"),
        ("zzz", {"margin": 1}, {"what": "strategy"}, "unknown strategy 'zzz'; known: margin"),
        ("k", [], {"what": "option", "of": "strategy 'margin'"}, "strategy 'margin' has no option 'k'; it has: none"),
        ("share", ["shore"], {"of": "a recipe"}, "a recipe has no 'share' (did you mean 'shore'?); it has: shore"),
        (3, ["a"], {"what": "strategy"}, "unknown strategy 3; known: a"),
    ]:  # fmt: skip
        with pytest.raises(ValueError) as error:
            check_name(name, known, **how)
        assert str(error.value) == said
