"""The `conversations` of ShareGPT and LLaVA: `from`, `value`, and markers such as `<image>` where media stand."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from modalink import modalities
from modalink.conversation import Content, Conversation, Medium, Role, Text, Turn, carries_loss
from modalink.data.source import place
from modalink.errors import PromptError, SampleError

_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}


def read(record: dict[str, Any], id: str, folder: Path) -> Conversation:
    """Read a record: its media, under their modality's name, stand in order where the texts hold their markers.

    Args:
        record: `conversations`, and perhaps `id`, `system`, and `image` (or another modality): a path or a list. Of a
            turn with `loss: false`, `train: false` or `weight: 0` nothing is learned.
        id: Its name.
        folder: What the media's paths are relative to.

    Raises:
        SampleError: Turns or media have another form, or there are not as many media as markers.
    """
    said = record.get("conversations")
    if not isinstance(said, list) or not said:
        raise SampleError(id, "bad_record", f"found conversations {said!r:.80}, needed a list of turns")
    speeches = [_speech(turn, number, id) for number, turn in enumerate(said)]
    if system := record.get("system"):
        if not isinstance(system, str):
            raise SampleError(id, "bad_record", f"found the system message {system!r:.80}, needed text")
        speeches.insert(0, _Speech("system", system))
    media = {row.name: _media(record, row.columns, folder) for row in modalities.records()}
    _check_counts(speeches, media, id)
    supply = {modalities.get(name).placeholder: (name, iter(sources)) for name, sources in media.items()}
    marker = re.compile("(" + "|".join(map(re.escape, supply)) + ")")

    def content(text: str) -> tuple[Content, ...]:
        pieces = (piece for piece in marker.split(text) if piece)
        return tuple(Medium(supply[p][0], next(supply[p][1])) if p in supply else Text(p) for p in pieces)

    return Conversation(tuple(Turn(speech.role, content(speech.text), speech.loss) for speech in speeches), id)


class _Speech(NamedTuple):
    role: Role
    text: str
    loss: bool = True


def _speech(turn: Any, number: int, id: str) -> _Speech:
    speaker, text = (turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None)
    if not isinstance(speaker, str) or speaker not in _ROLES or not isinstance(text, str):
        needed = f"'from' (one of {', '.join(_ROLES)}) and 'value' (text)"
        raise SampleError(id, "bad_record", f"turn {number}: found {turn!r:.80}, needed {needed}")
    try:
        return _Speech(_ROLES[speaker], text, carries_loss(turn, f"turn {number}"))
    except PromptError as error:
        raise SampleError(id, "bad_record", str(error)) from error


def _media(record: dict[str, Any], columns: tuple[str, str], folder: Path) -> list[Any]:
    several, one = columns
    found = record.get(one) or record.get(several) or []
    return [place(source, folder) for source in (found if isinstance(found, list) else [found])]


def _check_counts(speeches: list[_Speech], media: dict[str, list[Any]], id: str) -> None:
    for name, sources in media.items():
        marker = modalities.get(name).placeholder
        markers = sum(speech.text.count(marker) for speech in speeches)
        if markers != len(sources):
            detail = f"found {markers} {marker} markers and {len(sources)} {name} paths, needed as many of each"
            raise SampleError(id, "marker_count", detail)
