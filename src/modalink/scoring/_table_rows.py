"""Rows of tables: CSV, TSV and XLSX."""

import csv
import itertools
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from modalink.errors import DataError, MissingExtraError, brief, shown
from modalink.scoring._row import Limits, Row, shown_path

LARGEST_BOOK = 1 << 28
"""Bytes that a workbook may have when it is unpacked."""


def csv_rows(path: Path, limits: Limits) -> Iterator[Row]:
    """The rows of a CSV or TSV file."""
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


def xlsx_rows(path: Path, limits: Limits) -> Iterator[Row]:
    """The rows of a workbook's active sheet."""
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
