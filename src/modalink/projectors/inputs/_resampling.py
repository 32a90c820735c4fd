"""What projectors share whose learned queries read all tokens of an item: a fixed number of prompt tokens of any item.

a map to the width inside -> positions of blocks -> the queries read what stands there -> a map to the LLM's width
"""

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from modalink.errors import PartError
from modalink.projectors.inputs._borrowing import BorrowingConfig
from modalink.projectors.inputs._positions import Positions, PositionsSpec
from modalink.ragged import Grid, Layout, Ragged
from modalink.roles import InputProjector


class ResamplerConfig(BorrowingConfig):
    """Settings of a projector whose learned queries read all tokens of an item."""

    positions: PositionsSpec | None = None
    """Where each frame, tile or window stands, added to its tokens before they are read; nothing if not set."""

    @property
    @abstractmethod
    def tokens(self) -> int:
        """How many prompt tokens an item becomes."""

    @property
    def grid(self) -> Grid | None:
        """Rows and columns of the prompt tokens, where they lie on a grid."""
        return None

    def layout(self, item: Layout) -> Layout:
        """As many prompt tokens of every item, in one block.

        Raises:
            PartError: The item has more blocks than learned positions.
        """
        if self.positions is not None:
            self.positions.check(item)
        times_s = None if item.times_s is None else item.times_s[:1]
        return Layout(item.units, (self.tokens,), self.grid, times_s=times_s)

    def placed(self) -> tuple[str, ...]:
        """The section of positions, if there are some."""
        return () if self.positions is None else ("positions",)

    def divided(self, width: int, heads: int) -> None:
        """Demand that a width can be divided among heads.

        Raises:
            PartError: It cannot.
        """
        if width % heads:
            raise PartError(f"{self.kind}: found width {width}, needed a multiple of heads = {heads}")


class Resampler(InputProjector):
    """Reads the tokens of items of any length.

    Args:
        config: Where blocks stand, and how prompt tokens lie.
        dim_in: Width of encoder tokens.
        width: Width inside; another one than the encoder's takes a map.
        bias: Whether that map has a bias.
    """

    def __init__(self, config: ResamplerConfig, dim_in: int, width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.config = config
        self.entry: nn.Module = nn.Identity() if width == dim_in else nn.Linear(dim_in, width, bias=bias)
        self.positions = None if config.positions is None else Positions(config.positions, width)

    @abstractmethod
    def resample(self, tokens: Ragged) -> Float[Tensor, "i n d_llm"]:
        """The prompt tokens of items, of their tokens in the width inside."""

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items."""
        tokens = features.with_values(self.entry(features.values), features.layouts)
        if self.positions is not None:
            tokens = self.positions(tokens)
        made = self.resample(tokens)
        return features.with_values(made.flatten(0, 1), [self.config.layout(item) for item in features.layouts])


def side_by_side(tokens: Ragged) -> tuple[Float[Tensor, "i n d"], Bool[Tensor, "i n"] | None]:
    """The tokens of each item in a row, filled to the longest, and where one stands; None where all places hold one."""
    return (tokens.stack(), None) if tokens.is_even else tokens.padded()


def attend(
    queries: Float[Tensor, "i m d"],
    keys: Float[Tensor, "i n d"],
    values: Float[Tensor, "i n d"],
    heads: int,
    *,
    seen: Bool[Tensor, "i n"] | None = None,
    dropout: float = 0.0,
) -> Float[Tensor, "i m d"]:
    """Attention of several heads, without maps.

    Args:
        queries: What reads.
        keys: What is compared with it.
        values: What is read.
        heads: Heads, among which the width is divided.
        seen: Which keys are there; all if None.
        dropout: Share of the weights that are set to zero.
    """
    query, key, value = (states.unflatten(2, (heads, -1)).transpose(1, 2) for states in (queries, keys, values))
    mask = None if seen is None else seen[:, None, None]
    read: Tensor = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
    return read.transpose(1, 2).flatten(2)


def beside(
    tokens: Float[Tensor, "i n d"], seen: Bool[Tensor, "i n"] | None, queries: Float[Tensor, "i m d"]
) -> tuple[Float[Tensor, "i k d"], Bool[Tensor, "i k"] | None]:
    """Tokens, and the queries behind them, which read each other, too; with which of all these are there."""
    there = None if seen is None else functional.pad(seen, (0, queries.shape[1]), value=True)
    return torch.cat([tokens, queries], dim=1), there
