"""Prompts alone, without replies: lines of text, or a column of records, as stages ask that judge what they make."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from modalink.conversation import Conversation
from modalink.data import formats
from modalink.data.facts import FactsConfig
from modalink.data.records import SUFFIXES, RecordSource, columns
from modalink.errors import SampleError

_LINE = "text"
"""Where a line of a text file stands in its record."""


class PromptsConfig(FactsConfig):
    """Settings of prompts; either `path` or `dataset` is given."""

    suffixes: ClassVar[Sequence[str]] = (".txt", *SUFFIXES)

    kind: Literal["prompts"] = "prompts"
    column: str = "prompt"
    """Column of the prompt: text, or a list of chat messages as TRL has them. Lines of `.txt` are prompts as they
    are. Media of columns such as `image` or `images` stand before the words where no marker places them."""

    def open(self) -> RecordSource:
        """Find the prompts."""
        return self.records(self._fits, f"{self.column!r} of a prompt", self._read)

    def _fits(self, record: dict[str, Any]) -> bool:
        return self._prompt(record) is not None

    def _prompt(self, record: dict[str, Any]) -> Any:
        """What is asked; a line of text is a record of nothing else."""
        return record.get(_LINE) if record.keys() == {_LINE} else record.get(self.column)

    def _read(self, record: dict[str, Any], id: str, *, folder: Path) -> Conversation:
        asked = self._prompt(record)
        if isinstance(asked, str) and asked.strip():
            asked = [{"role": "user", "content": asked}]
        if not isinstance(asked, list) or not asked:
            detail = f"found the columns {columns(record)}; needed text or a list of messages under {self.column!r}"
            raise SampleError(id, "no_prompt", detail)
        conversation = formats.read({**record, "messages": asked}, id, "messages", folder=folder, place="first")
        if conversation.turns[-1].role == "assistant":
            detail = (
                "found a prompt that ends with a reply, needed one that ends with what is asked; records with replies "
            )
            raise SampleError(id, "no_prompt", f"{detail}are read by source: messages")
        return Conversation(conversation.turns, id, self.told(record, conversation))
