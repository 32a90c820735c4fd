"""One record of a source as checks see it, its media opened and decoded once for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from PIL import Image

from modalink import modalities
from modalink.conversation import Conversation, Medium, Role
from modalink.data_quality.pictures import Look
from modalink.errors import DataError, MediumError, reason_of
from modalink.roles import MediumHandle


class SeenMedium:
    """A medium of a sample.

    Args:
        role: Who shows it.
        medium: The medium.
    """

    def __init__(self, role: Role, medium: Medium) -> None:
        self.role, self.medium = role, medium

    @property
    def modality(self) -> str:
        """Its modality."""
        return self.medium.modality

    @cached_property
    def handle(self) -> MediumHandle | MediumError:
        """The medium, opened; or why it cannot be."""
        if self.modality not in modalities.names():
            known = ", ".join(modalities.names())
            return MediumError(self.modality, "unknown_modality", f"no such modality is known here; known: {known}")
        try:
            return modalities.get(self.modality).open(self.medium.source)
        except MediumError as error:
            return error

    @cached_property
    def decoded(self) -> Any | MediumError:
        """The medium, decoded; or why it cannot be."""
        if isinstance(self.handle, MediumError):
            return self.handle
        try:
            return self.handle.read()
        except MediumError as error:
            return error

    @cached_property
    def look(self) -> Look | str | None:
        """What it looks like: of a picture its look, of another medium its digest; None where it cannot be read."""
        known = self.modality in modalities.names()
        if not known or not modalities.get(self.modality).fits(("image",)):
            return self.digest
        if isinstance(self.decoded, MediumError):
            return None
        return Look.of(self.decoded) if isinstance(self.decoded, Image.Image) else self.digest

    @cached_property
    def digest(self) -> str | None:
        """SHA-256 of its content; None where it cannot be read."""
        if isinstance(self.handle, MediumError):
            return None
        try:
            return self.handle.digest
        except MediumError:
            return None


@dataclass(frozen=True)
class Sample:
    """A record of a source.

    Args:
        number: Its number in the source, from 0.
        found: The conversation that it is; or what is wrong with it.
        record: The record as it stands, where the source keeps one.
    """

    number: int
    found: Conversation | DataError
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its name in ledgers and errors."""
        if isinstance(self.found, Conversation):
            return self.found.id
        return reason_of(self.found, f"sample {self.number}")[0]

    @property
    def conversation(self) -> Conversation | None:
        """The conversation; None of a record that is bad."""
        return self.found if isinstance(self.found, Conversation) else None

    @cached_property
    def media(self) -> tuple[SeenMedium, ...]:
        """Its media in reading order."""
        turns = () if self.conversation is None else self.conversation.media()
        return tuple(SeenMedium(turn.role, medium) for turn, medium in turns)

    def said(self, *roles: Role) -> str:
        """What some speakers say, or all: the words of a line for each turn."""
        turns = () if self.conversation is None else self.conversation.turns
        return "\n".join(turn.text.strip() for turn in turns if not roles or turn.role in roles)
