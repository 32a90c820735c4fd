"""Documents of texts and media in reading order, as OBELICS writes them."""

from pathlib import Path
from typing import Any, Literal

from modalink import modalities
from modalink.conversation import Conversation, Medium, Region, Text, Use
from modalink.data.sources.interleaved import read_document
from modalink.data.writer import WriterConfig, cannot_carry


class InterleavedWriterConfig(WriterConfig):
    """Settings of the writer of documents."""

    kind: Literal["interleaved"] = "interleaved"
    use: Use | None = None
    """What the source that reads them says of all their media."""

    def record(self, conversation: Conversation) -> dict[str, Any]:
        """The record: `texts` and a list for each modality, null where another one has the place."""
        if [turn.role for turn in conversation.turns] != ["assistant"]:
            raise cannot_carry(conversation, self.kind, "needed a document, one turn of the assistant")
        content = conversation.turns[0].content
        if any(isinstance(piece, Region) for piece in content):
            raise cannot_carry(conversation, self.kind, "it holds a region")
        modality = {piece.modality for piece in content if isinstance(piece, Medium)} or {modalities.DEFAULT}
        lists: dict[str, list[Any]] = {modalities.get(name).plural: [] for name in sorted(modality)}
        texts = [piece.text if isinstance(piece, Text) else None for piece in content]
        for name in modality:
            column = lists[modalities.get(name).plural]
            for piece in content:
                column.append(piece.source if isinstance(piece, Medium) and piece.modality == name else None)
        return {"id": conversation.id, "texts": texts, **lists}

    def read(self, record: dict[str, Any], id: str, folder: Path) -> Conversation:
        """What the source `interleaved` makes of a record."""
        return read_document(record, id, folder=folder, use=self.use)

    def source(self, path: Path) -> dict[str, Any]:
        """The source `interleaved`."""
        return {"source": "interleaved", "path": str(path)} | ({} if self.use is None else {"use": self.use})
