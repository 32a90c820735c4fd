"""Base of writers of chat formats, which the source `messages` reads."""

from pathlib import Path
from typing import Any, ClassVar

from modalink.conversation import Conversation
from modalink.data import formats
from modalink.data.writer import WriterConfig


class ChatWriterConfig(WriterConfig):
    """Base of the settings of writers of chat formats."""

    name: ClassVar[formats.Name]
    """What the source `messages` calls the format."""

    def read(self, record: dict[str, Any], id: str, folder: Path) -> Conversation:
        """What the source `messages` makes of a record."""
        return formats.read(record, id, self.name, folder=folder, boxes="codec")

    def source(self, path: Path) -> dict[str, Any]:
        """The source `messages`, which tells the format by the columns."""
        return {"source": "messages", "path": str(path)}
