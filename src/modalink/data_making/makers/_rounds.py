"""Makers whose replies are questions with answers about media that are shown."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from modalink.conversation import Content, Conversation, Text, Turn
from modalink.data_making.maker import AskingConfig, Known
from modalink.data_making.replies import listed, nothing_known, words_of


class RoundsConfig(AskingConfig):
    """Base of the settings of such makers."""

    wanted: str
    """What the language model is to write."""
    least: int = Field(default=1, ge=1, le=50)
    """Rounds at least."""
    most: int = Field(default=1, ge=1, le=50)
    """Rounds at most."""

    def prompt(self, known: Sequence[Known]) -> str:
        """What is wanted, what is told, and the form of the reply."""
        (one,) = known
        if not one.text or not one.media:
            raise nothing_known(known)
        seen = ", ".join(medium.modality for medium in one.media)
        count = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return (
            f"Somebody looks at this: {seen}. You know of it:\n{one.text}\n\n{self.wanted}\nWrite as one who sees it, "
            "and do not mention captions, descriptions or coordinates. Say nothing that is not certain.\n"
            f'Reply with JSON alone: {{"rounds": [{self.form}]}}, with {count} rounds.'
        )

    @property
    def form(self) -> str:
        """How one round is written."""
        return '{"question": "...", "answer": "..."}'

    def check(self, row: dict[str, Any], known: Sequence[Known]) -> None:
        """Refuse a round that is not what is wanted; raises `SampleError`."""

    def read(self, reply: str, known: Sequence[Known]) -> list[Conversation]:
        """A conversation that shows the media before its first question."""
        (one,) = known
        turns: list[Turn] = []
        for row in listed(reply, "rounds", known, self.least, self.most):
            self.check(row, known)
            question, answer = words_of(row, "question", known), words_of(row, "answer", known)
            shown: tuple[Content, ...] = one.media if not turns else ()
            turns.append(Turn("user", (*shown, Text(f"\n{question}" if shown else question))))
            turns.append(Turn("assistant", (Text(answer),)))
        return [Conversation(tuple(turns), f"{one.id}#{self.kind}")]
