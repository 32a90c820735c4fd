"""JSON of any content is a value or an error of who reads, with place and reason; nothing costs more than reading it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modalink import json_files
from modalink.errors import CheckpointError, DataError, ModalinkError, PartError

VALUES = [None, True, 0, -1.5, 10**300, "", "word", "\ud800", [], [None], {}, {"a": None}, [[1], {"b": [2]}]]
BROKEN = {
    "nothing": b"",
    "blanks": b" \n\t ",
    "a word": b"nul",
    "an open list": b"[1, 2",
    "an open mapping": b'{"a": ',
    "an open text": b'"abc',
    "a key without quotes": b"{a: 1}",
    "a comma too many": b"[1,]",
    "two values": b"1 2",
    "a control character": b'"\x00"',
    "Latin-1": '"ä"'.encode("latin-1"),
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "bytes": bytes(range(256)),
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep and open": b"[" * 100_000,
    "deep mappings": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep behind words": b'["' + b"[" * 50 + b'",' + b"[" * 101 + b"]" * 102,
    "just too deep": b"[" * 101 + b"]" * 101,
    "a long whole number": b"1" * 5000,
    "a number beyond floats": b"[-" + b"9" * 309 + b"]",
    "many values": b"[" + b"0," * json_files.MOST + b"0]",
    "many lists": b"[" + b"[],[]," * (json_files.MOST // 3) + b"0]",
    "escapes without end": b'"' + b'\\"' * 100_000,
}


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_read_as_they_are(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    assert json_files.read(path, PartError) == value
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(value).encode())
    assert json_files.read(path, PartError) == value


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("error", [CheckpointError, DataError])
def test_what_is_no_json_names_file_reason_and_remedy(
    tmp_path: Path, content: bytes, error: type[ModalinkError]
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(error, match=r"^\S*a\.json: is no JSON.*: .*; restore it$") as caught:
        json_files.read(path, error, remedy="restore it")
    assert len(str(caught.value)) < 500 + len(str(path))


def test_bounds_are_on_the_value_not_on_its_words(tmp_path: Path) -> None:
    words = ["[{" * 200, "1" * 5000, '\\"[' * 300, ",".join("x" * 1000)]
    assert json_files.parse(json.dumps(words), ValueError) == words
    deep = b"[" * json_files.DEEPEST + b"]" * json_files.DEEPEST
    assert json_files.parse(b"[" + deep[1:-1] + b"]", ValueError) == json.loads(deep)
    assert json_files.parse("9" * json_files.DIGITS, ValueError) == int("9" * json_files.DIGITS)


def test_too_long_a_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "LONGEST", 10)
    path = tmp_path / "a.json"
    path.write_text("[1, 2, 3, 4]")
    with pytest.raises(CheckpointError, match=r"a\.json: holds 11 bytes of JSON or more, needed 10 at most"):
        json_files.read(path, CheckpointError)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent.json", "there is no such file"),
        ("", "cannot be read: Is a directory"),
        ("x" * 5000, "cannot be read: File name too long"),
        ("a\0b", "cannot be read"),
        ("a.json/inner", "cannot be read: Not a directory"),
    ],
)
def test_files_that_cannot_be_opened(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "a.json").write_text("1")
    with pytest.raises(PartError, match=reason):
        json_files.read(tmp_path / name, PartError)


@dataclass
class Row:
    step: int
    names: list[str]
    inner: dict[str, float]


GOOD = {"step": 3, "names": ["a"], "inner": {"x": 0.5}}


@pytest.mark.parametrize("value", [value for value in VALUES if value != {}], ids=repr)
@pytest.mark.parametrize("place", ["", "step", "names", "names.0", "inner", "inner.x"])
def test_every_value_in_every_place_fits_or_is_named(place: str, value: Any) -> None:
    """Whatever stands anywhere: the record is what it says, or the error names the key."""
    data: Any = json.loads(json.dumps({"": GOOD}))
    target, last = data, ""
    for step in place.split(".") if place else []:
        target, last = target[last], int(step) if step.isdigit() else step
    target[last] = value
    text = json.dumps(data[""])
    try:
        row = json_files.parse(text, CheckpointError, Row)
    except CheckpointError as error:
        assert f"under {place!r}" in str(error) or f"under '{place}." in str(error) or place == ""
        assert "needed" in str(error) or "missing" in str(error)
    else:
        assert isinstance(row, Row)
        assert type(row.step) is int
        assert all(type(name) is str for name in row.names)
        assert all(type(number) is float for number in row.inner.values())


def test_a_missing_key_is_named() -> None:
    with pytest.raises(CheckpointError, match="the key 'names' is missing"):
        json_files.parse(b'{"step": 1, "inner": {}}', CheckpointError, Row)


def test_lines_are_whole_ones_and_a_bad_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert list(json_files.lines(path, CheckpointError)) == []
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a":')
    assert list(json_files.lines(path, CheckpointError, dict[str, int])) == [{"a": 1}, {"a": 2}]
    for content in [*BROKEN.values(), b'{"a": "x"}', b"[]"]:
        path.write_bytes(b'{"a": 1}\n' + content.replace(b"\n", b" ") + b'\n{"a": 2}\n')
        lines = json_files.lines(path, CheckpointError, dict[str, int], remedy="delete that line")
        assert next(lines) == {"a": 1}
        with pytest.raises(CheckpointError, match=r"a\.jsonl, line 2: .*; delete that line"):
            next(lines)
