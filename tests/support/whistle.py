"""A generator of sounds that whistle, no kind until a test installs it: beside one of pictures it makes mixed replies."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from modalink.modalities.audio import Sound
from modalink.ragged import Ragged
from modalink.roles import (
    Conditions,
    ConditionShape,
    Denoises,
    Generator,
    MediaOptions,
    Preprocessor,
    ShouldStop,
    check_stop,
)
from tests.support.weightless import WeightlessConfig

SHAPES = {"pitches": ConditionShape(4, tokens=2)}
RATE_HZ, PARTS = 8000, 16


class Loudness(Preprocessor):
    """How loud each of some parts of a sound is: one unit."""

    def __call__(self, medium: Sound) -> Tensor:
        parts = np.array_split(np.asarray(medium.values, np.float32), PARTS)
        return torch.tensor([[float(np.abs(part).mean()) for part in parts]])

    def to_dict(self) -> dict[str, Any]:
        return {"parts": PARTS}


class WhistleConfig(WeightlessConfig):
    """Settings of a generator of whistles."""

    kind: Literal["whistle"] = "whistle"
    seconds: float = 0.25

    def makes(self) -> frozenset[str]:
        return frozenset({"audio"})

    def condition_shapes(self) -> dict[str, ConditionShape]:
        return SHAPES

    def build(self, *, weights: bool = True) -> "Whistle":
        return Whistle(self.seconds)

    def preprocessor(self) -> Loudness:
        return Loudness()


class Whistle(Generator, Denoises):
    """Two pitches after each other, as the conditions say; it has no weights."""

    condition_shapes = SHAPES
    options = frozenset({"steps", "seconds"})

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.defaults = MediaOptions(steps=4, seconds=seconds)
        self.eval()

    def null_conditions(self, items: int) -> Conditions:
        return Conditions({"pitches": torch.zeros(items, 2, 4)})

    def encode_media(self, media: Ragged) -> Tensor:
        return media.values

    def denoising_error(self, latents: Tensor, conditions: Conditions, rng: list[torch.Generator]) -> Tensor:
        noise = torch.stack([torch.randn(PARTS, generator=g) for g in rng])
        return (conditions["pitches"].flatten(1).repeat(1, 2).float() - noise).square().mean(1)

    def sample(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator],
        negative: Conditions | None = None,
        should_stop: ShouldStop | None = None,
        **options: Any,
    ) -> list[Sound]:
        asked = self.checked(conditions, rng=rng, negative=negative, **options)
        for step in range(asked.steps):
            check_stop(should_stop, f"after {step} of {asked.steps} steps")
        times = np.arange(round(asked.seconds * RATE_HZ)) / RATE_HZ
        return [
            Sound(self._wave(own["pitches"][0], times, torch.rand(1, generator=g).item()), RATE_HZ)
            for own, g in zip(conditions, rng, strict=True)
        ]

    def _wave(self, pitches: Tensor, times: np.ndarray, phase: float) -> np.ndarray:
        heights = 440 * 2 ** torch.tanh(pitches.detach().float().mean(1)).numpy()
        first = times < times[-1] / 2
        height = np.where(first, *heights)
        return (0.5 * np.sin(2 * np.pi * (height * times + phase))).astype(np.float32)
