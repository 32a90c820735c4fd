"""A released architecture, and which parts of a recipe it is: one file each in `families/`."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from modalink.errors import PartError
from modalink.interop.imported import Imported
from modalink.interop.names import NameMap
from modalink.kinds import kinds
from modalink.recipe import Paper

ROOM = "modalink.interop.families"


@dataclass(frozen=True)
class Source(Imported):
    """A checkpoint that is imported.

    Args:
        folder: Where its files are.
        config: Its configuration.
        processor: What its processor says of itself, as JSON data.
    """

    folder: Path
    config: PreTrainedConfig
    processor: Mapping[str, Any]

    def refuse(self, setting: str, found: Any, needed: str) -> PartError:
        """The error about a setting that cannot be imported."""
        return PartError(f"{self.reference}: found {setting} {found!r} in its configuration, needed {needed}")


@dataclass(frozen=True)
class Family:
    """An architecture of transformers, as parts of a recipe.

    Args:
        architecture: Name of its class, as `architectures` in `config.json` has it.
        paper: Where it was published.
        parts: Gives `inputs` and `llm` of the recipe; raises `PartError` for a form that has no parts here.
        names: Gives the names of its weights in that class of transformers -> those here.
        template: The prompt template of a checkpoint whose tokenizer has none of its own.
    """

    architecture: str
    paper: Paper
    parts: Callable[[Source], dict[str, Any]]
    names: Callable[[Source], NameMap]
    template: str


@cache
def families() -> dict[str, Family]:
    """All that can be imported, by the name of the class; a package adds one by an entry point in `ROOM`."""
    found = {}
    for place in kinds(ROOM).values():
        module, _, name = place.partition(":")
        family: Family = getattr(importlib.import_module(module), name or "FAMILY")
        found[family.architecture] = family
    return found
