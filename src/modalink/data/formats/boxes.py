"""Boxes in a column: ms-swift's `objects`, whose names and boxes belong where `<ref-object>` and `<bbox>` stand.

Source: modelscope/ms-swift, docs/source_en/Customization/Custom-dataset.md, grounding.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from modalink import modalities, prompts
from modalink.conversation import REGION_MARKER, Content, Conversation, Medium, Region, Text, Turn
from modalink.errors import SampleError, shown

Coordinates = Literal["unit", "thousand", "pixel", "codec"]
"""How an LLM writes a place in an image: in shares of its width and height, in thousandths of them, in pixels; or as
the coordinate codec of the recipe does, which knows what its encoder sees."""

_COLUMNS = {"ref", "bbox", "bbox_type", "image_id"}
_MARKERS = {"ref": "<ref-object>", "bbox": REGION_MARKER}
_MARKER = re.compile("|".join(_MARKERS.values()))


def filled(
    conversation: Conversation, record: dict[str, Any], id: str, coordinates: Coordinates | None
) -> Conversation:
    """A conversation with the names and boxes of its record in their places; in a record without, markers are words.

    A box becomes `[left, top, right, bottom]`, a point `[x, y]`; for the recipe's codec they become regions.

    Args:
        conversation: What the record says, its media placed.
        record: The record, with `objects: {ref: names, bbox: boxes}` and, where they are needed, `bbox_type` (`real`
            for pixels, `norm1` for shares) and `image_id` (each box's image, from 0).
        id: Its name.
        coordinates: How boxes are written; None where nobody has told.

    Raises:
        SampleError: There are not as many markers as names or boxes, a box is none, or nobody has told how to write it.
        MediumError: An image whose size is needed cannot be read.
    """
    objects = record.get("objects")
    if not isinstance(objects, dict) or not {"ref", "bbox"} & objects.keys() or not objects.keys() <= _COLUMNS:
        return conversation
    given = {name: _listed(objects, name, id) for name in _MARKERS}
    for name, marker in _MARKERS.items():
        markers = sum(turn.text.count(marker) for turn in conversation.turns)
        if markers != len(given[name]):
            detail = f"found {markers} {marker} in the text and {len(given[name])} under objects.{name}, needed as many"
            raise SampleError(id, "marker_count", detail)
    if not all(isinstance(name, str) for name in given["ref"]):
        raise SampleError(id, "bad_boxes", f"found objects.ref {shown(given['ref'])}, needed texts")
    written = {_MARKERS["ref"]: iter(given["ref"]), _MARKERS["bbox"]: _boxes(conversation, objects, id, coordinates)}

    def fill(turn: Turn) -> Turn:
        content: list[Content] = []
        for piece in turn.content:
            content += _filled(piece, written) if isinstance(piece, Text) else [piece]
        return replace(turn, content=tuple(content))

    return replace(conversation, turns=tuple(map(fill, conversation.turns)))


def _filled(piece: Text, written: Mapping[str, Iterator[str | Region]]) -> Iterator[Content]:
    """A text with what its markers stand for; text that touches is one piece."""
    words, end = "", 0
    for marker in _MARKER.finditer(piece.text):
        words += piece.text[end : marker.start()]
        end = marker.end()
        what = next(written[marker[0]])
        if isinstance(what, str):
            words += what
            continue
        if words:
            yield Text(words)
        yield what
        words = ""
    if (rest := words + piece.text[end:]) or not end:
        yield Text(rest)


def _listed(objects: dict[str, Any], name: str, id: str) -> list[Any]:
    value = objects.get(name)
    if value is not None and not isinstance(value, list):
        raise SampleError(id, "bad_boxes", f"found objects.{name} {shown(value)}, needed a list")
    return value or []


def _boxes(
    conversation: Conversation, objects: dict[str, Any], id: str, coordinates: Coordinates | None
) -> Iterator[str | Region]:
    boxes, kind = _listed(objects, "bbox", id), objects.get("bbox_type") or "real"
    images = _listed(objects, "image_id", id) or [0] * len(boxes)
    if kind not in ("real", "norm1") or len(images) != len(boxes):
        found = f"bbox_type {shown(kind)} and {len(images)} under objects.image_id for {len(boxes)} boxes"
        raise SampleError(id, "bad_boxes", f"found {found}, needed real or norm1, and an image for each box or none")
    if not boxes:
        return
    if coordinates is None:
        raise SampleError(
            id, "bad_boxes", "found boxes under 'objects'; tell in which form this LLM writes them: `boxes: codec` "
            "(the recipe's prompt.coordinates), `boxes: thousand` (thousandths of the image's width and height), "
            "`boxes: unit` (shares of them) or `boxes: pixel`",
        )  # fmt: skip
    for box, image in zip(boxes, images, strict=True):
        if not _is_box(box):
            raise SampleError(id, "bad_boxes", f"found the box {shown(box)}, needed 2 or 4 numbers of 0 or more")
        if coordinates == "codec":
            _image(conversation, image, id)
            yield Region((tuple(box),), image=image, shares=kind == "norm1")
            continue
        needs_size = (kind == "real") != (coordinates == "pixel")
        sides = _size(conversation, image, id) if needs_size else (1, 1)
        if kind == "norm1" or needs_size:
            box = [_share(n, sides[at % 2] if kind == "real" else 1, box, id) for at, n in enumerate(box)]
        yield _written(box, sides, coordinates)


def _is_box(box: Any) -> bool:
    if not isinstance(box, list) or len(box) not in (2, 4):
        return False
    return all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) and n >= 0 for n in box)


def _share(number: int | float, side: int, box: list[int | float], id: str) -> float:
    """A place as a share of a side; annotators' boxes end up to two pixels behind the edge."""
    if number > side + (2 if side > 1 else 0):
        raise SampleError(id, "bad_boxes", f"found the box {shown(box)} beyond the image, whose side is {side}")
    return min(number / side, 1.0)


def _written(box: list[int | float], sides: tuple[int, int], coordinates: str) -> str:
    """A box as a codec of that name writes it.

    Args:
        box: Shares of the image's sides; for `pixel`, what makes pixels when it is multiplied by `sides`.
        sides: Width and height of the image, or 1 where they are not needed.
        coordinates: The codec.
    """
    codec = prompts.codec(coordinates)
    if codec.scale is not None:
        return codec.write([tuple(box)], prompts.Picture.whole(1, 1))
    area = tuple(number * sides[at % 2] for at, number in enumerate(box))
    return codec.write([area], prompts.Picture.whole(math.inf, math.inf))


def _image(conversation: Conversation, image: Any, id: str) -> Medium:
    """A conversation's image by its number."""
    images: list[Medium] = [medium for _, medium in conversation.media("image")]
    if isinstance(image, bool) or not isinstance(image, int) or not 0 <= image < len(images):
        raise SampleError(id, "bad_boxes", f"found a box in image {shown(image)}, needed one of {len(images)}, from 0")
    return images[image]


def _size(conversation: Conversation, image: Any, id: str) -> tuple[int, int]:
    """Width and height of a conversation's image."""
    handle: Any = modalities.get("image").open(_image(conversation, image, id).source)
    return handle.width, handle.height
