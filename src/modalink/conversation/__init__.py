"""The one record for data and inference: turns of text and media, in the shape of Hugging Face and OpenAI messages."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modalink.conversation.contents import (
    REGION_MARKER,
    Area,
    Content,
    Medium,
    Number,
    Region,
    Role,
    Text,
    Turn,
    Unmade,
    Use,
)
from modalink.conversation.messages import block_source, carries_loss, inner_source, read_turn, write_turn
from modalink.errors import PromptError

__all__ = [
    "REGION_MARKER",
    "Area",
    "Content",
    "Conversation",
    "Medium",
    "Number",
    "Region",
    "Role",
    "Text",
    "Turn",
    "Unmade",
    "Use",
    "block_source",
    "carries_loss",
    "inner_source",
]


@dataclass(frozen=True)
class Conversation:
    """Turns in order.

    Args:
        turns: The turns.
        id: Names the sample in ledgers and errors.
        facts: What its record tells beside the turns, by name (a right answer, boxes, captions): rewards read it, the
            system never does.
    """

    turns: tuple[Turn, ...]
    id: str = "conversation"
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def media(self, modality: str | None = None) -> Iterator[tuple[Turn, Medium]]:
        """All media, in reading order, each with the turn that holds it."""
        for turn in self.turns:
            for piece in turn.content:
                if isinstance(piece, Medium) and modality in (None, piece.modality):
                    yield turn, piece

    def filled(self, regions: Iterable["Region"]) -> "Conversation":
        """The same with regions in the place of the markers `<bbox>` of its texts, in order, as far as they go."""
        given = iter(regions)
        turns = tuple(replace(turn, content=tuple(_filled(turn.content, given))) for turn in self.turns)
        return replace(self, turns=turns)

    @classmethod
    def from_messages(cls, messages: Sequence[Mapping[str, Any]], id: str = "conversation") -> "Conversation":
        """Read chat messages: `content` is a string or a list of `{"type": "text" | MODALITY, ...}` blocks.

        A medium's block holds its source under its type's name (`{"type": "image", "image": source}`), under `path`,
        `url` or `data`, or as OpenAI's `{"type": "image_url", "image_url": {"url": ...}}`; `caption` and `use` are
        optional. Which types of blocks hold which modality is told by the modalities themselves. A block of type
        `region` holds the `areas` of a `Region`, and where they are needed its other fields. A message that
        training shall not learn says `"loss": false`, `"train": false` or OpenAI's `"weight": 0`, and so does a block
        of text that is only read in a message that is learned.

        Raises:
            PromptError: A role, a block or its source is missing or of an unknown form.
        """
        if not messages:
            raise PromptError(f"{id}: found no messages, needed at least one")
        return cls(tuple(read_turn(m, f"{id}, message {i}") for i, m in enumerate(messages)), id)

    def to_messages(self) -> list[dict[str, Any]]:
        """The same conversation as chat messages that `from_messages` reads back."""
        return [write_turn(turn) for turn in self.turns]


def _filled(content: Iterable[Content], regions: Iterator[Region]) -> Iterator[Content]:
    for piece in content:
        if not isinstance(piece, Text) or REGION_MARKER not in piece.text:
            yield piece
            continue
        words, *rest = piece.text.split(REGION_MARKER)
        for text in rest:
            if (region := next(regions, None)) is None:
                words += REGION_MARKER + text
                continue
            if words:
                yield replace(piece, text=words)
            yield region
            words = text
        if words:
            yield replace(piece, text=words)
