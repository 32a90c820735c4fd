"""What a system answers."""

import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from modalink import modalities
from modalink.conversation import Content, Conversation, Medium, Region
from modalink.errors import MediumError
from modalink.inference.annotation import annotated
from modalink.inference.destination import Destination, escaped
from modalink.inference.request import Made


@dataclass(frozen=True)
class Answer:
    """An answer of the assistant; prints as its text, with a mark where a medium stands.

    Args:
        text: What it says, without media.
        media: Modality and decoded medium (for images: PIL) of what it made, in order.
        conversation: The whole conversation, this answer included, to go on with.
        complete: False where the answer was cut at its longest length.
        regions: Places that it names, in pixels of the last picture of the conversation, where the system's recipe
            names a coordinate codec.
        unread: What looks like places and could not be read, and why.
        made: The media that it asks for, in order: what each was made from and with, and where it stands.
        notes: What became of its media otherwise than was asked: what was not made, or cannot be read in turns after.
    """

    text: str
    media: list[tuple[str, Any]]
    conversation: Conversation
    complete: bool = True
    regions: tuple[Region, ...] = ()
    unread: tuple[str, ...] = ()
    made: tuple[Made, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        pieces = self.conversation.turns[-1].content
        return " ".join(_mark(piece) if isinstance(piece, Medium) else piece.text.strip() for piece in pieces)

    def _repr_html_(self) -> str:
        """As a notebook shows and plays it: words and media in their order, then the notes."""
        pieces = [_element(piece) for piece in self.content]
        return "\n".join([*filter(None, pieces), *(f"<small>{escape(note)}</small>" for note in self.notes)])

    def annotated(self) -> Image.Image | None:
        """The last picture that was shown, with the answer's regions drawn on it; None where it names none.

        Raises:
            MediumError: The picture cannot be read.
        """
        pictures = [
            medium
            for turn, medium in self.conversation.media()
            if turn.role != "assistant" and modalities.get(medium.modality).fits({"image"})
        ]
        if not self.regions or not pictures:
            return None
        record = modalities.get(pictures[-1].modality)
        return annotated(record.read(pictures[-1].source), self.regions)

    @property
    def content(self) -> tuple[Content, ...]:
        """Its text and media in their order."""
        return self.conversation.turns[-1].content

    def save_media(self, out: str | os.PathLike[str] | Destination = ".", stem: str = "answer") -> list[Path]:
        """Write the media, leaving files that are there as they are.

        Args:
            out: A folder, in which they are called `STEM-1-image.png` and so on; a file, or a pattern of names such as
                `films/{number}.mp4`; see `Destination`.
            stem: What names in a folder begin with.

        Returns:
            The files, in the order of `media`.

        Raises:
            OptionError: No file can be called so, or one is there already.
            MediumError: A medium cannot be written.
        """
        destination = out if isinstance(out, Destination) else Destination.of(out, stem)
        return destination.write(self.media)

    def save_annotated(self, folder: str | os.PathLike[str] = ".", stem: str = "annotated") -> Path | None:
        """Write the picture with the answer's regions on it into a folder; None where there are none."""
        picture = self.annotated()
        if picture is None:
            return None
        return Destination(escaped(Path(folder) / stem) + "-{number}").write([("image", picture)])[0]


def _element(piece: Content) -> str:
    if not isinstance(piece, Medium):
        return f"<p>{escape(piece.text.strip())}</p>" if piece.text.strip() else ""
    try:
        return modalities.preview(piece.modality, piece.source).html(piece.modality)
    except MediumError as error:
        return f"<small>{escape(str(error))}</small>"


def _mark(medium: Medium) -> str:
    return f"[{medium.modality}: {modalities.get(medium.modality).open(medium.source).extent}]"
