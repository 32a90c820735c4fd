"""The role of an encoder: it reads media, of one modality or of several."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor, nn

from modalink.errors import PartError
from modalink.ragged import Layout, Ragged
from modalink.roles.part import PartConfig
from modalink.roles.peft import EncoderLora
from modalink.roles.preprocessor import Preprocessor

_FEW = 30_000_000
"""Parameters of an encoder that is tried as it is."""


class Encoder(nn.Module, ABC):
    """Reads media: of one modality at a time, see `for_modality`."""

    dim: int
    """Width of the tokens it makes."""
    unit_shape: tuple[int, ...]
    """Shape of one unit of an item, for example `(3, 336, 336)` for images of 336 px."""
    unread: frozenset[str] = frozenset()
    """Parameters that its output does not depend on; they never receive a gradient."""
    facts: Mapping[str, Any] = {}
    """What was found out by trying it at small size, as JSON data, where its full size is built with it."""

    @abstractmethod
    def layout(self, item: Layout) -> Layout:
        """The tokens that come of an item of such units; known without encoding it."""

    def for_modality(self, modality: str) -> "Encoder":
        """The same weights as they read one modality: for one that reads several in different ways; else itself."""
        return self

    @abstractmethod
    def forward(self, items: Ragged) -> Ragged:
        """The tokens `[p, dim]` of each item, as many as its layout says, from its units."""


class BlockEncoder(Encoder):
    """An encoder that makes a block of as many tokens of every unit, each unit by itself."""

    tokens_per_block: int
    """How many tokens it makes of a unit."""
    grid: tuple[int, int] | None = None
    """Rows and columns of a block's tokens when they lie on a grid (no class token)."""

    @abstractmethod
    def encode(self, units: Float[Tensor, "u ..."]) -> Float[Tensor, "u p {self.dim}"]:
        """The tokens of units."""

    def layout(self, item: Layout) -> Layout:
        """A block of tokens for each unit."""
        return item.each(self.tokens_per_block, self.grid)

    def forward(self, items: Ragged) -> Ragged:
        """The tokens of all items, their units encoded together."""
        return items.with_values(self.encode(items.values).flatten(0, 1), [self.layout(i) for i in items.layouts])


class EncoderConfig(PartConfig):
    """Base of encoder settings."""

    room: ClassVar[str] = "modalink.encoders"
    lora: EncoderLora | None = None
    """Adapters in the frozen encoder, trained in the stages that name `inputs.MODALITY.encoder.lora`."""

    @model_validator(mode="after")
    def _adapters_have_places(self) -> Self:
        for value in dict(self).values():
            for inner in value if isinstance(value, tuple) else (value,):
                if isinstance(inner, EncoderConfig) and inner.lora is not None:
                    raise ValueError(
                        f"found lora in the {inner.kind} inside of {self.kind}, needed it in the whole: write lora "
                        f"beside kind: {self.kind}"
                    )
        if self.lora is not None and self.lora.per_window and not self.windows():
            raise ValueError(
                "found lora.per_window, needed an encoder that cuts all images into as many windows: kind: tiles, "
                "tiles: {grids: [[2, 2]]}"
            )
        return self

    def windows(self) -> int:
        """Into how many windows each image is cut; 0 where that is not always the same, or images are not cut."""
        return 0

    @abstractmethod
    def reads(self) -> frozenset[str]:
        """The modalities that it reads."""

    @abstractmethod
    def build(self, *, weights: bool = True) -> Encoder:
        """The encoder, with the checkpoint's weights, or (`weights=False`) only its architecture, on any device."""

    @abstractmethod
    def preprocessor(self) -> Preprocessor:
        """What must be done to a medium before this encoder."""

    def for_modality(self, modality: str) -> "EncoderConfig":
        """The settings of what reads one modality alone, where it reads several in different ways; else itself.

        Args:
            modality: One that it reads, or one that is `like` it.

        Raises:
            PartError: It reads no such modality.
        """
        return self

    def reading_all(self) -> "EncoderConfig":
        """The same that reads all modalities that it can, where settings choose some; itself, if not overridden."""
        return self

    def side_px(self) -> int | None:
        """The side in pixels of the squares that it reads, where that can be another: None, if not overridden."""
        return None

    def sized(self, side_px: int) -> "EncoderConfig":
        """The same for squares of another side.

        Raises:
            PartError: It reads no squares whose side can be chosen.
        """
        raise PartError(f"an encoder of kind {self.kind!r} reads no squares whose side can be chosen")

    def adapted(self, encoder: Encoder) -> Encoder:
        """An encoder as these settings say that holds the very weights of another one, of another side.

        Args:
            encoder: As `sized` settings of the same encoder made it.

        Raises:
            PartError: Its weights read no squares of this side.
        """
        raise PartError(f"an encoder of kind {self.kind!r} reads no squares whose side can be chosen")

    def describe(self) -> dict[str, Any]:
        """All that decides how its outputs lie, as JSON data; its settings, if not overridden."""
        return self.model_dump(mode="json")

    def miniature(self) -> Encoder | None:
        """The same architecture at a size that runs in milliseconds, with random weights; None if there is none.

        If not overridden, it is the architecture as it is, where that has few parameters.
        """
        few = sum(parameter.numel() for parameter in _architecture(self).parameters()) <= _FEW
        return self.build(weights=False) if few else None

    def typical(self) -> Layout:
        """How the units of an ordinary medium lie; one unit, if not overridden."""
        return Layout.of_units(1)

    def layout(self, item: Layout) -> Layout:
        """The tokens that come of an item of such units, from the encoder's architecture alone."""
        return _architecture(self).layout(item)


@lru_cache(64)
def _architecture(config: EncoderConfig) -> Encoder:
    with torch.device("meta"):
        return config.build(weights=False)
