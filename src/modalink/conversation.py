"""The one record for data and inference: turns of text and media, in the shape of Hugging Face and OpenAI messages."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

from modalink import modalities
from modalink.errors import PromptError

Role = Literal["system", "user", "assistant", "tool"]
Use = Literal["read", "made", "both"]
_SOURCES = ("url", "data", "base64", "bytes", "path")


@dataclass(frozen=True)
class Text:
    """A piece of text.

    Args:
        text: The text.
        loss: Whether training learns it, in a turn that it learns from; else it is only read.

    Raises:
        PromptError: It holds half a surrogate pair, which no text in UTF-8 does and no tokenizer reads.
    """

    text: str
    loss: bool = True

    def __post_init__(self) -> None:
        _refuse_halves(self.text, "a text")


@dataclass(frozen=True)
class Medium:
    """One medium: where it comes from, and what it shows if that is known.

    Args:
        modality: Its modality, for example `"image"`.
        source: A path, bytes, data URL, decoded object (PIL image, array) or handle; opened by the modality's `open`.
        caption: Text that describes it: the `align` objective's target when the assistant makes this medium.
        use: Whether the system reads it, makes it, or both: makes it and reads it from there on, as a document teaches
            that holds media between its texts. By default the one that speaks decides, see `use_in`.

    Raises:
        PromptError: The caption holds half a surrogate pair.
    """

    modality: str
    source: Any
    caption: str | None = None
    use: Use | None = None

    def __post_init__(self) -> None:
        _refuse_halves(self.caption or "", "a caption")

    def use_in(self, role: Role, reads: Collection[str], makes: Collection[str]) -> Use:
        """What a system does with this medium in a turn.

        By default the assistant's media are made where the system can make their modality; all others are read.

        Args:
            role: Who speaks.
            reads: Modalities that the system reads.
            makes: Modalities that it makes.

        Raises:
            PromptError: The system cannot do so.
        """
        use = self.use or ("made" if role == "assistant" and self.modality in makes else "read")
        for verb, able, done in (("read", reads, use != "made"), ("make", makes, use != "read")):
            if done and self.modality not in able:
                raise PromptError(
                    f"found a medium of modality {self.modality!r} to {verb}; this system {verb}s "
                    f"{', '.join(able) or 'text only'}; use it otherwise, or give the system an "
                    f"{'encoder' if verb == 'read' else 'generator'} for it"
                )
        return use


REGION_MARKER = "<bbox>"
"""Stands in texts of data and questions where a region does."""
Number = int | float
Area = tuple[Number, ...]
"""Two numbers are a point, x and y; four a box, left, top, right, bottom; eight the corners of a quadrilateral, x and y
each, from the upper left on and clockwise."""


@dataclass(frozen=True)
class Region:
    """Areas of a picture; the system's coordinate codec writes them into the prompt.

    Args:
        areas: At least one, in pixels of the picture.
        phrase: What is there, in words.
        image: Which picture of the conversation, from 0; by default the last that stands before.
        shares: Whether the numbers are shares of the picture's width and height instead of pixels.

    Raises:
        PromptError: An area has other numbers than these, or the phrase half a surrogate pair.
    """

    areas: tuple[Area, ...]
    phrase: str = ""
    image: int | None = None
    shares: bool = False

    def __post_init__(self) -> None:
        _refuse_halves(self.phrase, "a phrase")
        for area in self.areas:
            _check_area(area)
        if not self.areas:
            raise PromptError("found a region without areas, needed at least one")
        if self.image is not None and self.image < 0:
            raise PromptError(f"found a region of image {self.image}, needed one from 0")

    @property
    def text(self) -> str:
        """What people read where no codec writes it: `the cat [10, 20, 30, 40]`."""
        areas = ["[" + ", ".join(f"{number:g}" for number in area) + "]" for area in self.areas]
        return " ".join([self.phrase, *areas] if self.phrase else areas)


def _check_area(area: Sequence[Any]) -> None:
    if len(area) not in (2, 4, 8) or not all(map(_is_number, area)):
        raise PromptError(f"found the area {list(area)!r:.80}, needed 2, 4 or 8 numbers of 0 or more")


def _is_number(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) and number >= 0


Content = Text | Medium | Region


@dataclass(frozen=True)
class Turn:
    """What one speaker says.

    Args:
        role: Who speaks; `tool` is what a tool gave back.
        content: Text and media in order.
        loss: Whether training learns from it; only what the assistant says is ever learned.
    """

    role: Role
    content: tuple[Content, ...]
    loss: bool = True

    @property
    def text(self) -> str:
        """The turn's text without its media and regions."""
        return "".join(piece.text for piece in self.content if isinstance(piece, Text))


