"""Media that are spoilt on purpose, so that a reply about them is worth less than about the whole ones."""

import random
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from modalink import modalities
from modalink.conversation import Medium
from modalink.data.preference import Preference
from modalink.errors import SampleError
from modalink.modalities.audio import Sound
from modalink.modalities.video import Clip, VideoHandle

Damage = Literal["crop", "noise", "blank"]
_KEPT = 0.28
"""Share of the picture's values in its mixture with noise: the square root of the product of 1 - beta over 500 of 1000
steps from 1e-4 to 0.02, on a linear schedule (DDPM, arXiv 2006.11239)."""


def damaged(
    preference: Preference, damage: Damage, rng: random.Random, *, share: tuple[float, float] = (0.01, 0.2)
) -> tuple[Medium, ...]:
    """The media of a prompt, spoilt; none where it has none.

    Args:
        preference: The sample.
        damage: What is done to them.
        rng: What it is drawn from.
        share: Smallest and largest share of a picture's area, or of a sound's length, that a crop leaves.

    Raises:
        SampleError: A medium's modality cannot be spoilt.
        MediumError: A medium cannot be read.
    """
    draws = np.random.default_rng(rng.getrandbits(63))
    media = [piece for turn in preference.prompt for piece in turn.content if isinstance(piece, Medium)]
    return tuple(_spoilt(medium, damage, draws, share, preference.id) for medium in media)


def _spoilt(medium: Medium, damage: Damage, rng: np.random.Generator, share: tuple[float, float], id: str) -> Medium:
    if medium.modality not in _SPOIL:
        text = f"found a medium of modality {medium.modality!r} to spoil; {', '.join(_SPOIL)} can be"
        raise SampleError(id, "not_spoilt", text)
    seen = modalities.get(medium.modality).open(medium.source).read()
    return Medium(medium.modality, _SPOIL[medium.modality](seen, damage, rng, share), use=medium.use)


def _image(picture: Image.Image, damage: Damage, rng: np.random.Generator, share: tuple[float, float]) -> Image.Image:
    pixels = np.asarray(picture.convert("RGB"))
    return Image.fromarray(_frames(pixels[None], damage, rng, share)[0])


def _video(clip: VideoHandle, damage: Damage, rng: np.random.Generator, share: tuple[float, float]) -> Clip:
    times, frames = zip(*clip.all_frames(), strict=True)
    pixels = np.stack([np.asarray(frame.convert("RGB")) for frame in frames])
    return Clip(_frames(pixels, damage, rng, share), times, clip.duration_s)


def _frames(
    frames: UInt8[np.ndarray, "f h w 3"], damage: Damage, rng: np.random.Generator, share: tuple[float, float]
) -> UInt8[np.ndarray, "f h w 3"]:
    if damage == "blank":
        return np.zeros_like(frames)
    if damage == "noise":
        mixed = _mixed(frames / 127.5 - 1.0, rng)
        return ((mixed.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
    height, width = frames.shape[1:3]
    side = rng.uniform(*share) ** 0.5
    high, wide = max(1, round(height * side)), max(1, round(width * side))
    top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
    cut = frames[:, top : top + high, left : left + wide]
    whole = [np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)) for frame in cut]
    return np.stack(whole)


def _audio(sound: Sound, damage: Damage, rng: np.random.Generator, share: tuple[float, float]) -> Sound:
    values = np.asarray(sound.values)
    floats = values / np.iinfo(values.dtype).max if values.dtype.kind == "i" else values.astype(np.float64)
    if damage == "noise":
        loud = max(float(floats.std()), 1e-3)
        return Sound(_mixed(floats / loud, rng).astype(np.float32) * np.float32(loud), sound.rate_hz)
    spoilt = np.zeros(len(floats), np.float32)
    if damage == "crop":  # of its own length, silent around what is left
        length = max(1, round(len(floats) * rng.uniform(*share)))
        start = int(rng.integers(len(floats) - length + 1))
        spoilt[start : start + length] = floats[start : start + length]
    return Sound(spoilt, sound.rate_hz)


def _mixed(values: Float[np.ndarray, "..."], rng: np.random.Generator) -> Float[np.ndarray, "..."]:
    """Values of variance about 1 with noise, of the same variance."""
    return _KEPT * values + (1 - _KEPT**2) ** 0.5 * rng.standard_normal(values.shape)


_SPOIL: dict[str, Callable[..., object]] = {"image": _image, "video": _video, "audio": _audio}
