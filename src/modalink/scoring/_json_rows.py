"""Rows of JSON: an array, an object keyed by id, an object that holds either under a name; and of JSON lines."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from modalink import json_files
from modalink.errors import DataError, brief, shown
from modalink.scoring._json_text import DECODER, JsonText, KeyTwiceError
from modalink.scoring._row import Limits, Row, shown_path


def json_rows(path: Path, inside: tuple[str, ...], limits: Limits) -> Iterator[Row]:
    """The rows of a file; those of an object that holds them under a name of `inside`."""
    name = shown_path(path)
    with path.open(encoding="utf-8-sig") as file:
        text = JsonText(file, path, limits)
        first = text.peek()
        if first == "":
            raise DataError(f"{name}: the file is empty")
        if first == "[":
            yield from (Row.of(f"{name}, item {n}", value) for n, value in enumerate(text.items(), 1))
            text.end()
            return
        lines = path.suffix == ".jsonl" or text.holds_lines()
    if lines:
        yield from json_lines(path, limits)
        return
    with path.open(encoding="utf-8-sig") as file:
        yield from _members(JsonText(file, path, limits), path, inside)


def _members(text: JsonText, path: Path, inside: tuple[str, ...]) -> Iterator[Row]:
    """Rows of one object: of the array or object that it holds under a name of `inside`, else its members."""
    held: list[Row] | None = []
    name = shown_path(path)
    for key in text.keys():  # noqa: SIM118 - a method of ours, not a mapping's
        if held is not None and key in inside and text.peek() in ("[", "{"):
            yield from _entries(text, path, key)
            return
        row = Row.of(f"{name}, key {shown(key)}", text.value(), key)
        # What stands before the named array is a header of a few members; an object keyed by id has no such name.
        if held is not None and inside and len(held) < 64:
            held.append(row)
            continue
        yield from held or ()
        held = None
        yield row
    yield from held or ()


def _entries(text: JsonText, path: Path, key: str) -> Iterator[Row]:
    """Rows of the array or object that comes next."""
    where = f"{shown_path(path)}, {key}"
    if text.peek() == "[":
        yield from (Row.of(f"{where} {n}", value) for n, value in enumerate(text.items(), 1))
    else:
        for name in text.keys():  # noqa: SIM118
            yield Row.of(f"{where} {brief(name)}", text.value(), name)


def member_rows(path: Path, name: str, limits: Limits) -> Iterator[Row]:
    """The rows that an object holds under a name; none where the file is no object."""
    with path.open(encoding="utf-8-sig") as file:
        text = JsonText(file, path, limits)
        if text.peek() != "{" or text.holds_lines():
            return
    with path.open(encoding="utf-8-sig") as file:
        text = JsonText(file, path, limits)
        for key in text.keys():  # noqa: SIM118
            if text.peek() not in ("[", "{"):
                text.value()
                continue
            for row in _entries(text, path, key):
                if key == name:
                    yield row


def json_lines(path: Path, limits: Limits) -> Iterator[Row]:
    """The rows of a file with a value a line."""
    name = shown_path(path)
    with path.open(encoding="utf-8-sig") as file:
        number = 0
        while line := file.readline(limits.longest):
            number += 1
            where = f"{name}, line {number}"
            if len(line) == limits.longest:
                raise DataError(f"{where}: longer than {limits.longest} characters; is the file damaged?")
            if not line.strip():
                continue
            try:
                yield Row.of(where, json_files.parse(line, partial(_damaged, where, line), loads=DECODER.decode))
            except KeyTwiceError as error:
                raise _damaged(where, line, str(error)) from error


def _damaged(where: str, line: str, what: str) -> DataError:
    return DataError(f"{where}: {what}; found {line[:60]!r}")
