"""Small videos made by the tests: frame number n is grey of the value n, so that one sees which was read."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def numbered(count: int, size: tuple[int, int] = (32, 24)) -> list[np.ndarray]:
    """Frames `[h w 3]`, each of its own grey."""
    return [np.full((size[1], size[0], 3), number, np.uint8) for number in range(count)]


def film(
    path: Path | str | Any,
    frames: Sequence[np.ndarray],
    *,
    times_s: Sequence[float] | None = None,
    codec: str = "ffv1",
    pixels: str = "bgr0",
    given: str = "rgb24",
    key_every: int = 12,
    fps: int = 10,
    tick: Fraction = Fraction(1, 1000),
    sound_s: float = 0.0,
    codec_options: dict[str, str] | None = None,
    **options: Any,
) -> Any:
    """Write frames as a video, at a rate or at times of their own, perhaps with a tone; returns the path."""
    with av.open(str(path) if isinstance(path, Path) else path, "w", **options) as container:
        stream = container.add_stream(codec, rate=fps, options=codec_options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.gop_size = pixels, key_every
        stream.codec_context.time_base = tick
        sound = container.add_stream("aac", rate=16000) if sound_s else None
        times = times_s or [number / fps for number in range(len(frames))]
        for values, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(values, format=given)
            frame.pts, frame.time_base = round(time / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            wave = np.sin(np.arange(int(sound_s * 16000)) * 0.2).astype(np.float32)[None]
            heard = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            heard.rate, heard.pts = 16000, 0
            container.mux(sound.encode(heard))
            container.mux(sound.encode())
    return path
