"""Text alone: documents (lines of `.txt`, `text` fields), or conversations in any format that `messages` reads."""

from pathlib import Path
from typing import Any, Literal

from modalink.conversation import Conversation, Text, Turn
from modalink.data import formats
from modalink.data.lookalike import open_fitting
from modalink.data.records import SUFFIXES, RecordSource, columns
from modalink.data.source import SourceConfig
from modalink.errors import SampleError


class TextConfig(SourceConfig):
    """Settings of text data."""

    kind: Literal["text"] = "text"
    path: str
    """txt (a document a line), jsonl, json, csv, tsv or parquet: a file, a folder or a pattern."""
    column: str = "text"
    """Column of a document's text, where a record holds no conversation."""

    def open(self) -> RecordSource:
        """Find the records."""
        needed = f"{self.column!r} or those of a conversation"
        return RecordSource(open_fitting(self.path, self._fits, needed, (".txt", *SUFFIXES)), self._read)

    def _fits(self, record: dict[str, Any]) -> bool:
        return self.column in record or formats.recognise(record) is not None

    def _read(self, record: dict[str, Any], id: str) -> Conversation:
        if name := formats.recognise(record):
            return formats.read(record, id, name, folder=Path())
        return read_text(record, id, self.column)


def read_text(record: dict[str, Any], id: str, column: str = "text") -> Conversation:
    """A record with text in a column as one turn of the assistant; raises `SampleError`."""
    text = record.get(column)
    if not isinstance(text, str) or not text.strip():
        needed = f"'messages', 'conversations' or text under {column!r}"
        raise SampleError(id, "no_text", f"found the keys {columns(record)}; needed {needed}")
    return Conversation((Turn("assistant", (Text(text),)),), id)
