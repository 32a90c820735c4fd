"""Generators of any modality that make a medium of the words of a reply and a seed, no kinds until a test installs them."""

import hashlib
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from modalink.errors import GenerationError
from modalink.modalities.audio import Sound
from modalink.modalities.points import Cloud
from modalink.modalities.video import Clip
from modalink.roles import (
    Conditions,
    ConditionShape,
    Generator,
    MediaOptions,
    Preprocessor,
    ReadsText,
    ShouldStop,
)
from tests.support.weightless import WeightlessConfig

SHAPES = {"words": ConditionShape(4)}
made: list[int] = []
"""How many media each call made, of all generators."""


class SeededConfig(WeightlessConfig):
    """Settings of such a generator."""

    kind: Literal["seeded"] = "seeded"
    modality: str = "image"

    def makes(self) -> frozenset[str]:
        return frozenset({self.modality})

    def condition_shapes(self) -> dict[str, ConditionShape]:
        return SHAPES

    def build(self, *, weights: bool = True) -> "Seeded":
        return Seeded(self.modality)

    def preprocessor(self) -> Preprocessor:
        raise NotImplementedError


class Seeded(Generator, ReadsText):
    """Media of the hash of the words and of a seed."""

    condition_shapes = SHAPES
    options = frozenset({"steps"})
    defaults = MediaOptions(steps=1)

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.modality = modality
        self.eval()

    def null_conditions(self, items: int) -> Conditions:
        return self.encode_text([""] * items)

    def encode_text(self, texts: list[str]) -> Conditions:
        digests = [hashlib.sha256(text.encode()).digest()[:4] for text in texts]
        return Conditions({"words": torch.tensor([list(digest) for digest in digests]) / 255})

    def sample(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator],
        negative: Conditions | None = None,
        should_stop: ShouldStop | None = None,
        **options: Any,
    ) -> list[Any]:
        asked = self.checked(conditions, rng=rng, negative=negative, **options)
        if asked.steps == 13:
            raise GenerationError("found 13 steps, which brings bad luck")
        made.append(len(conditions))
        return [self._medium(own["words"][0], g) for own, g in zip(conditions, rng, strict=True)]

    def _medium(self, words: torch.Tensor, rng: torch.Generator) -> Any:
        noise = torch.rand(24, generator=rng).numpy()
        values = np.concatenate([words.numpy(), noise]).astype(np.float32)
        if self.modality == "audio":
            pitch = 200 + 600 * values[0]
            wave = np.sin(np.arange(8000) / 16_000 * 6.28 * pitch) * 0.5 + 0.05 * np.resize(noise, 8000)
            return Sound(wave.astype(np.float32), 16_000)
        if self.modality == "points":
            points = np.random.default_rng((values * 255).astype(np.uint8).tolist()).normal(size=(200, 3))
            return Cloud(points.astype(np.float32) / 4, np.resize(words.numpy()[:3], (200, 3)).astype(np.float32))
        pixels = np.resize((values * 255).astype(np.uint8), (32, 32, 3))
        if self.modality == "video":
            return Clip.of(np.stack([np.roll(pixels, 3 * frame, axis=1) for frame in range(6)]), fps=6.0)
        return Image.fromarray(pixels)
