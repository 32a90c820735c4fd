"""A row of a file, and how much of a file is held at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from modalink.errors import brief


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is held at once, in characters."""

    chunk: int = 1 << 20
    """What is read at once."""
    longest: int = 1 << 26
    """What one row may have; a file that exceeds it is taken for damaged."""


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its fields, where it is for messages, and its key where the file is an object keyed by id."""

    where: str
    fields: Mapping[str, Any]
    key: str | None = None

    @classmethod
    def of(cls, where: str, value: Any, key: str | None = None) -> Self:
        """A row of any value; one that is no mapping is its field `value`."""
        return cls(where, value if isinstance(value, dict) else {"value": value}, key)


def shown_path(path: Path) -> str:
    """A file as messages name it: the path as it was given, for several files may have one name."""
    text = str(path)
    return brief(text if len(text) <= 200 else f"...{text[-200:]}", 210)
