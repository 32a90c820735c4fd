"""The table of modalities: each is one file that defines `RECORD`, a row of data that the rest of the house reads.

A third party adds a modality without touching modalink, by an entry point:

    [project.entry-points."modalink.modalities"]
    depth = "my_package.depth:RECORD"
"""

import importlib
from functools import cache

from modalink.errors import RecipeError, UnknownNameError
from modalink.kinds import kinds
from modalink.roles import ModalityRecord


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
