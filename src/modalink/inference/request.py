"""What the engine is asked, and what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modalink.conversation import Content, Medium
from modalink.inference.sampling import Sampling
from modalink.model import Prepared
from modalink.roles import Conditions, ShouldStop


@dataclass(frozen=True)
class Making:
    """How far a medium of an answer is.

    Args:
        modality: Its modality.
        number: Which of the answer's media it is, from 1.
        step: Steps of its generator that are done; 0 when it begins.
        steps: How many there are, where the generator's settings tell.
    """

    modality: str
    number: int
    step: int
    steps: int | None = None


@dataclass(frozen=True)
class Watch:
    """Who looks on while media are made.

    Args:
        on_step: Told before each step.
        should_stop: Asked before each step; what was made and said until then stays in the answer.
    """

    on_step: Callable[[Making], None] | None = None
    should_stop: ShouldStop | None = None


@dataclass(frozen=True)
class Begun:
    """Where in a streamed answer a medium stands, which is made when the text has come to its end.

    Args:
        modality: Its modality.
        number: Which of the answer's media it is, from 1.
    """

    modality: str
    number: int


@dataclass(frozen=True, eq=False)
class Made:
    """One medium that an answer asks for.

    Args:
        modality: Its modality.
        medium: The decoded medium; None where it was not made.
        place: Where in the answer's content it stands; None where it was not made.
        conditions: What its generator made it from: one item; None where a generator that would read the words of the
            reply was left out, or cannot read them.
        seed: Of its generator's randomness.
        options: The generator's settings for it, by their names.
        missing: Why it was not made; empty where it was.
    """

    modality: str
    medium: Any
    place: int | None
    conditions: Conditions | None
    seed: int
    options: Mapping[str, Any]
    missing: str = ""


@dataclass(frozen=True)
class Request:
    """One conversation to be answered.

    Args:
        prompt: The conversation as tokens and items, its end the start of the answer: `processor.prepare(...,
            reply=True)`.
        sampling: How to draw, with a seed and further stop strings of its own.
        media: Whether the media that the answer asks for are made; else their conditions are all that comes.
        watch: Who looks on while they are made.
    """

    prompt: Prepared
    sampling: Sampling = field(default_factory=Sampling)
    media: bool = True
    watch: Watch = Watch()


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
            generator reads the words of the reply, none where it cannot read them.
        made: The media that it asks for, in their order, where they were wanted.
    """

    text: str
    ids: tuple[int, ...] = ()
    log_probabilities: tuple[float, ...] = ()
    finish_reason: Literal["stop", "length"] = "stop"
    content: tuple[Content, ...] = ()
    conditions: Mapping[str, Conditions] = field(default_factory=dict)
    made: tuple[Made, ...] = ()

    @property
    def media(self) -> tuple[Medium, ...]:
        """The media that were made, in their order."""
        return tuple(piece for piece in self.content if isinstance(piece, Medium))

    @property
    def missing(self) -> tuple[str, ...]:
        """Why media were not made, each by its modality and its place among those that were asked for."""
        rows = enumerate(self.made, 1)
        return tuple(f"{one.modality} {number}: {one.missing}" for number, one in rows if one.missing)
