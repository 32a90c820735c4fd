"""Fewer prompt tokens behind the map, by bilinear interpolation on the grids that they lie on, without parameters.

Source: LLaVA-OneVision (arXiv 2408.03326, section 3.1, "Higher AnyRes", and its videos); as transformers'
`LlavaOnevisionModel` has it.
"""

import math
from typing import Annotated, Self

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, cat
from torch.nn import functional

from modalink.errors import PartError
from modalink.kinds import Settings
from modalink.ragged import Grid, Layout, Ragged

_SLACK = 1.1
"""As much longer the sides of a grid may be than they were with the most tokens."""


class ShrinkSpec(Settings):
    """Which items become fewer tokens behind the map."""

    tiles: Annotated[int, Field(ge=1, le=2**20)] | None = None
    """To about how many tokens the merged tiles of an image are brought that are more than 1.21 times as many; its
    thumbnail stays (LLaVA-OneVision's `anyres_max_9`: 9 x 27 x 27 = 6561)."""
    frames: Annotated[int, Field(ge=2, le=100)] | None = None
    """How many rows of each frame of a video become one, and columns as well, rounded up (LLaVA-OneVision: 2)."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.tiles is None and self.frames is None:
            raise ValueError("needs tiles or frames; set shrink: {frames: 2}, or leave shrink out")
        return self

    def grids(self, item: Layout) -> tuple[Grid | None, ...]:
        """Rows and columns of each block behind it.

        Raises:
            PartError: The tokens of a frame or of tiles lie on no grid.
        """
        frames = self.frames if item.times_s is not None else None
        most = self.tiles if item.tiles is not None else None
        if frames is None and most is None:
            return item.block_grids
        grids = [grid for grid in item.block_grids if grid is not None]
        if len(grids) != len(item.blocks):
            raise PartError("shrink: found tokens without a grid, needed rows and columns; set keep_cls: false")
        if frames is not None:
            return tuple((-(-rows // frames), -(-columns // frames)) for rows, columns in grids)
        return tuple(
            grid if number == item.thumbnail else _at_most(most or 0, grid) for number, grid in enumerate(grids)
        )


def shrunk_layout(spec: ShrinkSpec | None, item: Layout) -> Layout:
    """How an item lies once it is shrunk.

    Raises:
        PartError: Its tokens lie on no grid.
    """
    if spec is None or (grids := spec.grids(item)) == item.block_grids:
        return item
    return item.on_grids([grid for grid in grids if grid is not None])


def shrunk(spec: ShrinkSpec | None, tokens: Ragged) -> Ragged:
    """The items, those that are to be smaller interpolated."""
    if spec is None:
        return tokens
    layouts = [shrunk_layout(spec, item) for item in tokens.layouts]
    if layouts == list(tokens.layouts):
        return tokens
    pairs = zip(tokens, tokens.layouts, layouts, strict=True)
    return tokens.with_values(cat([_interpolated(own, before, after) for own, before, after in pairs]), layouts)


def _interpolated(tokens: Float[Tensor, "n d"], before: Layout, after: Layout) -> Float[Tensor, "m d"]:
    if before == after:
        return tokens
    if before.grid is not None and after.grid is not None:  # all blocks at once
        return _resized(tokens, before.grid, after.grid)
    blocks = zip(tokens.split(list(before.blocks)), before.block_grids, after.block_grids, strict=True)
    return cat([own if grid == new or not grid or not new else _resized(own, grid, new) for own, grid, new in blocks])


def _resized(tokens: Float[Tensor, "n d"], grid: Grid, new: Grid) -> Float[Tensor, "m d"]:
    maps = tokens.unflatten(0, (-1, *grid)).permute(0, 3, 1, 2)
    return functional.interpolate(maps, new, mode="bilinear").permute(0, 2, 3, 1).flatten(0, 2)


def _at_most(most: int, grid: Grid) -> Grid:
    ratio = math.sqrt(grid[0] * grid[1] / most)
    if ratio <= _SLACK:
        return grid
    return max(1, int(grid[0] // ratio)), max(1, int(grid[1] // ratio))
