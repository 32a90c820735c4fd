"""Videos: opened from a path, bytes, data URL or pictures with times; checked, and decoded as frames are asked for.

An animated GIF is a video where it is given as one; an animated WebP is not read, it must be converted first.
"""

import os
from typing import Any

import numpy as np

from modalink.errors import MediumError
from modalink.modalities import _binary, _film_files, _previews
from modalink.modalities._clip import Clip
from modalink.modalities._stored_video import StoredVideo
from modalink.modalities._video_handle import VideoHandle
from modalink.roles import ModalityRecord

__all__ = [
    "MAX_BYTES", "MAX_PIXELS", "MAX_SECONDS", "MAX_WORK", "RECORD", "Clip", "VideoHandle", "open_video", "write",
]  # fmt: skip

MAX_PIXELS = 2**25
"""Most pixels of one picture: 8K."""
MAX_BYTES = 2**34
"""Most bytes of one file, which is never read whole."""
MAX_SECONDS = 4 * 3600.0
"""Longest video."""
MAX_WORK = 2**36
"""Most pixels that are decoded to read one video once: ten minutes of full HD at 50 frames a second."""

_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".vob"),
    *(".3gp", ".flv", ".wmv", ".ogv"),
)


def open_video(
    source: Any,
    name: str | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
    max_work: int = MAX_WORK,
) -> VideoHandle:
    """Find and check one video. Nothing is decoded; where its header tells no duration, its packets are counted.

    Args:
        source: Path, bytes, data URL (base64), or a handle, such as a `Clip` of frames.
        name: What errors call it; by default its path or form.
        max_pixels: Larger pictures are refused; see `MAX_PIXELS`.
        max_bytes: Larger files are refused before they are opened.
        max_seconds: Longer videos are refused.
        max_work: Most pixels that are decoded to read it once.

    Raises:
        MediumError: With the reason `missing`, `unreadable`, `not_a_file`, `empty`, `not_a_video`, `no_video`,
            `no_frames`, `damaged`, `too_large`, `too_long`, `remote`, `bad_data_url` or `unsupported`; reading it, also
            with `truncated` or `changed`.
    """
    if isinstance(source, VideoHandle):
        return source
    label = _binary.label(source, "video", name)
    if not _binary.Stored.takes(source):
        found = type(source).__name__
        detail = f"found a {found}, needed a path, bytes, data URL, or frames with a rate: Clip.of(frames, fps=...)"
        raise MediumError(label, "unsupported", detail)
    limits = {"max_pixels": max_pixels, "max_work": max_work}
    return StoredVideo(_binary.Stored(source, label, max_bytes), limits, max_seconds)


def write(video: VideoHandle, path: str | os.PathLike[str]) -> None:
    """Write a video in the format that the path's suffix names, with its frames' times to the millisecond.

    A moving WebP is written for pages; it is not read as a video.

    Raises:
        MediumError: The suffix names no format that is written, or the file cannot be written.
    """
    _film_files.write(video, path)


def example(number: int) -> Clip:
    """Noise of a size and length of its own, the same in every process."""
    shape = (4 + number, 36 + 8 * number, 64 - 6 * number, 3)
    return Clip.of(np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8), fps=10.0)


RECORD = ModalityRecord(
    name="video",
    plural="videos",
    blocks=("video_url", "input_video"),
    placeholder="<video>",
    signal="[VID{}]",
    argument="pixel_values_videos",
    suffixes=_SUFFIXES,
    written=_film_files.LOSSLESS,
    formats=_film_files.OTHERS,
    open=open_video,
    write=write,
    preview=_previews.film,
    example=example,
)
