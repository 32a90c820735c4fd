"""Conversations as questions with their answers: a system message, then both in turn."""

from typing import NamedTuple

from modalink.conversation import Conversation
from modalink.data.writer import cannot_carry
from modalink.data.writers import _marked


class Rounds(NamedTuple):
    """What is said.

    Args:
        system: The system message; empty where there is none.
        rounds: Each question with its answer, markers standing for media.
    """

    system: str
    rounds: list[tuple[str, str]]


def rounds_of(conversation: Conversation, format: str) -> Rounds:
    """A conversation as rounds.

    Raises:
        SampleError: It does not go question, answer, question, answer.
    """
    turns = list(conversation.turns)
    system = _marked.text(turns.pop(0)) if turns and turns[0].role == "system" else ""
    if not turns or [turn.role for turn in turns] != ["user", "assistant"] * (len(turns) // 2):
        order = ", ".join(turn.role for turn in conversation.turns)
        raise cannot_carry(conversation, format, f"needed questions and answers in turn, found turns of {order}")
    said = [*map(_marked.text, turns)]
    return Rounds(system, [*zip(said[::2], said[1::2], strict=True)])
