"""How an answer is drawn from the model."""

from typing import Annotated, Any

from pydantic import Field, PositiveInt

from modalink.kinds import Settings

# All said, so that the defaults that an LLM brings along change nothing.
GREEDY: dict[str, Any] = {
    "num_beams": 1, "do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50, "repetition_penalty": 1.0,
}  # fmt: skip
"""Options of `generate` for the likeliest words."""


class Sampling(Settings):
    """Options of one answer; the defaults give the likeliest words, the same each time."""

    max_new_tokens: PositiveInt = 256
    """Longest answer, in tokens."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 takes the likeliest token each time; higher draws more freely."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """When drawing, only the likeliest tokens that make up this share of the probability."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer, beside the system's own; the text ends before them."""
    beams: PositiveInt = 1
    """Answers followed side by side, of which the likeliest is kept; more than one comes in one piece when streamed."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the drawn tokens and of the media."""
    guidance: Annotated[float, Field(ge=0)] | None = None
    """Classifier-free guidance of the media; the system's own by default."""
    steps: PositiveInt | None = None
    """Denoising steps of the media; the system's own by default."""
