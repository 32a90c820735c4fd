"""The row that describes a modality; a modality is data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ModalityRecord:
    """One row of the table of modalities: all that the rest of the house says about a modality or asks of it."""

    name: str
    """Key in recipes and conversations, option of commands, type of content blocks; for example `image`."""
    plural: str
    """Column in which data sets keep several of a record, for example `images`."""
    blocks: tuple[str, ...] = ()
    """Further types of content blocks that hold it in others' chat messages, for example OpenAI's `image_url`."""
    placeholder: str
    """Token that stands for one item in a prompt, for example `<image>`."""
    signal: str
    """Spelling of the signal tokens, for example `[IMG{}]`."""
    argument: str
    """Keyword under which the model's forward takes the preprocessed items, for example `pixel_values`."""
    suffixes: tuple[str, ...]
    """File names that hold this modality."""
    written: str
    """Suffix of media that are made: of a format without loss, where there is one."""
    describe: tuple[str, ...] = (
        "Describe the {modality} briefly.",
        "What does the {modality} show?",
        "Say in one sentence what this {modality} contains.",
        "Give a short caption for the {modality}.",
        "Sum up this {modality} in a few words.",
    )
    """Requests to describe one, in which `{modality}` is filled in."""
    make: tuple[str, ...] = (
        "Make this {modality}: {caption}",
        "Create the {modality} that this text describes: {caption}",
        "I would like a new {modality}. It shows: {caption}",
    )
    """Requests to make one, in which `{caption}` and `{modality}` are filled in."""
    read: Callable[..., Any]
    """Reads and checks one medium from a path, bytes, data URL or decoded object; raises `MediumError`."""
    write: Callable[[Any, Any], None]
    """Writes one decoded medium to a path."""
    example: Callable[[int], Any]
    """Makes decoded example number i, always the same, of another size than its neighbours; for kits and checks."""

    @property
    def columns(self) -> tuple[str, str]:
        """Columns in which data sets keep media of a record: several, or one."""
        return self.plural, self.name
