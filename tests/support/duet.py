"""Generators of two conditions, a masked sequence and a pooled vector, which are no kinds until a test installs them."""

import hashlib
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from modalink.modalities.video import Clip
from modalink.ragged import Ragged
from modalink.roles import (
    Conditions,
    ConditionShape,
    Denoises,
    Generator,
    ReadsText,
    ShouldStop,
    check_stop,
)
from modalink.testing.fakes import TinyPreprocessor
from tests.support.weightless import WeightlessConfig

SHAPES = {"words": ConditionShape(8, tokens=6, masked=True), "style": ConditionShape(5)}


def drawn(text: str, *shape: int) -> Tensor:
    """Numbers that stand for a text."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class DuetConfig(WeightlessConfig):
    """Settings of a generator of two conditions."""

    kind: Literal["duet"] = "duet"

    def makes(self) -> frozenset[str]:
        return frozenset({"image"})

    def condition_shapes(self) -> dict[str, ConditionShape]:
        return SHAPES

    def build(self, *, weights: bool = True) -> "Duet":
        return Duet()

    def preprocessor(self) -> TinyPreprocessor:
        return TinyPreprocessor(8)


class Duet(Generator, Denoises, ReadsText):
    """Draws the sum of its words in its style; it has no weights."""

    condition_shapes = SHAPES

    def __init__(self) -> None:
        super().__init__()
        self.eval()

    def encode_text(self, texts: list[str]) -> Conditions:
        """Of each text its first six words, and the style of the whole."""
        spoken = [text.split()[:6] or [""] for text in texts]
        words = torch.stack([torch.stack([drawn(word, 8) for word in (*own, *"......")][:6]) for own in spoken])
        there = torch.arange(6) < torch.tensor([len(own) for own in spoken])[:, None]
        return Conditions({"words": words, "style": torch.stack([drawn(t, 5) for t in texts])}, {"words": there})

    def null_conditions(self, items: int) -> Conditions:
        there = (torch.arange(6) < 1).expand(items, 6)
        return Conditions({"words": torch.zeros(items, 6, 8), "style": torch.zeros(items, 5)}, {"words": there})

    def encode_media(self, media: Ragged) -> Tensor:
        return media.values.flatten(1)

    def denoising_error(self, latents: Tensor, conditions: Conditions, rng: list[torch.Generator]) -> Tensor:
        noise = torch.stack([torch.randn(latents.shape[1:], generator=g) for g in rng])
        return (self.picture(conditions) - noise).square().mean(1)

    def sample(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator],
        negative: Conditions | None = None,
        should_stop: ShouldStop | None = None,
    ) -> list[Image.Image]:
        self.checked(conditions, rng=rng, negative=negative)
        check_stop(should_stop, "before it began")
        noise = torch.stack([torch.randn(192, generator=g) for g in rng])
        values = torch.tanh(self.picture(conditions) / 4 + noise / 20).detach()
        pixels = ((values + 1) * 127.5).round().to(torch.uint8).view(-1, 8, 8, 3)
        return [Image.fromarray(image) for image in pixels.numpy()]

    def picture(self, conditions: Conditions) -> Tensor:
        words = conditions["words"].where(conditions.mask("words")[..., None], 0.0).sum(1)
        return words.float() @ drawn("words", 8, 192) + conditions["style"].float() @ drawn("style", 5, 192)


class FilmDuetConfig(DuetConfig):
    """Settings of a generator of clips that reads the same conditions."""

    kind: Literal["film_duet"] = "film_duet"  # type: ignore[assignment]

    def makes(self) -> frozenset[str]:
        return frozenset({"video"})

    def build(self, *, weights: bool = True) -> "FilmDuet":
        return FilmDuet()


class FilmDuet(Duet):
    """A clip of what `Duet` draws, twice: first as it is, then upside down."""

    def sample(self, conditions: Conditions, **options: Any) -> list[Clip]:  # type: ignore[override]
        drawn = [np.asarray(picture) for picture in super().sample(conditions, **options)]
        return [Clip(np.stack([picture, picture[::-1]]), [0.0, 0.5], 1.0) for picture in drawn]
