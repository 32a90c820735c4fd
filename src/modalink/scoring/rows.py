"""Rows of the files that hold predictions and annotations, one at a time, so that their size does not matter.

JSON (an array, an object keyed by id, an object that holds either under a name), JSON lines, CSV, TSV, XLSX, and text
with one value a line. JSON lines are known by their content, since several benchmarks ship them as `.json`.
"""

import csv
import itertools
import json
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from io import TextIOBase
from pathlib import Path
from typing import Any

from modalink import json_files
from modalink.errors import DataError, MissingExtraError, brief, shown


class _KeyTwiceError(ValueError):
    """A mapping has a key twice, of which the last would win."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _KeyTwiceError(f"found the key {shown(twice)} twice in one mapping, needed every key once")
    return fields


_decoder = json.JSONDecoder(object_pairs_hook=_once)
_plain_decoder = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is held at once, in characters."""

    chunk: int = 1 << 20
    """What is read at once."""
    longest: int = 1 << 26
    """What one row may have; a file that exceeds it is taken for damaged."""


_LIMITS = Limits()
LARGEST_BOOK = 1 << 28
"""Bytes that a workbook may have when it is unpacked."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its fields, where it is for messages, and its key where the file is an object keyed by id."""

    where: str
    fields: Mapping[str, Any]
    key: str | None = None


def read_rows(path: Path, inside: tuple[str, ...] = (), limits: Limits = _LIMITS) -> Iterator[Row]:
    """The rows of a file, by its suffix.

    Args:
        path: A .json, .jsonl, .csv, .tsv, .xlsx or .txt file.
        inside: Names under which an object may hold its rows, for example `("annotations",)`.
        limits: How much is held at once.

    Raises:
        DataError: The file is missing, of another kind, not UTF-8, or damaged; the message says where.
    """
    readers = {".csv": _csv, ".tsv": _csv, ".xlsx": _xlsx, ".txt": _lines}
    with _reading(path):
        if not path.is_file():
            raise DataError(f"{shown_path(path)}: no such file")
        if path.suffix in readers:
            yield from readers[path.suffix](path, limits)
        elif path.suffix in (".json", ".jsonl"):
            yield from _json(path, inside, limits)
        else:
            raise DataError(
                f"{shown_path(path)}: found a {brief(path.suffix) or 'nameless'} file, needed .json, .jsonl, .csv, "
                ".tsv, .xlsx or .txt"
            )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Says of which file it is that cannot be read."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shown_path(path)}: not UTF-8 text ({error.reason} near byte {error.start}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{shown_path(path)}: cannot be read ({error.strerror or error})") from error


def shown_path(path: Path) -> str:
    """A file as messages name it: the path as it was given, for several files may have one name."""
    text = str(path)
    return brief(text if len(text) <= 200 else f"...{text[-200:]}", 210)


def _row(where: str, value: Any, key: str | None = None) -> Row:
    return Row(where, value if isinstance(value, dict) else {"value": value}, key)


def _json(path: Path, inside: tuple[str, ...], limits: Limits) -> Iterator[Row]:
    name = shown_path(path)
    with path.open(encoding="utf-8-sig") as file:
        text = _Text(file, path, limits)
        first = text.peek()
        if first == "":
            raise DataError(f"{name}: the file is empty")
        if first == "[":
            yield from (_row(f"{name}, item {n}", value) for n, value in enumerate(text.items(), 1))
            text.end()
            return
        lines = path.suffix == ".jsonl" or text.holds_lines()
    if lines:
        yield from _json_lines(path, limits)
        return
    with path.open(encoding="utf-8-sig") as file:
        yield from _members(_Text(file, path, limits), path, inside)


