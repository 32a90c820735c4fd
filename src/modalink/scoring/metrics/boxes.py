"""Boxes in replies, and how much they overlap the right ones.

Source: conventions of Shikra and LLaVA (`[x1, y1, x2, y2]`), Qwen-VL (`(x1,y1),(x2,y2)`), MiniGPT-v2
(`{<x1><y1><x2><y2>}`); deepcs233/Visual-CoT, REC/calculation.py, for boxes on an image padded to a square.
"""

import math
import re
from typing import Literal

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the image."""
Coordinates = Literal["unit", "square", "hundred", "thousand", "pixel"]
"""Shares of the image; shares of the image padded to a square; hundredths; thousandths; pixels."""

_DECIMAL = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_N = rf"\s*({_DECIMAL})\s*"
_FORMS = (
    re.compile(rf"\[{_N},{_N},{_N},{_N}\]"),
    re.compile(rf"<{_N}>\s*<{_N}>\s*<{_N}>\s*<{_N}>"),
    re.compile(rf"\({_N},{_N}\)\s*,?\s*\({_N},{_N}\)"),
)
_NUMBER = re.compile(_DECIMAL)


def parse(reply: str) -> Box | None:
    """The first box of a reply in one of the usual forms, or four bare numbers that are all its numbers."""
    hits = [match for match in (form.search(reply) for form in _FORMS) if match]
    texts = min(hits, key=lambda match: match.start()).groups() if hits else _NUMBER.findall(reply)
    if len(texts) != 4:
        return None
    left, top, right, bottom = map(float, texts)
    return (left, top, right, bottom) if all(map(math.isfinite, (left, top, right, bottom))) else None


def to_pixels(box: Box, width: float, height: float, coordinates: Coordinates) -> Box:
    """A box in pixels of the image."""
    if coordinates == "square":
        side = max(width, height)
        # The pad is halved to whole pixels, as when the image was padded.
        dx, dy = max(0, height - width) // 2, max(0, width - height) // 2
        return box[0] * side - dx, box[1] * side - dy, box[2] * side - dx, box[3] * side - dy
    if coordinates == "pixel":
        return box
    scale = {"unit": 1, "hundred": 100, "thousand": 1000}[coordinates]
    return box[0] * width / scale, box[1] * height / scale, box[2] * width / scale, box[3] * height / scale


def iou(left: Box, right: Box) -> float:
    """Intersection over union, no pixel added; 0 where a box is turned inside out or both are empty."""
    across = max(0.0, min(left[2], right[2]) - max(left[0], right[0]))
    down = max(0.0, min(left[3], right[3]) - max(left[1], right[1]))
    areas = [max(0.0, b[2] - b[0]) * max(0.0, b[3] - b[1]) for b in (left, right)]
    union = sum(areas) - across * down
    return across * down / union if union > 0 else 0.0
