"""Turns as chat messages, in the shape of Hugging Face and OpenAI: read and written."""

from collections.abc import Mapping
from typing import Any, cast, get_args

from modalink import modalities
from modalink.conversation.contents import Content, Medium, Region, Role, Text, Turn, Use, check_area
from modalink.errors import PromptError

_SOURCES = ("url", "data", "base64", "bytes", "path")


def carries_loss(message: Mapping[str, Any], where: str) -> bool:
    """Whether training learns from a message or a block of text: not if `loss` or `train` is false, or `weight` 0.

    Raises:
        PromptError: Such a key holds something else than yes or no.
    """
    marks = {key: message[key] for key in ("loss", "train", "weight") if message.get(key) is not None}
    for key, mark in marks.items():
        if mark not in (0, 1):
            raise PromptError(f"{where}: found {key} {mark!r:.80}, needed true or false (weight: 1 or 0)")
    return all(marks.values())


def read_turn(message: Mapping[str, Any], where: str) -> Turn:
    """A message as a turn.

    Args:
        message: The message, see `Conversation.from_messages`.
        where: Names it in errors.

    Raises:
        PromptError: Its role, a block or a source is missing or of an unknown form.
    """
    role = message.get("role")
    if role not in get_args(Role):
        raise PromptError(f"{where}: found role {role!r:.80}, needed one of {', '.join(get_args(Role))}")
    content = message.get("content")
    if isinstance(content, str):
        return Turn(cast(Role, role), (Text(content),), carries_loss(message, where))
    if not isinstance(content, list):
        raise PromptError(
            f"{where}: found content of type {type(content).__name__}, needed a string or a list of blocks"
        )
    pieces = tuple(_piece(block, f"{where}, block {i}") for i, block in enumerate(content))
    return Turn(cast(Role, role), pieces, carries_loss(message, where))


def _piece(block: Any, where: str) -> Content:
    if isinstance(block, str):
        return Text(block)
    if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
        raise PromptError(f"{where}: found {block!r:.80}, needed a string or a mapping with a 'type'")
    kind = block["type"]
    if kind == "text":
        if not isinstance(block.get("text"), str):
            raise PromptError(f"{where}: a text block needs a 'text' string, found {block.get('text')!r:.80}")
        return Text(block["text"], carries_loss(block, where))
    if kind == "region":
        return _region(block, where)
    source = block_source(block)
    if source is None:
        raise PromptError(
            f"{where}: a block of type {kind!r:.80} needs its source under its type, 'path', 'url' or 'data'"
        )
    use = block.get("use")
    if use not in (None, *get_args(Use)):
        raise PromptError(f"{where}: found the use {use!r:.80}, needed one of {', '.join(get_args(Use))}, or none")
    if not isinstance(caption := block.get("caption"), str | None):
        raise PromptError(f"{where}: found the caption {caption!r:.80}, needed text")
    return Medium(modalities.of_block(kind), source, caption, use)


def _region(block: Mapping[str, Any], where: str) -> Region:
    areas, phrase, image = block.get("areas"), block.get("phrase", ""), block.get("image")
    if not isinstance(areas, list) or not all(isinstance(area, list | tuple) for area in areas):
        raise PromptError(f"{where}: found the areas {areas!r:.80}, needed a list of lists of numbers")
    if not isinstance(phrase, str):
        raise PromptError(f"{where}: found the phrase {phrase!r:.80}, needed text")
    if image is not None and (isinstance(image, bool) or not isinstance(image, int)):
        raise PromptError(f"{where}: found the image {image!r:.80}, needed its number, from 0")
    try:
        for area in areas:
            check_area(area)
        return Region(tuple(map(tuple, areas)), phrase, image, bool(block.get("shares", False)))
    except PromptError as error:
        raise PromptError(f"{where}: {error}") from None


def block_source(block: Mapping[str, Any]) -> Any:
    """Where the medium of a content block comes from; None where the block does not tell."""
    keys = (block["type"], *modalities.block_types(block["type"]), "path", "url", "data", "base64", "bytes")
    key = next((key for key in keys if block.get(key) is not None), None)
    if key is None or not isinstance(block[key], Mapping):
        return None if key is None else _stored(key, block[key])
    return inner_source(block[key])


def inner_source(source: Mapping[str, Any]) -> Any:
    """The source that a mapping holds, as data sets and OpenAI write it; None where it holds none."""
    data = source.get("data")
    if isinstance(data, str) and "format" in source:  # OpenAI's bare base64
        return f"data:application/{source['format']};base64,{data}"
    if "array" in source:  # decoded, as Hugging Face's data sets hold sounds
        return source
    return next((_stored(key, source[key]) for key in _SOURCES if source.get(key)), None)


def _stored(key: str, source: Any) -> Any:
    """Bytes that JSON can only hold as base64 become a data URL; any other source stays."""
    return f"data:;base64,{source}" if key in ("base64", "bytes") and isinstance(source, str) else source


def write_turn(turn: Turn) -> dict[str, Any]:
    """A turn as the message that `read_turn` reads back."""
    message = {"role": turn.role, "content": [_block(piece) for piece in turn.content]}
    return message if turn.loss else {**message, "loss": False}


def _block(piece: Content) -> dict[str, Any]:
    if isinstance(piece, Text):
        return {"type": "text", "text": piece.text} | ({} if piece.loss else {"loss": False})
    if isinstance(piece, Region):
        own = {"phrase": piece.phrase or None, "image": piece.image, "shares": piece.shares or None}
        areas = [list(area) for area in piece.areas]
        return {"type": "region", "areas": areas} | {key: value for key, value in own.items() if value is not None}
    told = {"caption": piece.caption, "use": piece.use}
    told = {key: value for key, value in told.items() if value is not None}
    return {"type": piece.modality, piece.modality: piece.source, **told}
