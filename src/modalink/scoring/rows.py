"""Rows of the files that hold predictions and annotations, one at a time, so that their size does not matter.

JSON (an array, an object keyed by id, an object that holds either under a name), JSON lines, CSV, TSV, XLSX, and text
with one value a line. JSON lines are known by their content, since several benchmarks ship them as `.json`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modalink.errors import DataError, brief
from modalink.scoring._json_rows import json_rows, member_rows
from modalink.scoring._row import LIMITS, Limits, Row, shown_path
from modalink.scoring._table_rows import csv_rows, xlsx_rows

__all__ = ["Limits", "Row", "read_member", "read_rows", "shown_path"]


def read_rows(path: Path, inside: tuple[str, ...] = (), limits: Limits = LIMITS) -> Iterator[Row]:
    """The rows of a file, by its suffix.

    Args:
        path: A .json, .jsonl, .csv, .tsv, .xlsx or .txt file.
        inside: Names under which an object may hold its rows, for example `("annotations",)`.
        limits: How much is held at once.

    Raises:
        DataError: The file is missing, of another kind, not UTF-8, or damaged; the message says where.
    """
    readers = {".csv": csv_rows, ".tsv": csv_rows, ".xlsx": xlsx_rows, ".txt": _lines}
    with _reading(path):
        if not path.is_file():
            raise DataError(f"{shown_path(path)}: no such file")
        if path.suffix in readers:
            yield from readers[path.suffix](path, limits)
        elif path.suffix in (".json", ".jsonl"):
            yield from json_rows(path, inside, limits)
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


def read_member(path: Path, name: str, limits: Limits = LIMITS) -> Iterator[Row]:
    """The rows that a JSON object holds under a name, whatever else it holds; none where the file is no such object."""
    with _reading(path):
        if path.suffix == ".json" and path.is_file():
            yield from member_rows(path, name, limits)


def _lines(path: Path, limits: Limits) -> Iterator[Row]:
    name = shown_path(path)
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            yield Row(f"{name}, line {number}", {"value": line.rstrip("\n")})
