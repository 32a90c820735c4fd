"""mPLUG-Owl's visual abstractor (arXiv 2304.14178): learned queries read a picture through gated layers.

Source: X-PLUG/mPLUG-Owl@0f3068f, mPLUG-Owl/mplug_owl/modeling_mplug_owl.py. What is added to in a layer are the
normalised queries, as there.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from modalink.kinds import Count, Width
from modalink.projectors.inputs._borrowing import Origin
from modalink.projectors.inputs._resampling import Resampler, ResamplerConfig, attend, beside, side_by_side
from modalink.ragged import Layout, Ragged

_LAYER = r"encoder\.layers\.(\d+)\.crossattention\."
_ORIGIN = Origin(
    r"(?:model\.)?abstractor\.",
    {
        rf"{_LAYER}norm1\.": r"layers.\1.norm_queries.",
        rf"{_LAYER}normk\.": r"layers.\1.norm_tokens.",
        rf"{_LAYER}attention\.": r"layers.\1.",
        rf"{_LAYER}output\.out_proj\.": r"layers.\1.out.",
        rf"{_LAYER}output\.norm2\.": r"layers.\1.norm.",
        rf"{_LAYER}output\.mlp\.w1\.": r"layers.\1.gate.",
        rf"{_LAYER}output\.mlp\.w2\.": r"layers.\1.down.",
        rf"{_LAYER}output\.mlp\.w3\.": r"layers.\1.up.",
        rf"{_LAYER}output\.mlp\.ffn_ln\.": r"layers.\1.norm_between.",
        r"visual_fc\.": "exit.",
        r"vit_eos$": "end",
        r"": "",
    },
    beside={r"(?:model\.)?query_tokens$": "queries"},
    told={"abstractor_config.num_attention_heads": "heads"},
)
"""mPLUG-Owl."""


class AbstractorConfig(ResamplerConfig):
    """Settings of the visual abstractor; the defaults are mPLUG-Owl's."""

    origins: ClassVar[tuple[Origin, ...]] = (_ORIGIN,)
    never_held: ClassVar[frozenset[str]] = frozenset({"entry", "positions"})

    kind: Literal["abstractor"] = "abstractor"
    queries: Count = 64
    """Learned queries, each of them a prompt token."""
    width: Width | None = None
    """Width inside, a multiple of `heads`; the encoder's if not set."""
    layers: Count = 6
    heads: Count = 16
    feed_forward: Width = 4096
    """Width between the maps of a gated feed-forward layer."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of attention weights that are set to zero in training."""
    end: bool = True
    """Whether a learned token stands behind the queries: the end of the picture."""

    @property
    def tokens(self) -> int:
        """One of each query, and the end."""
        return self.queries + self.end

    def sections(self) -> tuple[str, ...]:
        """A map that is there where widths differ, positions and the end if wanted, and all else."""
        return ("queries", "entry", *self.placed(), "layers", "exit", *["end"] * self.end)

    def tiny(self) -> "AbstractorConfig":
        """The same, narrow and of two layers."""
        return self.drawn_anew().replace(width=128, heads=4).at_most(queries=16, layers=2, feed_forward=256)

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "Abstractor":
        """A new projector between these widths.

        Raises:
            PartError: The width cannot be divided among the heads.
        """
        self.divided(self.width or dim_in, self.heads)
        self.layout(example)
        return Abstractor(self, dim_in, dim_out)


class Abstractor(Resampler):
    """Layers in which queries read tokens and each other, then a map, then the end."""

    def __init__(self, config: AbstractorConfig, dim_in: int, dim_out: int) -> None:
        width = config.width or dim_in
        super().__init__(config, dim_in, width)
        self.queries = nn.Parameter(torch.randn(config.queries, width) * 0.02)
        self.layers = nn.ModuleList(AbstractorLayer(config, width) for _ in range(config.layers))
        self.exit = nn.Linear(width, dim_out)
        self.end = nn.Parameter(torch.randn(dim_out) * 0.02) if config.end else None

    def resample(self, tokens: Ragged) -> Float[Tensor, "i n d_llm"]:
        """The queries behind the last layer, and the end."""
        values, seen = side_by_side(tokens)
        queries = self.queries.to(values.dtype).expand(len(values), -1, -1)
        for layer in self.layers:
            queries = layer(queries, values, seen)
        made: Tensor = self.exit(queries)
        if self.end is None:
            return made
        return torch.cat([made, self.end.to(made.dtype).expand(len(made), 1, -1)], dim=1)


class AbstractorLayer(nn.Module):
    """Attention and a gated feed-forward layer.

    Args:
        config: Sizes.
        width: Width of queries and tokens.
    """

    def __init__(self, config: AbstractorConfig, width: int) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.norm_queries, self.norm_tokens = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.gate, self.up = (nn.Linear(width, config.feed_forward) for _ in range(2))
        self.norm_between = nn.LayerNorm(config.feed_forward, eps=1e-6)
        self.down = nn.Linear(config.feed_forward, width)

    def forward(
        self, queries: Float[Tensor, "i m d"], tokens: Float[Tensor, "i n d"], seen: Bool[Tensor, "i n"] | None
    ) -> Float[Tensor, "i m d"]:
        """The queries, once they have read tokens that are there."""
        queries = self.norm_queries(queries)
        read, there = beside(self.norm_tokens(tokens), seen, queries)
        dropout = self.dropout if self.training else 0.0
        states = attend(self.query(queries), self.key(read), self.value(read), self.heads, seen=there, dropout=dropout)
        queries = queries + self.out(states)
        normed = self.norm(queries)
        between = self.norm_between(functional.silu(self.gate(normed)) * self.up(normed))
        added: Tensor = queries + self.down(between)
        return added
