"""The row that describes a modality; a modality is data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModalityRecord:
    """One row of the table of modalities; a modality is data."""

    name: str
    """Key in recipes and conversations, for example `image`."""
    placeholder: str
    """Token that stands for one item in a prompt, for example `<image>`."""
    signal: str
    """Spelling of the signal tokens, for example `[IMG{}]`."""
    argument: str
    """Keyword under which the model's forward takes the preprocessed items, for example `pixel_values`."""
    suffixes: tuple[str, ...]
    """File names that hold this modality."""
    read: Callable[..., Any]
    """Reads and checks one medium from a path, bytes, data URL or decoded object; raises `MediumError`."""
    write: Callable[[Any, Any], None]
    """Writes one decoded medium to a path."""
