"""`prompt` and `completion`: TRL's, of messages; the completion alone is learned."""

from typing import Any, ClassVar, Literal

from modalink.conversation import Conversation
from modalink.data import formats
from modalink.data.writer import cannot_carry
from modalink.data.writers import _marked
from modalink.data.writers._chat import ChatWriterConfig


class PromptCompletionWriterConfig(ChatWriterConfig):
    """Settings of the writer of TRL's prompts and completions."""

    kind: Literal["prompt_completion"] = "prompt_completion"
    name: ClassVar[formats.Name] = "prompt_completion"

    def record(self, conversation: Conversation) -> dict[str, Any]:
        """The record; the last turn, which must be an answer, is the completion."""
        *prompt, completion = conversation.to_messages()
        if not prompt or completion["role"] != "assistant":
            raise cannot_carry(conversation, self.kind, "needed an answer at its end, and something that it answers")
        asked = [{key: value for key, value in message.items() if key != "loss"} for message in prompt]
        return _marked.named(conversation) | {"prompt": asked, "completion": [completion]}
