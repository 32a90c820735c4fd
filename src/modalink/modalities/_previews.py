"""What pages show of decoded media: small enough to stand in a page, with what was left out in words."""

import wave
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from modalink import files
from modalink.modalities._clouds import Cloud
from modalink.modalities._film_files import Film
from modalink.roles import Preview

MAX_BYTES = 2**19
"""Most bytes of what is shown of one medium, but for the third that base64 adds."""
SIDE_PX = 512
"""Longest side of a picture."""
FILM_PX = (256, 128, 64)
"""Longest side of a film: the first with which it is small enough."""
FILM_S, FRAMES = 12.0, 48
SOUND_S, SOUND_HZ = 10.0, 24_000
POINTS, TURNS, TURN_MS, TURN_PX = 4096, 12, 160, 96
WORDS = 600
"""Most characters."""


def still(image: Image.Image) -> Preview:
    """A picture: PNG, or WebP where that would be too large."""
    small, note = _scaled(image.convert("RGB"), SIDE_PX)
    buffer = BytesIO()
    small.save(buffer, "PNG", optimize=True)
    if buffer.tell() <= MAX_BYTES:
        return Preview(files.data_url("image/png", buffer.getvalue()), note=note)
    buffer = BytesIO()
    small.save(buffer, "WEBP", quality=80)
    return Preview(files.data_url("image/webp", buffer.getvalue()), note=note)


def film(video: Film) -> Preview:
    """A film as a moving WebP: its beginning, and of many frames some."""
    seconds = min(video.duration_s, FILM_S)
    frames = [*_frames(video, seconds)]
    notes = [f"the first {seconds:g} of {video.duration_s:.1f} s"] if seconds < video.duration_s else []
    ends_s = [*(time_s for _, time_s in frames[1:]), seconds]
    spans_ms = [max(20, round(1000 * (end - start))) for (_, start), end in zip(frames, ends_s, strict=True)]
    content, side = b"", 0
    for side in FILM_PX:
        content = moving([_scaled(image, side)[0] for image, _ in frames], spans_ms)
        if len(content) <= MAX_BYTES:
            break
    notes += filter(None, [_scaling(video.size, side)])
    return Preview(files.data_url("image/webp", content), note="; ".join(notes))


def sound(samples: Float32[np.ndarray, " n"], rate_hz: int, duration_s: float) -> Preview:
    """A sound as 16-bit WAV.

    Args:
        samples: Its beginning, at most `SOUND_S` of it, full scale being 1.
        rate_hz: Samples a second, at most `SOUND_HZ`.
        duration_s: How long the whole is.
    """
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    note = f"the first {SOUND_S:g} of {duration_s:.1f} s" if duration_s > SOUND_S else ""
    return Preview(files.data_url("audio/wav", buffer.getvalue()), note=note)


def turning(cloud: Cloud) -> Preview:
    """Points, or some of a surface, that turn around the axis that is up."""
    turned = views(cloud, TURNS, TURN_PX, POINTS)
    surface, count = cloud.faces is not None, len(cloud.points)
    note = f"{POINTS:,} points of its surface" if surface else f"{POINTS:,} of {count:,} points"
    url = files.data_url("image/webp", moving(turned, [TURN_MS] * TURNS))
    return Preview(url, note=note if surface or count > POINTS else "")


def views(cloud: Cloud, count: int, side: int, points: int) -> list[Image.Image]:
    """Points, or some of a surface, from all around the axis that is up.

    Args:
        cloud: The points.
        count: How many views, at even angles, the first from the front.
        side: Pixels of a side.
        points: Most points that are drawn.
    """
    drawn, colors = cloud.drawn(points)
    return [Image.fromarray(view) for view in _views(_in_unit_ball(drawn), colors, count, side)]


def words(text: str) -> Preview:
    """Words, the beginning of many."""
    note = f"the first {WORDS} of {len(text):,} characters" if len(text) > WORDS else ""
    return Preview(words=text[:WORDS], note=note)


def moving(frames: list[Image.Image], spans_ms: list[int]) -> bytes:
    """Frames of one size, each shown for some milliseconds, as a moving WebP that begins again at its end."""
    buffer = BytesIO()
    frames[0].save(
        buffer, "WEBP", save_all=True, append_images=frames[1:], duration=spans_ms, loop=0, quality=60
    )  # fmt: skip
    return buffer.getvalue()


def _frames(video: Film, seconds: float) -> Iterator[tuple[Image.Image, float]]:
    """Frames of one size no closer than so many fill the time, each with when it is shown from."""
    due_s, size = 0.0, None
    for time_s, image in video.all_frames():
        if time_s >= seconds and size is not None:
            return
        if time_s >= due_s:
            size = size or _scaled(image, FILM_PX[0])[0].size
            yield image.convert("RGB") if image.size == size else image.convert("RGB").resize(size), time_s
            due_s = max(due_s + seconds / FRAMES, time_s + seconds / FRAMES / 2)


def _scaled(image: Image.Image, side: int) -> tuple[Image.Image, str]:
    """A picture whose longest side is no longer than this, and what was done."""
    small = image
    if note := _scaling(image.size, side):
        small = image.copy()
        small.thumbnail((side, side))
    return small, note


def _scaling(size: tuple[int, int], side: int) -> str:
    return f"scaled down from {size[0]} x {size[1]} px" if max(size) > side else ""


def _in_unit_ball(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Points around the middle; where they fit already and can be seen, as they are, since size may tell something."""
    reach = float(np.linalg.norm(points, axis=1).max())
    if 0.25 <= reach <= 1.05:
        return points
    centred = points - (points.min(0) + points.max(0)) / 2
    farthest: Float[np.ndarray, "n 3"] = centred / max(float(np.linalg.norm(centred, axis=1).max()), 1e-30)
    return farthest


def _views(
    points: Float[np.ndarray, "n 3"], colors: Float32[np.ndarray, "n 3"] | None, count: int, side: int
) -> list[UInt8[np.ndarray, "{side} {side} 3"]]:
    """Views from all around, x to the right and y up, RGB in 0..255; what is farther is darker."""
    shades = np.full(points.shape, 0.8) if colors is None else colors
    dot, found = max(1, side // 48), []
    for angle in np.arange(count) * (2 * np.pi / count):
        across = points[:, 0] * np.cos(angle) + points[:, 2] * np.sin(angle)
        depth = points[:, 2] * np.cos(angle) - points[:, 0] * np.sin(angle)
        order = np.argsort(depth)
        columns = np.clip(side * (0.5 + 0.48 * across[order]), 1, side - dot).astype(int)
        rows = np.clip(side * (0.5 - 0.48 * points[order, 1]), 1, side - dot).astype(int)
        lit = 255 * shades[order] * (0.72 + 0.28 * depth[order, None])
        view = np.full((side, side, 3), 24, np.uint8)
        for down, right in np.ndindex(dot, dot):
            view[rows + down, columns + right] = lit.clip(0, 255)
        found.append(view)
    return found
