"""How well the boxes of a reply lie on the right ones."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator
from scipy.optimize import linear_sum_assignment

from modalink import modalities
from modalink.conversation import Number, Region
from modalink.errors import DataError, shown
from modalink.prompts.codecs import codec
from modalink.prompts.coordinates import Picture
from modalink.rewards import Answered, Judgement
from modalink.rewards._texts import TextRewardConfig, listed
from modalink.scoring.metrics.boxes import Box, iou


class BoxIouConfig(TextRewardConfig):
    """Overlap of the reply's boxes with the right ones: each is matched with at most one, so that the sum of their
    intersections over unions is largest, and boxes that are missing or too many count as 0. Of one box and one right
    box it is their intersection over union."""

    default_fact: ClassVar[str] = "regions"

    kind: Literal["box_iou"] = "box_iou"
    codec: str = "unit"
    """Coordinate codec in which replies name boxes, as in `prompt.coordinates`."""
    padded: bool = False
    """Whether the encoder sees the picture padded to a square, and codecs that count in what is seen do so too."""
    shares: bool = False
    """Whether the right boxes are shares of the picture's width and height; else pixels."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """Overlap from which a match counts 1, and below it 0; by default each counts its overlap."""

    @field_validator("codec")
    @classmethod
    def _known(cls, name: str) -> str:
        codec(name)
        return name

    def compare(self, said: str, right: Any, answer: Answered) -> Judgement:
        found = answer.picture()
        if found is None:
            return Judgement(None, "the conversation shows no picture", applies=False)
        handle: Any = modalities.get(found[0]).open(found[1])
        width, height = handle.size
        wanted = right_boxes(right, (width, height) if self.shares else (1, 1), answer.conversation.id)
        regions = [piece for piece in answer.reply if isinstance(piece, Region)]
        parsed = codec(self.codec).parse(said, self._picture(width, height))
        areas = [area for region in (*regions, *parsed.regions) for area in region.areas]
        boxes = [box for area in areas if (box := bounding(area)) is not None]
        return Judgement(overlap(boxes, wanted, self.threshold), "; ".join(parsed.unread))

    def _picture(self, width: int, height: int) -> Picture:
        if not self.padded:
            return Picture.whole(width, height)
        side, across, down = max(width, height), max(0, height - width) // 2, max(0, width - height) // 2
        return Picture(width, height, (-across, -down, side - across, side - down))


def bounding(area: Sequence[Any]) -> Box | None:
    """The box around an area; None of a point."""
    if len(area) < 4:
        return None
    across, down = [float(number) for number in area[0::2]], [float(number) for number in area[1::2]]
    return (min(across), min(down), max(across), max(down))


def right_boxes(fact: Any, scale: tuple[Number, Number], name: str) -> list[Box]:
    """The boxes of a fact: an area, a list of areas, or of mappings with `areas` or `bbox`.

    Raises:
        DataError: It holds something else.
    """
    areas = [fact] if isinstance(fact, list | tuple) and fact and isinstance(fact[0], int | float) else listed(fact)
    flat = [area for one in areas for area in _areas(one)]
    boxes = [bounding(area) if _is_area(area) else None for area in flat]
    if not boxes or None in boxes:
        raise DataError(f"{name}: found {shown(fact)} as right boxes, needed lists of left, top, right, bottom")
    (x, y) = scale
    return [(b[0] * x, b[1] * y, b[2] * x, b[3] * y) for b in boxes if b is not None]


def _areas(one: Any) -> Iterable[Any]:
    if isinstance(one, Region):
        return one.areas
    if isinstance(one, dict):
        return one["areas"] if "areas" in one else [one.get("bbox")]
    return [one]


def _is_area(area: Any) -> bool:
    return isinstance(area, list | tuple) and len(area) in (4, 8) and all(isinstance(n, int | float) for n in area)


def overlap(boxes: Sequence[Box], wanted: Sequence[Box], threshold: float | None) -> float:
    """Twice the sum over the best matching of boxes, divided by how many there are on both sides: 1 where all match."""
    if not boxes:
        return 0.0
    values = np.array([[iou(box, right) for right in wanted] for box in boxes])
    if threshold is not None:
        values = (values >= threshold).astype(float)
    rows, columns = linear_sum_assignment(-values)
    return float(2 * values[rows, columns].sum() / (len(boxes) + len(wanted)))
