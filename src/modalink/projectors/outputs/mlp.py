"""An MLP on every signal token's state, which makes the next few conditions: the lightest way out of the LLM."""

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from modalink.errors import PartError
from modalink.kinds import Width
from modalink.roles import OutputProjector, OutputProjectorConfig


class MlpOutputConfig(OutputProjectorConfig):
    """Settings of the MLP output projector."""

    kind: Literal["mlp"] = "mlp"
    width: Width = 512
    """Width between the two linear maps."""
    norm: bool = True
    """Whether a LayerNorm stands in front."""
    norm_inside: bool = False
    """Whether a LayerNorm stands behind the activation (CoDi-2)."""
    activation: Literal["gelu", "silu"] = "gelu"
    """What stands between the maps; UniWorld-V1 has SiLU."""

    def tiny(self) -> "MlpOutputConfig":
        """The same, narrower."""
        return self.at_most(width=128)

    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> "MlpOutputProjector":
        """A new projector from `tokens_in` signal states to `tokens_out` conditions.

        Raises:
            PartError: There are more signal tokens than conditions.
        """
        if tokens_in > tokens_out:
            raise PartError(
                f"mlp: found {tokens_in} signal tokens for {tokens_out} conditions, and each makes at least one; "
                "lower signal_tokens, or use kind: transformer"
            )
        return MlpOutputProjector(self, dim_in, dim_out, tokens_in, tokens_out)


class MlpOutputProjector(OutputProjector):
    """Every signal state makes the same number of conditions; what is too many is left out evenly.

    For 4 states and 6 conditions each state makes 2, and of these 8 the conditions 0 1 2 4 5 6 stay.
    """

    def __init__(self, config: MlpOutputConfig, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> None:
        super().__init__()
        self.dim_out, self.tokens_out = dim_out, tokens_out
        self.by_token = tokens_in == tokens_out
        each = math.ceil(tokens_out / tokens_in)
        self.kept = [j * tokens_in * each // tokens_out for j in range(tokens_out)]
        self.layers = nn.Sequential(
            nn.LayerNorm(dim_in) if config.norm else nn.Identity(),
            nn.Linear(dim_in, config.width),
            nn.GELU() if config.activation == "gelu" else nn.SiLU(),
            *[nn.LayerNorm(config.width)] * config.norm_inside,
            nn.Linear(config.width, each * dim_out),
        )

    def forward(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i {self.tokens_out} {self.dim_out}"]:
        """Project the signal states of items."""
        made: Tensor = self.layers(states)
        return made.reshape(len(states), -1, self.dim_out)[:, self.kept]
