"""Videos: opened from a path, bytes, data URL or pictures with times; checked, and decoded as frames are asked for.

An animated GIF is a video where it is given as one; an animated WebP is not read, it must be converted first.
"""

import hashlib
import math
import os
import re
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8
from PIL import Image

from modalink.errors import MediumError
from modalink.modalities import _binary, _containers, _film_files, _previews, audio
from modalink.modalities._footage import Footage, picture, too_large
from modalink.roles import MediumHandle, ModalityRecord

MAX_PIXELS = 2**25
"""Most pixels of one picture: 8K."""
MAX_BYTES = 2**34
"""Most bytes of one file, which is never read whole."""
MAX_SECONDS = 4 * 3600.0
"""Longest video."""
MAX_WORK = 2**36
"""Most pixels that are decoded to read one video once: ten minutes of full HD at 50 frames a second."""
MAX_WHOLE = 2**30
"""Most pixels of all frames together, where all are wanted at once."""

_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".vob"),
    *(".3gp", ".flv", ".wmv", ".ogv"),
)
_UNTOLD = ("mpeg", "mpegts")
"""Formats that tell no duration: what FFmpeg says of it is a guess, and may be the length of one frame."""
_MATROSKA_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_SLACK = 0.05
"""Share of its duration by which a video's pictures may end before it, and at least a second: sound may be longer."""


