"""One linear map per token, as LLaVA (2023-04), MiniGPT-4 and MiniGPT-v2 use it."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from modalink.projectors.inputs._joining import Join, JoinSpec
from modalink.roles import InputProjectorConfig


class LinearConfig(InputProjectorConfig):
    """Settings of the linear projector."""

    kind: Literal["linear"] = "linear"
    join: JoinSpec | None = None
    """Neighbouring tokens that are joined first; none if not set."""

    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, grid: tuple[int, int] | None) -> "LinearProjector":
        """A new projector between these widths."""
        return LinearProjector(Join(self.join, dim=dim_in, tokens=tokens_in, grid=grid), dim_out)


class LinearProjector(nn.Module):
    """`y = W x + b` for every (joined) token."""

    def __init__(self, join: Join, dim_out: int) -> None:
        super().__init__()
        self.join = join
        self.linear = nn.Linear(join.dim, dim_out)
        self.tokens_per_item = join.tokens

    def forward(self, features: Float[Tensor, "i p d_enc"]) -> Float[Tensor, "i n d_llm"]:
        """Project the features of items."""
        projected: Tensor = self.linear(self.join(features))
        return projected
