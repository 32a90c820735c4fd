"""`messages` with blocks, as Hugging Face and OpenAI write them: the one format that holds every conversation."""

from typing import Any, ClassVar, Literal

from modalink.conversation import Conversation
from modalink.data import formats
from modalink.data.writers import _marked
from modalink.data.writers._chat import ChatWriterConfig


class MessagesWriterConfig(ChatWriterConfig):
    """Settings of the writer of messages."""

    kind: Literal["messages"] = "messages"
    name: ClassVar[formats.Name] = "messages"

    def record(self, conversation: Conversation) -> dict[str, Any]:
        """The record."""
        return _marked.named(conversation) | {"messages": conversation.to_messages()}