class VideoHandle(MediumHandle):
    """A video, found and checked; its frames are decoded when they are asked for.

    Args:
        label: What errors call it.
        duration_s: How long it lasts, in seconds.
        num_frames: How many frames it has, where that is known without decoding it.
    """

    def __init__(self, label: str, duration_s: float, num_frames: int | None) -> None:
        super().__init__(label)
        self.duration_s, self.num_frames = duration_s, num_frames

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as it is read: turned upright. The first frame is decoded to know it."""

    @property
    def extent(self) -> str:
        """How long and how large it is, for people."""
        width, height = self.size
        return f"{self.duration_s:.1f} s of {width} x {height} px"

    @abstractmethod
    def frames(self, times_s: Sequence[float]) -> Iterator[Image.Image]:
        """The frames that are shown at some times, one after the other, decoded as they are taken.

        Args:
            times_s: Seconds from the first frame, in ascending order.

        Raises:
            MediumError: It went away or was changed since it was opened, or cannot be decoded.
        """

    @abstractmethod
    def all_frames(self) -> Iterator[tuple[float, Image.Image]]:
        """All frames as RGB images, each with the time from which it is shown, in seconds from the first."""

    @abstractmethod
    def key_times_s(self) -> list[float]:
        """Times of the frames that can be decoded without others, at which scenes often begin."""

    def sound(self, max_seconds: float = audio.MAX_SECONDS) -> audio.AudioHandle:
        """What is heard in it, a medium of its own; nothing of it is decoded yet.

        Args:
            max_seconds: Longer sounds are refused.

        Raises:
            MediumError: It has no sound (`no_audio`), or one that is too long or cannot be read; see `open_audio`.
        """
        raise MediumError(self.label, "no_audio", "is a video of frames alone, which has no sound")

    def part(self, start_s: float, end_s: float) -> "VideoHandle":
        """What is shown from one time to another, as a video of its own; nothing of it is decoded yet.

        Args:
            start_s: When it begins, in seconds from the first frame.
            end_s: When it ends; where the whole ends before, it ends there.

        Raises:
            MediumError: The whole shows nothing between them (`empty`).
        """
        return _Part(self, start_s, min(end_s, self.duration_s))

    def read(self) -> "VideoHandle":
        """The video itself, whose first frame was decoded: others are decoded as they are asked for."""
        self.size  # noqa: B018 - finds out whether anything can be decoded
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> UInt8[np.ndarray, "f h w 3"]:
        """All frames at once.

        Raises:
            MediumError: They are too many, or of different sizes.
        """
        frames: list[UInt8[np.ndarray, "h w 3"]] = []
        for _, image in self.all_frames():
            frames.append(np.asarray(image))
            if frames[-1].shape != frames[0].shape:
                raise MediumError(self.label, "unsupported", "its frames change their size; ask for them one by one")
            if len(frames) * image.width * image.height > MAX_WHOLE:
                detail = f"its frames have more than {MAX_WHOLE:,} pixels together; ask for some of them by their times"
                raise MediumError(self.label, "too_large", detail)
        return np.stack(frames)


class _Part(VideoHandle):
    def __init__(self, whole: VideoHandle, start_s: float, end_s: float) -> None:
        if not 0 <= start_s < end_s:
            detail = f"lasts {whole.duration_s:.2f} s, and shows nothing from {start_s:g} s to {end_s:g} s"
            raise MediumError(whole.label, "empty", detail)
        super().__init__(whole.label, end_s - start_s, None)
        self._whole, self._start_s, self._end_s = whole, start_s, end_s

    @property
    def size(self) -> tuple[int, int]:
        return self._whole.size

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(repr((self._whole.digest, self._start_s, self._end_s)).encode()).hexdigest()

    def frames(self, times_s: Sequence[float]) -> Iterator[Image.Image]:
        return self._whole.frames([min(self._start_s + time_s, self._end_s) for time_s in times_s])

    def all_frames(self) -> Iterator[tuple[float, Image.Image]]:
        """The frame that is shown when it begins, and those that begin in it."""
        yield 0.0, next(self.frames([0.0]))
        for time_s, image in self._whole.all_frames():
            if time_s >= self._end_s:
                return
            if time_s > self._start_s:
                yield time_s - self._start_s, image

    def key_times_s(self) -> list[float]:
        return [time_s - self._start_s for time_s in self._whole.key_times_s() if self._start_s <= time_s < self._end_s]

    def sound(self, max_seconds: float = audio.MAX_SECONDS) -> audio.AudioHandle:
        raise MediumError(self.label, "no_audio", "is shown in part, without its sound; ask the whole video for it")


class Clip(VideoHandle):
    """A video whose frames are in memory.

    Args:
        frames: The frames in RGB.
        times_s: When each begins, in seconds from the first, ascending.
        duration_s: How long it lasts.
        label: What errors call it.

    Raises:
        MediumError: Frames and times do not go together.
    """

    def __init__(
        self,
        frames: UInt8[np.ndarray, "f h w 3"],
        times_s: Sequence[float],
        duration_s: float,
        label: str = "video given as frames",
    ) -> None:
        super().__init__(label, float(duration_s), len(frames))
        times = [float(time) for time in times_s]
        if not frames.size or len(times) != len(frames):
            detail = f"found frames of the shape {frames.shape} and {len(times)} times, needed some, and as many times"
            raise MediumError(label, "not_a_video", detail)
        if (
            times[0] != 0
            or not all(a <= b for a, b in pairwise([*times, self.duration_s]))
            or math.isinf(self.duration_s)
        ):
            detail = f"found times from {times[0]} to {times[-1]} s in {duration_s} s, needed them to rise from 0 to it"
            raise MediumError(label, "not_a_video", detail)
        self._frames, self._times_s = frames, times

    @classmethod
    def of(cls, frames: Sequence[Image.Image] | UInt8[np.ndarray, "f h w 3"], fps: float) -> "Clip":
        """Frames at a rate, each shown as long as any other.

        Args:
            frames: Images of one size, or their pixels.
            fps: Frames a second.
        """
        pixels = [np.asarray(f.convert("RGB") if isinstance(f, Image.Image) else f) for f in frames]
        return cls(np.stack(pixels), [number / fps for number in range(len(pixels))], len(pixels) / fps)

    @property
    def size(self) -> tuple[int, int]:
        return self._frames.shape[2], self._frames.shape[1]

    @cached_property
    def digest(self) -> str:
        told = repr((self._frames.shape, self._times_s, self.duration_s)).encode()
        return hashlib.sha256(told + self._frames.tobytes()).hexdigest()

    def frames(self, times_s: Sequence[float]) -> Iterator[Image.Image]:
        for time_s in times_s:
            yield Image.fromarray(self._frames[max(0, bisect_right(self._times_s, time_s + 1e-6) - 1)])

    def all_frames(self) -> Iterator[tuple[float, Image.Image]]:
        return zip(self._times_s, map(Image.fromarray, self._frames), strict=True)

    def key_times_s(self) -> list[float]:
        return list(self._times_s)


class _StoredVideo(VideoHandle):
    def __init__(self, stored: _binary.Stored, limits: dict[str, int], max_seconds: float) -> None:
        self._stored, self._limits = stored, limits
        with self._footage() as (stream, footage):
            context = stream.codec_context
            if context.width * context.height > limits["max_pixels"]:
                raise too_large(stored.label, context.width, context.height, limits["max_pixels"])
            duration_s = _told_duration(stream)
            if duration_s is None:
                duration_s = footage.end_s()
            if duration_s is None:
                raise MediumError(stored.label, "no_frames", "holds no pictures; fetch or write it again")
            if duration_s > max_seconds:
                detail = f"lasts {_clock(duration_s)}, at most {_clock(max_seconds)} are read; cut it"
                raise MediumError(stored.label, "too_long", detail)
            super().__init__(stored.label, duration_s, stream.frames or None)

    @property
    def digest(self) -> str:
        return self._stored.digest

    def sound(self, max_seconds: float = audio.MAX_SECONDS) -> audio.AudioHandle:
        return audio.open_audio(self._stored, max_seconds=max_seconds)

    @cached_property
    def size(self) -> tuple[int, int]:
        return next(self.frames([0.0])).size

    def frames(self, times_s: Sequence[float]) -> Iterator[Image.Image]:
        with self._footage() as (_, footage):
            for shown in footage.at(times_s, max(1.0, _SLACK * self.duration_s)):
                yield picture(shown.frame, self.label)

    def all_frames(self) -> Iterator[tuple[float, Image.Image]]:
        with self._footage() as (_, footage):
            for shown in footage:
                yield shown.time_s, picture(shown.frame, self.label)

    def key_times_s(self) -> list[float]:
        return self._key_times_s

    @cached_property
    def _key_times_s(self) -> list[float]:
        with self._footage() as (_, footage):
            return footage.key_times_s()

    @contextmanager
    def _footage(self) -> Iterator[tuple[VideoStream, Footage]]:
        label = self._stored.label
        with _containers.opened(self._stored, "video", max_pixels=self._limits["max_pixels"]) as container:
            stream = _containers.stream(container, "video", label, "video")
            assert isinstance(stream, VideoStream)
            yield stream, Footage(container, stream, label, **self._limits)


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
    return _StoredVideo(_binary.Stored(source, label, max_bytes), limits, max_seconds)


def write(video: VideoHandle, path: str | os.PathLike[str]) -> None:
    """Write a video in the format that the path's suffix names, with its frames' times to the millisecond.

    A moving WebP is written for pages; it is not read as a video.

    Raises:
        MediumError: The suffix names no format that is written, or the file cannot be written.
    """
    _film_files.write(video, path)


def _told_duration(stream: VideoStream) -> float | None:
    """How long a stream lasts by its header, in seconds; None where it does not tell."""
    container = stream.container
    assert isinstance(container, InputContainer)
    if container.format.name in _UNTOLD:
        return None
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    for key, value in stream.metadata.items():
        if key.upper().startswith("DURATION") and (found := _MATROSKA_DURATION.match(value)):
            return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
    whole = container.duration or 0
    return whole / av.time_base if whole > 0 else None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


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
