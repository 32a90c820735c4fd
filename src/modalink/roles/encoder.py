"""The role of an encoder: it reads media of one modality."""

from abc import abstractmethod
from typing import ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from modalink.roles.part import PartConfig
from modalink.roles.preprocessor import Preprocessor


@runtime_checkable
class Encoder(Protocol):
    """Reads media of one modality; an `nn.Module`."""

    dim: int
    """Width of the tokens it makes."""
    tokens_per_item: int
    """How many tokens it makes of one item."""
    grid: tuple[int, int] | None
    """Rows and columns of the tokens when they lie on a grid (no class token), else None."""

    def __call__(self, values: Float[Tensor, "i ..."]) -> Float[Tensor, "i p d_enc"]:
        """Encode preprocessed items."""


class EncoderConfig(PartConfig):
    """Base of encoder settings."""

    room: ClassVar[str] = "modalink.encoders"

    @abstractmethod
    def build(self, *, weights: bool = True) -> nn.Module:
        """The encoder, with the checkpoint's weights, or (`weights=False`) only its architecture, on any device."""

    @abstractmethod
    def preprocessor(self) -> Preprocessor:
        """What must be done to a medium before this encoder."""
