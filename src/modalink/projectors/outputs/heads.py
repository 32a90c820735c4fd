"""One trunk for all conditions of a generator, and a linear map of each: names that belong together are made together.

The trunk is any other output projector. It makes as many tokens as all conditions have together, so that the pooled
vector of SDXL and its sequence, for example, read each other inside the trunk.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink.kinds import Width
from modalink.recipe.kind_field import Kinds
from modalink.roles import JointOutputProjector, OutputProjector, OutputProjectorConfig


class HeadsConfig(OutputProjectorConfig):
    """Settings of a trunk with a head for each condition."""

    kind: Literal["heads"] = "heads"
    trunk: Annotated[OutputProjectorConfig, Kinds("modalink.projectors.outputs", inside="heads", without=("flow",))]
    """Reads the LLM's states, for all conditions."""
    width: Width = 512
    """Width between trunk and heads."""

    def tiny(self) -> "HeadsConfig":
        """The same with a tiny trunk."""
        return self.model_copy(update={"trunk": self.trunk.tiny()}).at_most(width=128)

    def sections(self) -> tuple[str, ...]:
        """The trunk, its own sections, and the heads."""
        return ("trunk", *(f"trunk.{section}" for section in self.trunk.sections()), "heads")

    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> "OneHead":
        """A new projector of one condition.

        Raises:
            PartError: The trunk cannot be built.
        """
        return OneHead(self.build_joint(dim_in=dim_in, tokens_in=tokens_in, shapes={"one": (tokens_out, dim_out)}))

    def build_joint(self, *, dim_in: int, tokens_in: int, shapes: Mapping[str, tuple[int, int]]) -> "HeadsProjector":
        """A new projector of all conditions.

        Raises:
            PartError: The trunk cannot be built.
        """
        tokens = sum(tokens for tokens, _ in shapes.values())
        trunk = self.trunk.build(dim_in=dim_in, dim_out=self.width, tokens_in=tokens_in, tokens_out=tokens)
        return HeadsProjector(trunk, self.width, shapes)


class HeadsProjector(JointOutputProjector):
    """The trunk's tokens divided among the conditions, each through a linear map of its own.

    Args:
        trunk: What makes the tokens of all conditions.
        width: Their width.
        shapes: Tokens and width of each condition.
    """

    def __init__(self, trunk: OutputProjector, width: int, shapes: Mapping[str, tuple[int, int]]) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleDict({name: _Head(width, *shape) for name, shape in shapes.items()})
        self.tokens = [tokens for tokens, _ in shapes.values()]

    def forward(self, states: Float[Tensor, "i k d_llm"]) -> dict[str, Tensor]:
        """The conditions of items by name."""
        shares = self.trunk(states).split(self.tokens, dim=1)
        return {name: head(share) for (name, head), share in zip(self.heads.items(), shares, strict=True)}

    @property
    def centred(self) -> bool:
        """Whether a condition has left zero, its mean at the start."""
        return any(bool(cast(_Head, head).offset.any()) for head in self.heads.values())

    @torch.no_grad()
    def centre(self, means: Mapping[str, Float[Tensor, "l d_gen"]]) -> None:
        """See `modalink.roles.CentredJointly`."""
        for name, mean in means.items():
            cast(_Head, self.heads[name]).offset.copy_(mean)


class _Head(nn.Linear):
    """A linear map to the tokens of a condition, which lie around an offset that each has of its own."""

    def __init__(self, width: int, tokens: int, wide: int) -> None:
        super().__init__(width, wide)
        self.offset = nn.Parameter(torch.zeros(tokens, wide))

    def forward(self, states: Float[Tensor, "i l d"]) -> Float[Tensor, "i l d_gen"]:
        return super().forward(states) + self.offset


class OneHead(OutputProjector):
    """The same for a generator that reads one condition."""

    def __init__(self, made: HeadsProjector) -> None:
        super().__init__()
        self.trunk, self.heads = made.trunk, made.heads

    def forward(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i l d_gen"]:
        """Project the signal states of items."""
        conditions: Tensor = self._head(self.trunk(states))
        return conditions

    @property
    def centred(self) -> bool:
        """Whether the condition has left zero, its mean at the start."""
        return bool(self._head.offset.any())

    @torch.no_grad()
    def centre(self, mean: Float[Tensor, "l d_gen"]) -> None:
        """See `modalink.roles.Centred`."""
        self._head.offset.copy_(mean)

    @property
    def _head(self) -> _Head:
        (head,) = self.heads.values()
        return cast(_Head, head)
