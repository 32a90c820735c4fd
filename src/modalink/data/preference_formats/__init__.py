"""The formats of judged replies that people have: each is recognised by its columns and read into a preference.

A format is one file of this folder with `NEEDED` (its columns, for people), `fits` (whether a record has them) and
`read` (a record into `Judged`). What all share comes after, as for conversations: roles, media and their places.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from modalink.conversation import Conversation, Medium, Turn
from modalink.data.formats.media import Place, supplied
from modalink.data.formats.turns import spoken
from modalink.data.preference import Preference, Side
from modalink.data.records import checked_messages
from modalink.data.source import placed
from modalink.errors import SampleError, UnknownNameError

Record = dict[str, Any]
Messages = list[dict[str, Any]]


class Reply(NamedTuple):
    """One reply of a record.

    Args:
        messages: What is said, as chat messages.
        score: Its worth, larger is better.
        label: Whether it is good, where it was judged alone.
        media: Columns of media that it is a reply to, in the place of the record's.
        shown: Columns of media that it consists of.
    """

    messages: Messages
    score: float | None = None
    label: bool | None = None
    media: Record | None = None
    shown: Record | None = None


class Judged(NamedTuple):
    """A record as its format reads it.

    Args:
        prompt: Chat messages before the replies.
        replies: The best first.
        place: Where media stand that no marker places; None: as the source says.
    """

    prompt: Messages
    replies: list[Reply]
    place: Place | None = None


@runtime_checkable
class Format(Protocol):
    """One format: a module of this folder."""

    NEEDED: str
    """Its columns, for people."""

    def fits(self, record: Record) -> bool:
        """Whether a record has its columns."""

    def read(self, record: Record, id: str) -> Judged:
        """The record, given its name; raises `SampleError`."""


@cache
def formats() -> dict[str, Format]:
    """The formats by name, in the order in which they are tried: by `ORDER` where a file has one, then by name."""
    names = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    found = {name: cast(Format, importlib.import_module(f"{__name__}.{name}")) for name in names}
    return dict(sorted(found.items(), key=lambda pair: (getattr(pair[1], "ORDER", 0), pair[0])))


def recognise(record: Record) -> str | None:
    """The format of a record by its columns; None where it has those of none."""
    return next((name for name, format in formats().items() if format.fits(record)), None)


def find(name: str) -> Format:
    """A format by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in formats():
        raise UnknownNameError("format of preferences", name, formats())
    return formats()[name]


def read(record: Record, id: str, name: str, *, folder: Path, place: Place = "marker") -> Preference:
    """A record of a format as a preference.

    Args:
        record: What stands in the file.
        id: Its name.
        name: Its format.
        folder: What the media's paths are relative to.
        place: Where media stand that no marker places and whose format does not tell.

    Raises:
        SampleError: It has another form, or a reply says nothing.
    """
    judged = find(name).read(record, id)
    where = judged.place or place
    prompt = turns_of(judged.prompt, record, id, where, folder)

    def side(reply: Reply) -> Side:
        said = turns_of(reply.messages, reply.shown or {}, id, where, folder) if reply.messages else ()
        media = None
        if reply.media is not None:
            media = tuple(_media(turns_of(judged.prompt, record | reply.media, id, where, folder)))
        return Side(said, reply.score, reply.label, media)

    return Preference.of(prompt, [side(reply) for reply in judged.replies], id)


def turns_of(messages: Messages, record: Record, id: str, place: Place, folder: Path) -> tuple[Turn, ...]:
    """Chat messages as turns, with the media of a record's columns in their places.

    Raises:
        SampleError: They are none, or media are missing or too many.
    """
    said = supplied(spoken(messages, record, id), record, id, place, folder)
    turns = checked_messages(said, id).turns
    return tuple(Turn(turn.role, placed(turn.content, folder), turn.loss) for turn in turns)


def _media(turns: Iterable[Turn]) -> list[Medium]:
    return [medium for _, medium in Conversation(tuple(turns)).media()]


def ranked(replies: Sequence[Reply]) -> list[Reply]:
    """Replies with scores, the best first; equally good ones in their order."""
    return sorted(replies, key=lambda reply: -(reply.score or 0.0))


def text(record: Record, column: str, id: str) -> str:
    """A column of text.

    Raises:
        SampleError: It holds something else.
    """
    value = record.get(column)
    if not isinstance(value, str):
        raise SampleError(id, "bad_record", f"found {value!r:.80} under {column!r}, needed text")
    return value


def said(content: Any, role: str, column: str, id: str) -> Messages:
    """Text, one message or several as messages.

    Raises:
        SampleError: It is something else.
    """
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    content = [content] if isinstance(content, dict) else content
    if isinstance(content, list) and content and all(isinstance(message, dict) for message in content):
        return [_renamed(message) for message in content]
    raise SampleError(id, "bad_messages", f"found {content!r:.80} under {column!r}, needed text or messages")


def _renamed(message: dict[str, Any]) -> dict[str, Any]:
    """ShareGPT's names of what a message holds as those of chat messages."""
    if "from" in message and "value" in message:
        return {"role": message["from"], "content": message["value"]}
    return message
