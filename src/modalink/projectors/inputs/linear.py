"""One linear map per token, as LLaVA (2023-04), MiniGPT-4 and MiniGPT-v2 use it."""

from typing import Literal

from torch import nn

from modalink.projectors.inputs._joining import JoinSpec, join, joined_layout
from modalink.projectors.inputs._pooling import Pool, pooled, pooled_layout
from modalink.ragged import Layout, Ragged
from modalink.roles import InputProjector, InputProjectorConfig


class LinearConfig(InputProjectorConfig):
    """Settings of the linear projector."""

    kind: Literal["linear"] = "linear"
    pool: Pool | None = None
    """Means over the tokens of each frame (`space`), over frames (`time`) or both instead of all tokens."""
    join: JoinSpec | None = None
    """Neighbouring tokens that are joined first; none if not set."""

    def layout(self, item: Layout) -> Layout:
        """A prompt token for each (pooled, joined) encoder token."""
        return joined_layout(self.join, pooled_layout(self.pool, item))

    def tiny(self) -> "LinearConfig":
        """The same: its width is that of its neighbours."""
        return self

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "LinearProjector":
        """A new projector between these widths."""
        self.layout(example)
        return LinearProjector(self, dim_in, dim_out)


class LinearProjector(InputProjector):
    """`y = W x + b` for every (joined) token."""

    def __init__(self, config: LinearConfig, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.pool, self.join = config.pool, config.join
        self.linear = nn.Linear(dim_in * (config.join.tokens if config.join else 1), dim_out)

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items."""
        joined = join(self.join, pooled(self.pool, features))
        return joined.with_values(self.linear(joined.values), joined.layouts)
