"""Joins neighbouring encoder tokens into one wider token, without parameters: fewer prompt tokens, nothing averaged."""

import math
from dataclasses import replace
from typing import Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from modalink.errors import PartError
from modalink.kinds import Settings
from modalink.ragged import Layout, Ragged


class JoinSpec(Settings):
    """How encoder tokens are joined before the projection.

    For a 2 x 4 grid of tokens `abcd / efgh`, 4 joined: `run` gives `abcd`, `efgh`; `square` gives `abef`, `cdgh`.
    """

    tokens: int = Field(default=4, ge=2, le=1000)
    """How many tokens become one."""
    layout: Literal["run", "square"] = "run"
    """`run`: neighbours in reading order (MiniGPT-v2); `square`: neighbours on the grid, 4 tokens are 2 x 2 (VILA)."""

    @model_validator(mode="after")
    def _squares_are_square(self) -> "JoinSpec":
        if self.layout == "square" and math.isqrt(self.tokens) ** 2 != self.tokens:
            raise ValueError(f"a square needs 4, 9, 16, ... tokens, found {self.tokens}; change join.tokens")
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
    if rest := [tokens for tokens in item.blocks if tokens % spec.tokens]:
        raise PartError(f"join: found {rest[0]} tokens, needed a multiple of {spec.tokens}; change join.tokens")
    grid, edge = None, spec.edge
    if spec.layout == "square":
        if item.grid is None:
            raise PartError("join: a square needs tokens on a grid; set keep_cls: false, or join.layout: run")
        if item.grid[0] % edge or item.grid[1] % edge:
            raise PartError(
                f"join: found a grid of {item.grid[0]} x {item.grid[1]}, needed multiples of {edge}; "
                "change the encoder's image_size, or set join.layout: run"
            )
        grid = (item.grid[0] // edge, item.grid[1] // edge)
    elif item.grid is not None and item.grid[1] % spec.tokens == 0:
        grid = (item.grid[0], item.grid[1] // spec.tokens)
    return replace(item, blocks=tuple(tokens // spec.tokens for tokens in item.blocks), grid=grid)


def join(spec: JoinSpec | None, features: Ragged) -> Ragged:
    """The joined tokens of each item, in reading order."""
    if spec is None:
        return features
    layouts = [joined_layout(spec, item) for item in features.layouts]
    if spec.layout == "run":
        return features.with_values(features.values.unflatten(0, (-1, spec.tokens)).flatten(1), layouts)
    if len({item.grid for item in features.layouts}) == 1:
        return features.with_values(_squares(features.values, features.layouts[0].grid, spec.edge), layouts)
    parts = [_squares(item, layout.grid, spec.edge) for item, layout in zip(features, features.layouts, strict=True)]
    return Ragged.of(parts, layouts)


def _squares(tokens: Float[Tensor, "p d"], grid: tuple[int, int] | None, edge: int) -> Float[Tensor, "q e"]:
    assert grid is not None
    rows, columns = grid
    squares = tokens.view(-1, rows // edge, edge, columns // edge, edge, tokens.shape[1])
    return squares.transpose(2, 3).reshape(-1, edge * edge * tokens.shape[1])
