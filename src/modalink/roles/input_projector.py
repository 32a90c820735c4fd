"""The role of an input projector: from an encoder to prompt tokens of the LLM."""

from abc import abstractmethod
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from modalink.kinds import KindConfig


@runtime_checkable
class InputProjector(Protocol):
    """Maps encoder tokens to prompt tokens of the LLM's width; an `nn.Module`."""

    tokens_per_item: int
    """How many prompt tokens it makes of one item."""

    def __call__(self, features: Float[Tensor, "i p d_enc"]) -> Float[Tensor, "i n d_llm"]:
        """Project the features of items."""


class InputProjectorConfig(KindConfig):
    """Base of input projector settings."""

    room: ClassVar[str] = "modalink.projectors.inputs"

    @abstractmethod
    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, grid: tuple[int, int] | None) -> nn.Module:
        """A new projector between these widths, its weights drawn from torch's global random state."""
