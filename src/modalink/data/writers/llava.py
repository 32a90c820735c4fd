"""LLaVA's own format: `conversations` with markers, and one `image`."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from modalink.conversation import Conversation
from modalink.data import formats
from modalink.data.writers import _marked
from modalink.data.writers._chat import ChatWriterConfig
from modalink.data.writers.sharegpt import said


class LlavaWriterConfig(ChatWriterConfig):
    """Settings of the writer of LLaVA's data. Source: haotian-liu/LLaVA, docs/Finetune_Custom_Data.md."""

    kind: Literal["llava"] = "llava"
    name: ClassVar[formats.Name] = "sharegpt"

    def record(self, conversation: Conversation) -> dict[str, Any]:
        """The record, a medium that is alone in the column of one, such as `image`."""
        beside = _marked.columns(conversation, self.kind, single=True)
        return beside | {"conversations": [*map(said, conversation.turns)]}

    def source(self, path: Path) -> dict[str, Any]:
        """The source `llava_json`."""
        return {"source": "llava_json", "path": str(path)}
