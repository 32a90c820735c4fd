"""How an answer is drawn from the model."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt

from modalink.errors import ModalinkError, OptionError
from modalink.kinds import Count
from modalink.roles import MediaOptions

# All said, so that the defaults that an LLM brings along change nothing.
GREEDY: dict[str, Any] = {
    "num_beams": 1, "do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50, "repetition_penalty": 1.0,
}  # fmt: skip
"""Options of `generate` for the likeliest words."""


class Sampling(MediaOptions):
    """Options of one answer; the defaults give the likeliest words, the same each time."""

    refuses: ClassVar[type[ModalinkError]] = OptionError

    max_new_tokens: PositiveInt = 256
    """Longest answer, in tokens."""
    temperature: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """0 takes the likeliest token each time; higher draws more freely. Less than 1e-5 is 0: nothing else is drawn."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """When drawing, only the likeliest tokens that make up this share of the probability."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer, beside the system's own; the text ends before them."""
    beams: Count = 1
    """Answers followed side by side, of which the likeliest is kept; more than one comes in one piece when streamed."""
    max_media: Annotated[int, Field(ge=0)] = 16
    """Most media of an answer, after which none is begun; 0: words alone."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the drawn tokens and of the media."""
    negative: Annotated[str, Field(max_length=10_000)] | None = None
    """What guidance steers the media away from, in words; away from nothing in particular by default."""

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn; scores divided by less than this would leave the numbers of float32."""
        return self.temperature >= 1e-5
