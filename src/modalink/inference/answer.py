"""What a system answers."""

import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from modalink import modalities
from modalink.conversation import Conversation, Medium, Text


@dataclass(frozen=True)
class Answer:
    """An answer of the assistant; prints as its text, with a mark where a medium stands.

    Args:
        text: What it says, without media.
        media: Modality and decoded medium (for images: PIL) of what it made, in order.
        conversation: The whole conversation, this answer included, to go on with.
        complete: False where the answer was cut at its longest length.
    """

    text: str
    media: list[tuple[str, Any]]
    conversation: Conversation
    complete: bool = True

    def __str__(self) -> str:
        pieces = self.conversation.turns[-1].content
        return " ".join(piece.text.strip() if isinstance(piece, Text) else _mark(piece) for piece in pieces)

    def save_media(self, folder: str | os.PathLike[str] = ".", stem: str = "answer") -> list[Path]:
        """Write the media as `STEM-1.png` and so on, leaving files that are there as they are.

        Returns:
            The files, in the order of `media`.

        Raises:
            MediumError: A medium cannot be written.
        """
        if self.media:
            Path(folder).mkdir(parents=True, exist_ok=True)
        paths = []
        for modality, medium in self.media:
            record = modalities.get(modality)
            path = next(p for i in count(1) if not (p := Path(folder, f"{stem}-{i}{record.written}")).exists())
            record.write(medium, path)
            paths.append(path)
        return paths


def _mark(medium: Medium) -> str:
    return f"[{medium.modality}: {modalities.get(medium.modality).open(medium.source).extent}]"
