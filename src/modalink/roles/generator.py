"""The role of a generator: it makes media of one modality from conditions."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink.ragged import Ragged
from modalink.roles.part import PartConfig
from modalink.roles.preprocessor import Preprocessor


@runtime_checkable
class Generator(Protocol):
    """Makes media of one modality from conditions; a frozen `nn.Module`, kept outside the saved model."""

    condition_tokens: int
    condition_dim: int

    def encode_text(self, texts: list[str]) -> Float[Tensor, "i l d_gen"]:
        """The generator's own conditions for captions: target of the `align` objective."""

    def encode_media(self, media: Ragged) -> Sequence[Tensor]:
        """The latents that the generator learns to restore, of each preprocessed medium."""

    def denoising_error(
        self, latents: Float[Tensor, "i ..."], conditions: Float[Tensor, "i l d_gen"], rng: list[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """Mean squared error of each item's denoised noise (survey eq. 5), with noise and time from the item's rng."""

    def sample(
        self,
        conditions: Float[Tensor, "i l d_gen"],
        *,
        steps: int,
        guidance: float,
        rng: list[torch.Generator],
    ) -> list[Any]:
        """Decoded media (for images: PIL images), one an item."""


class GeneratorConfig(PartConfig):
    """Base of generator settings."""

    room: ClassVar[str] = "modalink.generators"

    @abstractmethod
    def makes(self) -> frozenset[str]:
        """The modalities that it makes."""

    @abstractmethod
    def build(self, *, weights: bool = True) -> nn.Module:
        """The frozen generator."""

    @abstractmethod
    def condition_shape(self) -> tuple[int, int]:
        """Tokens and width of the conditions, read from the checkpoint's configuration without its weights."""

    @abstractmethod
    def preprocessor(self) -> Preprocessor:
        """What must be done to a target medium before `encode_media`."""
