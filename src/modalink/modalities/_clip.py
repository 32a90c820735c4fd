"""A video whose frames are in memory: what generators make and what tests show."""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from modalink.errors import MediumError
from modalink.modalities._video_handle import VideoHandle


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
