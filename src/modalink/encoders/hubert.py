"""HuBERT and its kin that read raw samples: HuBERT (arXiv 2106.07447), wav2vec 2.0 (2006.11477), WavLM (2110.13900)."""

import math
from typing import Any, Literal

import numpy as np
import torch
import transformers
from jaxtyping import Bool, Float, Float32
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, Wav2Vec2FeatureExtractor

from modalink.encoders import _towers
from modalink.encoders._sounds import SoundConfig, SoundPreprocessor, architecture, encoded, extractor
from modalink.encoders.whisper import WhisperConfig
from modalink.errors import PartError
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder

_FAMILIES = ("hubert", "wav2vec2", "wavlm")
# What training hides or leaves out at random, with the vector that stands for what is hidden.
_STEADY = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, "layerdrop": 0.0}
# What stands behind the blocks in checkpoints for pre-training, recognition and classification.
_REST = (
    r"^(\w+\.)?masked_spec_embed$",
    r"^(lm_head|classifier|projector|layer_weights|quantizer|project_q|project_hid|tdnn|objective)(\.|$)",
)
_SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


class HubertConfig(SoundConfig):
    """Settings of HuBERT, wav2vec 2.0 or WavLM, read behind the last block."""

    kind: Literal["hubert"] = "hubert"
    window_seconds: float = Field(default=30.0, ge=0.1, le=3600)
    """Longer sounds are cut in windows of this length, each encoded by itself; a rest too short for a token stays with
    the window before it. Memory grows with its square."""

    def tiny(self) -> WhisperConfig:
        """The zoo's encoder of sounds, which is Whisper's."""
        return WhisperConfig(checkpoint="zoo:audio", drop_padding=False)

    def build(self, *, weights: bool = True) -> "HubertEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint is none of these families, or its weights do not fit.
        """
        config = self._architecture()
        kind = _tower_class(config)
        return HubertEncoder(_towers.own_tower(self, kind, config, weights=weights, allow_unexpected=_REST))

    def describe(self) -> dict[str, Any]:
        """The architecture: weights and windows decide nothing here."""
        return {"architecture": self._architecture().to_dict()}

    def miniature(self) -> "HubertEncoder":
        """The same class with two narrow blocks."""
        config = self._architecture()
        small = _SMALL | {"conv_dim": [32] * len(config.conv_dim)}
        return HubertEncoder(_tower_class(config)(_changed(config, small)))

    def typical(self) -> Layout:
        """A second of sound."""
        stride = math.prod(self._architecture().conv_stride)
        return Layout(50, (50 * stride,), times_s=(0.0,))

    def preprocessor(self) -> "WavePreprocessor":
        """What the checkpoint's sounds go through."""
        return WavePreprocessor(
            extractor(self, Wav2Vec2FeatureExtractor), self._architecture(), self.window_seconds, self.max_seconds
        )

    def _architecture(self) -> PreTrainedConfig:
        config = architecture(self, _FAMILIES, f"one of {', '.join(_FAMILIES)}")
        if getattr(config, "add_adapter", False):
            raise PartError(f"{self.checkpoint}: found an adapter behind its blocks (add_adapter), needed none")
        return _changed(config, _STEADY)


class WavePreprocessor(SoundPreprocessor):
    """The samples of a sound, made even in loudness where the checkpoint's were, in rows of as many as a token adds.

    Args:
        extractor: A feature extractor of transformers for raw samples.
        config: The tower's configuration.
        window_seconds: Longer sounds are cut.
        max_seconds: Longer sounds are refused.
    """

    def __init__(self, extractor: Any, config: PreTrainedConfig, window_seconds: float, max_seconds: float) -> None:
        facts = {"extractor": extractor.to_dict(), "row": math.prod(config.conv_stride)}
        super().__init__(extractor.sampling_rate, _field(config), max_seconds, facts)
        self.extractor, self.row = extractor, math.prod(config.conv_stride)
        self.window = max(round(window_seconds * self.rate_hz), self.shortest)

    def laid(self, samples: int) -> Layout:
        """As many rows as hold samples; a block for each window, of its samples."""
        windows = max(1, -(-(samples - self.shortest + 1) // self.window))
        last = samples - (windows - 1) * self.window
        times_s = tuple(number * self.window / self.rate_hz for number in range(windows))
        return Layout(-(-samples // self.row), (*[self.window] * (windows - 1), last), times_s=times_s)

    def made(self, samples: Float32[np.ndarray, " n"]) -> Float[Tensor, "u r"]:
        """The rows of samples, the last filled with zeros, which are not read."""
        even = self.extractor(samples, sampling_rate=self.rate_hz).input_values[0]
        filled = np.pad(even.astype(np.float32), (0, -len(samples) % self.row))
        return torch.from_numpy(filled).unflatten(0, (-1, self.row))


class HubertEncoder(Encoder):
    """Samples to the tokens behind the last block, one for 20 ms; each window by itself.

    A token is made of the samples that its convolutions see: `1 + (n - 400) // 320` of n samples at the usual sizes.

    Args:
        tower: A tower of transformers.
    """

    def __init__(self, tower: PreTrainedModel) -> None:
        super().__init__()
        self.tower = tower
        config = tower.config
        self.dim: int = config.hidden_size
        self.unit_shape = (math.prod(config.conv_stride),)
        # A norm over all of a window's samples, or of its batch, sees the filling behind it; WavLM's mask and its bias
        # of positions are of types that torch no longer takes together.
        filled = config.feat_extract_norm == "layer" and not getattr(config, "conv_pos_batch_norm", False)
        self.masked = filled and config.model_type != "wavlm"

    def layout(self, item: Layout) -> Layout:
        """The tokens of each window's samples."""
        return Layout(item.units, tuple(map(self._tokens, item.blocks)), times_s=item.times_s)

    def forward(self, items: Ragged) -> Ragged:
        """Encode samples, in the precision of the tower."""
        layouts = [self.layout(layout) for layout in items.layouts]
        windows: list[Tensor] = []
        for rows, layout in zip(items, items.layouts, strict=True):
            windows += rows.flatten()[: layout.tokens].to(self.tower.dtype).split(list(layout.blocks))
        states = encoded(windows, self._states, masked=self.masked)
        counts = (count for layout in layouts for count in layout.blocks)
        return items.with_values(torch.cat([state[:n] for state, n in zip(states, counts, strict=True)]), layouts)

    def _states(self, samples: Float[Tensor, "i n"], mask: Bool[Tensor, "i n"] | None) -> Float[Tensor, "i p d"]:
        states: Tensor = self.tower(samples, attention_mask=None if mask is None else mask.long()).last_hidden_state
        return states

    def _tokens(self, samples: int) -> int:
        for kernel, stride in zip(self.tower.config.conv_kernel, self.tower.config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples


def _tower_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    kind: type[PreTrainedModel] = getattr(transformers, type(config).__name__.removesuffix("Config") + "Model")
    return kind


def _changed(config: PreTrainedConfig, changes: dict[str, Any]) -> PreTrainedConfig:
    changed: PreTrainedConfig = type(config).from_dict(config.to_dict() | changes)
    return changed


def _field(config: PreTrainedConfig) -> int:
    """How many samples one token is made of."""
    field = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        field = (field - 1) * stride + kernel
    return field
