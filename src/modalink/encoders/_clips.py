"""Pictures, videos and sounds as ImageBind reads them (facebookresearch/ImageBind@53680b0, data.py).

Clips of two seconds lie evenly over a video or sound, the first at its beginning and the last at its end; they overlap
where it is short.
"""

from collections.abc import Iterable
from fractions import Fraction
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from modalink.encoders import _fbank
from modalink.encoders._sounds import SoundPreprocessor
from modalink.modalities.audio import MAX_SECONDS, AudioHandle, open_audio
from modalink.modalities.video import VideoHandle
from modalink.ragged import Layout
from modalink.roles import Preprocessor, SquarePreprocessor, Window

SECONDS = 2
"""How long a clip is."""
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_SOUND_MEAN, _SOUND_STD = -4.268, 9.138


def starts_s(duration_s: float, clips: int) -> list[Fraction]:
    """When clips begin in what lasts so long."""
    last = Fraction(max(duration_s - SECONDS, 0))
    return [last / max(clips - 1, 1) * number for number in range(clips)]


def squared(image: Image.Image, side: int) -> Image.Image:
    """An image of any mode whose short side is scaled to `side`, and the middle square of it."""
    short = min(image.size)
    width, height = (side if length == short else side * length // short for length in image.size)
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - side) / 2), round((height - side) / 2)
    return scaled.crop((left, top, left + side, top + side))


