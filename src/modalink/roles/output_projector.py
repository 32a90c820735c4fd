"""The role of an output projector: from the LLM's states to one named tensor of a generator's conditions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from modalink.kinds import Count, KindConfig


class OutputProjector(nn.Module, ABC):
    """Maps the LLM's states at the signal tokens to one of a generator's conditions, of which each has its own."""

    by_token: bool = False
    """Whether token j of the condition is made of state j alone, so that what holds for a state holds for its token."""

    @abstractmethod
    def forward(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i l d_gen"]:
        """Project the signal states of items; a pooled condition is one of one token."""


class JointOutputProjector(nn.Module, ABC):
    """Maps the LLM's states to all of a generator's conditions at once."""

    @abstractmethod
    def forward(self, states: Float[Tensor, "i k d_llm"]) -> dict[str, Tensor]:
        """Project the signal states of items to `[i, l, d_gen]` of each name; a pooled condition is one token."""


class DrawsConditions(ABC):
    """The ability of an output projector that draws a condition from noise, where others give the likeliest mean."""

    tokens_out: int
    """How many tokens it makes."""

    @abstractmethod
    def draw(self, states: Float[Tensor, "i k d_llm"], rng: Sequence[torch.Generator]) -> Float[Tensor, "i l d_gen"]:
        """A condition of each item, with noise from the item's own source."""

    @abstractmethod
    def drawing_error(
        self,
        states: Float[Tensor, "i k d_llm"],
        wanted: Float[Tensor, "i l d_gen"],
        rng: Sequence[torch.Generator],
        mask: Bool[Tensor, "i l"] | None = None,
    ) -> Float[Tensor, " i"]:
        """What is minimised to draw the wanted conditions of items, of the tokens that the mask has; float32."""


@runtime_checkable
class Centred(Protocol):
    """An output projector that can start from the mean of the conditions that it shall make.

    That mean is far from zero, and an even step of Adam takes hundreds of steps to get there.
    """

    centred: bool
    """Whether it has a mean already."""

    def centre(self, mean: Float[Tensor, "l d_gen"]) -> None:
        """Take the mean of the conditions."""


@runtime_checkable
class CentredJointly(Protocol):
    """The same ability of a projector that makes all conditions at once."""

    centred: bool
    """Whether it has means already."""

    def centre(self, means: Mapping[str, Float[Tensor, "l d_gen"]]) -> None:
        """Take the mean of each condition by its name."""


class OutputProjectorConfig(KindConfig):
    """Base of output projector settings."""

    room: ClassVar[str] = "modalink.projectors.outputs"
    draws: ClassVar[bool] = False
    """Whether its projectors have the ability `DrawsConditions`."""
    one_for_each: ClassVar[bool] = False
    """Whether it needs as many states as the condition has tokens; a tiny form has that many signal tokens then."""
    tokens: Count | None = None
    """How many tokens it makes of a condition whose mask can leave out the rest; all of them, if not set."""

    @abstractmethod
    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> OutputProjector:
        """A new projector from `tokens_in` signal states to a condition of `tokens_out` tokens, 1 if it is pooled."""

    def build_joint(
        self, *, dim_in: int, tokens_in: int, shapes: Mapping[str, tuple[int, int]]
    ) -> JointOutputProjector | None:
        """A new projector that makes several conditions at once; None where each name has one of its own.

        Args:
            dim_in: Width of the states.
            tokens_in: How many states an item has.
            shapes: Tokens and width of each condition by name, one token of a pooled one.
        """
        return None

    def sections(self) -> tuple[str, ...]:
        """Names of modules and parameters inside the projector that a stage can train by themselves."""
        return ()
