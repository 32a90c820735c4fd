"""Records of JSON, text and CSV files; JSON and text stay on disk, memory holds only where each record lies."""

import csv
import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from modalink import files, json_files
from modalink.errors import DataError, SampleError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_Span = tuple[int, int, int]
"""First byte, end, and the number that people call the record by."""


class FileRecords:
    """The elements of a JSON array, JSON lines, or lines of text (each the `text` of a record), parsed on access.

    Args:
        path: File in UTF-8 with the suffix `.json` (an array or lines), `.jsonl` or `.txt`.

    Raises:
        DataError: An array's syntax is broken. A broken line harms only its own record.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "rb") as file:
            head = file.read(4096).removeprefix(_BYTE_ORDER_MARK).lstrip()
        self._is_array = path.suffix.lower() == ".json" and head.startswith(b"[")
        self._parse = _text_record if path.suffix.lower() == ".txt" else _json_record
        spans = _array_spans(path) if self._is_array else _line_spans(path)
        self._spans = _table(spans)

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> dict[str, Any]:
        start, end, _ = self._spans[index]
        with open(self.path, "rb") as file:  # its own handle: many threads read at once
            file.seek(int(start))
            content = file.read(int(end - start))
        return self._parse(content, partial(SampleError, self.where(index), "bad_record"))

    def where(self, index: int) -> str:
        """File, and the number of the line (from 1) or of the array's element (from 0)."""
        number = int(self._spans[index][2])
        return f"{self.path}[{number}]" if self._is_array else f"{self.path}, line {number}"


class TableRecords:
    """The rows of a CSV or TSV file with a header."""

    def __init__(self, path: Path) -> None:
        self.path = path
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                self._rows = list(csv.DictReader(file, delimiter=delimiter))
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: is no table in UTF-8: {error}") from error

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[Any, Any] = self._rows[index]
        if None in row:
            detail = f"has more cells than the header's {len(row) - 1}; quote cells that hold the separator"
            raise SampleError(self.where(index), "bad_record", detail)
        return dict(row)

    def where(self, index: int) -> str:
        """File and number of the row, the first after the header being 1."""
        return f"{self.path}, row {index + 1}"


def _json_record(content: bytes, damaged: files.Damaged) -> dict[str, Any]:
    return json_files.parse(content, damaged, dict[str, Any])


def _text_record(line: bytes, damaged: files.Damaged) -> dict[str, Any]:
    try:
        return {"text": line.decode("utf-8").rstrip("\r\n")}
    except UnicodeDecodeError as error:
        raise damaged(f"cannot be read: its byte {error.start} is not UTF-8") from None


def _table(spans: Iterable[_Span]) -> Int64[np.ndarray, "records 3"]:
    return np.array(list(spans), np.int64).reshape(-1, 3)


def _line_spans(path: Path) -> Iterator[_Span]:
    end = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            start, end = end, end + len(line)
            if number == 1 and line.startswith(_BYTE_ORDER_MARK):
                start, line = start + len(_BYTE_ORDER_MARK), line.removeprefix(_BYTE_ORDER_MARK)
            if line.strip():
                yield start, end, number


def _array_spans(path: Path) -> Iterator[_Span]:
    # Latin-1 makes one character of each byte, so that the places found are places in the file; all that JSON's
    # structure is made of is ASCII, in UTF-8 as well.
    text = path.read_bytes().decode("latin-1")
    decoder = json.JSONDecoder(parse_int=str)  # of any length: whoever asks for the element hears of it
    place = _after_space(text, text.index("[") + 1)
    number = 0
    try:
        while text[place] != "]":
            _, end = decoder.raw_decode(text, place)
            yield place, end, number
            number += 1
            place = _after_space(text, end)
            if text[place] == ",":
                place = _after_space(text, place + 1)
            elif text[place] != "]":
                raise ValueError("needed ',' or ']'")
    except (ValueError, IndexError, RecursionError) as error:
        cause = f"it is nested deeper than {json_files.DEEPEST} levels" if isinstance(error, RecursionError) else error
        raise DataError(f"{path}: the JSON array breaks after {number} elements, at byte {place}: {cause}") from error


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place
