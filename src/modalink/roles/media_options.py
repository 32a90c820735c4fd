"""What one request says of the media that it asks for: checked in one way by sessions, recipes and generators."""

import re
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, ValidationError

from modalink.errors import GenerationError, ModalinkError, shown
from modalink.kinds import Count, Settings


def _pair(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", value.strip())):
        width, height = found[1], found[2] or found[1]
        return int(height), int(width)
    return value


_Side = Annotated[int, Field(ge=1, le=2**14)]
Size = Annotated[
    tuple[_Side, _Side],
    BeforeValidator(
        _pair, json_schema_input_type=_Side | Annotated[str, Field(pattern=r"^\d+(x\d+)?$")] | tuple[_Side, _Side]
    ),
]
"""Height and width in pixels; one number is both, and the text `WIDTHxHEIGHT` says them as they are written."""
Guidance = Annotated[float, Field(ge=0, le=1000)]
"""Strength of classifier-free guidance; up to 1 there is none."""
Seconds = Annotated[float, Field(gt=0, le=3600)]
"""Length of a sound or a video."""


class MediaOptions(Settings):
    """What a request says of a medium; the generator decides where it says nothing."""

    refuses: ClassVar[type[ModalinkError]] = GenerationError
    """What `checked` raises."""

    guidance: Guidance | None = None
    """Classifier-free guidance of the media; the system's own by default."""
    steps: Count | None = None
    """Denoising steps of the media; the system's own by default."""
    size: Size | None = None
    """Height and width of pictures and videos, in pixels, or `WIDTHxHEIGHT`; the system's own by default."""
    seconds: Seconds | None = None
    """Length of sounds and videos; the system's own by default."""
    frames: Count | None = None
    """Frames of videos; the system's own by default."""

    @classmethod
    def checked(cls, **options: Any) -> Self:
        """Options from values that a user gave.

        Raises:
            ModalinkError: A value cannot be used; of the type `refuses`.
        """
        try:
            return cls.model_validate(options)
        except ValidationError as error:
            wrong = error.errors()[0]
            text = f"{wrong['loc'][0]}: found {shown(wrong['input'])}; {wrong['msg'].lower()}"
            raise cls.refuses(text) from None
