"""Sounds that generators learn to make: decoded at one rate, of one length, cut in blocks that are units."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from modalink.modalities.audio import Sound, open_audio
from modalink.ragged import Layout
from modalink.roles import Preprocessor


class TargetSound(Preprocessor):
    """The samples of a sound in blocks, the last one filled up with silence; a longer sound is cut at its end.

    Args:
        rate_hz: Samples a second.
        block: Samples of a block, which is a unit.
        most: Most blocks.
    """

    def __init__(self, rate_hz: int, block: int, most: int) -> None:
        self.rate_hz, self.block, self.most = rate_hz, block, most

    def layout(self, medium: Any) -> Layout:
        """A unit for each block."""
        samples = open_audio(medium).length(self.rate_hz)
        return Layout.of_units(min(-(-samples // self.block), self.most))

    def __call__(self, medium: Any) -> Float[Tensor, "u block"]:
        """The blocks of a sound, float32 from -1 to 1."""
        sound, units = open_audio(medium), self.layout(medium).units
        samples = sound.samples(self.rate_hz, 0, units * self.block)
        filled = np.pad(samples, (0, units * self.block - len(samples)))
        return torch.from_numpy(filled).view(units, self.block)

    def units(self, handle: Any) -> Float[Tensor, "u block"]:
        """The units of an opened sound, of which no more is decoded than they hold."""
        return self(handle)

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return {"rate_hz": self.rate_hz, "block": self.block, "most": self.most}


def heard(waves: Float[Tensor, "... n"]) -> Float[Tensor, "... n"]:
    """Samples cut at full scale, with gradients where they are not."""
    return waves.float().clamp(-1, 1)


def to_sounds(waves: Float[Tensor, "i n"] | list[Tensor], rate_hz: int) -> list[Sound]:
    """Sounds from samples `[n]`, or of channels `[c n]`, which are cut at full scale."""
    return [Sound(heard(wave).cpu().numpy().T, rate_hz) for wave in waves]
