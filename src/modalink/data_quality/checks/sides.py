"""Questions and answers that are empty or missing."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from modalink.conversation import Text, Turn
from modalink.data_quality.check import Check, CheckConfig, Context, Fault
from modalink.data_quality.sample import Sample


class SidesConfig(CheckConfig):
    """Settings of the check of both sides; a document, which the assistant alone speaks, has one."""

    kind: Literal["sides"] = "sides"

    def begin(self, context: Context) -> Check:
        """The check."""
        return _Sides()


class _Sides(Check):
    def look(self, sample: Sample) -> Iterator[Fault]:
        turns = [] if sample.conversation is None else [t for t in sample.conversation.turns if t.role != "system"]
        for number, turn in enumerate(turns):
            if not _says_something(turn):
                side = {"user": "question", "assistant": "answer"}.get(turn.role, "result")
                yield Fault.of(sample, f"empty_{side}", f"turn {number} of the {turn.role} has neither words nor media")
        if turns and turns[-1].role != "assistant":
            yield Fault.of(sample, "no_answer", f"the last turn is of the {turns[-1].role}, and nobody answers it")
        for number, (turn, after) in enumerate(pairwise(turns)):
            if turn.role == after.role and turn.role != "tool":
                yield Fault.of(sample, "same_speaker", f"the turns {number} and {number + 1} are both of {turn.role}")


def _says_something(turn: Turn) -> bool:
    return any(not isinstance(piece, Text) or piece.text.strip() for piece in turn.content)
