"""What every video answers, wherever its frames are; and a part of one, as a video of its own."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from modalink.errors import MediumError
from modalink.modalities import audio
from modalink.roles import MediumHandle

MAX_WHOLE = 2**30
"""Most pixels of all frames together, where all are wanted at once."""


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
