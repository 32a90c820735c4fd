"""Regions drawn on a picture, for people to look at."""

from collections.abc import Iterable

from PIL import Image, ImageDraw

from modalink.conversation import Area, Number, Region

_COLOURS = ("#e6194b", "#0082c8", "#3cb44b", "#f58231", "#911eb4", "#008080", "#f032e6", "#808000")
_SMALLEST_PX = 256
"""Pictures whose long side is shorter are enlarged, so that lines and words can be read."""


def annotated(picture: Image.Image, regions: Iterable[Region]) -> Image.Image:
    """A picture with regions drawn on it, each in a colour of its own, its phrase above it.

    Args:
        picture: The picture; it stays as it is.
        regions: In pixels of the picture.

    Returns:
        An RGB image, a whole number of times as large as the picture.
    """
    times = max(1, _SMALLEST_PX // max(picture.size))
    size = (picture.width * times, picture.height * times)
    canvas = picture.convert("RGB").resize(size, Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    width = max(2, max(size) // 200)
    for number, region in enumerate(regions):
        colour = _COLOURS[number % len(_COLOURS)]
        for area in region.areas:
            _outline(draw, tuple(place * times for place in area), colour, width)
        if region.phrase:
            left, top = (min(region.areas[0][axis::2]) * times for axis in (0, 1))
            _label(draw, (left, top), region.phrase, colour)
    return canvas


def _outline(draw: ImageDraw.ImageDraw, area: Area, colour: str, width: int) -> None:
    if len(area) == 2:
        x, y = area
        draw.ellipse((x - 2 * width, y - 2 * width, x + 2 * width, y + 2 * width), fill=colour)
    elif len(area) == 4:
        draw.rectangle(area, outline=colour, width=width)
    else:
        draw.line([*area, *area[:2]], fill=colour, width=width)


def _label(draw: ImageDraw.ImageDraw, corner: tuple[Number, Number], text: str, colour: str) -> None:
    # Pillow's own font knows Latin letters alone.
    text = text.encode("latin-1", "replace").decode("latin-1")
    left, top, right, bottom = draw.textbbox((0, 0), text)
    x, y = corner[0], max(0, corner[1] - bottom)
    draw.rectangle((x + left, y + top, x + right, y + bottom), fill=colour)
    draw.text((x, y), text, fill="white")
