"""Media of chat messages: where those that stand in columns of the record belong in what is said."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from modalink import modalities
from modalink.conversation import block_source
from modalink.data.media_columns import holds_media
from modalink.errors import SampleError, shown
from modalink.roles import ModalityRecord

Place = Literal["marker", "first"]
"""Where media of columns stand: at their markers, or, those that have none, before the first words of the user."""

# `Picture 1: <img>a.png</img>`, `Audio 1:<audio>a.wav</audio>`: an element of XML is none, and HTML closes no image.
_INLINE = re.compile(r"<(img)>([^<>\n]{1,4096})</img>|(?:(?<=\d:)|(?<=\d: ))<(\w+)>([^<>\n]{1,4096})</\3>")

_MARKER = re.compile(r"<(\w{1,40})>")


class _Supply(NamedTuple):
    """What a record's columns hold of one modality."""

    row: ModalityRecord
    column: str | None
    sources: list[Any]


def supplied(
    messages: list[dict[str, Any]], record: dict[str, Any], id: str, place: Place, folder: Path
) -> list[dict[str, Any]]:
    """The messages, with the media of the record's columns as blocks where they belong.

    They fill the blocks that have no source, or else stand where the texts hold the marker of their modality; in a
    record without such a column the marker is a word. There a path between `<img>` and `</img>`, as Qwen-VL writes it,
    is a medium. A column that no block and no marker asks for is one of media only if it holds what can be media:
    a data set may keep its scores under `points`.

    Args:
        messages: What is said.
        record: The record with its columns.
        id: Its name.
        place: Where media stand that no marker places.
        folder: What the media's paths are relative to.

    Raises:
        SampleError: There are not as many of the one as of the other.
    """
    for row in modalities.records():
        blocks = sum(map(_lacks_source(row.name), _blocks(messages)))
        asked = blocks > 0 or any(row.placeholder in text for text in map(_text, _blocks(messages)))
        supply = _supply(record, row, asked, folder, place)
        if blocks or supply.column is None:
            messages = _filled(messages, supply, blocks, id)
        else:
            messages = _marked(messages, supply, id, place)
        if supply.column is None:
            _refuse_lost(messages, record, row, id)
    _refuse_unknown(messages, record, id)
    return messages


def _supply(record: dict[str, Any], row: ModalityRecord, asked: bool, folder: Path, place: Place) -> _Supply:
    columns = {name: record[name] for name in row.columns if name in record}
    if not asked or len(columns) > 1:
        media = {
            name: value
            for name, value in columns.items()
            if _is_empty(value) or holds_media(value, row, folder, unseen=place == "first")
        }
        columns = columns if asked and all(map(_is_empty, media.values())) else media
    column = next((name for name in columns if not _is_empty(columns[name])), next(iter(columns), None))
    value = columns[column] if column else None
    sources = value if isinstance(value, list) else [] if _is_empty(value) else [value]
    return _Supply(row, column, sources)


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list) and not value)


def _blocks(messages: list[dict[str, Any]]) -> Iterator[Any]:
    for message in messages:
        content = message.get("content")
        yield from content if isinstance(content, list) else [content]


def _lacks_source(modality: str) -> Any:
    def lacks(block: Any) -> bool:
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            return False
        return modalities.of_block(block["type"]) == modality and block_source(block) is None

    return lacks


def _filled(messages: list[dict[str, Any]], supply: _Supply, blocks: int, id: str) -> list[dict[str, Any]]:
    """Sources put into the blocks that have none, in order."""
    row, sources = supply.row, iter(supply.sources)
    if blocks != len(supply.sources):
        detail = f"found {blocks} {row.name} blocks without a source and {len(supply.sources)} {row.plural} in columns"
        raise SampleError(id, "media_count", f"{detail}, needed as many of each")
    lacks = _lacks_source(row.name)

    def fill(block: Any) -> list[Any]:
        if lacks(block):
            return [{**block, row.name: next(sources)}]
        return _split(block, lambda text: _inline(text, row)) if supply.column is None else [block]

    return _each_block(messages, fill)


