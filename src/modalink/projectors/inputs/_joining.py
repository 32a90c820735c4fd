"""Joins neighbouring encoder tokens into one wider token, without parameters: fewer prompt tokens, nothing averaged."""

import math
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from modalink.errors import PartError
from modalink.kinds import Settings


class JoinSpec(Settings):
    """How encoder tokens are joined before the projection."""

    tokens: int = Field(default=4, ge=2)
    """How many tokens become one."""
    layout: Literal["run", "square"] = "run"
    """`run`: neighbours in reading order (MiniGPT-v2); `square`: neighbours on the grid, 4 tokens are 2 x 2 (VILA)."""


class Join(nn.Module):
    """Joins the tokens of an item as `spec` says; with no spec it changes nothing.

    For a 2 x 4 grid of tokens `abcd / efgh`, 4 joined: `run` gives `abcd`, `efgh`; `square` gives `abef`, `cdgh`.

    Raises:
        PartError: The tokens cannot be divided so, or a square is asked of tokens without a grid.
    """

    def __init__(self, spec: JoinSpec | None, *, dim: int, tokens: int, grid: tuple[int, int] | None) -> None:
        super().__init__()
        joined = 1 if spec is None else spec.tokens
        self.tokens_in, self.dim_in = tokens, dim
        self.tokens, self.dim = tokens // joined, dim * joined
        self.rows, self.columns, self.edge = tokens, 1, 1
        if spec is None:
            return
        if tokens % joined:
            raise PartError(f"join: found {tokens} tokens, needed a multiple of {joined}; change join.tokens")
        if spec.layout == "square":
            self.edge = math.isqrt(joined)
            if self.edge**2 != joined:
                raise PartError(f"join: a square needs 4, 9, 16, ... tokens, found {joined}; change join.tokens")
            if grid is None:
                raise PartError("join: a square needs tokens on a grid; set keep_cls: false, or join.layout: run")
            if grid[0] % self.edge or grid[1] % self.edge:
                raise PartError(
                    f"join: found a grid of {grid[0]} x {grid[1]}, needed multiples of {self.edge}; "
                    "change the encoder's image_size, or set join.layout: run"
                )
            self.rows, self.columns = grid

    def forward(self, features: Float[Tensor, "i {self.tokens_in} {self.dim_in}"]) -> Float[Tensor, "i n d"]:
        """The joined tokens, in reading order."""
        if self.edge > 1:
            e = self.edge
            squares = features.view(len(features), self.rows // e, e, self.columns // e, e, self.dim_in)
            features = squares.transpose(2, 3)
        return features.reshape(len(features), self.tokens, self.dim)
