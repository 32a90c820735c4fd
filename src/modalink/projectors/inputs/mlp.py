"""Linear maps with an activation between them, per token, as LLaVA-1.5 (two layers, GELU) and VILA use them."""

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from modalink.projectors.inputs._joining import Join, JoinSpec
from modalink.roles import InputProjectorConfig

_ACTIVATIONS = {"gelu": nn.GELU, "silu": nn.SiLU, "relu": nn.ReLU}


class MlpConfig(InputProjectorConfig):
    """Settings of the MLP projector."""

    kind: Literal["mlp"] = "mlp"
    layers: int = Field(default=2, ge=1)
    """Number of linear maps."""
    width: int | None = Field(default=None, gt=0)
    """Width between them; the LLM's if not set."""
    activation: Literal["gelu", "silu", "relu"] = "gelu"
    norm: bool = False
    """Whether a LayerNorm stands in front, after joining."""
    join: JoinSpec | None = None
    """Neighbouring tokens that are joined first; none if not set."""

    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, grid: tuple[int, int] | None) -> "MlpProjector":
        """A new projector between these widths."""
        return MlpProjector(self, Join(self.join, dim=dim_in, tokens=tokens_in, grid=grid), dim_out)


class MlpProjector(nn.Module):
    """The MLP for every (joined) token.

    With two layers, `layers.0` and `layers.2` hold the weights that LLaVA's checkpoints call `mm_projector.0` and
    `mm_projector.2`, and transformers `multi_modal_projector.linear_1` and `linear_2`.
    """

    def __init__(self, config: MlpConfig, join: Join, dim_out: int) -> None:
        super().__init__()
        self.join = join
        self.norm = nn.LayerNorm(join.dim) if config.norm else nn.Identity()
        widths = [join.dim, *[config.width or dim_out] * (config.layers - 1), dim_out]
        stack: list[nn.Module] = []
        for before, after in pairwise(widths):
            stack += [nn.Linear(before, after), _ACTIVATIONS[config.activation]()]
        self.layers = nn.Sequential(*stack[:-1])
        self.tokens_per_item = join.tokens

    def forward(self, features: Float[Tensor, "i p d_enc"]) -> Float[Tensor, "i n d_llm"]:
        """Project the features of items."""
        projected: Tensor = self.layers(self.norm(self.join(features)))
        return projected
