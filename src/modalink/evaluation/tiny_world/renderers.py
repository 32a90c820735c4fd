"""Draws scenes by other code than the tiny world's own: Pillow's primitives, with what may happen to a picture later.

It shares with the world what the words mean (where a cell is, how large `small` is, which colour `red` is) and nothing
of how that is drawn: shapes have Pillow's proportions, backgrounds are flat, edges and jitter come from elsewhere.
"""

from dataclasses import dataclass, replace
from io import BytesIO
from math import cos, pi, sin, sqrt

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter

from modalink.tiny_world import COLOURS, Scene
from modalink.tiny_world.rendering import CELL_PX, RADIUS_PX, RGB, SIDE_PX

_CSS = {name: ImageColor.getrgb(name) for name in COLOURS}


@dataclass(frozen=True)
class Renderer:
    """How a picture is drawn, and what happens to it.

    Args:
        what: What is special about it, in words.
        side_px: Side of the picture; the scene is scaled with it.
        scale: Size of the objects, as a multiple of what the world draws.
        oversampling: Pixels along each axis that one pixel is the mean of; 1 leaves edges jagged.
        blur_px: Radius of a Gaussian blur over the whole picture.
        level: Lowest and highest brightness of the background, of 255.
        noise: Standard deviation of the background's noise, of 255, each pixel and channel on its own.
        jpeg: Quality of JPEG compression, None for no compression.
        css_colours: Takes the colours that CSS has under the world's names.
    """

    what: str
    side_px: int = SIDE_PX
    scale: float = 1.0
    oversampling: int = 8
    blur_px: float = 0.0
    level: tuple[float, float] = (42.0, 70.0)
    noise: float = 0.0
    jpeg: int | None = None
    css_colours: bool = False


_SMOOTH = Renderer("Pillow's primitives, edges smoothed by drawing eight times as large")
RENDERERS: dict[str, Renderer] = {
    "smooth": _SMOOTH,
    "jagged": replace(_SMOOTH, what="no smoothing: every pixel is all object or all background", oversampling=1),
    "soft": replace(_SMOOTH, what="out of focus: Gaussian blur, radius 0.7 pixels", blur_px=0.7),
    "larger_objects": replace(_SMOOTH, what="every object 10 % larger", scale=1.1),
    "larger_picture": replace(_SMOOTH, what="the whole picture 10 % larger: 70 x 70 pixels", side_px=70),
    "large_picture": replace(_SMOOTH, what="224 x 224 pixels", side_px=224),
    "jpeg": replace(_SMOOTH, what="JPEG at quality 60", jpeg=60),
    "noisy_background": replace(_SMOOTH, what="noise in the background, standard deviation 12 of 255", noise=12.0),
    "dark_background": replace(_SMOOTH, what="background at 10 to 30 of 255, not 42 to 70", level=(10.0, 30.0)),
    "bright_background": replace(_SMOOTH, what="background at 90 to 115 of 255, not 42 to 70", level=(90.0, 115.0)),
    "named_colours": replace(_SMOOTH, what="the colours that CSS has under these names", css_colours=True),
    "all_at_once": Renderer(
        "jagged, 10 % larger, noisy background, then JPEG", scale=1.1, oversampling=1, noise=12.0, jpeg=60
    ),
}  # fmt: skip
"""Name -> a renderer other than the tiny world's own; each but the last differs in one thing from the first."""


def render_by(scene: Scene, renderer: Renderer) -> Image.Image:
    """Draw a scene; the same arguments always give the same picture.

    Args:
        scene: What to draw; its background number fixes brightness, noise and a jitter of one pixel.
        renderer: How to draw it.

    Returns:
        An RGB picture.
    """
    # One source for the ground and one for places, so that every renderer puts the objects at the same ones.
    ground, places = (np.random.default_rng([scene.background, i]) for i in range(2))
    picture = _background(ground, renderer)
    for item in scene.objects:
        right, down = places.uniform(-1.0, 1.0, 2)
        x, y = (item.column + 0.5) * CELL_PX + right, (item.row + 0.5) * CELL_PX + down
        mask = _mask(item.shape, x, y, RADIUS_PX[item.size] * renderer.scale, renderer)
        picture.paste((_CSS if renderer.css_colours else RGB)[item.colour], mask=mask)
    return _disturbed(picture, renderer)


def _background(rng: np.random.Generator, renderer: Renderer) -> Image.Image:
    level = rng.uniform(*renderer.level) + rng.uniform(-6, 6, 3)
    pixels = level + rng.normal(0.0, renderer.noise, (renderer.side_px, renderer.side_px, 3))
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _mask(shape: str, x: float, y: float, radius: float, renderer: Renderer) -> Image.Image:
    """How much of each pixel an object covers, 0 to 255; lengths are in pixels of a picture of `SIDE_PX`."""
    unit = renderer.side_px * renderer.oversampling / SIDE_PX
    large = Image.new("L", (renderer.side_px * renderer.oversampling,) * 2)
    _shape(ImageDraw.Draw(large), shape, x * unit, y * unit, radius * unit)
    return large.reduce(renderer.oversampling)


def _shape(pencil: ImageDraw.ImageDraw, shape: str, x: float, y: float, r: float) -> None:
    box = (x - r, y - r, x + r, y + r)
    if shape == "circle":
        pencil.ellipse(box, fill=255)
    elif shape == "ring":
        pencil.ellipse(box, outline=255, width=round(r / 2))
    elif shape == "square":
        half = r * sqrt(pi) / 2  # As large an area as the circle's.
        pencil.rectangle((x - half, y - half, x + half, y + half), fill=255)
    elif shape == "triangle":
        pencil.regular_polygon((x, y, r), 3, fill=255)
    elif shape == "cross":
        pencil.line((x - r, y, x + r, y), fill=255, width=round(r * 2 / 3))
        pencil.line((x, y - r, x, y + r), fill=255, width=round(r * 2 / 3))
    else:
        reach = (r, 0.4 * r) * 5
        pencil.polygon([(x + a * sin(i * pi / 5), y - a * cos(i * pi / 5)) for i, a in enumerate(reach)], fill=255)


def _disturbed(picture: Image.Image, renderer: Renderer) -> Image.Image:
    if renderer.blur_px:
        picture = picture.filter(ImageFilter.GaussianBlur(renderer.blur_px))
    if renderer.jpeg is None:
        return picture
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=renderer.jpeg)
    return Image.open(buffer).convert("RGB")
