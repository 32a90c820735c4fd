"""Which frames of a video an encoder reads, and how they become its units."""

import math
import random
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from modalink.errors import MediumError, PartError
from modalink.kinds import Count, Settings
from modalink.modalities.video import VideoHandle
from modalink.ragged import Layout
from modalink.roles import Preprocessor, Window


class FramesSpec(Settings):
    """Which frames of a video are read.

    Of 4 frames out of 8 s, `uniform` reads those at 1, 3, 5 and 7 s; `fps: 0.5` those at 0, 2, 4 and 6 s.
    """

    sampling: Literal["uniform", "fps", "segments", "key"] = "uniform"
    """`uniform`: the middles of as many equal segments; `segments`: in training a place of each segment that is drawn
    anew for each sample (TSN, arXiv 1608.00859), elsewhere its middle; `fps`: at a rate from the first on; `key`: key
    frames, at which scenes often begin."""
    count: Count = 8
    """How many; of `fps` and `key` the most, spread over the video where there are more. Frames of a video that has
    fewer are read more than once."""
    fps: float = Field(default=1.0, gt=0, le=1000)
    """Frames a second, for `fps`."""

    def times_s(self, video: VideoHandle, seed: int | None = None) -> list[float]:
        """When the frames are shown that are read, in seconds, in ascending order.

        Args:
            video: The video.
            seed: Seed of what is drawn; None: nothing is.
        """
        if self.sampling == "fps" and (found := math.ceil(video.duration_s * self.fps - 1e-6)) <= self.count:
            return [number / self.fps for number in range(max(1, found))]
        if self.sampling == "key" and (keys := video.key_times_s() or [0.0]):
            few = len(keys) <= self.count
            return keys if few else [keys[(2 * i + 1) * len(keys) // (2 * self.count)] for i in range(self.count)]
        drawn = random.Random(seed) if self.sampling == "segments" and seed is not None else None
        places = [0.5 if drawn is None else drawn.random() for _ in range(self.count)]
        return [(number + place) / self.count * video.duration_s for number, place in enumerate(places)]


class FramesPreprocessor(Preprocessor):
    """Frames of a video as units, each preprocessed as an image; an image is read as it always is.

    Args:
        frames: Which frames are read.
        each: What is done to a frame; it must make one block of units.
        seed: Seed of what is drawn.
    """

    def __init__(self, frames: FramesSpec, each: Preprocessor, seed: int | None = None) -> None:
        self.frames, self.each, self.seed = frames, each, seed

    def layout(self, medium: Any) -> Layout:
        """A block of units for each frame that is read, with its time."""
        frame = self.each.layout(medium)
        if not isinstance(medium, VideoHandle):
            return frame
        return frame.repeated(self.frames.times_s(medium, self.seed))

    def __call__(self, medium: Any) -> Float[Tensor, "u ..."]:
        """The units of one medium; of a video no more is decoded than leads to its frames.

        Raises:
            MediumError: A frame cannot be decoded, or has another size than the first.
            PartError: A frame makes other units than its layout tells.
        """
        if not isinstance(medium, VideoHandle):
            return self.each(medium)
        lies = self.each.layout(medium)
        units = []
        for frame in medium.frames(self.frames.times_s(medium, self.seed)):
            if self.each.layout(frame) != lies:
                raise MediumError(medium.label, "unsupported", f"its frames change their size, to {frame.size}")
            units.append(self.each(frame))
            if len(units[-1]) != lies.units:
                needed = "one" if lies.units == 1 else lies.units
                raise PartError(f"a frame of a video makes {len(units[-1])} units, needed {needed}; "
                                "let its encoder read whole images")  # fmt: skip
        return torch.cat(units)

    def window_of(self, size: tuple[int, int]) -> Window:
        """As of an image that it reads."""
        return self.each.window_of(size)

    def seeded(self, seed: int) -> Preprocessor:
        """The same, drawing its frames, where it draws any."""
        return FramesPreprocessor(self.frames, self.each, seed) if self.frames.sampling == "segments" else self

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result; a seed decides the item's digest."""
        return {"frames": self.frames.model_dump(mode="json"), "each": self.each.to_dict()}