def _marked(messages: list[dict[str, Any]], supply: _Supply, id: str, place: Place) -> list[dict[str, Any]]:
    """Sources put where the markers stand, in order."""
    row, marker, given = supply.row, supply.row.placeholder, len(supply.sources)
    markers = sum(text.count(marker) for text in map(_text, _blocks(messages)))
    unplaced = given - markers if place == "first" and (not markers or given == markers + 1) else 0
    if markers + unplaced != given:
        detail = f"found {markers} {marker} markers and {given} {row.name} paths, needed as many of each"
        if (given and not markers) or given == markers + 1:
            detail += f"; write {marker} where each belongs, or set `place: first` to put it before the user's words"
        raise SampleError(id, "marker_count", detail)
    blocks = iter([{"type": row.name, row.name: source} for source in supply.sources])
    leading = [next(blocks) for _ in range(unplaced)]

    def split(text: str) -> list[Any]:
        pieces = re.split(f"({re.escape(marker)})", text)
        return [next(blocks) if piece == marker else piece for piece in pieces]

    return _opened(_each_block(messages, lambda block: _split(block, split)), leading)


def _inline(text: str, row: ModalityRecord) -> list[Any]:
    """Qwen-VL's `<img>path</img>`, and alike for other modalities."""
    pieces: list[Any] = []
    end = 0
    for found in _INLINE.finditer(text):
        if (modalities.DEFAULT if found[1] else found[3]) == row.name:
            pieces += [text[end : found.start()], {"type": row.name, row.name: found[2] or found[4]}]
            end = found.end()
    return [*pieces, text[end:]]


def _each_block(messages: list[dict[str, Any]], change: Any) -> list[dict[str, Any]]:
    return [_changed(message, change) for message in messages]


def _changed(message: dict[str, Any], change: Any) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, str | list):
        return message
    old = [content] if isinstance(content, str) else content
    new = [piece for block in old for piece in change(block)]
    return message if new == old else {**message, "content": new}


def _text(block: Any) -> str:
    text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else block
    return text if isinstance(text, str) else ""


def _split(block: Any, split: Any) -> list[Any]:
    """A text as the texts and media that it is split into; any other block as it is."""
    if not (text := _text(block)):
        return [block]
    pieces = [piece for piece in split(text) if piece != ""]
    return pieces if len(pieces) > 1 or pieces != [text] else [block]


def _opened(messages: list[dict[str, Any]], leading: list[Any]) -> list[dict[str, Any]]:
    """The messages, the first of the user's opened by media."""
    if not leading:
        return messages
    first = next((n for n, message in enumerate(messages) if message.get("role") == "user"), 0)
    content = messages[first].get("content")
    opened = {**messages[first], "content": [*leading, *(content if isinstance(content, list) else [content])]}
    return [*messages[:first], opened, *messages[first + 1 :]]


def _refuse_lost(messages: list[dict[str, Any]], record: dict[str, Any], row: ModalityRecord, id: str) -> None:
    """A marker is a word where no column holds media, unless another column looks as if it did."""
    if not any(row.placeholder in _text(block) for block in _blocks(messages)):
        return
    for column, value in record.items():
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, str) and len(first) < 4096 and first.lower().endswith(row.suffixes):
            raise SampleError(
                id,
                "marker_count",
                f"found {row.placeholder} in the text, no column {' or '.join(map(repr, row.columns))}, and "
                f"{shown(first)} under {column!r}: set `columns: {{{row.name}: {column}}}`",
            )


def _refuse_unknown(messages: list[dict[str, Any]], record: dict[str, Any], id: str) -> None:
    """A marker with a column beside it is a medium, and of no modality that there is."""
    marked = {name for block in _blocks(messages) for name in _MARKER.findall(_text(block))}
    for name in sorted(marked - {*modalities.names()}):
        if record.get(name) or record.get(f"{name}s"):
            detail = (
                f"found <{name}> in the text and a column of it; the modalities are {', '.join(modalities.names())}"
            )
            raise SampleError(id, "unknown_modality", f"{detail}: install a package with {name!r}, or leave it out")
