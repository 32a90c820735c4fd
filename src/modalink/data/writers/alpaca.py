"""`instruction`, `input` and `output`: Alpaca's, with `history`, `system` and media as LLaMA-Factory reads them."""

from typing import Any, ClassVar, Literal

from modalink.conversation import Conversation
from modalink.data import formats
from modalink.data.writers import _marked
from modalink.data.writers._chat import ChatWriterConfig
from modalink.data.writers._rounds import rounds_of


class AlpacaWriterConfig(ChatWriterConfig):
    """Settings of the writer of Alpaca's instructions."""

    kind: Literal["alpaca"] = "alpaca"
    name: ClassVar[formats.Name] = "alpaca"

    def record(self, conversation: Conversation) -> dict[str, Any]:
        """The record; the last round is the instruction and its output, those before the history."""
        said = rounds_of(conversation, self.kind)
        (instruction, output), history = said.rounds[-1], [*map(list, said.rounds[:-1])]
        record = {"instruction": instruction, "input": "", "output": output}
        beside = {"system": said.system, "history": history}
        return _marked.columns(conversation, self.kind) | record | {k: v for k, v in beside.items() if v}
