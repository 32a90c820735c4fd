"""Media with their captions: from a table, from texts beside the files, or from tar shards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from modalink import files, json_files
from modalink.data.records import Records, columns, record_id
from modalink.data.shards import Member, ShardSample
from modalink.data.source import place
from modalink.errors import SampleError

_LONGEST = 2**20
"""Bytes of a caption's file."""


class Pair(NamedTuple):
    """A medium's source and its caption."""

    id: str
    source: Any
    caption: str


@runtime_checkable
class Pairs(Protocol):
    """Pairs by number."""

    def __len__(self) -> int:
        """How many pairs there are, good and bad."""

    def __getitem__(self, index: int) -> Pair:
        """One pair; raises `SampleError` where a half of it is missing."""


class TablePairs:
    """Pairs from the columns of records."""

    def __init__(self, records: Records, folder: Path, media_column: str, caption_column: str) -> None:
        self._records = records
        self._folder = folder
        self._media_column = media_column
        self._caption_column = caption_column

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Pair:
        record = self._records[index]
        id = record_id(record, self._records.where(index))
        source = _cell(record, self._media_column, id, "no_medium")
        caption = _cell(record, self._caption_column, id, "no_caption")
        return Pair(id, place(source, self._folder), _caption(caption, id))

    def record(self, index: int) -> dict[str, Any]:
        """The row of the table as it stands; raises `SampleError`."""
        return self._records[index]


class FolderPairs:
    """Pairs of files, the caption in a `.txt` file beside the medium."""

    def __init__(self, media: Sequence[Path], folder: Path) -> None:
        self._media = media
        self._folder = folder

    def __len__(self) -> int:
        return len(self._media)

    def __getitem__(self, index: int) -> Pair:
        file = self._media[index]
        id = file.relative_to(self._folder).as_posix()
        beside = file.with_suffix(".txt")

        def damaged(detail: str) -> SampleError:
            return SampleError(id, "no_caption", f"its caption {beside.name} cannot be read beside it: {detail}")

        content = files.content(beside, damaged, _LONGEST)
        if len(content) > _LONGEST:
            raise damaged(f"found more than {_LONGEST:,} bytes")
        try:
            return Pair(id, str(file), _caption(content.decode("utf-8"), id))
        except UnicodeDecodeError as error:
            raise damaged(str(error)) from None


class ShardPairs:
    """Pairs from tar shards: a medium, and a `.txt` caption or a `.json` with one."""

    def __init__(self, samples: Sequence[ShardSample], suffixes: Sequence[str], caption_column: str) -> None:
        self._samples = samples
        self._suffixes = suffixes
        self._caption_column = caption_column

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Pair:
        id, members = self._samples[index].id, self._samples[index].members
        medium = next((members[suffix] for suffix in self._suffixes if suffix in members), None)
        if medium is None:
            detail = f"found the members {', '.join(members)}, needed one of {', '.join(self._suffixes)}"
            raise SampleError(id, "no_medium", detail)
        return Pair(id, medium.read(), self._caption(id, members))

    def _caption(self, id: str, members: dict[str, Member]) -> str:
        try:
            if ".txt" in members:
                return _caption(members[".txt"].read().decode("utf-8"), id)
            if ".json" in members:
                record = json_files.parse(members[".json"].read(), ValueError, dict[str, Any])
                return _caption(record.get(self._caption_column), id)
        except ValueError as error:
            if isinstance(error, SampleError):
                raise
            raise SampleError(id, "no_caption", f"its caption cannot be read: {error}") from error
        raise SampleError(id, "no_caption", f"found the members {', '.join(members)}, needed .txt or .json")


def _cell(record: dict[str, Any], column: str, id: str, reason: str) -> Any:
    value = record.get(column)
    if value in (None, ""):
        raise SampleError(id, reason, f"found nothing under {column!r} among the columns {columns(record)}")
    return value


def _caption(value: Any, id: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SampleError(id, "no_caption", f"found the caption {value!r:.80}, needed text")
    return value.strip()
