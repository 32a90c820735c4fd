"""One question as it is put to a model: media, and words on a line of their own below them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modalink import modalities
from modalink.conversation import Content, Conversation, Medium, Text, Turn


@dataclass(frozen=True)
class PreparedQuestion:
    """One question, ready to be put to a model.

    Args:
        id: The question's id.
        prompt: The words.
        media: Modality and source (path or data URL) of what is shown before them.
        span_s: From when to when of a video is shown, in seconds; all of it by default.
    """

    id: str
    prompt: str
    media: tuple[tuple[str, Path | str], ...] = ()
    span_s: tuple[float, float] | None = None

    def conversation(self) -> Conversation:
        """The question as a conversation, its media read.

        Raises:
            MediumError: A medium cannot be read.
        """
        shown = [Medium(modality, self._read(modality, source)) for modality, source in self.media]
        return Conversation((Turn("user", text_below_media((*shown, Text(self.prompt)))),), f"question {self.id}")

    def _read(self, modality: str, source: Path | str) -> Any:
        medium = modalities.get(modality).read(source)
        return medium if self.span_s is None else medium.part(*self.span_s)


def text_below_media(content: Iterable[Content]) -> tuple[Content, ...]:
    """Content in which words stand on a line of their own below media, as LLaVA is trained and asked."""
    pieces: list[Content] = []
    for piece in content:
        if isinstance(piece, Text) and pieces and isinstance(pieces[-1], Medium) and not piece.text.startswith("\n"):
            piece = Text(f"\n{piece.text}")
        pieces.append(piece)
    return tuple(pieces)


@dataclass(frozen=True)
class Skipped:
    """A question that was not put to the model, and why."""

    id: str
    why: str
