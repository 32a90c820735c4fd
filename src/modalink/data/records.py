"""Records by number, out of one file or many of any format, and how they become conversations."""

import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from modalink.conversation import Conversation
from modalink.data.arrow import parquet_records
from modalink.data.files import FileRecords, TableRecords
from modalink.data.source import Numbered, find_files
from modalink.errors import DataError, PromptError, SampleError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
_LONGEST_NAME = 200
_MOST_NAMES = 20


@runtime_checkable
class Records(Protocol):
    """Mappings by number."""

    def __len__(self) -> int:
        """How many records there are."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One record; raises `SampleError` where it is no mapping."""

    def where(self, index: int) -> str:
        """File and place of a record: its name where it has no other."""


def open_records(pattern: str, suffixes: Sequence[str] = SUFFIXES) -> Records:
    """Open the records of a file, of a folder's files, or of files matching a pattern, joined in order of their names.

    Raises:
        DataError: There is no such file, one cannot be read, or there is not one record in them.
    """
    files = find_files(pattern, suffixes)
    parts = [_open_file(file, suffixes) for file in files]
    if not sum(map(len, parts)):
        raise DataError(f"{pattern}: looked for records in {', '.join(str(f) for f in files[:3])}; found none")
    return parts[0] if len(parts) == 1 else JoinedRecords(parts)


def _open_file(path: Path, suffixes: Sequence[str]) -> Records:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        raise DataError(f"{path}: found the suffix {suffix!r}, needed one of {', '.join(suffixes)}")
    try:
        if suffix == ".parquet":
            return parquet_records(path)
        if suffix in (".csv", ".tsv"):
            return TableRecords(path)
        return FileRecords(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


Convert = Callable[[dict[str, Any], str], Conversation]
"""Reads a record as a conversation, given its name; raises `SampleError` or `PromptError`."""


class RecordSource(Numbered):
    """Records read as conversations by a function."""

    def __init__(self, records: Records, convert: Convert) -> None:
        self._records = records
        self._convert = convert

    def __len__(self) -> int:
        return len(self._records)

    def sample(self, index: int) -> Conversation:
        """A record as a conversation."""
        return converted(self._records[index], self._records.where(index), self._convert)

    def record(self, index: int) -> dict[str, Any]:
        """A record as it stands, with the columns that no conversation holds; raises `SampleError`."""
        return self._records[index]


class JoinedRecords:
    """Several files' records, one after the other."""

    def __init__(self, parts: Sequence[Records]) -> None:
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:
        part, inner = self._find(index)
        return part[inner]

    def where(self, index: int) -> str:
        """File and place in it."""
        part, inner = self._find(index)
        return part.where(inner)

    def _find(self, index: int) -> tuple[Records, int]:
        number = bisect.bisect_right(self._ends, index)
        return self._parts[number], index - (self._ends[number - 1] if number else 0)


def converted(record: dict[str, Any], where: str, convert: Convert) -> Conversation:
    """A record as a conversation; what cannot be said in one becomes a `SampleError`."""
    id = record_id(record, where)
    with naming(id, "bad_text"):
        return convert(record, id)


def record_id(record: dict[str, Any], where: str) -> str:
    """The name of a record: its own `id`, a number or a text that is not long, else its place."""
    own = record.get("id")
    named = isinstance(own, str | int) and not isinstance(own, bool) and own != ""
    return str(own) if named and len(str(own)) <= _LONGEST_NAME else where


def columns(record: dict[str, Any]) -> str:
    """The names of a record's columns, for errors."""
    names = [f"{name:.40}" for name in islice(record, _MOST_NAMES)]
    return ", ".join(names + ["..."] * (len(record) > _MOST_NAMES)) or "none"


@contextmanager
def naming(id: str, reason: str) -> Iterator[None]:
    """Makes a `PromptError` one of the sample."""
    try:
        yield
    except PromptError as error:
        raise SampleError(id, reason, str(error).removeprefix(f"{id}, ").removeprefix(f"{id}: ")) from error


def checked_messages(messages: Any, id: str) -> Conversation:
    """Chat messages as a conversation; what is wrong with them becomes a `SampleError`."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise SampleError(id, "bad_messages", f"found messages {messages!r:.80}, needed a list of mappings")
    with naming(id, "bad_messages"):
        return Conversation.from_messages(messages, id)
