"""Things of the tiny world for a page: pictures that move, and sounds, as data URLs without a script."""

import base64
import wave
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from modalink.tiny_world.clips.animation import FPS, animate
from modalink.tiny_world.rendering import png_data_url, render
from modalink.tiny_world.solids.bodies import Bodies
from modalink.tiny_world.solids.sculpting import sculpt
from modalink.tiny_world.sounds.notes import Sound
from modalink.tiny_world.sounds.synthesis import RATE_HZ, play
from modalink.tiny_world.worlds import Shown

_SIDE_PX = 96
_TURNS = 12
"""Views of a cloud of points while it turns once."""
_TURN_MS = 160


def data_url(shown: Shown) -> str:
    """A picture as PNG, a clip and a turning cloud of points as moving WebP, a sound as WAV."""
    match shown.modality:
        case "image":
            return png_data_url(Image.fromarray(render(shown.thing)))
        case "video":
            return _moving([Image.fromarray(frame) for frame in animate(shown.thing)], round(1000 / FPS))
        case "points":
            return _moving([Image.fromarray(view) for view in turning(shown.thing)], _TURN_MS)
    return _sounding(shown.thing)


def turning(bodies: Bodies) -> UInt8[np.ndarray, "12 96 96 3"]:
    """Views of a cloud of points from all around, RGB in 0..255; what is farther is darker."""
    points = sculpt(bodies)
    views = []
    for angle in np.arange(_TURNS) * (2 * np.pi / _TURNS):
        across = points[:, 0] * np.cos(angle) + points[:, 2] * np.sin(angle)
        depth = points[:, 2] * np.cos(angle) - points[:, 0] * np.sin(angle)
        order = np.argsort(depth)
        columns = np.clip(_SIDE_PX * (0.5 + 0.48 * across[order]), 1, _SIDE_PX - 2).astype(int)
        rows = np.clip(_SIDE_PX * (0.5 - 0.48 * points[order, 1]), 1, _SIDE_PX - 2).astype(int)
        colours = 255 * points[order, 3:] * (0.72 + 0.28 * depth[order, None])
        view = np.full((_SIDE_PX, _SIDE_PX, 3), 24, np.uint8)
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            view[rows + down, columns + right] = colours.clip(0, 255)
        views.append(view)
    return np.stack(views)


def _moving(frames: list[Image.Image], frame_ms: int) -> str:
    buffer = BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], duration=frame_ms, loop=0, quality=60)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _sounding(sound: Sound) -> str:
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes((play(sound) * 32767).astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()
