"""The table of modalities: each is one file that defines `RECORD`, a row of data that the rest of the house reads.

A third party adds a modality without touching modalink, by an entry point:

    [project.entry-points."modalink.modalities"]
    depth = "my_package.depth:RECORD"
"""

import importlib
from functools import cache
from typing import Any

from modalink.errors import RecipeError, UnknownNameError
from modalink.kinds import kinds
from modalink.roles import ModalityRecord, Preview

DEFAULT = "image"
"""What data of media and captions hold where their settings do not tell: most of them do."""

_OF_ONE_ALONE = ("placeholder", "signal", "argument", "plural")


def names() -> tuple[str, ...]:
    """All modalities, built in and plugged in, in alphabetical order."""
    return tuple(sorted(kinds(__name__)))


@cache
def get(name: str) -> ModalityRecord:
    """The record of a modality.

    Raises:
        UnknownNameError: No file and no plug-in has that name.
        RecipeError: The plug-in's record bears another name than its entry point: media would be filed under both.
    """
    known = kinds(__name__)
    if name not in known:
        raise UnknownNameError("modality", name, known)
    module, _, attribute = known[name].partition(":")
    record = getattr(importlib.import_module(module), attribute or "RECORD", None)
    if not isinstance(record, ModalityRecord) or record.name != name:
        raise RecipeError(f"{known[name]}: found {record!r:.80}, needed a ModalityRecord with the name {name!r}")
    return record


@cache
def records() -> tuple[ModalityRecord, ...]:
    """The records of all modalities, in the order of `names`.

    Raises:
        RecipeError: Two of them share a placeholder, signal, argument, column or type of block: one would be taken for
            the other.
    """
    rows = tuple(get(name) for name in names())
    for trait in _OF_ONE_ALONE:
        _refuse_shared(trait, [(getattr(row, trait), row.name) for row in rows])
    _refuse_shared("type of block", [(block, row.name) for row in rows for block in (row.name, *row.blocks)])
    return rows


def preview(modality: str, medium: Any) -> Preview:
    """What a page shows of a medium.

    Args:
        modality: Its modality.
        medium: The decoded medium.

    Raises:
        MediumError: It is no such medium, for example holds no numbers.
    """
    record = get(modality)
    shows = get(record.like) if record.preview is None and record.like else record
    if shows.preview is None:
        told = f"{record.open(medium).extent}; a page has no form for it, as a file it is a {record.written}"
        return Preview(words=modality, note=told)
    return shows.preview(shows.read(medium))


def block_types(kind: str) -> tuple[str, ...]:
    """All types of content blocks that hold the same modality as a block of this type, the modality's name first."""
    types = ((row.name, *row.blocks) for row in records())
    return next((known for known in types if kind in known), (kind,))


def of_block(kind: str) -> str:
    """The modality of a content block by its type; one that no record knows is taken for the name of a modality."""
    return block_types(kind)[0]


def _refuse_shared(trait: str, owners: list[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    for value, name in owners:
        if first.setdefault(value, name) != name:
            raise RecipeError(
                f"the modalities {first[value]!r} and {name!r} have the same {trait} {value!r}; change one"
            )
