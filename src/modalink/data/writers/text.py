"""Documents of text, each under `text`."""

from pathlib import Path
from typing import Any, Literal

from modalink.conversation import Conversation, Text
from modalink.data.sources.text import read_text
from modalink.data.writer import WriterConfig, cannot_carry


class TextWriterConfig(WriterConfig):
    """Settings of the writer of documents of text."""

    kind: Literal["text"] = "text"

    def record(self, conversation: Conversation) -> dict[str, Any]:
        """The record."""
        pieces = [piece for turn in conversation.turns for piece in turn.content]
        if len(conversation.turns) != 1 or not all(isinstance(piece, Text) for piece in pieces):
            raise cannot_carry(conversation, self.kind, "needed one turn of the assistant, of words alone")
        return {"id": conversation.id, "text": conversation.turns[0].text}

    def read(self, record: dict[str, Any], id: str, folder: Path) -> Conversation:
        """What the source `text` makes of a record."""
        return read_text(record, id)

    def source(self, path: Path) -> dict[str, Any]:
        """The source `text`."""
        return {"source": "text", "path": str(path)}
