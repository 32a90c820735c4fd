"""The towers of ImageBind (arXiv 2305.05665): one transformer a modality, one space of embeddings for all.

A tower is its row in the table `forms`: stem, width, depth, whether a learned key and value stand beside those of the
tokens, whether a norm stands in front. Source: the paper; facebookresearch/ImageBind@53680b0, imagebind_model.py.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import log, prod
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from modalink.kinds import Count, Settings, Width

SIDE = 224
"""Side of pictures, depth maps and thermal pictures, in pixels."""
CLIP_FRAMES = 2
"""Frames of a clip; a picture is a clip of the same frame twice."""
MEL_BINS, MEL_FRAMES = 128, 204
"""Bands and frames of the spectrogram of two seconds."""
SERIES, STEPS = 6, 2000
"""Series of an inertial sensor (three of acceleration, three of rotation), and steps of each."""
WORDS, VOCABULARY = 77, 49_408
"""Tokens of a text, and of its vocabulary: CLIP's."""
_SERIES_PATCH = 8
_SHARPEST = 100.0
"""The largest factor of an embedding."""


class Architecture(Settings):
    """Sizes of the towers, by the keywords of the original's constructor; by default those of ImageBind-Huge."""

    out_embed_dim: Width = 1024
    """Width of the embeddings."""
    kernel_size: tuple[Count, Count, Count] = (2, 14, 14)
    """Frames, rows and columns of a patch of clips."""
    vision_embed_dim: Width = 1280
    vision_num_blocks: Count = 32
    vision_num_heads: Count = 16
    text_embed_dim: Width = 1024
    text_num_blocks: Count = 24
    text_num_heads: Count = 16
    audio_embed_dim: Width = 768
    audio_num_blocks: Count = 12
    audio_num_heads: Count = 12
    audio_kernel_size: Count = 16
    audio_stride: Count = 10
    depth_embed_dim: Width = 384
    depth_num_blocks: Count = 12
    depth_num_heads: Count = 8
    depth_kernel_size: Count = 16
    thermal_embed_dim: Width = 768
    thermal_num_blocks: Count = 12
    thermal_num_heads: Count = 12
    thermal_kernel_size: Count = 16
    imu_embed_dim: Width = 512
    imu_num_blocks: Count = 6
    imu_num_heads: Count = 8

    @model_validator(mode="after")
    def _heads_divide_widths(self) -> "Architecture":
        for name, form in self.forms().items():
            if form.width % form.heads:
                raise ValueError(f"found {name}_num_heads {form.heads}, needed a divisor of its width {form.width}")
        return self

    def forms(self) -> "dict[str, Form]":
        """The towers by name."""
        picture = (1, SIDE, SIDE)
        vision = Patches((3, CLIP_FRAMES, SIDE, SIDE), self.kernel_size, self.kernel_size, norm=False)
        depth, thermal = (self.depth_kernel_size,) * 2, (self.thermal_kernel_size,) * 2
        audio = Patches((1, MEL_BINS, MEL_FRAMES), (self.audio_kernel_size,) * 2, (self.audio_stride,) * 2)
        return {
            "vision": Form(*self._size("vision"), vision, own_key=False, norm_before=True, scale=None),
            "text": Form(*self._size("text"), "words", own_key=False, scale=1 / 0.07),
            "audio": Form(*self._size("audio"), audio, scale=20.0),
            "depth": Form(*self._size("depth"), Patches(picture, depth, depth), scale=5.0),
            "thermal": Form(*self._size("thermal"), Patches(picture, thermal, thermal), scale=10.0),
            "imu": Form(*self._size("imu"), "series", scale=5.0),
        }

    def _size(self, name: str) -> tuple[int, int, int]:
        return tuple(getattr(self, f"{name}_{what}") for what in ("embed_dim", "num_blocks", "num_heads"))


