"""`conversations` of `from` and `value` with markers: ShareGPT as LLaMA-Factory and ms-swift read it."""

from typing import Any, ClassVar, Literal

from modalink.conversation import Conversation, Role, Turn
from modalink.data import formats
from modalink.data.writers import _marked
from modalink.data.writers._chat import ChatWriterConfig

_SPEAKERS: dict[Role, str] = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


class SharegptWriterConfig(ChatWriterConfig):
    """Settings of the writer of ShareGPT's conversations."""

    kind: Literal["sharegpt"] = "sharegpt"
    name: ClassVar[formats.Name] = "sharegpt"

    def record(self, conversation: Conversation) -> dict[str, Any]:
        """The record, media in lists such as `images`."""
        return _marked.columns(conversation, self.kind) | {"conversations": [*map(said, conversation.turns)]}


def said(turn: Turn) -> dict[str, Any]:
    """A turn; of an answer that is not learned it is told."""
    unlearned = turn.role == "assistant" and not turn.loss
    return {"from": _SPEAKERS[turn.role], "value": _marked.text(turn)} | ({"loss": False} if unlearned else {})
