"""An input projector of your own: each block of encoder tokens averaged down to a fixed number, then one linear map.

It becomes a kind of recipe files by the entry point in `examples/pyproject.toml` (`pip install -e examples`):

    inputs.image.projector: {kind: pooled, tokens: 16}

Then `modalink doctor`, `train`, `ask` and `evaluate` know it as they know the built-in kinds.
"""

from typing import Literal, Self

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import adaptive_avg_pool1d

from modalink.ragged import Layout, Ragged
from modalink.roles import InputProjector, InputProjectorConfig
from modalink.testing import check_input_projector


class PooledConfig(InputProjectorConfig):
    """Settings of the pooled projector."""

    kind: Literal["pooled"] = "pooled"
    tokens: int = Field(default=16, ge=1)
    """Prompt tokens of each block (an image, a tile, a frame)."""

    def tiny(self) -> Self:
        """The form that `--tiny` swaps it for."""
        return self.at_most(tokens=16)

    def layout(self, item: Layout) -> Layout:
        """As many tokens for each block; known before anything is encoded."""
        return item.each(self.tokens)

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "PooledProjector":
        """A new projector between these widths."""
        return PooledProjector(self.tokens, dim_in, dim_out)


class PooledProjector(InputProjector):
    """`y = W mean(x) + b` over neighbouring tokens."""

    def __init__(self, tokens: int, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.linear = nn.Linear(dim_in, dim_out)

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items, which may have different numbers of blocks and tokens."""
        blocks = features.values.split([tokens for layout in features.layouts for tokens in layout.blocks])
        pooled = torch.cat([adaptive_avg_pool1d(block.T, self.tokens).T for block in blocks])
        return features.with_values(self.linear(pooled), [layout.each(self.tokens) for layout in features.layouts])


if __name__ == "__main__":
    check_input_projector(PooledConfig(tokens=4))
    print("the projector keeps the promises of its role")
