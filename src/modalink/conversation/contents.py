"""What a turn holds: text, media, regions of pictures."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from modalink.errors import PromptError

Role = Literal["system", "user", "assistant", "tool"]
Use = Literal["read", "made", "both"]


@dataclass(frozen=True)
class Text:
    """A piece of text.

    Args:
        text: The text.
        loss: Whether training learns it, in a turn that it learns from; else it is only read.

    Raises:
        PromptError: It holds half a surrogate pair, which no text in UTF-8 does and no tokenizer reads.
    """

    text: str
    loss: bool = True

    def __post_init__(self) -> None:
        _refuse_halves(self.text, "a text")


class Unmade(Enum):
    """The source of a medium that is yet to be made; data cannot say it."""

    UNMADE = "yet to be made"


@dataclass(frozen=True)
class Medium:
    """One medium: where it comes from, and what it shows if that is known.

    Args:
        modality: Its modality, for example `"image"`.
        source: A path, bytes, data URL, decoded object (PIL image, array) or handle; opened by the modality's `open`.
            `Unmade` is one that is yet to be made.
        caption: Text that describes it: the `align` objective's target when the assistant makes this medium.
        use: Whether the system reads it, makes it, or both: makes it and reads it from there on, as a document teaches
            that holds media between its texts. By default the one that speaks decides, see `use_in`.

    Raises:
        PromptError: The caption holds half a surrogate pair.
    """

    modality: str
    source: Any
    caption: str | None = None
    use: Use | None = None

    def __post_init__(self) -> None:
        _refuse_halves(self.caption or "", "a caption")

    def use_in(self, role: Role, reads: Collection[str], makes: Collection[str]) -> Use:
        """What a system does with this medium in a turn.

        By default the assistant's media are made where the system can make their modality; all others are read.

        Args:
            role: Who speaks.
            reads: Modalities that the system reads.
            makes: Modalities that it makes.

        Raises:
            PromptError: The system cannot do so.
        """
        use = self.use or ("made" if role == "assistant" and self.modality in makes else "read")
        for verb, able, done in (("read", reads, use != "made"), ("make", makes, use != "read")):
            if done and self.modality not in able:
                raise PromptError(
                    f"found a medium of modality {self.modality!r} to {verb}; this system {verb}s "
                    f"{', '.join(able) or 'text only'}; use it otherwise, or give the system an "
                    f"{'encoder' if verb == 'read' else 'generator'} for it"
                )
        return use


REGION_MARKER = "<bbox>"
"""Stands in texts of data and questions where a region does."""
Number = int | float
Area = tuple[Number, ...]
"""Two numbers are a point, x and y; four a box, left, top, right, bottom; eight the corners of a quadrilateral, x and y
each, from the upper left on and clockwise."""


@dataclass(frozen=True)
class Region:
    """Areas of a picture; the system's coordinate codec writes them into the prompt.

    Args:
        areas: At least one, in pixels of the picture.
        phrase: What is there, in words.
        image: Which picture of the conversation, from 0; by default the last that stands before.
        shares: Whether the numbers are shares of the picture's width and height instead of pixels.

    Raises:
        PromptError: An area has other numbers than these, or the phrase half a surrogate pair.
    """

    areas: tuple[Area, ...]
    phrase: str = ""
    image: int | None = None
    shares: bool = False

    def __post_init__(self) -> None:
        _refuse_halves(self.phrase, "a phrase")
        for area in self.areas:
            check_area(area)
        if not self.areas:
            raise PromptError("found a region without areas, needed at least one")
        if self.image is not None and self.image < 0:
            raise PromptError(f"found a region of image {self.image}, needed one from 0")

    @property
    def text(self) -> str:
        """What people read where no codec writes it: `the cat [10, 20, 30, 40]`."""
        areas = ["[" + ", ".join(f"{number:g}" for number in area) + "]" for area in self.areas]
        return " ".join([self.phrase, *areas] if self.phrase else areas)


def check_area(area: Sequence[Any]) -> None:
    """Demand the numbers of an area.

    Raises:
        PromptError: They are none.
    """
    if len(area) not in (2, 4, 8) or not all(map(_is_number, area)):
        raise PromptError(f"found the area {list(area)!r:.80}, needed 2, 4 or 8 numbers of 0 or more")


def _is_number(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) and number >= 0


Content = Text | Medium | Region


@dataclass(frozen=True)
class Turn:
    """What one speaker says.

    Args:
        role: Who speaks; `tool` is what a tool gave back.
        content: Text and media in order.
        loss: Whether training learns from it; only what the assistant says is ever learned.
    """

    role: Role
    content: tuple[Content, ...]
    loss: bool = True

    @property
    def text(self) -> str:
        """The turn's text without its media and regions."""
        return "".join(piece.text for piece in self.content if isinstance(piece, Text))


def _refuse_halves(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"half a surrogate pair, {text[error.start]!a}, as character {error.start}"
        raise PromptError(f"{what} holds {found}, which is no character; write the text anew in UTF-8") from None
