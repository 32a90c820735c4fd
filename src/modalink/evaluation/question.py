"""One question as it is put to a model: media, and words on a line of their own below them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modalink import modalities
from modalink.conversation import Content, Conversation, Medium, Text, Turn


@dataclass(frozen=True)
class PreparedQuestion:
    """One question, ready to be put to a model.

    Args:
        id: The question's id.
        prompt: The words.
        media: Modality and source (path or data URL) of what is shown before them.
    """

    id: str
    prompt: str
    media: tuple[tuple[str, Path | str], ...] = ()

    def conversation(self) -> Conversation:
        """The question as a conversation, its media read.

        Raises:
            MediumError: A medium cannot be read.
        """
        shown = [Medium(m, modalities.get(m).read(source)) for m, source in self.media]
        return Conversation((Turn("user", text_below_media((*shown, Text(self.prompt)))),), f"question {self.id}")


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
