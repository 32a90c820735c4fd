"""What a maker is: settings that turn what is known of some media into conversations."""

import random
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from modalink.conversation import Conversation, Medium, Region
from modalink.kinds import KindConfig


@dataclass(frozen=True)
class Known:
    """What a sample tells of its media.

    Args:
        id: Its name.
        media: They, as they stand in it.
        told: What is said of them: captions and answers, a line each.
        question: The words of the first question, where there is one.
        places: Objects with their boxes, a line each.
    """

    id: str
    media: tuple[Medium, ...]
    told: tuple[str, ...]
    question: str = ""
    places: tuple[str, ...] = ()

    @classmethod
    def of(cls, conversation: Conversation) -> "Known":
        """What a conversation tells: its answers, the captions of its media, its regions."""
        media = tuple(medium for _, medium in conversation.media())
        answers = [turn.text.strip() for turn in conversation.turns if turn.role == "assistant"]
        captions = [medium.caption.strip() for medium in media if medium.caption]
        pieces = [piece for turn in conversation.turns for piece in turn.content]
        places = tuple(piece.text for piece in pieces if isinstance(piece, Region))
        question = next((turn.text.strip() for turn in conversation.turns if turn.role == "user"), "")
        return cls(conversation.id, media, tuple(dict.fromkeys(filter(None, captions + answers))), question, places)

    @property
    def text(self) -> str:
        """All that is told, for a prompt."""
        return "\n".join([*self.told, *(f"Where: {place}" for place in self.places)])


class MakerConfig(KindConfig):
    """Base of the settings of makers."""

    room: ClassVar[str] = "modalink.data_making.makers"
    asks: ClassVar[bool] = True
    """Whether it asks a language model."""

    seed: int = 0
    """Decides what is drawn, such as wordings."""

    @property
    def together(self) -> int:
        """How many samples make one conversation."""
        return 1

    def prompt(self, known: Sequence[Known]) -> str:
        """What the language model is asked.

        Raises:
            SampleError: Too little is known, with the reason `nothing_known`.
        """
        raise NotImplementedError(f"{self.kind} asks nothing")

    @abstractmethod
    def read(self, reply: str, known: Sequence[Known]) -> list[Conversation]:
        """The conversations that a reply makes; without a language model the reply is empty.

        Raises:
            SampleError: The reply is not what was asked for, with the reason `bad_reply`.
        """

    def rng(self, known: Sequence[Known]) -> random.Random:
        """Randomness of one conversation, the same whenever it is made."""
        return random.Random(
            f"{self.seed}/{self.kind}/{'/'.join(one.id for one in known)}".encode("utf-8", "surrogatepass")
        )


class AskingConfig(MakerConfig):
    """Base of the settings of makers that ask a language model."""

    shows: bool = False
    """Whether it sees the pictures, too; else it reads what is told of them alone."""
    temperature: float = Field(default=0.7, ge=0)
    """How freely it writes."""
    max_tokens: int = Field(default=1024, ge=1, le=2**16)
    """Longest reply."""
