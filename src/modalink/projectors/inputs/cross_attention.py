"""Qwen-VL's adapter (arXiv 2308.12966, section 2.1): queries on a grid read a picture, by places in two dimensions.

Source: the resampler of Qwen-VL's vision tower, as Yuliang-Liu/Monkey@498e1d9 has it in monkey_model/visual.py, with
the LayerNorm and the map that stand behind it there.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.projectors.inputs._borrowing import Origin
from modalink.projectors.inputs._positions import sinusoids
from modalink.projectors.inputs._resampling import Resampler, ResamplerConfig, side_by_side
from modalink.ragged import Grid, Layout, Ragged

_EPSILON = 1e-6

_ORIGIN = Origin(
    r"(?:transformer\.visual\.)?attn_pool\.",
    {
        r"query$": "queries",
        r"kv_proj\.": "entry.",
        r"attn\.": "attention.",
        r"ln_q\.": "norm_queries.",
        r"ln_kv\.": "norm_tokens.",
        r"pos_embed$": "places",
        r"": "",
    },
    beside={r"(?:transformer\.visual\.)?ln_post\.": "norm.", r"(?:transformer\.visual\.)?proj$": "exit"},
)
"""Qwen-VL and Monkey, whose heads are 128 wide."""


class CrossAttentionConfig(ResamplerConfig):
    """Settings of the cross-attention; the defaults are Qwen-VL's."""

    origins: ClassVar[tuple[Origin, ...]] = (_ORIGIN,)

    kind: Literal["cross_attention"] = "cross_attention"
    side: int = Field(default=16, ge=1, le=256)
    """Rows, and columns, of the learned queries; each of them is a prompt token."""
    width: Width | None = None
    """Width inside, a multiple of `heads`; the LLM's if not set."""
    heads: Count = 32

    @property
    def tokens(self) -> int:
        """One of each query."""
        return self.side**2

    @property
    def grid(self) -> Grid:
        """That of the queries."""
        return self.side, self.side

    def layout(self, item: Layout) -> Layout:
        """A prompt token of each query.

        Raises:
            PartError: The item's tokens lie on no grid, or it has more blocks than learned positions.
        """
        if None in item.block_grids:
            raise PartError("cross_attention: found tokens without a grid, needed rows and columns, by which they are "
                            "read; set keep_cls: false, or take kind: perceiver")  # fmt: skip
        return super().layout(item)

    def sections(self) -> tuple[str, ...]:
        """A map that is there where widths differ, positions if wanted, and all else."""
        return ("queries", "entry", *self.placed(), "norm_queries", "norm_tokens", "attention", "norm", "exit")

    def tiny(self) -> "CrossAttentionConfig":
        """The same, narrow and of fewer queries."""
        return self.drawn_anew().replace(width=128, heads=4).at_most(side=4)

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "CrossAttention":
        """A new projector between these widths.

        Raises:
            PartError: The width cannot be divided among the heads.
        """
        self.divided(self.width or dim_out, self.heads)
        self.layout(example)
        return CrossAttention(self, dim_in, dim_out)


class CrossAttention(Resampler):
    """One attention, a LayerNorm, a map without a bias."""

    places: Tensor
    """Where the queries stand."""

    def __init__(self, config: CrossAttentionConfig, dim_in: int, dim_out: int) -> None:
        width = config.width or dim_out
        super().__init__(config, dim_in, width, bias=False)
        self.queries = nn.Parameter(torch.empty(config.tokens, width))
        self.norm_queries, self.norm_tokens = (nn.LayerNorm(width, eps=_EPSILON) for _ in range(2))
        self.attention = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.norm = nn.LayerNorm(width, eps=_EPSILON)
        self.exit = nn.Parameter(torch.randn(width, dim_out) * width**-0.5)
        self.register_buffer("places", places(config.side, width), persistent=False)
        drawn = [self.queries, self.attention.out_proj.weight]
        drawn += [self.entry.weight] if isinstance(self.entry, nn.Linear) else []
        for parameter in drawn:
            nn.init.trunc_normal_(parameter, std=0.02)

    def resample(self, tokens: Ragged) -> Float[Tensor, "i n d_llm"]:
        """What the queries read."""
        values = tokens.with_values(self.norm_tokens(tokens.values), tokens.layouts)
        keys = values.with_values(values.values + self.places_of(tokens), tokens.layouts)
        read, seen = side_by_side(values)
        queries = self.norm_queries(self.queries) + self.places
        states, _ = self.attention(
            queries.to(read.dtype).expand(len(read), -1, -1),
            side_by_side(keys)[0],
            read,
            key_padding_mask=None if seen is None else ~seen,
            need_weights=False,
        )
        made: Tensor = self.norm(states) @ self.exit
        return made

    def places_of(self, tokens: Ragged) -> Float[Tensor, "p d"]:
        """Where tokens stand: places of the queries' grid, interpolated where a block's grid is another."""
        grids = [grid for item in tokens.layouts for grid in item.block_grids if grid is not None]
        each = {grid: self._on(grid).to(tokens.values.dtype) for grid in {*grids}}
        return torch.cat([each[grid] for grid in grids])

    def _on(self, grid: Grid) -> Float[Tensor, "n d"]:
        side = round(len(self.places) ** 0.5)
        if grid == (side, side):
            return self.places
        table = self.places.float().T.unflatten(1, (side, side))[None]
        return functional.interpolate(table, grid, mode="bicubic", align_corners=False)[0].flatten(1).T


def places(side: int, width: int) -> Float[Tensor, "n {width}"]:
    """Sines and cosines of the column, then of the row, of each place of a square grid, in reading order."""
    numbers = torch.arange(float(side))
    columns, rows = sinusoids(numbers, width // 2), sinusoids(numbers, width - width // 2)
    return torch.cat([columns.repeat(side, 1), rows.repeat_interleave(side, dim=0)], dim=1)
