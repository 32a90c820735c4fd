"""Films written to files: each picture with the time from which it is shown, in the format that the suffix names."""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from PIL import Image

from modalink.errors import MediumError

LOSSLESS = ".mkv"
_CODECS = {
    LOSSLESS: ("ffv1", "bgr0"),
    ".mp4": ("libx264", "yuv420p"),
    ".m4v": ("libx264", "yuv420p"),
    ".mov": ("libx264", "yuv420p"),
    ".webm": ("libvpx-vp9", "yuv420p"),
    ".gif": ("gif", "rgb8"),
}
"""Codec and pixels by suffix."""
_MOVING_PICTURE = ".webp"
"""Written by Pillow, which takes a time for each picture."""
OTHERS = (*(suffix for suffix in _CODECS if suffix != LOSSLESS), _MOVING_PICTURE)
"""Suffixes of formats that lose something."""
_LARGEST_WEBP = 16383
"""Pixels of a side that the format can tell."""


@runtime_checkable
class Film(Protocol):
    """What is written: a video handle."""

    duration_s: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""

    def all_frames(self) -> Iterator[tuple[float, Image.Image]]:
        """All frames, each with the time from which it is shown, in seconds from the first."""


def write(video: Film, path: str | os.PathLike[str]) -> None:
    """Write a film, see `video.write`."""
    suffix = Path(path).suffix.lower()
    if suffix not in (*_CODECS, _MOVING_PICTURE):
        detail = f"found the suffix {suffix!r}, needed one of {', '.join((LOSSLESS, *OTHERS))}"
        raise MediumError(str(path), "unsupported", detail)
    try:
        if suffix == _MOVING_PICTURE:
            _write_webp(video, path)
            return
        with av.open(os.fspath(path), "w") as container:
            _encode(video, container, *_CODECS[suffix], tick=Fraction(1, 100 if suffix == ".gif" else 1000))
    except (av.FFmpegError, OSError) as error:
        raise MediumError(str(path), "unwritable", f"cannot be written: {error}") from error


def _write_webp(video: Film, path: str | os.PathLike[str]) -> None:
    if max(video.size) > _LARGEST_WEBP:
        width, height = video.size
        detail = f"found pictures of {width} x {height} px, a WebP holds sides of {_LARGEST_WEBP:,} at most; write .mp4"
        raise MediumError(str(path), "unsupported", detail)
    spans = [(image, round(1000 * (end_s - start_s))) for image, start_s, end_s in _spans(video)]
    (first, _), *others = spans
    options: dict[str, Any] = {"append_images": [image for image, _ in others], "duration": [ms for _, ms in spans]}
    first.save(path, "WEBP", save_all=True, loop=0, quality=90, **options)


def _encode(video: Film, container: OutputContainer, codec: str, pixels: str, tick: Fraction) -> None:
    stream = container.add_stream(codec, rate=1 / tick)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = video.size
    halved = pixels == "yuv420p" and all(side % 2 == 0 for side in video.size)
    stream.pix_fmt = "yuv444p" if pixels == "yuv420p" and not halved else pixels
    durations: dict[int | None, int] = {}

    def put(packets: "list[Packet[VideoStream]]") -> None:
        for packet in packets:
            packet.duration = durations.get(packet.pts, packet.duration)  # encoders tell that of a tick
            container.mux(packet)

    for image, start_s, end_s in _spans(video):
        frame = av.VideoFrame.from_image(image)
        frame.pts, frame.time_base = round(start_s / tick), tick
        durations[frame.pts] = round(end_s / tick) - frame.pts
        put(stream.encode(frame))
    put(stream.encode())


def _spans(video: Film) -> Iterator[tuple[Image.Image, float, float]]:
    """Each frame, with when it begins and ends."""
    frames = video.all_frames()
    start_s, image = next(frames)
    for next_s, following in frames:
        yield image, start_s, next_s
        start_s, image = next_s, following
    yield image, start_s, max(start_s, video.duration_s)
