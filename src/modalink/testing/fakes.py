"""A fake of every role but the LLM: tiny, deterministic, on the CPU, without files; for tests, examples and demos.

They are no kinds of a recipe file; put their settings where a recipe takes a part:
`InputSpec(encoder=TinyEncoderConfig(), projector=TinyInputProjectorConfig())`.
"""

import hashlib
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from modalink.ragged import Layout, Ragged
from modalink.roles import (
    BlockEncoder,
    Conditions,
    ConditionShape,
    Denoises,
    EncoderConfig,
    Generator,
    GeneratorConfig,
    InputProjector,
    InputProjectorConfig,
    MediaOptions,
    OutputProjector,
    OutputProjectorConfig,
    ReadsText,
    ShouldStop,
    SquarePreprocessor,
    check_stop,
)


class TinyPreprocessor(SquarePreprocessor):
    """Scales an image to a square of `side` pixels with values from -1 to 1."""

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, medium: Image.Image) -> Float[Tensor, "1 3 side side"]:
        """The image as one unit, float32 [1 c h w]."""
        pixels = np.array(medium.convert("RGB").resize((self.side, self.side)), dtype=np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()[None] / 127.5 - 1

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result."""
        return {"side": self.side}


class TinyEncoderConfig(EncoderConfig):
    """Settings of the fake encoder."""

    kind: Literal["tiny"] = "tiny"
    checkpoint: str = "tiny"
    dim: int = 16
    rows: int = 2

    def reads(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> Self:
        """The fake is tiny."""
        return self

    def build(self, *, weights: bool = True) -> "TinyEncoder":
        """The fake encoder; its weights are drawn from a fixed seed."""
        return TinyEncoder(self.dim, self.rows)

    def preprocessor(self) -> TinyPreprocessor:
        """What an image goes through first."""
        return TinyPreprocessor(8 * self.rows)


class TinyEncoder(BlockEncoder):
    """The mean colours of an image's cells, mapped to `dim`."""

    def __init__(self, dim: int, rows: int) -> None:
        super().__init__()
        self.dim, self.tokens_per_block, self.grid = dim, rows * rows, (rows, rows)
        self.unit_shape = (3, 8 * rows, 8 * rows)
        self.colours = _seeded(3, dim)

    def encode(self, units: Float[Tensor, "u 3 h w"]) -> Float[Tensor, "u p {self.dim}"]:
        """Encode preprocessed images."""
        cells = adaptive_avg_pool2d(units.to(self.colours.weight.dtype), self.grid)
        encoded: Tensor = self.colours(cells.flatten(2).mT)
        return encoded


class TinyInputProjectorConfig(InputProjectorConfig):
    """Settings of the fake input projector."""

    kind: Literal["tiny"] = "tiny"

    def tiny(self) -> Self:
        """The fake is tiny."""
        return self

    def layout(self, item: Layout) -> Layout:
        """A prompt token for each encoder token."""
        return item

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "TinyInputProjector":
        """A new fake projector."""
        return TinyInputProjector(dim_in, dim_out)


class TinyInputProjector(InputProjector):
    """One linear map per token."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim_in, dim_out)

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items."""
        return features.with_values(self.linear(features.values), features.layouts)


class TinyOutputProjectorConfig(OutputProjectorConfig):
    """Settings of the fake output projector."""

    kind: Literal["tiny"] = "tiny"

    def tiny(self) -> Self:
        """The fake is tiny."""
        return self

    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> "TinyOutputProjector":
        """A new fake projector."""
        return TinyOutputProjector(tokens_in * dim_in, tokens_out, dim_out)


class TinyOutputProjector(OutputProjector):
    """One linear map from all signal states to all conditions."""

    def __init__(self, width_in: int, tokens_out: int, dim_out: int) -> None:
        super().__init__()
        self.shape = (tokens_out, dim_out)
        self.linear = nn.Linear(width_in, tokens_out * dim_out)

    def forward(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i l d_gen"]:
        """Project the signal states of items."""
        conditions: Tensor = self.linear(states.flatten(1))
        return conditions.unflatten(1, self.shape)


class TinyGeneratorConfig(GeneratorConfig):
    """Settings of the fake generator."""

    kind: Literal["tiny"] = "tiny"
    checkpoint: str = "tiny"
    tokens: int = 4
    dim: int = 8

    def makes(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> Self:
        """The fake is tiny."""
        return self

    def build(self, *, weights: bool = True) -> "TinyGenerator":
        """The frozen fake; its weights are drawn from a fixed seed."""
        return TinyGenerator(self.tokens, self.dim)

    def condition_shapes(self) -> dict[str, ConditionShape]:
        """One sequence."""
        return {"tokens": ConditionShape(self.dim, self.tokens)}

    def preprocessor(self) -> TinyPreprocessor:
        """What an image goes through before `encode_media`."""
        return TinyPreprocessor(8)


class TinyGenerator(Generator, Denoises, ReadsText):
    """Images of 8 x 8 pixels that are linear in the conditions; a text's conditions are drawn from its hash."""

    options = frozenset({"steps", "guidance"})
    defaults = MediaOptions(steps=2, guidance=1.0)

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.condition_shapes = {"tokens": ConditionShape(dim, tokens)}
        self.draw = _seeded(tokens * dim, 3 * 8 * 8)
        self.restore = _seeded(3 * 8 * 8, 3 * 8 * 8)
        self.requires_grad_(False).eval()

    def encode_text(self, texts: list[str]) -> Conditions:
        """The fake's own conditions for captions."""
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]) for text in texts]
        shape = self.condition_shapes["tokens"].item
        drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return Conditions({"tokens": torch.stack(drawn).to(self.draw.weight)})

    def null_conditions(self, items: int) -> Conditions:
        """The conditions of the empty text."""
        return self.encode_text([""] * items)

    def encode_media(self, media: Ragged) -> Float[Tensor, "i c"]:
        """The latents of images, each of one unit `[3 8 8]`: their pixels."""
        return media.values.flatten(1)

    def denoising_error(
        self, latents: Float[Tensor, "i c"], conditions: Conditions, rng: list[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """Mean squared error of each item's restored noise."""
        noise = torch.stack([torch.randn(latents.shape[1:], generator=g, device=g.device) for g in rng]).to(latents)
        restored = self.restore(latents + noise) - self.draw(conditions["tokens"].flatten(1))
        error: Tensor = (restored - noise).square().mean(1)
        return error

    @torch.no_grad()
    def sample(
        self,
        conditions: Conditions,
        *,
        rng: list[torch.Generator],
        negative: Conditions | None = None,
        should_stop: ShouldStop | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> list[Image.Image]:
        """Images, one an item."""
        asked = self.checked(conditions, rng=rng, negative=negative, steps=steps, guidance=guidance)
        check_stop(should_stop, "before it began")
        steps, guidance = asked.steps or 1, asked.guidance or 0.0
        tokens = conditions["tokens"]
        if negative is not None:
            tokens = tokens - negative["tokens"]
        noise = torch.stack([torch.randn(3 * 8 * 8, generator=g, device=g.device) for g in rng]).to(tokens)
        values = torch.tanh(guidance * self.draw(tokens.flatten(1)) + noise / (10 * steps))
        pixels = ((values + 1) * 127.5).round().to(torch.uint8).view(-1, 3, 8, 8).permute(0, 2, 3, 1)
        return [Image.fromarray(image) for image in pixels.cpu().numpy()]


def _seeded(width_in: int, width_out: int) -> nn.Linear:
    """A linear map whose weights are the same in every process, drawn beside the global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Linear(width_in, width_out)