def _members(text: "_Text", path: Path, inside: tuple[str, ...]) -> Iterator[Row]:
    """Rows of one object: of the array or object that it holds under a name of `inside`, else its members."""
    held: list[Row] | None = []
    name = shown_path(path)
    for key in text.keys():  # noqa: SIM118 - a method of ours, not a mapping's
        if held is not None and key in inside and text.peek() in ("[", "{"):
            yield from _entries(text, path, key)
            return
        row = _row(f"{name}, key {shown(key)}", text.value(), key)
        # What stands before the named array is a header of a few members; an object keyed by id has no such name.
        if held is not None and inside and len(held) < 64:
            held.append(row)
            continue
        yield from held or ()
        held = None
        yield row
    yield from held or ()


def _entries(text: "_Text", path: Path, key: str) -> Iterator[Row]:
    """Rows of the array or object that comes next."""
    where = f"{shown_path(path)}, {key}"
    if text.peek() == "[":
        yield from (_row(f"{where} {n}", value) for n, value in enumerate(text.items(), 1))
    else:
        for name in text.keys():  # noqa: SIM118
            yield _row(f"{where} {brief(name)}", text.value(), name)


def read_member(path: Path, name: str, limits: Limits = _LIMITS) -> Iterator[Row]:
    """The rows that a JSON object holds under a name, whatever else it holds; none where the file is no such object."""
    with _reading(path):
        if path.suffix == ".json" and path.is_file():
            yield from _member(path, name, limits)


def _member(path: Path, name: str, limits: Limits) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        text = _Text(file, path, limits)
        if text.peek() != "{" or text.holds_lines():
            return
    with path.open(encoding="utf-8-sig") as file:
        text = _Text(file, path, limits)
        for key in text.keys():  # noqa: SIM118
            if text.peek() not in ("[", "{"):
                text.value()
                continue
            for row in _entries(text, path, key):
                if key == name:
                    yield row


def _json_lines(path: Path, limits: Limits) -> Iterator[Row]:
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
                yield _row(where, json_files.parse(line, partial(_damaged, where, line), loads=_decoder.decode))
            except _KeyTwiceError as error:
                raise _damaged(where, line, str(error)) from error


def _damaged(where: str, line: str, what: str) -> DataError:
    return DataError(f"{where}: {what}; found {line[:60]!r}")


class _Text:
    """JSON text read in chunks; hands out one value at a time and forgets what was read."""

    def __init__(self, file: TextIOBase, path: Path, limits: Limits) -> None:
        self.file, self.path, self.limits = file, path, limits
        self.buffer, self.at, self.done, self.last = "", 0, False, ""

    def _more(self, size: int) -> None:
        chunk = self.file.read(size)
        self.done = chunk == ""
        self.buffer, self.at = self.buffer[self.at :] + chunk, 0

    def peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            while self.at < len(self.buffer):
                if not self.buffer[self.at].isspace():
                    return self.buffer[self.at]
                self.at += 1
            if self.done:
                return ""
            self._more(self.limits.chunk)

    def take(self, *wanted: str) -> str:
        """Step over one of the wanted characters."""
        character = self.peek()
        if character not in wanted or not character:
            raise self.damaged(f"found {character or 'the end of the file'!r}, needed {' or '.join(map(repr, wanted))}")
        self.at += 1
        return character

    def value(self, limit: int | None = None, decoder: json.JSONDecoder = _decoder) -> Any:
        """The next value, whole; by default as long as a row may be."""
        limit = self.limits.longest if limit is None else limit
        self.peek()
        while True:
            try:
                value, end = decoder.raw_decode(self.buffer, self.at)
                # A number may go on in the next chunk.
                if end < len(self.buffer) or self.done:
                    if beyond := json_files.excess(self.buffer[self.at : end]):
                        raise self.damaged(beyond)
                    self.at = end
                    self.last = self.buffer[max(0, end - 40) : end]
                    return value
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self.buffer) - 16
                if self.done or not cut:
                    raise self.damaged(error.msg) from error
            except RecursionError:
                raise self.damaged(f"it is nested deeper than {json_files.DEEPEST} levels") from None
            except ValueError as error:
                if isinstance(error, DataError):
                    raise
                raise self.damaged(str(error)) from None
            if len(self.buffer) - self.at > limit:
                raise self.damaged(f"one value is longer than {limit} characters")
            self._more(max(self.limits.chunk, len(self.buffer) - self.at))

    def items(self) -> Iterator[Any]:
        """The values of the array that comes next."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",", "]") == "]":
                return

    def keys(self) -> Iterator[str]:
        """The keys of the object that comes next; who iterates takes each value before the next key."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            if self.peek() != '"':
                raise self.damaged(f"found {self.peek()!r}, needed a key in double quotes")
            key = self.value()
            self.take(":")
            yield key
            if self.take(",", "}") == "}":
                return

    def holds_lines(self) -> bool:
        """Whether the file is a run of values, not one; only the first chunk is asked."""
        try:
            self.value(self.limits.chunk, _plain_decoder)
        except DataError:
            return False
        return self.peek() != ""

    def end(self) -> None:
        """Nothing may follow."""
        if self.peek():
            raise self.damaged(f"found {self.peek()!r} after the end of the array")

    def damaged(self, what: str) -> DataError:
        after = f" after {self.last!r}" if self.last else ""
        return DataError(f"{shown_path(self.path)}: not valid JSON{after}: {what}")


