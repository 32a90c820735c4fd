"""The role of an output projector: from the LLM's states to one named tensor of a generator's conditions."""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from modalink.kinds import KindConfig


class OutputProjector(nn.Module, ABC):
    """Maps the LLM's states at the signal tokens to one of a generator's conditions, of which each has its own."""

    @abstractmethod
    def forward(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i l d_gen"]:
        """Project the signal states of items; a pooled condition is one of one token."""


@runtime_checkable
class Centred(Protocol):
    """An output projector that can start from the mean of the conditions that it shall make.

    That mean is far from zero, and an even step of Adam takes hundreds of steps to get there.
    """

    centred: bool
    """Whether it has a mean already."""

    def centre(self, mean: Float[Tensor, "l d_gen"]) -> None:
        """Take the mean of the conditions."""


class OutputProjectorConfig(KindConfig):
    """Base of output projector settings."""

    room: ClassVar[str] = "modalink.projectors.outputs"

    @abstractmethod
    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> OutputProjector:
        """A new projector from `tokens_in` signal states to a condition of `tokens_out` tokens, 1 if it is pooled."""

    def sections(self) -> tuple[str, ...]:
        """Names of modules and parameters inside the projector that a stage can train by themselves."""
        return ()
