"""What is known of media that are read: their captions, or else what the assistant answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from modalink.conversation import Content, Conversation, Medium, Turn


def described(conversation: Conversation, is_read: Callable[[Turn, Medium], bool]) -> Conversation:
    """A conversation in which the assistant's next turn is the caption of each medium that is only read and has none.

    Args:
        conversation: The conversation.
        is_read: Whether a medium of a turn is only read.
    """
    turns = conversation.turns
    answers = [_answer(turns[number + 1 :]) for number in range(len(turns))]

    def content(turn: Turn, answer: str | None) -> tuple[Content, ...]:
        return tuple(
            replace(piece, caption=answer)
            if isinstance(piece, Medium) and not piece.caption and is_read(turn, piece)
            else piece
            for piece in turn.content
        )

    return replace(
        conversation,
        turns=tuple(replace(turn, content=content(turn, answer)) for turn, answer in zip(turns, answers, strict=True)),
    )


def _answer(later: Sequence[Turn]) -> str | None:
    """What the assistant says next, where training learns from it."""
    answer = next((turn for turn in later if turn.role == "assistant"), None)
    return None if answer is None or not answer.loss else answer.text.strip() or None
