"""What a writer is: settings that turn a conversation into a record of a format, and read it back."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from modalink.conversation import Content, Conversation, Medium, Region, Text, Turn
from modalink.data.source import place
from modalink.errors import DataError, SampleError, shown
from modalink.kinds import KindConfig


class WriterConfig(KindConfig):
    """Base of the settings of writers."""

    room: ClassVar[str] = "modalink.data.writers"

    @abstractmethod
    def record(self, conversation: Conversation) -> dict[str, Any]:
        """A conversation as a record of the format.

        Args:
            conversation: The sample, the sources of its media being texts.

        Raises:
            SampleError: The format has no form for it, with the reason `cannot_carry`.
        """

    @abstractmethod
    def read(self, record: dict[str, Any], id: str, folder: Path) -> Conversation:
        """What the format's reader makes of a record, its paths being relative to a folder.

        Raises:
            DataError: It refuses the record.
        """

    @abstractmethod
    def source(self, path: Path) -> dict[str, Any]:
        """The lines of recipe that read the file."""

    def carried(self, conversation: Conversation, folder: Path) -> dict[str, Any]:
        """The record, proven to hold the conversation by reading it back.

        Args:
            conversation: The sample, the sources of its media being texts.
            folder: What their paths are relative to.

        Raises:
            SampleError: With the reason `cannot_carry`: the format has no form for something in it.
        """
        if type(conversation) is not Conversation:
            kind = type(conversation).__name__.lower()
            raise cannot_carry(conversation, self.kind, f"it is a {kind}, of which the turns alone would stay")
        record = self.record(conversation)
        if conversation.facts and record.get("facts") != conversation.facts:
            raise cannot_carry(conversation, self.kind, f"its facts, {shown(dict(conversation.facts))}, would be lost")
        try:
            found = plain(self.read(dict(record), conversation.id, folder), folder)
        except DataError as error:
            raise cannot_carry(conversation, self.kind, f"its reader says: {error}") from None
        if lost := next(_differences(plain(conversation, folder), found), None):
            raise cannot_carry(conversation, self.kind, lost)
        return record


def cannot_carry(conversation: Conversation, format: str, detail: str) -> SampleError:
    """The error about what a format has no form for."""
    return SampleError(conversation.id, "cannot_carry", f"the format {format} cannot hold it: {detail}")


def plain(conversation: Conversation, folder: Path) -> Conversation:
    """The conversation in the one of its spellings that all formats can be compared in.

    Texts that touch are one, regions name their picture, media's paths hang against the folder, and only of the
    assistant's turns it is told whether they are learned.
    """
    turns: list[Turn] = []
    pictures = 0
    for turn in conversation.turns:
        content: list[Content] = []
        for piece in turn.content:
            if isinstance(piece, Medium):
                pictures += piece.modality == "image"
                content.append(replace(piece, source=place(piece.source, folder)))
            elif isinstance(piece, Region):
                content.append(replace(piece, image=max(0, pictures - 1) if piece.image is None else piece.image))
            elif content and isinstance(last := content[-1], Text) and last.loss == piece.loss:
                content[-1] = Text(last.text + piece.text, piece.loss)
            elif piece.text:
                content.append(piece)
        turns.append(Turn(turn.role, tuple(content), turn.loss or turn.role != "assistant"))
    return replace(conversation, turns=tuple(turns))


def _differences(one: Conversation, other: Conversation) -> Iterator[str]:
    """What is otherwise in another conversation, in words."""
    roles = [turn.role for turn in one.turns], [turn.role for turn in other.turns]
    if roles[0] != roles[1]:
        yield f"its turns of {', '.join(roles[0])} become turns of {', '.join(roles[1])}"
        return
    for number, (turn, found) in enumerate(zip(one.turns, other.turns, strict=True)):
        if turn.loss != found.loss:
            yield f"turn {number} is {'learned' if turn.loss else 'not learned'}, which would be lost"
        if turn.content != found.content:
            yield f"turn {number}: {_lost(turn.content, found.content)}"


def _lost(one: tuple[Content, ...], other: tuple[Content, ...]) -> str:
    for piece, found in zip(one, other, strict=False):
        if isinstance(piece, Medium) and isinstance(found, Medium) and piece.source == found.source:
            for name in ("caption", "use"):
                if getattr(piece, name) != getattr(found, name):
                    return f"the {name} of its {piece.modality}, {shown(getattr(piece, name))}, would be lost"
        if piece != found:
            return f"{shown(piece)} becomes {shown(found)}"
    return f"{len(one)} pieces become {len(other)}"
