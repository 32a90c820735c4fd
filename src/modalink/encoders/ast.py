"""Audio Spectrogram Transformer: sounds of all kinds, in windows of about ten seconds (arXiv 2104.01778)."""

from typing import Any, Literal

import torch
from torch import Tensor
from transformers import ASTFeatureExtractor, ASTModel, PreTrainedConfig

from modalink.encoders import _towers
from modalink.encoders._sounds import SoundConfig, WindowPreprocessor, Windows, architecture, extractor
from modalink.encoders.whisper import WhisperConfig
from modalink.errors import PartError
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder

_TYPE = "audio-spectrogram-transformer"
_RATE_HZ, _FRAME, _HOP = 16_000, 400, 160
"""Kaldi's frames of 25 ms, one for 10 ms; the feature extractor knows no others."""
_SPECIAL = 2
"""The class token and the distillation token, in front of the patches."""
_SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


class AstConfig(SoundConfig):
    """Settings of the Audio Spectrogram Transformer, read behind its last norm."""

    kind: Literal["ast"] = "ast"
    drop_padding: bool = True
    """Whether the tokens of what fills the last window are left out; else each window makes as many tokens, 12 rows of
    101 (1212) at the usual size. The filling is attended to either way: the tower knows no mask."""

    def tiny(self) -> WhisperConfig:
        """The zoo's encoder of sounds, which is Whisper's."""
        return WhisperConfig(checkpoint="zoo:audio", drop_padding=False)

    def build(self, *, weights: bool = True) -> "AstEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint is none of this family, or its weights do not fit.
        """
        config = self._architecture()
        tower = _towers.own_tower(self, ASTModel, config, weights=weights, allow_unexpected=(r"^classifier\.",))
        return AstEncoder(tower, drop_padding=self.drop_padding)

    def describe(self) -> dict[str, Any]:
        """The architecture, and which tokens stay."""
        return {"drop_padding": self.drop_padding, "architecture": self._architecture().to_dict()}

    def miniature(self) -> "AstEncoder":
        """The same class with two narrow blocks."""
        config = self._architecture()
        small = type(config).from_dict(config.to_dict() | _SMALL)
        return AstEncoder(ASTModel(small), drop_padding=self.drop_padding)

    def typical(self) -> Layout:
        """One window, full of sound."""
        return Layout(1, (self._architecture().max_length,), times_s=(0.0,))

    def preprocessor(self) -> WindowPreprocessor:
        """What the checkpoint's sounds go through; for well-known hub ids without a network.

        Raises:
            PartError: It makes other spectrograms than the tower reads.
        """
        config = self._architecture()
        sizes = {"max_length": config.max_length, "num_mel_bins": config.num_mel_bins}
        found = extractor(self, ASTFeatureExtractor, sizes)
        made = {name: getattr(found, name) for name in sizes} | {"sampling_rate": found.sampling_rate}
        if made != (needed := sizes | {"sampling_rate": _RATE_HZ}):
            raise PartError(f"{self.checkpoint}: its preprocessing has {made}, needed {needed}")
        return WindowPreprocessor(found, Windows(config.max_length, _HOP, _FRAME), self.max_seconds)

    def _architecture(self) -> PreTrainedConfig:
        return architecture(self, (_TYPE,), "an Audio Spectrogram Transformer's")


class AstEncoder(Encoder):
    """Spectrograms of windows to the tower's patches, row by row: one row for each band of frequencies, low to high.

    A row goes through time: the first tokens of a block are its lowest band from beginning to end.

    Args:
        tower: A tower of transformers.
        drop_padding: Whether the tokens of what stands behind a sound are left out.
    """

    def __init__(self, tower: ASTModel, *, drop_padding: bool) -> None:
        super().__init__()
        self.tower, self.drop_padding = tower, drop_padding
        config = tower.config
        self.dim: int = config.hidden_size
        self.unit_shape = (config.max_length, config.num_mel_bins)
        self.rows, self.columns = tower.embeddings.get_shape(config)

    def layout(self, item: Layout) -> Layout:
        """The patches that begin in the sound, or all; on a grid where they are as many in each window."""
        columns = [self._columns(frames) for frames in item.blocks]
        grid = (self.rows, columns[0]) if len({*columns}) == 1 else None
        return Layout(item.units, tuple(self.rows * n for n in columns), grid, times_s=item.times_s)

    def forward(self, items: Ragged) -> Ragged:
        """Encode spectrograms, in the precision of the tower."""
        states: Tensor = self.tower(items.values.to(self.tower.dtype)).last_hidden_state
        patches = states[:, _SPECIAL:].unflatten(1, (self.rows, self.columns))
        columns = (self._columns(frames) for layout in items.layouts for frames in layout.blocks)
        kept = [patch[:, :n].flatten(0, 1) for patch, n in zip(patches, columns, strict=True)]
        return items.with_values(torch.cat(kept), [self.layout(layout) for layout in items.layouts])

    def _columns(self, frames: int) -> int:
        stride: int = self.tower.config.time_stride
        return min(self.columns, -(-frames // stride)) if self.drop_padding else self.columns
