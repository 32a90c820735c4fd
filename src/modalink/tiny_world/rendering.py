"""Draws scenes: 64 x 64 pixels, anti-aliased by distance functions evaluated in a window around each object."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from modalink import files
from modalink.tiny_world.scenes import COLOURS, Scene

SIDE_PX = 64
CELL_PX = SIDE_PX / 3
_HALF_WINDOW_PX = 13
RADIUS_PX = {"small": 6.0, "large": 9.6}
"""How far an object reaches from its center, in a picture of `SIDE_PX`."""
RGB = dict(
    zip(
        COLOURS,
        [
            (220, 35, 40), (245, 140, 20), (245, 225, 40), (40, 170, 60),
            (50, 215, 225), (45, 75, 230), (160, 60, 205), (245, 245, 245),
        ],
        strict=True,
    )
)  # fmt: skip
"""Colour -> red, green and blue in 0..255."""


Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


@dataclass(frozen=True)
class Style:
    """How the pictures are drawn: plain by default, shaky under augmentation. Lengths in pixels, angles in radians."""

    scale: float = 1.0
    shift_px: float = 1.0
    angle: float = 0.0
    edge_px: float = 1.0
    square: float = 0.86
    arm: float = 0.34
    ring: float = 0.27
    spike: float = 0.42
    base: float = 0.8
    level: tuple[float, float] = (42.0, 70.0)
    slope: float = 14.0


PLAIN = Style()
"""How pictures are drawn without augmentation."""


def render(scene: Scene, *, augment_seed: int | None = None) -> UInt8[np.ndarray, "64 64 3"]:
    """Draw a scene; the same arguments always give the same picture.

    Args:
        scene: what to draw; its background number fixes the background and a jitter of one pixel.
        augment_seed: without it the picture is clean; with it the style, the light, noise and JPEG vary.

    Returns:
        RGB in 0..255.
    """
    if augment_seed is None:
        return quantise(paint(scene, PLAIN)[0])
    rng = np.random.default_rng([augment_seed, scene.background])
    canvas, _ = paint(scene, _shaky_style(rng))
    return _disturb(canvas, rng)


def object_mask(scene: Scene) -> Float[np.ndarray, "64 64"]:
    """Say where the objects of the clean picture of a scene are, from 0 (background) to 1 (object)."""
    return paint(scene, PLAIN)[1]


def paint(scene: Scene, style: Style) -> tuple[Float[np.ndarray, "64 64 3"], Float[np.ndarray, "64 64"]]:
    """Paint the objects over the background; returns the picture in 0..255 and how much of each pixel is object."""
    rng = np.random.default_rng(scene.background)
    canvas = background(rng, style)
    mask = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for cover in _stamped(scene, style, canvas, rng):
        np.maximum(mask, cover, out=mask)
    return canvas, mask


def object_boxes(scene: Scene) -> list[Box]:
    """Left, top, right and bottom of each object in the clean picture: of the pixels that it covers by half or more."""
    rng = np.random.default_rng(scene.background)
    boxes = []
    for cover in _stamped(scene, PLAIN, background(rng), rng):
        rows, columns = np.nonzero(cover >= 0.5)
        boxes.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
    return boxes


def _stamped(
    scene: Scene, style: Style, canvas: Float[np.ndarray, "64 64 3"], rng: np.random.Generator
) -> Iterator[Float[np.ndarray, "64 64"]]:
    """Paint the objects one after the other; how much of each pixel each of them covers."""
    for item in scene.objects:
        x = (item.column + 0.5) * CELL_PX + rng.uniform(-style.shift_px, style.shift_px)
        y = (item.row + 0.5) * CELL_PX + rng.uniform(-style.shift_px, style.shift_px)
        colour = np.asarray(RGB[item.colour], np.float32) + rng.uniform(-10, 10, 3).astype(np.float32)
        yield stamp(canvas, item.shape, (x, y), RADIUS_PX[item.size] * style.scale, colour, style)


def background(rng: np.random.Generator, style: Style = PLAIN) -> Float[np.ndarray, "64 64 3"]:
    """Paint an empty scene: a grey of some tint, lit from a side; RGB in 0..255."""
    level = rng.uniform(*style.level) + rng.uniform(-6, 6, 3)
    ramp = np.linspace(-0.5, 0.5, SIDE_PX, dtype=np.float32)
    slope = rng.uniform(-style.slope, style.slope, 2)
    light = slope[0] * ramp[:, None] + slope[1] * ramp[None, :]
    canvas: np.ndarray = (level[None, None, :] + light[:, :, None]).astype(np.float32)
    return canvas


def stamp(
    canvas: Float[np.ndarray, "64 64 3"],
    shape: str,
    center: tuple[float, float],
    radius: float,
    colour: Float[np.ndarray, "3"],
    style: Style = PLAIN,
) -> Float[np.ndarray, "64 64"]:
    """Paint one shape over a canvas; returns how much of each pixel it covers.

    Args:
        canvas: RGB in 0..255, changed in place.
        shape: One of `SHAPES`.
        center: Column and row of its middle, in pixels.
        radius: How far it reaches from there, in pixels.
        colour: Red, green and blue in 0..255.
        style: How it is drawn.
    """
    x, y = center
    left, top = (max(0, int(c) - _HALF_WINDOW_PX) for c in center)
    window = np.s_[top : int(y) + _HALF_WINDOW_PX + 1, left : int(x) + _HALF_WINDOW_PX + 1]
    mask = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    rows, columns = mask[window].shape
    dx = np.arange(left, left + columns, dtype=np.float32)[None, :] + 0.5 - x
    dy = np.arange(top, top + rows, dtype=np.float32)[:, None] + 0.5 - y
    cos, sin = np.cos(style.angle), np.sin(style.angle)
    distance = _distance(shape, dx * cos + dy * sin, dy * cos - dx * sin, radius, style)
    cover = np.clip(0.5 - distance / style.edge_px, 0.0, 1.0).astype(np.float32)
    canvas[window] += (colour - canvas[window]) * cover[:, :, None]
    mask[window] = cover
    return mask


def _distance(
    shape: str, x: Float[np.ndarray, "r c"], y: Float[np.ndarray, "r c"], radius: float, style: Style
) -> Float[np.ndarray, "r c"]:
    """Signed distance in pixels to the outline of a shape: negative inside; y points down."""
    distance: np.ndarray
    if shape == "circle":
        distance = np.hypot(x, y) - radius
    elif shape == "ring":
        distance = np.abs(np.hypot(x, y) - radius * (1 - style.ring)) - radius * style.ring
    elif shape == "square":
        distance = np.maximum(np.abs(x), np.abs(y)) - radius * style.square
    elif shape == "cross":
        upright = np.maximum(np.abs(x) - radius * style.arm, np.abs(y) - radius)
        level = np.maximum(np.abs(y) - radius * style.arm, np.abs(x) - radius)
        distance = np.minimum(upright, level)
    elif shape == "triangle":
        base, height = 0.95 * radius, (1 + style.base) * radius
        side = (np.abs(x) * height - (y + radius) * base) / np.hypot(height, base)
        distance = np.maximum(y - style.base * radius, side)
    else:
        distance = _star_distance(x, y, radius, style.spike * radius)
    return distance


def _star_distance(
    x: Float[np.ndarray, "r c"], y: Float[np.ndarray, "r c"], outer: float, inner: float
) -> Float[np.ndarray, "r c"]:
    """Distance to the line from a spike to the next notch, all ten edges of the star folded onto that one."""
    wedge = np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + wedge) % (2 * wedge) - wedge)
    length = np.hypot(x, y)
    px, py = length * np.cos(angle), length * np.sin(angle)
    notch_x, notch_y = inner * np.cos(wedge), inner * np.sin(wedge)
    edge = np.hypot(outer - notch_x, notch_y)
    distance: np.ndarray = ((px - outer) * notch_y + py * (outer - notch_x)) / edge
    return distance


def png_data_url(picture: Image.Image) -> str:
    """A picture as the text of a PNG data URL."""
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return files.data_url("image/png", buffer.getvalue())


def _shaky_style(rng: np.random.Generator) -> Style:
    style = Style(
        scale=rng.uniform(0.9, 1.14),
        shift_px=rng.uniform(0.5, 2.0),
        angle=rng.normal(0.0, 0.07),
        edge_px=rng.choice([0.05, 1.0, 1.0, 2.0]),
        square=rng.uniform(0.76, 0.98),
        arm=rng.uniform(0.24, 0.4),
        ring=rng.uniform(0.16, 0.3),
        spike=rng.uniform(0.36, 0.5),
        base=rng.uniform(0.5, 0.95),
    )
    if rng.random() < 0.5:
        return style
    return replace(style, level=(8.0, 130.0), slope=40.0)


def _disturb(canvas: Float[np.ndarray, "64 64 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "64 64 3"]:
    canvas = canvas * rng.uniform(0.85, 1.12)
    if rng.random() < 0.6:
        canvas = canvas + rng.normal(0.0, rng.uniform(2, 14), canvas.shape)
    picture = quantise(canvas)
    if rng.random() < 0.4:
        return _through_jpeg(picture, quality=int(rng.integers(50, 96)))
    return picture


def _through_jpeg(picture: UInt8[np.ndarray, "64 64 3"], quality: int) -> UInt8[np.ndarray, "64 64 3"]:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def quantise(canvas: Float[np.ndarray, "64 64 3"]) -> UInt8[np.ndarray, "64 64 3"]:
    """Round a canvas to whole numbers in 0..255."""
    picture: np.ndarray = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return picture
