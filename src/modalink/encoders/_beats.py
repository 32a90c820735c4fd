"""The network of BEATs: patches of filter banks, positions by a convolution, attention biased by gated distances.

Source: BEATs (arXiv 2212.09058), microsoft/unilm, beats; differs in that nothing is dropped at random in training.
"""

import math
import re
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention
from torch.nn.utils.parametrizations import weight_norm

from modalink.kinds import Count, Settings, Width

BANDS = 128
"""Mel bands of the filter banks."""
NAMES = {
    "patch_embedding": "patches",
    "layer_norm": "patch_norm",
    "post_extract_proj": "project",
    "encoder.pos_conv.0.weight_g": "positions.parametrizations.weight.original0",
    "encoder.pos_conv.0.weight_v": "positions.parametrizations.weight.original1",
    "encoder.pos_conv.0": "positions",
    "encoder.layer_norm": "norm",
    "encoder.layers.0.self_attn.relative_attention_bias": "distances",
    "encoder.layers.*.self_attn.q_proj": "blocks.*.query",
    "encoder.layers.*.self_attn.k_proj": "blocks.*.key",
    "encoder.layers.*.self_attn.v_proj": "blocks.*.value",
    "encoder.layers.*.self_attn.out_proj": "blocks.*.out",
    "encoder.layers.*.self_attn.grep_linear": "blocks.*.gates",
    "encoder.layers.*.self_attn.grep_a": "blocks.*.gate_scale",
    "encoder.layers.*.self_attn_layer_norm": "blocks.*.attention_norm",
    "encoder.layers.*.fc1": "blocks.*.up",
    "encoder.layers.*.fc2": "blocks.*.down",
    "encoder.layers.*.final_layer_norm": "blocks.*.norm",
}
"""Beginnings of the authors' names, and what they are here; `*` is the number of a block."""
REST = (r"^predictor\.", r"^encoder\.layers\.\d+\.self_attn\.relative_attention_bias\.")
"""The classifier, and the table of distances once more in each block."""


def beginning(name: str) -> str:
    """The pattern of what begins with a name of the table, which captures the number of the block."""
    return "^" + re.escape(name).replace(re.escape("*"), r"(\d+)") + r"(?=\.|$)"


class Architecture(Settings):
    """Sizes and forms, by the authors' names; the defaults are those of all released checkpoints."""

    model_config = ConfigDict(extra="ignore")

    input_patch_size: Literal[4, 8, 16, 32] = 16
    """Frames, and bands, of a patch."""
    embed_dim: Width = 512
    """Width of a patch before the blocks."""
    conv_bias: bool = False
    encoder_layers: Count = 12
    encoder_embed_dim: Width = 768
    encoder_ffn_embed_dim: Width = 3072
    encoder_attention_heads: Count = 12
    activation_fn: Literal["gelu"] = "gelu"
    layer_norm_first: Literal[False] = False
    deep_norm: bool = True
    """Whether what passes a block by is made larger (arXiv 2203.00555)."""
    conv_pos: Count = 128
    conv_pos_groups: Count = 16
    relative_position_embedding: bool = True
    num_buckets: int = Field(default=320, ge=4, le=2**16)
    max_distance: int = Field(default=800, ge=2, le=2**20)
    gru_rel_pos: bool = True
    """Whether each token has a gate before its distances."""

    @model_validator(mode="after")
    def _is_divided(self) -> "Architecture":
        for size, parts in (("encoder_attention_heads", "heads"), ("conv_pos_groups", "groups")):
            if self.encoder_embed_dim % (count := getattr(self, size)):
                raise ValueError(f"found a width of {self.encoder_embed_dim}, needed a multiple of its {count} {parts}")
        return self


