"""One turn of a conversation, as a chat template gets it: texts with the spans in them, and media among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modalink import modalities
from modalink.conversation import Medium, Turn
from modalink.prompts.template import Page, Place


@dataclass
class TurnBlocks:
    """One turn, as the template gets it.

    Args:
        turn: The turn.
        blocks: Texts with the spans in them, and media that the template writes; without lists of blocks one text.
        listed: Whether the template reads lists of blocks.
    """

    turn: Turn
    blocks: list[Page | Medium]
    listed: bool

    @classmethod
    def of(cls, turn: Turn, place: Place, *, listed: bool) -> "TurnBlocks":
        """What a turn says, where `place` writes media."""
        if not listed:
            page = Page(place)
            page.content(turn, turn.content)
            return cls(turn, [page], listed)
        blocks: list[Page | Medium] = []
        for piece in turn.content:
            written = place(turn, piece) if isinstance(piece, Medium) else ""
            if isinstance(piece, Medium) and written.endswith(sign := modalities.get(piece.modality).placeholder):
                if signals := written.removesuffix(sign):
                    _last_text(blocks, place).write(signals)
                blocks.append(piece)
            else:  # words, or the signal tokens of a medium that is made
                _last_text(blocks, place).content(turn, [piece])
        return cls(turn, blocks, listed)

    @property
    def pages(self) -> list[Page]:
        """The texts."""
        return [block for block in self.blocks if isinstance(block, Page)]

    @property
    def media(self) -> list[Medium]:
        """The media that the template writes."""
        return [block for block in self.blocks if isinstance(block, Medium)]

    def message(self, texts: Sequence[str] | None = None) -> dict[str, Any]:
        """The turn as a message; with other texts in the place of its own, if they are given."""
        words = iter([page.text for page in self.pages] if texts is None else texts)
        if not self.listed:
            return {"role": self.turn.role, "content": next(words)}
        content = [
            {"type": block.modality} if isinstance(block, Medium) else {"type": "text", "text": next(words)}
            for block in self.blocks
        ]
        return {"role": self.turn.role, "content": content}


def _last_text(blocks: list[Page | Medium], place: Place) -> Page:
    """The text that goes on at the end of some blocks; a new one behind a medium."""
    if blocks and isinstance(last := blocks[-1], Page):
        return last
    blocks.append(page := Page(place))
    return page
