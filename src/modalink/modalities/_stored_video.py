"""Videos in files or bytes: checked by their headers, and decoded as frames are asked for."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import av
from av.container import InputContainer
from av.video.stream import VideoStream
from PIL import Image

from modalink.errors import MediumError
from modalink.modalities import _binary, _containers, audio
from modalink.modalities._footage import Footage, picture, too_large
from modalink.modalities._truncation import is_cut_short
from modalink.modalities._video_handle import VideoHandle

_UNTOLD = ("mpeg", "mpegts")
"""Formats that tell no duration: what FFmpeg says of it is a guess, and may be the length of one frame."""
_MATROSKA_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_SLACK = 0.05
"""Share of its duration by which a video's pictures may end before it, and at least a second: sound may be longer."""


class StoredVideo(VideoHandle):
    """A video in a file or in bytes; its packets are counted where its header tells no duration.

    Args:
        stored: Where it is.
        limits: `max_pixels` of one picture, and `max_work`, the most pixels that are decoded to read it once.
        max_seconds: Longer videos are refused.

    Raises:
        MediumError: It holds no pictures, or too large ones, or is too long.
    """

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
        slack_s = 0.0 if self._is_cut_short else max(1.0, _SLACK * self.duration_s)
        with self._footage() as (_, footage):
            for shown in footage.at(times_s, slack_s):
                yield picture(shown.frame, self.label)

    def all_frames(self) -> Iterator[tuple[float, Image.Image]]:
        with self._footage() as (_, footage):
            for shown in footage:
                yield shown.time_s, picture(shown.frame, self.label)
        if self._is_cut_short:
            detail = (
                "is truncated: it ends before its own headers say; fetch it again, or ask for pictures by their times"
            )
            raise MediumError(self.label, "truncated", detail)

    @cached_property
    def _is_cut_short(self) -> bool:
        with self._stored.open() as file:
            return is_cut_short(file)

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
