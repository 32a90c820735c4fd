"""YAML of any content is plain data with its lines, or an error that names the line; nothing costs more than reading."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modalink.errors import CheckpointError, OptionError, RecipeError
from modalink.yaml_files import DEEPEST, DIGITS, MOST, Document, parse, read


def document(text: str) -> Document:
    return parse(text, "r.yaml", RecipeError)


def test_values_keep_their_lines() -> None:
    found = document("a: 1\nb:\n  - x: 2\n    y: 1e-3\n")
    assert found.data == {"a": 1, "b": [{"x": 2, "y": 0.001}]}
    assert found.place(("b", 0, "y")) == "r.yaml, line 4"
    assert found.place(("b", 0, "z")) == "r.yaml, line 3"  # what is not there stands where its mapping stands


def test_what_one_reader_changes_no_other_sees() -> None:
    text = "a: {b: [1, {c: 2}]}\n"
    first = document(text)
    first.data["a"]["b"][1]["c"], first.places[("a",)] = 3, "elsewhere"
    del first.data["a"]["b"][0]
    again = document(text)
    assert again.data == {"a": {"b": [1, {"c": 2}]}} and again.place(("a",)) == "r.yaml, line 1"
    assert parse(text, "s.yaml", RecipeError).place(("a",)) == "s.yaml, line 1"


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("2E5", 2e5), ("-1.5e+2", -150.0), ("1e-3x", "1e-3x"), ("8", 8), ("", None)]
)
def test_numbers_are_read_as_people_write_them(text: str, value: Any) -> None:
    found = document(text).data
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n",
        "a: &a {x: 1}\nb: &b {x: 2, z: 4}\nc: {<<: [*a, *b], y: 3}\nd: {y: 0, <<: [*b, *a]}\n",
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b}\n",
        "a: &a [1, {x: 2}]\nb: [*a, *a]\n",
    ],
)
def test_anchors_and_merge_keys_mean_what_they_mean_to_yaml(text: str) -> None:
    assert document(text).data == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", "r.yaml, line 4, b.c: this key was given before; keep one"),
        ("a:\n\tb: 1\n", "r.yaml, line 2: found a tab, needed spaces: YAML indents with spaces only"),
        ("a: [1, 2\nb: 3\n", "r.yaml, line 2: this is no YAML: expected ',' or ']', but got ':'"),
        ("a: &a [*a]\n", "r.yaml, line 1: deeper than 50 levels; does an anchor hold itself?"),
        ("a: &a {<<: *a}\n", "r.yaml, line 1: deeper than 50 levels; does an anchor hold itself?"),
        ("a: 1\n---\nb: 2\n", "r.yaml, line 2: this is no YAML: but found another document"),
        ("? [1, 2]\n: 3\n", "r.yaml, line 1: a key must be a word, not a list or mapping"),
        ("a: !x y\n", "r.yaml, line 1: this is no YAML: could not determine a constructor for the tag '!x'"),
        ("a: \x07\n", "r.yaml, line 1: found '\\x07', which YAML forbids"),
        ("a:\n  <<: 3\n", "r.yaml, line 2: a merge key `<<` needs mappings"),
    ],
)  # fmt: skip
def test_bad_yaml_is_answered_with_its_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        document(text)
    assert str(caught.value) == message


TAGS = [
    "int",
    "float",
    "bool",
    "null",
    "timestamp",
    "binary",
    "str",
    "seq",
    "map",
    "set",
    "omap",
    "pairs",
    "merge",
    "value",
]
TEXTS = [
    "abc",
    "''",
    "2020-13-01",
    "2020-01-01 99:99:99",
    "0x",
    "1_",
    ".",
    "-",
    "+.",
    "=",
    "~",
    "ä",
    "0b2",
    "09",
    "1:99:99",
    "[]",
    "{}",
    "[a]",
    "{a: 1}",
    "|\n  x",
]


@pytest.mark.parametrize(
    "tag", ["", *(f"!!{tag} " for tag in TAGS), "!!python/name:os.system ", "!!python/object/apply:os.system "]
)
def test_every_tag_before_every_value_is_data_or_an_error_with_its_line(tag: str) -> None:
    """PyYAML's constructors raise ValueError, KeyError, AttributeError, TypeError, ... on their way through bad values."""
    for text in TEXTS:
        for place in (f"a:\n  {tag}{text}\n", f"a:\n- b\n- {tag}{text}\n", f"x: 1\n? {tag}{text}\n: b\n"):
            try:
                document(place)
            except RecipeError as error:
                assert re.match(r"r\.yaml, line [2-5]", str(error)), (place, error)


def nested(depth: int) -> list[str]:
    return [
        "[" * depth,
        "[" * depth + "]" * depth,
        "{a: " * depth + "1" + "}" * depth,
        "".join(f"{' ' * i}a:\n" for i in range(depth)),
        "".join(f"{' ' * i}-\n" for i in range(depth)),
        "- " * depth + "1",
        "? " * depth + "1",
        "&a " + "[[" * depth,
    ]


@pytest.mark.parametrize("text", nested(1000))
def test_deep_yaml_is_refused_before_it_is_built(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^r\.yaml, line \d+: "):
        document(text)


def test_depth_within_the_bound_is_read() -> None:
    assert document("[" * (DEEPEST - 1) + "1" + "]" * (DEEPEST - 1)).data


BOMBS = {
    "aliases": "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40)),
    "mappings": "a0: &a0 {x: 1}\n"
    + "".join(f"a{i}: &a{i} {{{', '.join(f'k{k}: *a{i - 1}' for k in range(9))}}}\n" for i in range(1, 40)),
    "merges": "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k{i}: 1}}\n" for i in range(1, 40)),
    "merges of one": "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\nb: {<<: [" + ", ".join(["*a"] * 5000) + "]}\n",
    "a chain of merges": "{a0: &a0 {x: 1}, " + ", ".join(f"a{i}: &a{i} {{<<: *a{i - 1}}}" for i in range(1, 3000)) + ", <<: *a2999}",
    "many values": "[" + "1," * (MOST + 1) + "]",
    "many lines": "a\n" * 600_000,
}  # fmt: skip


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_what_grows_beyond_the_bounds_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^r\.yaml(, line \d+)?: (.*deeper than|.*more than|holds )"):
        document(text)


@pytest.mark.parametrize("number", ["1" * 5000, "-" + "9" * 310, "1" * 400 + ".0", "1_" * 300 + "1", "0x" + "f" * 4000])
def test_long_numbers_are_refused(number: str) -> None:
    with pytest.raises(RecipeError, match=r"^r\.yaml, line 2: found '.*\.\.\..*', which is no (int|float) of YAML$"):
        document(f"a:\n  {number}\n")
    assert document(f'"{number}"').data == number
    assert document("9" * DIGITS).data == int("9" * DIGITS)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", "a: 1".encode("utf-16"), bytes(range(256)), b"\x80", b"[" * 5000, b"a: [", b"!!python/object:os.system {}", b"a: b: c"],
)  # fmt: skip
@pytest.mark.parametrize("error", [CheckpointError, OptionError])
def test_a_damaged_file_is_named_with_its_remedy(tmp_path: Path, content: bytes, error: type[ValueError]) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(error, match=r"^\S*r\.yaml(, line \d+)?: .*; restore it$"):
        read(tmp_path / "r.yaml", error, remedy="restore it")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"r\.yaml: there is no such file"):
        read(tmp_path / "r.yaml", CheckpointError)
    with pytest.raises(CheckpointError, match="cannot be read: File name too long"):
        read(tmp_path / ("x" * 5000), CheckpointError)
