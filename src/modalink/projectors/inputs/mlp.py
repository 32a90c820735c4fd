"""Linear maps with an activation between them, per token, as LLaVA-1.5 (two layers, GELU) and VILA use them."""

from itertools import pairwise
from typing import Literal

from torch import nn

from modalink.kinds import Count, Width
from modalink.projectors.inputs._joining import JoinSpec, join, joined_layout
from modalink.projectors.inputs._pooling import Pool, pooled, pooled_layout
from modalink.ragged import Layout, Ragged
from modalink.roles import InputProjector, InputProjectorConfig

_ACTIVATIONS = {"gelu": nn.GELU, "silu": nn.SiLU, "relu": nn.ReLU}


class MlpConfig(InputProjectorConfig):
    """Settings of the MLP projector."""

    kind: Literal["mlp"] = "mlp"
    layers: Count = 2
    """Number of linear maps."""
    width: Width | None = None
    """Width between them; the LLM's if not set."""
    activation: Literal["gelu", "silu", "relu"] = "gelu"
    norm: bool = False
    """Whether a LayerNorm stands in front, after joining."""
    pool: Pool | None = None
    """Means over the tokens of each frame (`space`), over frames (`time`) or both instead of all tokens."""
    join: JoinSpec | None = None
    """Neighbouring tokens that are joined first; none if not set."""

    def layout(self, item: Layout) -> Layout:
        """A prompt token for each (pooled, joined) encoder token."""
        return joined_layout(self.join, pooled_layout(self.pool, item))

    def tiny(self) -> "MlpConfig":
        """The same, narrower and less deep."""
        return self.at_most(layers=2, width=128)

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "MlpProjector":
        """A new projector between these widths."""
        self.layout(example)
        return MlpProjector(self, dim_in, dim_out)


class MlpProjector(InputProjector):
    """The MLP for every (joined) token.

    With two layers, `layers.0` and `layers.2` hold the weights that LLaVA's checkpoints call `mm_projector.0` and
    `mm_projector.2`, and transformers `multi_modal_projector.linear_1` and `linear_2`.
    """

    def __init__(self, config: MlpConfig, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.pool, self.join = config.pool, config.join
        width = dim_in * (config.join.tokens if config.join else 1)
        self.norm = nn.LayerNorm(width) if config.norm else nn.Identity()
        widths = [width, *[config.width or dim_out] * (config.layers - 1), dim_out]
        stack: list[nn.Module] = []
        for before, after in pairwise(widths):
            stack += [nn.Linear(before, after), _ACTIVATIONS[config.activation]()]
        self.layers = nn.Sequential(*stack[:-1])

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the features of items."""
        joined = join(self.join, pooled(self.pool, features))
        return joined.with_values(self.layers(self.norm(joined.values)), joined.layouts)
