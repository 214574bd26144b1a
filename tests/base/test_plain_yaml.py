"""YAML as people write it: a value is what it looks like, or is refused with a reason."""

import pytest
import yaml

from alkit import plain_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("abc", "abc"), ("3", 3), ("-3", -3), ("0", 0), ("0.5", 0.5), ("1e-3", 0.001), ("true", True),
        ("'010'", "010"), ("[a, 1]", ["a", 1]), ("{stop_id: 150}", {"stop_id": 150}),
        ("a: &x 1\nb: *x", {"a": 1, "b": 1}),
        ("- &x {a: 1, b: 2}\n- <<: *x\n  b: 3", [{"a": 1, "b": 2}, {"a": 1, "b": 3}]),
    ],
)  # fmt: skip
def test_plain_values_are_read(text, value):
    found = plain_yaml.load(text, "it")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("010", "010 would be a number in base 8 or 60"),
        ("-017", "base 8 or 60"),
        ("1:30", "1:30 would be"),
        ("1:30.5", "base 8 or 60"),
        ("a: 1\na: 2", "'a' is given more than once (line 2)"),
        ("&a [*a]", "a value is within itself"),
        ("&a {b: {c: *a}}", "a value is within itself"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("2024-01-01", "a timestamp is not understood"),
        ("!!set {a}", "a set is not understood"),
        ("[a", "expected ',' or ']'"),
        ("? [1]\n: 2", "[1] is no name"),
        ("[" * 2000, "it cannot be read"),
        ("\n".join([f"- &l{i} [{', '.join([f'*l{i - 1}'] * 9 if i else ['x'])}]" for i in range(9)]), "100,000 values"),
    ],
)
def test_what_does_not_mean_what_it_looks_like_is_refused(text, said):
    with pytest.raises(ValueError, match="^it cannot be read") as error:
        plain_yaml.load(text, "it")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_pyyaml_would_have_read_them_otherwise():
    assert yaml.safe_load("010") == 8 and yaml.safe_load("1:30") == 90 and yaml.safe_load("{a: 1, a: 2}") == {"a": 2}