def normalised(pixels: Float[Tensor, "*u 3 h w"]) -> Float[Tensor, "*u 3 h w"]:
    """Colours from 0 to 1 as towers of CLIP's kin read them."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (_MEAN, _STD))
    return (pixels - mean) / std


def _pixels(image: Image.Image) -> Float[Tensor, "3 h w"]:
    values = np.array(image.convert("RGB"), dtype=np.float32)
    return torch.from_numpy(values).permute(2, 0, 1) / 255


class PicturePreprocessor(SquarePreprocessor):
    """The middle square of a picture.

    Args:
        side: Its side in pixels.
    """

    def __init__(self, side: int) -> None:
        self.side = side

    def window_of(self, size: tuple[int, int]) -> Window:
        """The middle square."""
        (left, right), (top, bottom) = (self._middle(length, min(size)) for length in size)
        return left, top, right, bottom

    def _middle(self, length: int, short: int) -> tuple[float, float]:
        scaled = self.side if length == short else self.side * length // short
        start = round((scaled - self.side) / 2)
        return start * length / scaled, (start + self.side) * length / scaled

    def __call__(self, medium: Image.Image) -> Float[Tensor, "1 3 side side"]:
        """The picture as one unit, float32, normalised."""
        return normalised(_pixels(squared(medium.convert("RGB"), self.side)))[None]

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return {"side": self.side, "mean": list(_MEAN), "std": list(_STD)}


class VideoPreprocessor(Preprocessor):
    """The first and the last frame of each clip, in one or three squares along the long side.

    Args:
        side: Side of the squares in pixels.
        clips: How many clips are read.
        crops: 1 for the middle square; 3 for those at both ends, too.
    """

    def __init__(self, side: int, clips: int, crops: Literal[1, 3]) -> None:
        self.side, self.clips, self.crops = side, clips, crops

    def layout(self, medium: VideoHandle) -> Layout:
        """A unit for each square of each clip, with its time."""
        times_s = [float(start) for start in starts_s(medium.duration_s, self.clips) for _ in range(self.crops)]
        return Layout.of_units(len(times_s), times_s=tuple(times_s))

    def __call__(self, medium: VideoHandle) -> Float[Tensor, "u 3 2 side side"]:
        """The units of one video; no more of it is decoded than leads to its frames.

        Raises:
            MediumError: A frame cannot be decoded.
        """
        pairs = [self._ends_s(medium, start) for start in starts_s(medium.duration_s, self.clips)]
        times_s = sorted({time for pair in pairs for time in pair})
        frames = dict(zip(times_s, map(self._scaled, medium.frames(times_s)), strict=True))
        clips = [torch.stack([frames[time] for time in pair], dim=1) for pair in pairs]
        return torch.stack([square for clip in clips for square in self._squares(clip)])

    def units(self, handle: Any) -> Float[Tensor, "u 3 2 side side"]:
        """The units of an opened video."""
        return self(handle)

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        settings = {"side": self.side, "clips": self.clips, "crops": self.crops, "seconds": SECONDS}
        return settings | {"mean": list(_MEAN), "std": list(_STD)}

    def _ends_s(self, video: VideoHandle, start: Fraction) -> tuple[float, float]:
        """Times of the first frame that begins in a clip, and of the last."""
        end = min(float(start) + SECONDS, video.duration_s)
        if not video.num_frames:
            return float(start), max(float(start), end - 1e-3)
        # In the middle of a frame, so that no rounding leads to its neighbour.
        rate = video.num_frames / video.duration_s
        first, last = (ceil(round(rate * float(time), 6)) for time in (start, end))
        first = min(first, video.num_frames - 1)
        return (first + 0.5) / rate, (max(first, last - 1) + 0.5) / rate

    def _scaled(self, image: Image.Image) -> Float[Tensor, "3 h w"]:
        # As the original scales frames: without a filter against aliasing, unlike pictures.
        short = min(image.size)
        width, height = (side_of(length, short, self.side) for length in image.size)
        scaled = interpolate(_pixels(image)[None], size=(height, width), mode="bilinear", align_corners=False)
        return normalised(scaled[0])

    def _squares(self, clip: Float[Tensor, "3 2 h w"]) -> Iterable[Tensor]:
        height, width = clip.shape[-2:]
        spare = [ceil((length - self.side) / 2) for length in (height, width)]
        along = 0 if height > width else 1
        for place in (0, spare[along], clip.shape[2 + along] - self.side) if self.crops == 3 else (spare[along],):
            top, left = (place if axis == along else spare[axis] for axis in (0, 1))
            yield clip[:, :, top : top + self.side, left : left + self.side]


def side_of(length: int, short: int, side: int) -> int:
    """A side of a frame whose short side is scaled."""
    return side if length == short else int(length / short * side)


class SoundClipsPreprocessor(SoundPreprocessor):
    """Spectrograms of clips of a sound, of which no more is decoded than these.

    Args:
        clips: How many clips are read.
        bins: Bands of a spectrogram.
        frames: Its frames; what lacks to them is filled up.
    """

    def __init__(self, clips: int, bins: int, frames: int) -> None:
        facts: dict[str, Any] = {
            "clips": clips,
            "bins": bins,
            "frames": frames,
            "seconds": SECONDS,
            "rate_hz": _fbank.RATE_HZ,
        }
        facts |= {"mean": _SOUND_MEAN, "std": _SOUND_STD}
        super().__init__(_fbank.RATE_HZ, _fbank.FRAME, MAX_SECONDS, facts)
        self.clips, self.bins, self.frames = clips, bins, frames

    def laid(self, samples: int) -> Layout:
        """A unit for each clip, with its time."""
        times_s = tuple(start / self.rate_hz for start, _ in self._cut(samples))
        return Layout.of_units(self.clips, times_s=times_s)

    def __call__(self, medium: Any) -> Float[Tensor, "u 1 bins frames"]:
        """The spectrograms of a sound's clips, float32, normalised."""
        sound: AudioHandle = open_audio(medium)
        self.layout(sound)
        cut = self._cut(sound.length(self.rate_hz))
        return torch.stack([self._spectrogram(sound.samples(self.rate_hz, start, count)) for start, count in cut])

    def made(self, samples: Float32[np.ndarray, " n"]) -> Float[Tensor, "u 1 bins frames"]:
        """The spectrograms of the clips of samples."""
        return torch.stack([self._spectrogram(samples[start:][:count]) for start, count in self._cut(len(samples))])

    def _cut(self, samples: int) -> list[tuple[int, int]]:
        """The first sample of each clip, and how many it has."""
        times_s = starts_s(samples / self.rate_hz, self.clips)
        edges = [(int(start * self.rate_hz), int((start + SECONDS) * self.rate_hz)) for start in times_s]
        return [(start, min(end, samples) - start) for start, end in edges]

    def _spectrogram(self, samples: Float32[np.ndarray, " n"]) -> Float[Tensor, "1 bins frames"]:
        found = _fbank.fbank(samples - samples.mean(), self.bins, window="hann")[: self.frames]
        filled = pad(found, (0, 0, 0, self.frames - len(found)))
        return ((filled - _SOUND_MEAN) / _SOUND_STD).T[None]
