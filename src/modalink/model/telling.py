"""Media that bring words of their own: numbers of a chart, text of a page."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from modalink import modalities
from modalink.conversation import Content, Conversation, Medium, Text, Turn
from modalink.model.items import named_after


def told(conversation: Conversation, is_read: Callable[[Turn, Medium], bool]) -> Conversation:
    """A conversation with the words of its media behind each of them that is read.

    Args:
        conversation: The conversation.
        is_read: Whether a medium of a turn is read.

    Raises:
        MediumError: A medium that brings words cannot be read.
    """

    telling = {row.name for row in modalities.records() if row.tells}

    def content(turn: Turn) -> Iterator[Content]:
        for piece in turn.content:
            if isinstance(piece, Medium) and piece.modality in telling and is_read(turn, piece):
                with named_after(conversation.id):
                    handle = modalities.get(piece.modality).open(piece.source)
                    yield from (replace(piece, source=handle), Text(f"\n{handle.text}\n"))
            else:
                yield piece

    if not any(medium.modality in telling for _, medium in conversation.media()):
        return conversation
    return replace(
        conversation, turns=tuple(replace(turn, content=tuple(content(turn))) for turn in conversation.turns)
    )
