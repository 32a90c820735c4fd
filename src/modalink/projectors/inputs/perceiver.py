"""Flamingo's Perceiver resampler (arXiv 2204.14198, section 2.1): learned queries read all frames of an item at once.

Sources: the paper; mlfoundations/open_flamingo@655f693, open_flamingo/src/helpers.py (`activation: gelu`);
transformers' `IdeficsPerceiverResampler` (`activation: relu`). Flamingo itself has 6 layers of width 1536, 16 heads of
128 and a squared ReLU; times of frames are `positions`.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from modalink.kinds import Count, Width
from modalink.projectors.inputs._borrowing import Origin
from modalink.projectors.inputs._resampling import Resampler, ResamplerConfig, attend, beside, side_by_side
from modalink.ragged import Layout, Ragged


class SquaredRelu(nn.Module):
    """`max(x, 0)²`."""

    def forward(self, values: Tensor) -> Tensor:
        """The activation."""
        return values.relu().square()


_ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "squared_relu": SquaredRelu}

_ORIGINS = (
    Origin(
        r"(?:module\.)?perceiver\.",
        {
            r"latents$": "queries",
            r"layers\.(\d+)\.0\.norm_media\.": r"layers.\1.norm_tokens.",
            r"layers\.(\d+)\.0\.norm_latents\.": r"layers.\1.norm_queries.",
            r"layers\.(\d+)\.0\.to_q\.": r"layers.\1.query.",
            r"layers\.(\d+)\.0\.to_kv\.": r"layers.\1.key+value.",
            r"layers\.(\d+)\.0\.to_out\.": r"layers.\1.out.",
            r"layers\.(\d+)\.1\.": r"layers.\1.feed_forward.",
            r"": "",
        },
        settings={"activation": "gelu", "head_width": 64},
    ),
    Origin(
        r"(?:model\.)?perceiver_resampler\.",
        {
            r"latents$": "queries",
            r"blocks\.(\d+)\.0\.context_layer_norm\.": r"layers.\1.norm_tokens.",
            r"blocks\.(\d+)\.0\.latents_layer_norm\.": r"layers.\1.norm_queries.",
            r"blocks\.(\d+)\.0\.q_layer_norm\.": r"layers.\1.norm_query.",
            r"blocks\.(\d+)\.0\.k_layer_norm\.": r"layers.\1.norm_key.",
            r"blocks\.(\d+)\.0\.q_proj\.": r"layers.\1.query.",
            r"blocks\.(\d+)\.0\.k_proj\.": r"layers.\1.key.",
            r"blocks\.(\d+)\.0\.v_proj\.": r"layers.\1.value.",
            r"blocks\.(\d+)\.0\.output_proj\.": r"layers.\1.out.",
            r"blocks\.(\d+)\.1\.ln\.": r"layers.\1.feed_forward.0.",
            r"blocks\.(\d+)\.1\.fc\.": r"layers.\1.feed_forward.1.",
            r"blocks\.(\d+)\.1\.c_proj\.": r"layers.\1.feed_forward.3.",
            r"layer_norm\.": "norm.",
            r"": "",
        },
        settings={"activation": "relu"},
        told={"perceiver_config.resampler_n_heads": "heads", "perceiver_config.resampler_head_dim": "head_width"},
    ),
)
"""OpenFlamingo and IDEFICS."""


class PerceiverConfig(ResamplerConfig):
    """Settings of the Perceiver resampler; the defaults are OpenFlamingo's."""

    origins: ClassVar[tuple[Origin, ...]] = _ORIGINS
    never_held: ClassVar[frozenset[str]] = frozenset({"entry", "positions", "exit"})

    kind: Literal["perceiver"] = "perceiver"
    queries: Count = 64
    """Learned queries, each of them a prompt token."""
    width: Width | None = None
    """Width inside; the encoder's if not set."""
    layers: Count = 6
    heads: Count = 8
    head_width: Width = 64
    """Width of a head."""
    feed_forward: Width | None = None
    """Width of the feed-forward layers; four times the width inside if not set."""
    activation: Literal["gelu", "relu", "squared_relu"] = "gelu"
    """Between the two maps of a feed-forward layer: OpenFlamingo, IDEFICS, Flamingo."""
    qk_norm: bool = False
    """Whether a LayerNorm stands behind the maps to queries and keys, as IDEFICS can have it."""

    @property
    def tokens(self) -> int:
        """One of each query."""
        return self.queries

    def sections(self) -> tuple[str, ...]:
        """Maps that are there where widths differ, positions if wanted, and all else."""
        return ("queries", "entry", *self.placed(), "layers", "norm", "exit")

    def tiny(self) -> "PerceiverConfig":
        """The same, narrow and of two layers."""
        return (
            self.drawn_anew().replace(width=128, feed_forward=256).at_most(queries=16, layers=2, heads=4, head_width=32)
        )

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "Perceiver":
        """A new projector between these widths."""
        self.layout(example)
        return Perceiver(self, dim_in, dim_out)


