"""What projectors share that map each token by itself: what is done to tokens before, and put between them after.

positions -> pool -> join -> the map -> shrink -> newlines -> start
"""

from abc import abstractmethod
from typing import ClassVar

from pydantic import model_validator
from torch import Tensor

from modalink.projectors.inputs._borrowing import BorrowingConfig
from modalink.projectors.inputs._joining import JoinSpec, join, joined_layout
from modalink.projectors.inputs._newlines import Newline, Newlines, Start, broken_layout, started_layout
from modalink.projectors.inputs._pooling import Pool, pooled, pooled_layout
from modalink.projectors.inputs._positions import Positions, PositionsSpec
from modalink.projectors.inputs._shrinking import ShrinkSpec, shrunk, shrunk_layout
from modalink.ragged import Layout, Ragged
from modalink.roles import InputProjector


class TokenwiseConfig(BorrowingConfig):
    """Settings of a projector that maps each token by itself."""

    mapping: ClassVar[tuple[str, ...]]
    """Sections of the map."""

    pool: Pool | None = None
    """Means over the tokens of each frame (`space`), over frames (`time`) or both instead of all tokens; or over parts
    of each block's grid, `{by: 2}` or `{grid: [12, 12]}`."""
    join: JoinSpec | None = None
    """Neighbouring tokens that are joined first; none if not set."""
    positions: PositionsSpec | None = None
    """Where each frame, tile or window stands, added to its encoder tokens; nothing if not set."""
    shrink: ShrinkSpec | None = None
    """Which items are brought to fewer tokens behind the map, by interpolation; none if not set."""
    newline: Newline | None = None
    """Behind what a learned token stands: each `row` of tokens (LLaVA-NeXT; none in the thumbnail), each `block` (tile,
    frame, window), each `item`, or each `tile_row`: a row of merged tiles, and any other item (LLaVA-OneVision)."""
    start: bool = False
    """Whether a learned token stands in front of each item (CogVLM, which has one behind it, too: `newline: item`)."""

    @model_validator(mode="after")
    def _means_over_time_have_no_place(self) -> "TokenwiseConfig":
        if self.positions is not None and self.pool in ("time", "space_time"):
            raise ValueError(f"pool: {self.pool} averages over frames, whose positions would be lost; leave one out")
        return self

    def sections(self) -> tuple[str, ...]:
        """The map, and learned tokens and positions if they are wanted."""
        learned = self.positions is not None and self.positions.form == "learned"
        there = {"positions": learned, "newlines": self.newline is not None, "start": self.start}
        return (*self.mapping, *(name for name, is_there in there.items() if is_there))

    def layout(self, item: Layout) -> Layout:
        """A prompt token for each (pooled, joined, shrunk) encoder token, each newline and the start."""
        if self.positions is not None:
            self.positions.check(item)
        mapped = joined_layout(self.join, pooled_layout(self.pool, item))
        broken = broken_layout(self.newline, shrunk_layout(self.shrink, mapped))
        return started_layout(broken) if self.start else broken

    def width_in(self, dim_in: int) -> int:
        """Width of the joined tokens."""
        return dim_in * (self.join.tokens if self.join else 1)


class TokenwiseProjector(InputProjector):
    """Maps each token by itself.

    Args:
        config: What is done before and after.
        dim_in: Width of encoder tokens.
        dim_out: Width of prompt tokens.
    """

    def __init__(self, config: TokenwiseConfig, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.pool, self.join, self.shrink = config.pool, config.join, config.shrink
        self.positions = None if config.positions is None else Positions(config.positions, dim_in)
        self.newlines = None if config.newline is None else Newlines(config.newline, dim_out)
        self.start = Start(dim_out) if config.start else None

    @abstractmethod
    def project(self, tokens: Tensor) -> Tensor:
        """Joined tokens `[n d]` to prompt tokens."""

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items."""
        placed = features if self.positions is None else self.positions(features)
        joined = join(self.join, pooled(self.pool, placed))
        projected = shrunk(self.shrink, joined.with_values(self.project(joined.values), joined.layouts))
        if self.newlines is not None:
            projected = self.newlines(projected)
        return projected if self.start is None else self.start(projected)