def _csv(path: Path, limits: Limits) -> Iterator[Row]:
    csv.field_size_limit(limits.longest)
    name = shown_path(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        try:
            header = next(reader, [])
            _check_header(name, header)
            for cells in filter(None, reader):
                where = f"{name}, line {reader.line_num}"
                if len(cells) != len(header):
                    raise DataError(f"{where}: found another number of columns than the {len(header)} of the header")
                yield Row(where, dict(zip(header, cells, strict=True)))
        except csv.Error as error:
            raise DataError(f"{name}, line {reader.line_num}: {error}") from error


def _check_header(name: str, header: Sequence[str]) -> None:
    """A table names every column, and each once: of two of one name the last would win."""
    if not header:
        raise DataError(f"{name}: the file is empty")
    if twice := [column for column, count in Counter(header).items() if count > 1]:
        raise DataError(f"{name}: found the column {shown(twice[0])} twice in the header, needed every name once")


def _xlsx(path: Path, limits: Limits) -> Iterator[Row]:
    try:
        import openpyxl
    except ImportError as error:
        raise MissingExtraError(f"reading {path.name}", "openpyxl", "scoring") from error
    name = shown_path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST_BOOK:
            raise DataError(f"{name}: found {size:,} bytes in the workbook, needed {LARGEST_BOOK:,} at most; use CSV")
        with closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            yield from _sheet(name, book.active)
    except DataError:
        raise
    except Exception as error:  # the library lets every error of its parsers through
        raise DataError(f"{name}: not an XLSX workbook ({brief(str(error))})") from error


def _sheet(name: str, sheet: Any) -> Iterator[Row]:
    header: list[str] = []
    for number, cells in enumerate(map(_filled, sheet.iter_rows(values_only=True)), 1):
        where, width = f"{name}, row {number}", len(header)
        if not header:
            header = list(map(str, cells))
            _check_header(name, header)
        elif len(cells) > width:
            raise DataError(f"{where}: found another number of columns than the {width} of the header")
        elif cells:
            # A sheet cannot tell an empty text from no value.
            texts = ("" if cell is None else cell for cell in cells)
            yield Row(where, dict(itertools.zip_longest(header, texts, fillvalue="")))
    if not header:
        raise DataError(f"{name}: the file is empty")


def _filled(cells: Sequence[Any]) -> Sequence[Any]:
    """The cells of a row without the empty ones at its end."""
    end = next((end for end in range(len(cells), 0, -1) if cells[end - 1] is not None), 0)
    return cells[:end]


def _lines(path: Path, limits: Limits) -> Iterator[Row]:
    name = shown_path(path)
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            yield Row(f"{name}, line {number}", {"value": line.rstrip("\n")})
