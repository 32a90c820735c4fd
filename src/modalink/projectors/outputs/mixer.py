"""Signal states mixed into conditions by learned, fixed weights, then a tiny Transformer over the conditions.

Learned queries have to find what they need among the signal states, and with few parameters and steps they do not. The
weights of that search are parameters of their own here, as the token mixing of MLP-Mixer (arXiv 2105.01601), so the
first step already moves every condition; the Transformer behind it lets the conditions of one caption agree.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.roles import OutputProjector, OutputProjectorConfig


class MixerConfig(OutputProjectorConfig):
    """Settings of the mixer output projector."""

    kind: Literal["mixer"] = "mixer"
    values: Width = 256
    """Width of what is mixed, all groups together."""
    groups: Count = 64
    """Groups of values, each with mixing weights of its own; a divisor of `values`."""
    width: Width = 96
    """Width of the Transformer; a multiple of `heads`."""
    layers: Count = 1
    heads: Count = 4
    feed_forward: Width = 192
    """Width of the feed-forward layers."""

    def tiny(self) -> "MixerConfig":
        """The same, narrower and less deep."""
        return self.at_most(width=128, feed_forward=256, heads=4, layers=2)

    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> "MixerProjector":
        """A new projector from `tokens_in` signal states to `tokens_out` conditions.

        Raises:
            PartError: The values cannot be divided among the groups, or the width among the heads.
        """
        if self.values % self.groups:
            raise PartError(f"mixer: found values {self.values}, needed a multiple of groups = {self.groups}")
        if self.width % self.heads:
            raise PartError(f"mixer: found width {self.width}, needed a multiple of heads = {self.heads}")
        return MixerProjector(self, dim_in, dim_out, tokens_in, tokens_out)


class MixerProjector(OutputProjector):
    """Every condition is a weighted sum of the signal states' values, with weights that are learned for each group."""

    def __init__(self, config: MixerConfig, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> None:
        super().__init__()
        width = config.width
        self.tokens_out, self.dim_out, self.groups = tokens_out, dim_out, config.groups
        self.values = nn.Sequential(nn.LayerNorm(dim_in), nn.Linear(dim_in, config.values))
        self.weights = nn.Parameter(torch.randn(config.groups, tokens_out, tokens_in) / tokens_in**0.5)
        self.entry = nn.Linear(config.values, width)
        self.positions = nn.Parameter(torch.randn(tokens_out, width))
        self.transformer = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                width, config.heads, config.feed_forward, 0.0, "gelu", batch_first=True, norm_first=True
            ),
            config.layers,
            nn.LayerNorm(width),
            enable_nested_tensor=False,
        )
        self.exit = nn.Linear(width, dim_out)
        self.offset = nn.Parameter(torch.zeros(tokens_out, dim_out))

    def forward(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i {self.tokens_out} {self.dim_out}"]:
        """Project the signal states of items."""
        values = self.values(states).unflatten(-1, (self.groups, -1))
        mixed = torch.einsum("glk,ikgc->ilgc", self.weights.to(values.dtype), values).flatten(2)
        made: Tensor = self.exit(self.transformer(self.entry(mixed) + self.positions))
        return made + self.offset

    @property
    def centred(self) -> bool:
        """Whether the conditions have left zero, their mean at the start."""
        return bool(self.offset.any())

    @torch.no_grad()
    def centre(self, mean: Float[Tensor, "{self.tokens_out} {self.dim_out}"]) -> None:
        """See `modalink.roles.Centred`."""
        self.offset.copy_(mean)