class Perceiver(Resampler):
    """Layers in which queries read tokens and each other, a LayerNorm, and a map where the LLM's width is another."""

    def __init__(self, config: PerceiverConfig, dim_in: int, dim_out: int) -> None:
        width = config.width or dim_in
        super().__init__(config, dim_in, width)
        self.queries = nn.Parameter(torch.randn(config.queries, width))
        self.layers = nn.ModuleList(PerceiverLayer(config, width) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.exit: nn.Module = nn.Identity() if width == dim_out else nn.Linear(width, dim_out)

    def resample(self, tokens: Ragged) -> Float[Tensor, "i n d_llm"]:
        """The queries behind the last layer."""
        values, seen = side_by_side(tokens)
        queries = self.queries.to(values.dtype).expand(len(values), -1, -1)
        for layer in self.layers:
            queries = layer(queries, values, seen)
        made: Tensor = self.exit(self.norm(queries))
        return made


class PerceiverLayer(nn.Module):
    """Attention and a feed-forward layer, each added to what came in.

    Args:
        config: Sizes.
        width: Width of queries and tokens.
    """

    def __init__(self, config: PerceiverConfig, width: int) -> None:
        super().__init__()
        inside = config.heads * config.head_width
        self.heads = config.heads
        self.norm_tokens, self.norm_queries = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, inside, bias=False)
        self.key = nn.Linear(width, inside, bias=False)
        self.value = nn.Linear(width, inside, bias=False)
        self.norm_query: nn.Module = nn.LayerNorm(config.head_width) if config.qk_norm else nn.Identity()
        self.norm_key: nn.Module = nn.LayerNorm(config.head_width) if config.qk_norm else nn.Identity()
        self.out = nn.Linear(inside, width, bias=False)
        between = config.feed_forward or 4 * width
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, between, bias=False),
            _ACTIVATIONS[config.activation](),
            nn.Linear(between, width, bias=False),
        )

    def forward(
        self, queries: Float[Tensor, "i m d"], tokens: Float[Tensor, "i n d"], seen: Bool[Tensor, "i n"] | None
    ) -> Float[Tensor, "i m d"]:
        """The queries, once they have read tokens that are there."""
        reading = self.norm_queries(queries)
        read, there = beside(self.norm_tokens(tokens), seen, reading)
        query, key = self.by_head(self.norm_query, self.query(reading)), self.by_head(self.norm_key, self.key(read))
        queries = queries + self.out(attend(query, key, self.value(read), self.heads, seen=there))
        added: Tensor = queries + self.feed_forward(queries)
        return added

    def by_head(self, norm: nn.Module, states: Float[Tensor, "i n e"]) -> Float[Tensor, "i n e"]:
        """The states of each head, normalised by themselves."""
        normed: Tensor = norm(states.unflatten(2, (self.heads, -1))).flatten(2)
        return normed
