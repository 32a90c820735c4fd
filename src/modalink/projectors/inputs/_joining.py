"""Joins neighbouring encoder tokens into one wider token, without parameters: fewer prompt tokens, nothing averaged."""

import math
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from modalink.errors import PartError
from modalink.kinds import Settings
from modalink.ragged import Grid, Layout, Ragged


class JoinSpec(Settings):
    """How encoder tokens are joined before the projection.

    For a 2 x 4 grid of tokens `abcd / efgh`, 4 joined: `run` gives `abcd`, `efgh`; `square` gives `abef`, `cdgh`.
    """

    tokens: int = Field(default=4, ge=2, le=1000)
    """How many tokens become one."""
    layout: Literal["run", "square"] = "run"
    """`run`: neighbours in reading order (MiniGPT-v2); `square`: neighbours on the grid, 4 tokens are 2 x 2 (VILA's
    downsampling, InternVL's pixel shuffle, Qwen2-VL's merging)."""
    columns: bool = False
    """Whether squares stand column by column, as the code of VILA has them, not row by row."""
    pad: bool = False
    """Whether zeros stand for what the last run of a block, or the last squares of a grid with an odd side, lack
    (VILA); else such items are refused."""

    @model_validator(mode="after")
    def _squares_are_square(self) -> "JoinSpec":
        if self.layout == "square" and math.isqrt(self.tokens) ** 2 != self.tokens:
            raise ValueError(f"a square needs 4, 9, 16, ... tokens, found {self.tokens}; change join.tokens")
        if self.columns and self.layout != "square":
            raise ValueError("columns are those of squares; set join.layout: square, or leave join.columns out")
        return self

    @property
    def edge(self) -> int:
        """Rows, and columns, of a square that becomes one token; 1 for a run."""
        return math.isqrt(self.tokens) if self.layout == "square" else 1


def joined_layout(spec: JoinSpec | None, item: Layout) -> Layout:
    """How an item lies once the tokens of each of its blocks are joined.

    Raises:
        PartError: The tokens of a block cannot be divided so, or a square is asked of tokens without a grid.
    """
    if spec is None:
        return item
    if spec.layout == "square":
        return item.on_grids([_shrunk(spec, grid) for grid in item.block_grids])
    if not spec.pad and (rest := [tokens for tokens in item.blocks if tokens % spec.tokens]):
        raise PartError(
            f"join: found {rest[0]} tokens, needed a multiple of {spec.tokens}; change join.tokens, or set join.pad"
        )
    if all(grid is not None and grid[1] % spec.tokens == 0 for grid in item.block_grids):
        return item.on_grids([(grid[0], grid[1] // spec.tokens) for grid in item.block_grids if grid is not None])
    blocks = tuple(-(-tokens // spec.tokens) for tokens in item.blocks)
    return replace(item, blocks=blocks, grid=None, grids=None)


def _shrunk(spec: JoinSpec, grid: Grid | None) -> Grid:
    edge = spec.edge
    if grid is None:
        raise PartError("join: a square needs tokens on a grid; set keep_cls: false, or join.layout: run")
    if not spec.pad and (grid[0] % edge or grid[1] % edge):
        raise PartError(
            f"join: found a grid of {grid[0]} x {grid[1]}, needed multiples of {edge}; "
            "change the encoder's image_size, or set join.layout: run, or join.pad"
        )
    rows, columns = -(-grid[0] // edge), -(-grid[1] // edge)
    return (columns, rows) if spec.columns else (rows, columns)


def join(spec: JoinSpec | None, features: Ragged) -> Ragged:
    """The joined tokens of each item, in reading order."""
    if spec is None:
        return features
    layouts = [joined_layout(spec, item) for item in features.layouts]
    blocks = {block for item in features.layouts for block in zip(item.blocks, item.block_grids, strict=True)}
    if len(blocks) == 1 or (spec.layout == "run" and not any(tokens % spec.tokens for tokens, _ in blocks)):
        ((tokens, grid),) = [*blocks][:1]
        return features.with_values(_joined(spec, features.values, tokens, grid), layouts)
    each = [block for item in features.layouts for block in zip(item.blocks, item.block_grids, strict=True)]
    rows = features.values.split([tokens for tokens, _ in each])
    joined = [_joined(spec, own, tokens, grid) for own, (tokens, grid) in zip(rows, each, strict=True)]
    return features.with_values(torch.cat(joined), layouts)


def _joined(spec: JoinSpec, values: Float[Tensor, "p d"], tokens: int, grid: Grid | None) -> Float[Tensor, "q e"]:
    """The joined tokens of blocks of so many tokens on one grid; what is lacking is zero."""
    if spec.layout == "run":
        if lacking := -tokens % spec.tokens:
            values = functional.pad(values.unflatten(0, (-1, tokens)), (0, 0, 0, lacking)).flatten(0, 1)
        return values.unflatten(0, (-1, spec.tokens)).flatten(1)
    assert grid is not None
    edge, maps = spec.edge, values.unflatten(0, (-1, *grid))
    if grid[0] % edge or grid[1] % edge:
        maps = functional.pad(maps, (0, 0, 0, -grid[1] % edge, 0, -grid[0] % edge))
    squares = maps.unflatten(2, (-1, edge)).unflatten(1, (-1, edge)).transpose(2, 3)
    if spec.columns:
        squares = squares.transpose(1, 2)
    return squares.reshape(-1, edge * edge * values.shape[1])
