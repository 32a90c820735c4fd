import pytest

from modalink.errors import RecipeError
from modalink.recipe.yaml_lines import read, read_value


def test_values_keep_their_lines():
    document = read("a: 1\nb:\n  - x: 2\n    y: 1e-3\n", "r.yaml")
    assert document.data == {"a": 1, "b": [{"x": 2, "y": 0.001}]}
    assert document.place(("b", 0, "y")) == "r.yaml, line 4"
    assert document.place(("b", 0, "z")) == "r.yaml, line 3"  # what is not there stands where its mapping stands


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("2E5", 2e5), ("-1.5e+2", -150.0), ("1e-3x", "1e-3x"), ("8", 8), ("", None)]
)
def test_numbers_are_read_as_people_write_them(text, value):
    found = read_value(text, "here")
    assert found == value and type(found) is type(value)


def test_anchors_and_merge_keys_work():
    assert read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", "r.yaml").data["b"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", "r.yaml, line 4, b.c: this key was given before; keep one"),
        ("a:\n\tb: 1\n", "r.yaml, line 2: found a tab, needed spaces: YAML indents with spaces only"),
        ("a: [1, 2\nb: 3\n", "r.yaml, line 2: this is no YAML: expected ',' or ']', but got ':'"),
        ("a: &a [*a]\n", "r.yaml, line 1: deeper than 50 levels; does an anchor hold itself?"),
        ("a: 1\n---\nb: 2\n", "r.yaml, line 2: this is no YAML: but found another document"),
        ("? [1, 2]\n: 3\n", "r.yaml, line 1: a key must be a word, not a list or mapping"),
        ("a: !x y\n", "r.yaml, line 1: this is no YAML: could not determine a constructor for the tag '!x'"),
        ("a: \x07\n", "r.yaml, line 1: found '\\x07', which YAML forbids"),
    ],
)  # fmt: skip
def test_bad_yaml_is_answered_with_its_line(text, message):
    with pytest.raises(RecipeError) as caught:
        read(text, "r.yaml")
    assert str(caught.value) == message
