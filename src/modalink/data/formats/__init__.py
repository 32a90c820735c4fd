"""The formats of chat data that people have: each is recognised by its columns and read into chat messages.

A family is one file with two functions: `fits` tells whether a record has its columns, `messages` reads it into the
messages of Hugging Face and OpenAI. What all share comes after: roles and tools (`turns.py`), media (`media.py`),
boxes (`boxes.py`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from modalink.conversation import Conversation, Turn
from modalink.data.formats import instruction, openai, prompt_completion, sharegpt
from modalink.data.formats.boxes import Coordinates, filled
from modalink.data.formats.media import Place, supplied
from modalink.data.formats.turns import spoken
from modalink.data.records import checked_messages
from modalink.data.source import placed

__all__ = ["FORMATS", "Coordinates", "Format", "Name", "Place", "is_preference", "read", "recognise"]

Record = dict[str, Any]
Name = Literal["messages", "sharegpt", "alpaca", "query_response", "prompt_completion"]


class Format(NamedTuple):
    """One format of chat data."""

    fits: Callable[[Record], bool]
    """Whether a record has its columns."""
    messages: Callable[[Record, str], list[dict[str, Any]]]
    """Reads a record, given its name, into chat messages; raises `SampleError`."""


FORMATS: dict[Name, Format] = {
    "messages": Format(openai.fits, openai.messages),
    "sharegpt": Format(sharegpt.fits, sharegpt.messages),
    "alpaca": Format(instruction.fits_alpaca, instruction.alpaca),
    "query_response": Format(instruction.fits_query, instruction.query_response),
    "prompt_completion": Format(prompt_completion.fits, prompt_completion.messages),
}
"""Tried in this order: a record that fits several is read as the first."""
assert tuple(FORMATS) == get_args(Name)


def recognise(record: Record) -> Name | None:
    """The format of a record by its columns; None where it has those of none."""
    return next((name for name, format in FORMATS.items() if format.fits(record)), None)


def is_preference(record: Record) -> bool:
    """Whether a record tells good answers from bad ones, which must not be learned: the source `preferences` does."""
    judged = "label" in record and isinstance(record["label"], bool)
    return judged or bool({"chosen", "rejected", "rejected_response", "kto_tag"} & record.keys())


def read(
    record: Record,
    id: str,
    name: Name,
    *,
    folder: Path,
    place: Place = "marker",
    boxes: Coordinates | None = None,
) -> Conversation:
    """A record of a format as a conversation.

    Args:
        record: What stands in the file.
        id: Its name.
        name: Its format.
        folder: What the media's paths are relative to.
        place: Where media stand that no marker places, see `supplied`.
        boxes: How boxes are written that stand in a column, see `filled`.

    Raises:
        SampleError: Its turns, its media or its boxes have another form.
        MediumError: An image whose size is needed cannot be read.
    """
    messages = spoken(FORMATS[name].messages(record, id), record, id)
    conversation = checked_messages(supplied(messages, record, id, place, folder), id)
    turns = tuple(Turn(t.role, placed(t.content, folder), t.loss) for t in conversation.turns)
    return filled(Conversation(turns, id), record, id, boxes)