class Beats(nn.Module):
    """Filter banks to tokens: moment by moment, each from its low frequencies to its high."""

    def __init__(self, form: Architecture) -> None:
        super().__init__()
        self.form, self.side, width = form, form.input_patch_size, form.encoder_embed_dim
        self.rows = BANDS // self.side
        self.patches = nn.Conv2d(1, form.embed_dim, self.side, self.side, bias=form.conv_bias)
        self.patch_norm = nn.LayerNorm(form.embed_dim)
        same = form.embed_dim == width
        self.project = nn.Identity() if same else nn.Linear(form.embed_dim, width)
        around = nn.Conv1d(width, width, form.conv_pos, padding=form.conv_pos // 2, groups=form.conv_pos_groups)
        self.positions = weight_norm(around, dim=2)
        self.norm = nn.LayerNorm(width)
        related = form.relative_position_embedding
        self.distances = nn.Embedding(form.num_buckets, form.encoder_attention_heads) if related else None
        self.blocks = nn.ModuleList(Block(form) for _ in range(form.encoder_layers))

    def forward(
        self, frames: Float[Tensor, "i f mel"], mask: Bool[Tensor, "i f"] | None = None
    ) -> Float[Tensor, "i p d"]:
        """The tokens of windows.

        Args:
            frames: Normalised filter banks.
            mask: Which frames are no filling, if some are; a token is one where its whole patch is none.
        """
        x = self.project(self.patch_norm(self.patches(frames[:, None]).flatten(2).mT))
        heard = None
        if mask is not None:
            moments = torch.arange(x.shape[1] // self.rows, device=x.device)
            heard = (moments < mask.sum(1, keepdim=True) // self.side).repeat_interleave(self.rows, dim=1)
            x = x * heard[..., None]
        around: Tensor = self.positions(x.mT)[..., : x.shape[1]]  # an even width makes one place too many
        x = self.norm(x + gelu(around).mT)
        bias = self._distances(x.shape[1]) if self.distances is not None else None
        for block in self.blocks:
            x = block(x, bias, heard)
        return x

    def _distances(self, tokens: int) -> Float[Tensor, "h p p"]:
        places = torch.arange(tokens, device=self.norm.weight.device)
        found = buckets(places - places[:, None], self.form.num_buckets, self.form.max_distance)
        bias: Tensor = self.distances(found).permute(2, 0, 1)  # type: ignore[misc]
        return bias


class Block(nn.Module):
    """Attention and two maps, each with its norm behind what it adds."""

    def __init__(self, form: Architecture) -> None:
        super().__init__()
        width, self.heads = form.encoder_embed_dim, form.encoder_attention_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.gated = form.relative_position_embedding and form.gru_rel_pos
        if form.gru_rel_pos:
            self.gates = nn.Linear(width // self.heads, 8)
            self.gate_scale = nn.Parameter(torch.ones(1, self.heads, 1, 1))
        self.attention_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, form.encoder_ffn_embed_dim), nn.Linear(form.encoder_ffn_embed_dim, width)
        self.passed_by = (2 * form.encoder_layers) ** 0.25 if form.deep_norm else 1.0

    def forward(
        self, x: Float[Tensor, "i p d"], bias: Float[Tensor, "h p p"] | None, heard: Bool[Tensor, "i p"] | None
    ) -> Float[Tensor, "i p d"]:
        """The block on tokens, with a bias for each head and distance, and which tokens are no filling."""
        query, key, value = (
            each(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for each in (self.query, self.key, self.value)
        )
        added = bias if bias is None or not self.gated else self._gate(query) * bias
        if heard is not None:
            silent = torch.zeros_like(heard, dtype=x.dtype).masked_fill(~heard, -torch.inf)[:, None, None]
            added = silent if added is None else added + silent
        states = scaled_dot_product_attention(query, key, value, attn_mask=added)
        x = self.attention_norm(x * self.passed_by + self.out(states.transpose(1, 2).flatten(2)))
        return self.norm(x * self.passed_by + self.down(gelu(self.up(x))))

    def _gate(self, query: Float[Tensor, "i h p e"]) -> Float[Tensor, "i h p 1"]:
        """How much the distances of each token count, as in WavLM (arXiv 2110.13900, section 3.1)."""
        update, reset = self.gates(query).unflatten(3, (2, 4)).sum(-1).sigmoid().chunk(2, dim=-1)
        gate: Tensor = update * (reset * self.gate_scale - 1.0) + 2.0
        return gate


def buckets(distances: Int[Tensor, "*n"], count: int, farthest: int) -> Int[Tensor, "*n"]:
    """Which row of the table a distance has: T5's, half of them for what lies behind, half for what lies ahead.

    Of each half, the first half holds one distance each, the others more and more, up to `farthest` and beyond.
    """
    half, away = count // 2, distances.abs()
    near = half // 2
    far = near + (torch.log(away.clamp_min(1).float() / near) / math.log(farthest / near) * (half - near)).long()
    return (distances > 0) * half + torch.where(away < near, away, far.clamp_max(half - 1))
