"""Drawings of numbers, the same pixels on every machine."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

SIDE = 448
"""Pixels of a side of a drawing."""
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#17becf")
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 44, 440, 416
_GROUND, _GRID, _INK = "white", "#dddddd", "black"
_COLD_TO_HOT = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_NAMED = 8
"""Most places of an axis whose name is written."""


def number(value: float) -> str:
    """A number as people write it."""
    return f"{value:.6g}"


def table(labels: Sequence[str], series: Mapping[str, Sequence[float]], title: str, *, lines: bool) -> Image.Image:
    """Bars or lines over named places, each series in a colour of its own, with a legend and a scale from 0 on."""
    image = Image.new("RGB", (SIDE, SIDE), _GROUND)
    draw = ImageDraw.Draw(image)
    values = np.array([*series.values()], np.float64)
    low, high = min(0.0, values.min()), max(0.0, values.max())
    step = (_RIGHT - _LEFT) / len(labels)

    def y(value: float | int) -> float:
        return float(_BOTTOM - (value - low) / ((high - low) or 1) * (_BOTTOM - _TOP))

    for value in np.linspace(low, high, 5):
        draw.line([(_LEFT, y(value)), (_RIGHT, y(value))], _GRID)
        _write(draw, _LEFT - 4, y(value), number(value), "rm")
    wide = 0.8 * step / len(values)
    for order, (name, row, colour) in enumerate(zip(series, values, COLOURS, strict=False)):
        starts = _LEFT + (np.arange(len(row)) + 0.1) * step
        if lines:
            draw.line([(x + 0.4 * step, y(value)) for x, value in zip(starts, row, strict=True)], colour, 3)
        else:
            for x, value in zip(starts + order * wide, row, strict=True):
                draw.rectangle([x, min(y(value), y(0)), x + max(0, wide - 1), max(y(value), y(0))], colour)
        left = _LEFT + 64 * order
        draw.rectangle([left, 26, left + 6, 32], colour)
        _write(draw, left + 9, 29, name[:8], "lm")
    draw.line([(_LEFT, y(0)), (_RIGHT, y(0))], _INK)
    for place in range(0, len(labels), -(-len(labels) // _NAMED)):
        _write(draw, _LEFT + (place + 0.5) * step, _BOTTOM + 6, labels[place][:8], "ma")
    _write(draw, SIDE / 2, 4, title[:56], "ma")
    return image


def heat(values: Float[np.ndarray, "h w"]) -> Image.Image:
    """Numbers as colours from cold to hot, with a scale beside them."""
    image = Image.new("RGB", (SIDE, SIDE), _GROUND)
    low, high = float(values.min()), float(values.max())
    area = (_BOTTOM - _TOP, _BOTTOM - _TOP)
    image.paste(_coloured((values - low) / ((high - low) or 1)).resize(area, Image.Resampling.NEAREST), (4, _TOP))
    scale = np.linspace(1, 0, 64)[:, None]
    image.paste(_coloured(scale).resize((16, area[1]), Image.Resampling.NEAREST), (area[0] + 12, _TOP))
    draw = ImageDraw.Draw(image)
    for value, place in ((high, _TOP), ((low + high) / 2, _TOP + area[1] / 2), (low, _TOP + area[1])):
        _write(draw, area[0] + 30, place, f"{value:.3g}", "lm")
    return image


def _coloured(shares: Float[np.ndarray, "h w"]) -> Image.Image:
    anchors = np.linspace(0, 1, len(_COLD_TO_HOT))
    colours = [np.interp(shares, anchors, channel) for channel in np.array(_COLD_TO_HOT).T]
    return Image.fromarray(np.rint(np.stack(colours, -1)).astype(np.uint8))


def _write(draw: ImageDraw.ImageDraw, x: float | int, y: float | int, text: str, anchor: str) -> None:
    draw.text((x, y), " ".join(text.split()), _INK, _font(), anchor)


@lru_cache(1)
def _font() -> Any:
    return ImageFont.load_default(12)
