"""The roles that the parts of a system play. A part knows its own role; the composite knows roles, never names.

Dimension letters used in all shape annotations:

    b batch    t LLM tokens    i items (media)    p encoder tokens of an item    n prompt tokens of an item
    k signal tokens of an item    l condition tokens of an item    c h w channels, height, width    v vocabulary
    d_enc d_llm d_gen widths of encoder, LLM and generator conditions
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from modalink.kinds import KindConfig


@runtime_checkable
class Preprocessor(Protocol):
    """Turns one decoded medium into the tensor that an encoder (or generator) reads; picklable, no weights."""

    def __call__(self, medium: Any) -> Float[Tensor, "..."]:
        """The tensor of one item, without an item axis."""

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data: part of every feature-cache key."""


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


@runtime_checkable
class InputProjector(Protocol):
    """Maps encoder tokens to prompt tokens of the LLM's width; an `nn.Module`."""

    tokens_per_item: int
    """How many prompt tokens it makes of one item."""

    def __call__(self, features: Float[Tensor, "i p d_enc"]) -> Float[Tensor, "i n d_llm"]:
        """Project the features of items."""


@runtime_checkable
class OutputProjector(Protocol):
    """Maps the LLM's states at the signal tokens to a generator's conditions; an `nn.Module`."""

    def __call__(self, states: Float[Tensor, "i k d_llm"]) -> Float[Tensor, "i l d_gen"]:
        """Project the signal states of items."""


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
class Generator(Protocol):
    """Makes media of one modality from conditions; a frozen `nn.Module`, kept outside the saved model."""

    condition_tokens: int
    condition_dim: int

    def encode_text(self, texts: list[str]) -> Float[Tensor, "i l d_gen"]:
        """The generator's own conditions for captions: target of the `align` objective."""

    def encode_media(self, values: Float[Tensor, "i ..."]) -> Float[Tensor, "i ..."]:
        """The latents that the generator learns to restore, from preprocessed media."""

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


class PartConfig(KindConfig):
    """Settings of a part that comes from a checkpoint."""

    checkpoint: str
    """`zoo:NAME`, a local folder, or a Hugging Face hub id."""
    revision: str | None = None
    """Commit or tag of a hub checkpoint."""
    dtype: str = "auto"
    """`auto` (as saved), `float32`, `bfloat16` or `float16`."""


class EncoderConfig(PartConfig):
    """Base of encoder settings."""

    room: ClassVar[str] = "modalink.encoders"

    @abstractmethod
    def build(self, *, weights: bool = True) -> nn.Module:
        """The encoder, with the checkpoint's weights, or (`weights=False`) only its architecture, on any device."""

    @abstractmethod
    def preprocessor(self) -> Preprocessor:
        """What must be done to a medium before this encoder."""


class InputProjectorConfig(KindConfig):
    """Base of input projector settings."""

    room: ClassVar[str] = "modalink.projectors.inputs"

    @abstractmethod
    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, grid: tuple[int, int] | None) -> nn.Module:
        """A new projector between these widths, its weights drawn from torch's global random state."""


class LlmConfig(PartConfig):
    """Base of LLM settings."""

    room: ClassVar[str] = "modalink.llms"

    @abstractmethod
    def build(self, *, weights: bool = True) -> PreTrainedModel:
        """The LLM with its head, frozen except for its adapters."""

    @abstractmethod
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The LLM's tokenizer, which must report character offsets."""

    @abstractmethod
    def architecture(self) -> PreTrainedConfig:
        """The LLM's configuration, read without its weights."""


class OutputProjectorConfig(KindConfig):
    """Base of output projector settings."""

    room: ClassVar[str] = "modalink.projectors.outputs"

    @abstractmethod
    def build(self, *, dim_in: int, dim_out: int, tokens_in: int, tokens_out: int) -> nn.Module:
        """A new projector from `tokens_in` signal states to `tokens_out` conditions."""


class GeneratorConfig(PartConfig):
    """Base of generator settings."""

    room: ClassVar[str] = "modalink.generators"

    @abstractmethod
    def build(self, *, weights: bool = True) -> nn.Module:
        """The frozen generator."""

    @abstractmethod
    def condition_shape(self) -> tuple[int, int]:
        """Tokens and width of the conditions, read from the checkpoint's configuration without its weights."""

    @abstractmethod
    def preprocessor(self) -> Preprocessor:
        """What must be done to a target medium before `encode_media`."""


@dataclass(frozen=True)
class ModalityRecord:
    """One row of the table of modalities; a modality is data."""

    name: str
    """Key in recipes and conversations, for example `image`."""
    placeholder: str
    """Token that stands for one item in a prompt, for example `<image>`."""
    signal: str
    """Spelling of the signal tokens, for example `[IMG{}]`."""
    argument: str
    """Keyword under which the model's forward takes the preprocessed items, for example `pixel_values`."""
    suffixes: tuple[str, ...]
    """File names that hold this modality."""
    read: Callable[..., Any]
    """Reads and checks one medium from a path, bytes, data URL or decoded object; raises `MediumError`."""
    write: Callable[[Any, Any], None]
    """Writes one decoded medium to a path."""