@dataclass(frozen=True)
class Conversation:
    """Turns in order.

    Args:
        turns: The turns.
        id: Names the sample in ledgers and errors.
        facts: What its record tells beside the turns, by name (a right answer, boxes, captions): rewards read it, the
            system never does.
    """

    turns: tuple[Turn, ...]
    id: str = "conversation"
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def media(self, modality: str | None = None) -> Iterator[tuple[Turn, Medium]]:
        """All media, in reading order, each with the turn that holds it."""
        for turn in self.turns:
            for piece in turn.content:
                if isinstance(piece, Medium) and modality in (None, piece.modality):
                    yield turn, piece

    def filled(self, regions: Iterable["Region"]) -> "Conversation":
        """The same with regions in the place of the markers `<bbox>` of its texts, in order, as far as they go."""
        given = iter(regions)
        turns = tuple(replace(turn, content=tuple(_filled(turn.content, given))) for turn in self.turns)
        return replace(self, turns=turns)

    @classmethod
    def from_messages(cls, messages: Sequence[Mapping[str, Any]], id: str = "conversation") -> "Conversation":
        """Read chat messages: `content` is a string or a list of `{"type": "text" | MODALITY, ...}` blocks.

        A medium's block holds its source under its type's name (`{"type": "image", "image": source}`), under `path`,
        `url` or `data`, or as OpenAI's `{"type": "image_url", "image_url": {"url": ...}}`; `caption` and `use` are
        optional. Which types of blocks hold which modality is told by the modalities themselves. A block of type
        `region` holds the `areas` of a `Region`, and where they are needed its other fields. A message that
        training shall not learn says `"loss": false`, `"train": false` or OpenAI's `"weight": 0`, and so does a block
        of text that is only read in a message that is learned.

        Raises:
            PromptError: A role, a block or its source is missing or of an unknown form.
        """
        if not messages:
            raise PromptError(f"{id}: found no messages, needed at least one")
        return cls(tuple(_turn(m, f"{id}, message {i}") for i, m in enumerate(messages)), id)

    def to_messages(self) -> list[dict[str, Any]]:
        """The same conversation as chat messages that `from_messages` reads back."""
        return [_message(turn) for turn in self.turns]


def _filled(content: Iterable[Content], regions: Iterator[Region]) -> Iterator[Content]:
    for piece in content:
        if not isinstance(piece, Text) or REGION_MARKER not in piece.text:
            yield piece
            continue
        words, *rest = piece.text.split(REGION_MARKER)
        for text in rest:
            if (region := next(regions, None)) is None:
                words += REGION_MARKER + text
                continue
            if words:
                yield replace(piece, text=words)
            yield region
            words = text
        if words:
            yield replace(piece, text=words)


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


def _refuse_halves(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"half a surrogate pair, {text[error.start]!a}, as character {error.start}"
        raise PromptError(f"{what} holds {found}, which is no character; write the text anew in UTF-8") from None


def _turn(message: Mapping[str, Any], where: str) -> Turn:
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
            _check_area(area)
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


def _message(turn: Turn) -> dict[str, Any]:
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
