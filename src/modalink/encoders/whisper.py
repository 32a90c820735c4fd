"""Whisper's encoder: speech, in windows of 30 seconds (arXiv 2212.04356)."""

from typing import Any, Literal

import torch
import transformers
from transformers import PreTrainedConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder as Tower

from modalink.encoders import _towers
from modalink.encoders._sounds import SoundConfig, WindowPreprocessor, Windows, architecture, extractor
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder

_PREFIX = {r"^(model\.)?encoder\.": ""}
_REST = (r"^(model\.)?decoder\.", r"^proj_out\.")
_STRIDE = 2
"""Frames of the spectrogram for a token: the second convolution's stride."""
_SMALL = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 128}


class WhisperConfig(SoundConfig):
    """Settings of Whisper's encoder."""

    kind: Literal["whisper"] = "whisper"
    drop_padding: bool = True
    """Whether the tokens of the silence that fills the last window are left out (Qwen-Audio); else each window makes as
    many tokens, 1500 (SALMONN). The silence is attended to either way: Whisper knows no mask."""

    def tiny(self) -> "WhisperConfig":
        """The zoo's encoder, whose windows last two seconds."""
        return self.from_zoo("audio")

    def build(self, *, weights: bool = True) -> "WhisperEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint is none of Whisper.
        """
        config = self._architecture()
        names = {"key_mapping": _PREFIX, "allow_unexpected": _REST}
        tower = _towers.own_tower(self, Tower, config, weights=weights, **names)
        return WhisperEncoder(tower, drop_padding=self.drop_padding)

    def describe(self) -> dict[str, Any]:
        """The architecture, and which tokens stay."""
        return {"drop_padding": self.drop_padding, "architecture": self._architecture().to_dict()}

    def miniature(self) -> "WhisperEncoder":
        """The same class with two narrow blocks."""
        config = transformers.WhisperConfig(**{**self._architecture().to_dict(), **_SMALL})
        return WhisperEncoder(Tower(config), drop_padding=self.drop_padding)

    def typical(self) -> Layout:
        """One window, full of sound."""
        return Layout(1, (_STRIDE * self._architecture().max_source_positions,), times_s=(0.0,))

    def preprocessor(self) -> WindowPreprocessor:
        """What the checkpoint's sounds go through; for well-known hub ids without a network."""
        bands = {"feature_size": self._architecture().num_mel_bins}
        found = extractor(self, WhisperFeatureExtractor, bands)
        windows = Windows(found.n_samples // found.hop_length, found.hop_length)
        return WindowPreprocessor(found, windows, self.max_seconds)

    def _architecture(self) -> PreTrainedConfig:
        return architecture(self, ("whisper",), "Whisper's")


class WhisperEncoder(Encoder):
    """Spectrograms of windows to the tokens of Whisper's encoder, one for 20 ms.

    Args:
        tower: The encoder of transformers.
        drop_padding: Whether the tokens of the silence behind a sound are left out.
    """

    def __init__(self, tower: Tower, *, drop_padding: bool) -> None:
        super().__init__()
        self.tower, self.drop_padding = tower, drop_padding
        self.window: int = tower.config.max_source_positions
        self.dim: int = tower.config.d_model
        self.unit_shape = (tower.config.num_mel_bins, _STRIDE * self.window)

    def layout(self, item: Layout) -> Layout:
        """A token for each two frames of a window, of those that hold sound or of all."""
        if not self.drop_padding:
            return item.each(self.window)
        return Layout(item.units, tuple(-(-frames // _STRIDE) for frames in item.blocks), times_s=item.times_s)

    def forward(self, items: Ragged) -> Ragged:
        """Encode spectrograms, in the precision of the tower."""
        states = self.tower(items.values.to(self.tower.dtype)).last_hidden_state
        layouts = [self.layout(layout) for layout in items.layouts]
        tokens = (count for layout in layouts for count in layout.blocks)
        return items.with_values(torch.cat([state[:n] for state, n in zip(states, tokens, strict=True)]), layouts)