@dataclass(frozen=True)
class Patches:
    """How a picture, clip or spectrogram is cut.

    Args:
        unit: Shape of what is cut, channels first.
        kernel: Sides of a patch.
        stride: From one patch to the next.
        norm: Whether a norm follows.
    """

    unit: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    norm: bool = True

    @property
    def grid(self) -> tuple[int, ...]:
        """Patches along each axis."""
        sides = zip(self.unit[1:], self.kernel, self.stride, strict=True)
        return tuple((side - kernel) // stride + 1 for side, kernel, stride in sides)


@dataclass(frozen=True)
class Form:
    """What a tower is built like.

    Args:
        width: Width of its tokens.
        blocks: How many blocks it has.
        heads: Heads of its attention.
        stem: How tokens are made: of patches, of the steps of `series`, or of `words`.
        scale: The factor of its normalised embeddings, at first; None for none.
        own_key: Whether attention has a learned key and value beside those of the tokens.
        norm_before: Whether a norm stands before the blocks.
    """

    width: int
    blocks: int
    heads: int
    stem: Patches | Literal["series", "words"]
    scale: float | None
    own_key: bool = True
    norm_before: bool = False

    @property
    def unit(self) -> tuple[int, ...]:
        """Shape of one unit."""
        if isinstance(self.stem, Patches):
            return self.stem.unit
        return (SERIES, STEPS) if self.stem == "series" else (WORDS,)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of its tokens, where they lie so."""
        if not isinstance(self.stem, Patches) or prod(self.stem.grid[:-2]) != 1:
            return None
        return self.stem.grid[-2], self.stem.grid[-1]

    @property
    def tokens(self) -> int:
        """How many tokens a unit makes, without the class token."""
        if isinstance(self.stem, Patches):
            return prod(self.stem.grid)
        return STEPS // _SERIES_PATCH if self.stem == "series" else WORDS


NAMES = {
    r"^modality_(?:preprocessors|trunks|heads|postprocessors)\.(\w+)\.": r"towers.\1.",
    r"\.cls_token$": ".cls",
    r"\.(?:pos_embedding_helper\.)?pos_embed$": ".positions",
    r"\.token_embedding\.weight$": ".stem.words.weight",
    r"\.(?:rgbt|depth|imu)_stem\.proj\.(?:1\.)?weight$": ".stem.patch.weight",
    r"\.(?:rgbt|depth|imu)_stem\.norm_layer\.": ".stem.norm.",
    r"\.pre_transformer_layer\.0\.": ".norm_before.",
    r"\.attn\.in_proj_": ".attention.into.",
    r"\.attn\.out_proj\.": ".attention.out.",
    r"\.attn\.bias_([kv])$": r".attention.own_\1",
    r"(\.blocks\.\d+)\.norm_([12])\.": r"\1.norm\2.",
    r"\.mlp\.fc([12])\.": r".fc\1.",
    r"^(towers\.\w+)\.(?:proj\.)?0\.(weight|bias)$": r"\1.norm.\2",
    r"^(towers\.\w+)\.(?:proj\.1|2|3)\.weight$": r"\1.project.weight",
    r"\.1\.log_logit_scale$": ".log_scale",
}
"""From the names of the released checkpoint to those of the towers."""


class Tower(nn.Module):
    """One tower: units to tokens, tokens to an embedding.

    Args:
        form: What it is built like.
        joint: Width of the embeddings.
    """

    def __init__(self, form: Form, joint: int) -> None:
        super().__init__()
        self.form = form
        words = form.stem == "words"
        self.stem: nn.Module = _Words(form.width) if words else _Stem(form)
        self.cls = None if words else nn.Parameter(torch.randn(1, 1, form.width) * form.width**-0.5)
        positions = form.tokens + (0 if words else 1)
        self.positions = nn.Parameter(torch.randn(1, positions, form.width) * form.width**-0.5)
        self.norm_before = nn.LayerNorm(form.width, eps=1e-6) if form.norm_before else nn.Identity()
        self.blocks = nn.ModuleList(_Block(form) for _ in range(form.blocks))
        self.norm = nn.LayerNorm(form.width, eps=1e-6)
        self.project = nn.Linear(form.width, joint, bias=False)
        self.log_scale: Tensor | None
        self.register_buffer("log_scale", None if form.scale is None else torch.tensor(log(form.scale)))

    def forward(self, units: Tensor) -> Float[Tensor, "u p {self.form.width}"]:
        """The tokens of the last block, the class token first where there is one."""
        tokens = self.stem(units)
        if self.cls is not None:
            tokens = torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = self.norm_before(tokens + self.positions)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def embedded(
        self, tokens: Float[Tensor, "u p {self.form.width}"], places: Int[Tensor, " u"] | None = None
    ) -> Float[Tensor, "u joint"]:
        """The embedding of each unit, normalised and scaled.

        Args:
            tokens: The tokens of the last block.
            places: Which token speaks for each unit; None for the first.
        """
        spoken = tokens[:, 0] if places is None else tokens[torch.arange(len(tokens), device=tokens.device), places]
        embedding = functional.normalize(self.project(self.norm(spoken)), dim=-1)
        return embedding if self.log_scale is None else self.log_scale.exp().clip(max=_SHARPEST) * embedding


class _Stem(nn.Module):
    """Patches, or steps of several series together, to tokens."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        if isinstance(form.stem, Patches):
            convolution: Any = nn.Conv3d if len(form.stem.kernel) == 3 else nn.Conv2d
            channels = form.stem.unit[0]
            self.patch: nn.Module = convolution(
                channels, form.width, form.stem.kernel, stride=form.stem.stride, bias=False
            )
        else:
            self.patch = nn.Linear(SERIES * _SERIES_PATCH, form.width, bias=False)
        normed = not isinstance(form.stem, Patches) or form.stem.norm
        self.norm = nn.LayerNorm(form.width) if normed else nn.Identity()

    def forward(self, units: Float[Tensor, "u ..."]) -> Float[Tensor, "u p d"]:
        if isinstance(self.patch, nn.Linear):
            steps = units.unflatten(-1, (-1, _SERIES_PATCH)).transpose(1, 2).flatten(2)
            return self.norm(self.patch(steps))
        return self.norm(self.patch(units).flatten(2).mT)


class _Words(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, width)

    def forward(self, ids: Int[Tensor, "u p"]) -> Float[Tensor, "u p d"]:
        return self.words(ids)


class _Block(nn.Module):
    def __init__(self, form: Form) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(form.width, eps=1e-6)
        self.attention = _Attention(form)
        self.norm2 = nn.LayerNorm(form.width, eps=1e-6)
        self.fc1, self.fc2 = nn.Linear(form.width, 4 * form.width), nn.Linear(4 * form.width, form.width)

    def forward(self, tokens: Float[Tensor, "u p d"]) -> Float[Tensor, "u p d"]:
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.fc2(functional.gelu(self.fc1(self.norm2(tokens))))


class _Attention(nn.Module):
    """Attention in which, where the form says so, every token also looks at a learned key and value."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.heads, self.causal = form.heads, form.stem == "words"
        self.own_k: Tensor | None
        self.own_v: Tensor | None
        self.into, self.out = nn.Linear(form.width, 3 * form.width), nn.Linear(form.width, form.width)
        for name in ("own_k", "own_v"):
            own = nn.Parameter(torch.randn(1, 1, form.width)) if form.own_key else None
            self.register_parameter(name, own)

    def forward(self, tokens: Float[Tensor, "u p d"]) -> Float[Tensor, "u p d"]:
        queries, keys, values = self.into(tokens).chunk(3, dim=-1)
        if self.own_k is not None and self.own_v is not None:
            keys = torch.cat([keys, self.own_k.expand(len(tokens), -1, -1)], dim=1)
            values = torch.cat([values, self.own_v.expand(len(tokens), -1, -1)], dim=1)
        queries, keys, values = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (queries, keys, values)
        )
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=self.causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


def towers(architecture: Architecture, names: Collection[str]) -> nn.ModuleDict:
    """The towers of some names, their weights drawn from torch's global random state."""
    forms = architecture.forms()
    return nn.ModuleDict({name: Tower(forms[name], architecture.out_embed_dim) for name in forms if name in names})
