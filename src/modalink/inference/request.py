"""What the engine is asked, and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from modalink.conversation import Content, Medium
from modalink.inference.sampling import Sampling
from modalink.model import Prepared
from modalink.roles import Conditions


@dataclass(frozen=True)
class Request:
    """One conversation to be answered.

    Args:
        prompt: The conversation as tokens and items, its end the start of the answer: `processor.prepare(...,
            reply=True)`.
        sampling: How to draw, with a seed and further stop strings of its own.
        media: Whether the media that the answer asks for are made; else their conditions are all that comes.
    """

    prompt: Prepared
    sampling: Sampling = field(default_factory=Sampling)
    media: bool = True


@dataclass(frozen=True)
class Completion:
    """The answer to one request.

    Args:
        text: The words, without special tokens, up to the first stop string.
        ids: All tokens of the answer, one that ended it included.
        log_probabilities: What the LLM's scores as they are gave each token, whatever temperature and `top_p` made of
            them; 0 for the tokens of a run of signal tokens after its first, which follow without a choice.
        finish_reason: `stop` where the answer came to its end, `length` where it was cut at its longest length.
        content: Text and, where they were made, media in their order.
        conditions: Modality -> conditions, one item for each run of signal tokens; one of the whole text where the
            generator reads the words of the reply.
    """

    text: str
    ids: tuple[int, ...] = ()
    log_probabilities: tuple[float, ...] = ()
    finish_reason: Literal["stop", "length"] = "stop"
    content: tuple[Content, ...] = ()
    conditions: Mapping[str, Conditions] = field(default_factory=dict)

    @property
    def media(self) -> tuple[Medium, ...]:
        """The media that were made, in their order."""
        return tuple(piece for piece in self.content if isinstance(piece, Medium))
