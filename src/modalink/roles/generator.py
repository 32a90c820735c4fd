"""The role of a generator: it makes media from conditions. What else one can do is an ability of its own.

Every generator samples. One that learns by being denoised also `Denoises`, one that has conditions for words
`ReadsText`. Objectives ask for the abilities that they use, so that a generator of another kind fits those without.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink.ragged import Ragged
from modalink.roles.conditions import Conditions, ConditionShape
from modalink.roles.part import PartConfig
from modalink.roles.preprocessor import Preprocessor


class Generator(nn.Module, ABC):
    """Makes media of one modality from conditions; frozen, kept outside the saved model."""

    condition_shapes: Mapping[str, ConditionShape]
    """The conditions of a medium, as its settings declare them."""
    options: frozenset[str] = frozenset()
    """Further keywords that `sample` takes for one call, instead of its settings: `steps`, `guidance`."""

    @abstractmethod
    def sample(self, conditions: Conditions, *, rng: list[torch.Generator]) -> list[Any]:
        """Decoded media (for images: PIL images), one an item, each from its own source of randomness."""


class Denoises(ABC):
    """The ability of a generator whose frozen networks restore media from noise."""

    @abstractmethod
    def encode_media(self, media: Ragged) -> Tensor | Sequence[Tensor]:
        """The latents that the generator learns to restore, of each preprocessed medium."""

    @abstractmethod
    def null_conditions(self, items: int) -> Conditions:
        """The conditions of so many items that ask for nothing: what guidance steers away from."""

    @abstractmethod
    def denoising_error(
        self, latents: Float[Tensor, "i ..."], conditions: Conditions, rng: list[torch.Generator]
    ) -> Float[Tensor, " i"]:
        """Mean squared error of each item's denoised noise (survey eq. 5), with noise and time from the item's rng."""


class ReadsText(ABC):
    """The ability of a generator that has conditions of its own for words."""

    @abstractmethod
    def encode_text(self, texts: list[str]) -> Conditions:
        """The generator's own conditions for captions: target of the `align` objective."""


class GeneratorConfig(PartConfig):
    """Base of generator settings."""

    room: ClassVar[str] = "modalink.generators"

    @abstractmethod
    def makes(self) -> frozenset[str]:
        """The modalities that it makes."""

    @abstractmethod
    def build(self, *, weights: bool = True) -> Generator:
        """The frozen generator, which samples as these settings say."""

    @abstractmethod
    def condition_shapes(self) -> dict[str, ConditionShape]:
        """The conditions by name, read from the checkpoint's configuration without its weights.

        What output projectors shall make is declared here; constants of a request (seconds, size) are options of
        `sample`, and the generator adds them.
        """

    @abstractmethod
    def preprocessor(self) -> Preprocessor:
        """What must be done to a target medium before the generator, or an objective, reads it."""
