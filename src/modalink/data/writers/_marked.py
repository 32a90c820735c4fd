"""Turns as texts with markers, their media and boxes in columns: what most formats have in common."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from modalink import modalities
from modalink.conversation import REGION_MARKER, Conversation, Medium, Region, Text, Turn
from modalink.data.writer import cannot_carry, plain


def text(turn: Turn) -> str:
    """What is said in a turn, markers standing for its media and regions."""
    pieces = []
    for piece in turn.content:
        if isinstance(piece, Text):
            pieces.append(piece.text)
        else:
            pieces.append(modalities.get(piece.modality).placeholder if isinstance(piece, Medium) else REGION_MARKER)
    return "".join(pieces)


def named(conversation: Conversation) -> dict[str, Any]:
    """The columns of the record's name and, where there are any, of its facts, which the source `messages` reads."""
    return {"id": conversation.id} | ({"facts": dict(conversation.facts)} if conversation.facts else {})


def columns(conversation: Conversation, format: str, *, single: bool = False) -> dict[str, Any]:
    """The columns beside what is said: the record's name, its media by modality, its boxes.

    Args:
        conversation: The sample.
        format: What the format is called, for errors.
        single: Whether one medium alone stands in the column of one, `image`, instead of in a list, `images`.

    Raises:
        SampleError: A region has no form in them.
    """
    found = named(conversation)
    for row in modalities.records():
        sources = [medium.source for _, medium in conversation.media(row.name)]
        if sources:
            found |= {row.name: sources[0]} if single and len(sources) == 1 else {row.plural: sources}
    pieces = [piece for turn in conversation.turns for piece in turn.content]
    regions = [piece for piece in pieces if isinstance(piece, Region)]
    return found | ({"objects": _objects(conversation, regions, format)} if regions else {})


def _objects(conversation: Conversation, regions: Iterable[Region], format: str) -> dict[str, Any]:
    """ms-swift's boxes."""
    numbered = [p for turn in plain(conversation, Path()).turns for p in turn.content if isinstance(p, Region)]
    kinds = {region.shares for region in regions}
    if len(kinds) > 1:
        raise cannot_carry(conversation, format, "some regions are in pixels and others in shares of the picture")
    for region in numbered:
        if len(region.areas) != 1 or len(region.areas[0]) > 4 or region.phrase:
            raise cannot_carry(conversation, format, "a region has several areas, eight numbers or a phrase")
    return {
        "bbox": [list(region.areas[0]) for region in numbered],
        "bbox_type": "norm1" if kinds == {True} else "real",
        "image_id": [region.image for region in numbered],
    }
