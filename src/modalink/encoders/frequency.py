"""DocPedia's encoder: a Swin Transformer that reads a large page as cosine coefficients (arXiv 2311.11810).

Its patch embedding is a 1 x 1 convolution of the 192 channels, and a token stands for 64 x 64 pixels: 2560 px are 1600.
"""

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import field_validator
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from modalink import hub
from modalink.encoders import _towers
from modalink.encoders._frequencies import BLOCK, CHANNELS, FrequencyPreprocessor, spectral_stem
from modalink.encoders._images import image_processor
from modalink.encoders.vision import VisionConfig
from modalink.errors import PartError
from modalink.kinds import Width
from modalink.roles import BlockEncoder, EncoderConfig

_FAMILIES = ("swin", "swinv2", "donut-swin")
_STEM = "embeddings.patch_embeddings.projection"


class FrequencyConfig(EncoderConfig):
    """Settings of a Swin Transformer that reads frequencies, at its last layer."""

    kind: Literal["frequency"] = "frequency"
    image_size: Width = 2560
    """Side of the square that an image is scaled into, its proportions kept, in pixels."""

    @field_validator("image_size")
    @classmethod
    def _is_whole_tokens(cls, side: int) -> int:
        if side % 64:
            raise ValueError(f"found {side}, needed a multiple of 64: a token stands for 64 x 64 pixels")
        return side

    def reads(self) -> frozenset[str]:
        """Images."""
        return frozenset({"image"})

    def tiny(self) -> VisionConfig:
        """The zoo's encoder of pictures, a CLIP tower."""
        return VisionConfig(checkpoint="zoo:vision", layer=-1)

    def build(self, *, weights: bool = True) -> "FrequencyEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Of a tower that reads pixels, the patch embedding becomes one that sees in frequencies what that saw.

        Raises:
            PartError: The checkpoint is no Swin Transformer.
        """
        pixels, config = self._tower_config(), self._config()
        kind = _towers.tower_class(config)
        if not weights:
            return FrequencyEncoder(_towers.random_tower(kind, config, self.dtype))
        tower = _towers.load_tower(kind, pixels, self.checkpoint, self.revision, self.dtype)
        if pixels.num_channels != CHANNELS:
            tower = self._in_frequencies(tower, config)
        return FrequencyEncoder(tower)

    def describe(self) -> dict[str, Any]:
        """The architecture; weights decide nothing here."""
        architecture = {key: value for key, value in self._config().to_dict().items() if key != "_name_or_path"}
        return {"architecture": architecture}

    def miniature(self) -> "FrequencyEncoder":
        """The same class, narrow, of two blocks a stage, on so few tokens as fill a window of the last stage."""
        full = self._config()
        data = {key: value for key, value in full.to_dict().items() if key not in ("model_type", "architectures")}
        stages = len(full.depths)
        side = max(6, full.window_size) * 2 ** (stages - 1)
        small = {"embed_dim": 8 * full.num_heads[0], "depths": [2] * stages, "image_size": side}
        return FrequencyEncoder(_towers.tower_class(full)(type(full)(**(data | small))))

    def preprocessor(self) -> FrequencyPreprocessor:
        """What an image goes through."""
        return FrequencyPreprocessor(self.image_size)

    def _in_frequencies(self, tower: PreTrainedModel, config: PreTrainedConfig) -> PreTrainedModel:
        folder = hub.locate(self.checkpoint, self.revision, weights=False)
        processor = image_processor(folder, self._tower_config())
        state, kernel, bias = tower.state_dict(), f"{_STEM}.weight", f"{_STEM}.bias"
        stem = spectral_stem(state[kernel], state[bias], list(processor.image_mean), list(processor.image_std))
        state[kernel], state[bias] = stem
        reading = type(tower)(config).to(tower.dtype)
        with hub.foreign(PartError, f"{self.checkpoint}: it cannot read frequencies of {self.image_size} px"):
            reading.load_state_dict(state)
        return reading.eval()

    def _config(self) -> PreTrainedConfig:
        """The tower's configuration where it reads frequencies: every place of the map is a patch."""
        config = self._tower_config()
        return type(config).from_dict(
            config.to_dict() | {"num_channels": CHANNELS, "patch_size": 1, "image_size": self.image_size // BLOCK}
        )

    def _tower_config(self) -> PreTrainedConfig:
        config = _towers.tower_config(hub.architecture(self.checkpoint, self.revision))
        if config.model_type not in _FAMILIES:
            raise PartError(
                f"{self.checkpoint}: found a checkpoint of type {config.model_type!r}, needed one of "
                f"{', '.join(_FAMILIES)}: towers without a table of positions"
            )
        return config


class FrequencyEncoder(BlockEncoder):
    """Frequencies to the tokens of a Swin Transformer, row by row.

    Args:
        tower: A tower of transformers whose patches are single places of a map of 192 channels.
    """

    def __init__(self, tower: PreTrainedModel) -> None:
        super().__init__()
        self.tower = tower
        side: int = tower.config.image_size
        self.unit_shape = (CHANNELS, side, side)
        with torch.inference_mode(False), torch.enable_grad(), torch.device("meta"):
            bare = type(tower)(tower.config)
            with hub.foreign(PartError, f"this tower cannot read images of {BLOCK * side} px"):
                state = bare(torch.empty(1, *self.unit_shape)).last_hidden_state
            self.unread = frozenset(f"tower.{name}" for name in _towers.unread(bare, state))
        self.tokens_per_block, self.dim = state.shape[1:]
        rows = math.isqrt(self.tokens_per_block)
        self.grid = (rows, rows)

    def encode(self, units: Float[Tensor, "u c h w"]) -> Float[Tensor, "u p {self.dim}"]:
        """Encode frequencies, in the precision of the tower."""
        tokens: Tensor = self.tower(units.to(self.tower.dtype)).last_hidden_state
        return tokens
