"""The assistant's last turn, which the decoder of an encoder-decoder learns, apart from what the encoder reads."""

from dataclasses import dataclass, replace
from itertools import takewhile

from modalink.conversation import Content, Conversation, Text, Turn
from modalink.errors import PromptError
from modalink.prompts import Rendered


@dataclass(frozen=True)
class Reply:
    """A conversation as an encoder-decoder learns it.

    Args:
        question: The turns before the last, which go to the encoder.
        begun: The beginning of the last that is only read: the encoder reads it behind them.
        answer: The rest of the last, which the decoder learns.
    """

    question: Conversation
    begun: str
    answer: Turn

    @classmethod
    def of(cls, conversation: Conversation) -> "Reply":
        """Take a conversation apart.

        Raises:
            PromptError: Its last turn is none to learn, or none stands before; or a text behind what is learned is only
                read.
        """
        *before, last = conversation.turns
        if last.role != "assistant" or not before:
            raise PromptError(
                f"{conversation.id}: an encoder-decoder learns the last turn, which must be the assistant's reply"
            )
        if not last.loss:
            raise PromptError(
                f"{conversation.id}: its last turn is marked as one without loss, and no other can be learned"
            )
        begun = [*takewhile(_is_read, last.content)]
        rest = last.content[len(begun) :]
        if behind := [piece for piece in rest if _is_read(piece)]:
            found = Turn("assistant", (behind[0],)).text
            raise PromptError(
                f"{conversation.id}: found {found!r:.60}, which is only read, behind what the decoder of an "
                "encoder-decoder learns; only the beginning of its reply can be read"
            )
        if begun and rest and isinstance(rest[0], Text):
            rest = (replace(rest[0], text=rest[0].text.lstrip()), *rest[1:])
        text = Turn("assistant", tuple(begun)).text.rstrip()
        return cls(Conversation(tuple(before), conversation.id), text, replace(last, content=rest))

    def behind(self, rendered: Rendered) -> Rendered:
        """A rendered question that ends with the start of the assistant's turn, with what is begun behind it."""
        end = len(rendered.text)
        text, written = rendered.text + self.begun, [*rendered.written, (end, end + len(self.begun))]
        return replace(rendered, text=text, written=written)


def _is_read(piece: Content) -> bool:
    return isinstance(piece, Text) and not piece.loss
