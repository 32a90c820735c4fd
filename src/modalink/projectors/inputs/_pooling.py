"""Means of encoder tokens over space and over time, without parameters: few prompt tokens for many frames.

Sources: Video-ChatGPT (arXiv 2306.05424), section 3.1, which keeps both; frames are not padded to a fixed number here.
Means over parts of a grid as LLaVA-NeXT-Video, Gemma 3 and PerceptionLM have them; onto a grid of fixed size, DeCo
(arXiv 2405.20985).
"""

from dataclasses import replace
from typing import Annotated, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from modalink.errors import PartError
from modalink.kinds import Count, Settings
from modalink.ragged import Grid, Layout, Ragged


class GridPool(Settings):
    """Means over parts of each block's grid, which lies on fewer rows and columns then."""

    by: Annotated[int, Field(ge=2, le=1000)] | None = None
    """How many rows become one, and columns as well; of 5 by 2 come 2, whose parts overlap."""
    grid: tuple[Count, Count] | None = None
    """Rows and columns of every block, whatever its grid was."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.by is None) == (self.grid is None):
            raise ValueError("needs one of by and grid; set pool: {by: 2} or pool: {grid: [12, 12]}")
        return self

    def of(self, grid: Grid | None) -> Grid:
        """Rows and columns that come of a grid.

        Raises:
            PartError: There is none, or it is too small.
        """
        if grid is None:
            raise PartError("pool: found tokens without a grid, needed rows and columns; set keep_cls: false")
        rows, columns = self.grid or (grid[0] // (self.by or 1), grid[1] // (self.by or 1))
        if not (0 < rows <= grid[0] and 0 < columns <= grid[1]):
            least = self.grid or (self.by, self.by)
            raise PartError(f"pool: found a grid of {grid[0]} x {grid[1]}, needed at least {least[0]} x {least[1]}")
        return rows, columns


_Means = Literal["space", "time", "space_time"]
Pool = _Means | GridPool
"""Of two frames of two tokens, `ab` and `cd`: `space` gives `(a+b)/2`, `(c+d)/2`, a token a frame; `time` gives
`(a+c)/2`, `(b+d)/2`, a token a place; `space_time` gives first those, then these."""


def pooled_layout(pool: Pool | None, item: Layout) -> Layout:
    """How an item lies once its tokens are averaged.

    Raises:
        PartError: Its blocks have different numbers of tokens, or are tiles, which no time orders; or lie on no grid,
            or a too small one, where means over parts of it are asked.
    """
    if pool is None:
        return item
    if isinstance(pool, GridPool):
        return item.on_grids([pool.of(grid) for grid in item.block_grids])
    if item.tiles is not None or len({*item.blocks}) != 1:
        found = f"tiles {item.tiles}" if item.tiles is not None else f"blocks of {item.blocks} tokens"
        raise PartError(f"pool: found {found}, needed frames of as many tokens each; leave pool out")
    frames, places = (1,) * len(item.blocks), item.blocks[:1]
    if pool == "space":
        return replace(item, blocks=frames, grid=None, grids=None)
    if pool == "time":
        return replace(item, blocks=places, grids=None, times_s=None if item.times_s is None else item.times_s[:1])
    return replace(item, blocks=(*frames, *places), grid=None, grids=None, times_s=None)


def pooled(pool: Pool | None, features: Ragged) -> Ragged:
    """The averaged tokens of each item."""
    if pool is None:
        return features
    layouts = [pooled_layout(pool, item) for item in features.layouts]
    if isinstance(pool, GridPool):
        return features.with_values(_on_grids(pool, features), layouts)
    items = zip(features, features.layouts, strict=True)
    return Ragged.of([_means(pool, item.unflatten(0, (len(layout.blocks), -1))) for item, layout in items], layouts)


def _on_grids(pool: GridPool, features: Ragged) -> Float[Tensor, "q d"]:
    """Means over parts of each block's grid; blocks of one grid together."""
    grids = [grid for item in features.layouts for grid in item.block_grids if grid is not None]
    if len({*grids}) == 1:
        return _shrunk(pool, features.values, grids[0])
    rows = features.values.split([grid[0] * grid[1] for grid in grids])
    return torch.cat([_shrunk(pool, own, grid) for own, grid in zip(rows, grids, strict=True)])


def _shrunk(pool: GridPool, values: Float[Tensor, "p d"], grid: Grid) -> Float[Tensor, "q d"]:
    maps = values.unflatten(0, (-1, *grid)).permute(0, 3, 1, 2)
    return functional.adaptive_avg_pool2d(maps, pool.of(grid)).permute(0, 2, 3, 1).flatten(0, 2)


def _means(pool: _Means, frames: Float[Tensor, "f p d"]) -> Float[Tensor, "n d"]:
    match pool:
        case "space":
            return frames.mean(1)
        case "time":
            return frames.mean(0)
    return torch.cat([frames.mean(1), frames.mean(0)])
