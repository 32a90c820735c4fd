"""How an answer is drawn from the model."""

from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, ValidationError

from modalink.errors import OptionError, shown
from modalink.kinds import Count, Settings

# All said, so that the defaults that an LLM brings along change nothing.
GREEDY: dict[str, Any] = {
    "num_beams": 1, "do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50, "repetition_penalty": 1.0,
}  # fmt: skip
"""Options of `generate` for the likeliest words."""


class Sampling(Settings):
    """Options of one answer; the defaults give the likeliest words, the same each time."""

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
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the drawn tokens and of the media."""
    guidance: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Classifier-free guidance of the media; the system's own by default."""
    steps: Count | None = None
    """Denoising steps of the media; the system's own by default."""

    @classmethod
    def checked(cls, **options: Any) -> Self:
        """Options from values that a user gave.

        Raises:
            OptionError: A value cannot be used.
        """
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            wrong = error.errors()[0]
            raise OptionError(f"{wrong['loc'][0]}: found {shown(wrong['input'])}; {wrong['msg'].lower()}") from None

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn; scores divided by less than this would leave the numbers of float32."""
        return self.temperature >= 1e-5
