"""Text alone: documents (lines of `.txt`, `text` fields) or conversations (`messages`, ShareGPT's `conversations`)."""

from pathlib import Path
from typing import Any, Literal

from modalink.conversation import Conversation, Text, Turn
from modalink.data import sharegpt
from modalink.data.records import SUFFIXES, RecordSource, checked_messages, columns, open_records
from modalink.data.source import SourceConfig
from modalink.errors import SampleError


class TextConfig(SourceConfig):
    """Settings of text data."""

    kind: Literal["text"] = "text"
    path: str
    """txt (a document a line), jsonl, json, csv, tsv or parquet: a file, a folder or a pattern."""
    column: str = "text"
    """Column of a document's text, where a record holds neither `messages` nor `conversations`."""

    def open(self) -> RecordSource:
        """Find the records."""
        return RecordSource(open_records(self.path, (".txt", *SUFFIXES)), self._read)

    def _read(self, record: dict[str, Any], id: str) -> Conversation:
        if "messages" in record:
            return checked_messages(record["messages"], id)
        if "conversations" in record:
            return sharegpt.read(record, id, Path())
        text = record.get(self.column)
        if not isinstance(text, str) or not text.strip():
            needed = f"'messages', 'conversations' or text under {self.column!r}"
            raise SampleError(id, "no_text", f"found the keys {columns(record)}; needed {needed}")
        return Conversation((Turn("assistant", (Text(text),)),), id)
