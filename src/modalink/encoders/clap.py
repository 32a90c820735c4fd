"""CLAP's tower of sounds, with and without fusion (arXiv 2211.06687)."""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from transformers import ClapAudioModel, ClapFeatureExtractor, PreTrainedConfig
from transformers.audio_utils import spectrogram, window_function

from modalink.devices import to_device
from modalink.encoders import _towers
from modalink.encoders._sounds import SoundConfig, SoundPreprocessor, Windows, architecture, extractor
from modalink.encoders.whisper import WhisperConfig
from modalink.errors import PartError
from modalink.ragged import Layout, Ragged
from modalink.roles import Encoder

_PREFIX = {r"^audio_model\.": ""}
_REST = (r"^(text_model|text_projection|audio_projection)\.", r"^logit_scale", r"relative_position_index$")
_SMALL = {"patch_embeds_hidden_size": 16, "num_attention_heads": [2, 2, 2, 2], "aff_block_r": 2}


class ClapConfig(SoundConfig):
    """Settings of CLAP's tower of sounds, read before its mean over places."""

    kind: Literal["clap"] = "clap"

    def tiny(self) -> WhisperConfig:
        """The zoo's encoder of sounds, which is Whisper's."""
        return WhisperConfig(checkpoint="zoo:audio", drop_padding=False)

    def build(self, *, weights: bool = True) -> "ClapEncoder":
        """The encoder, with the checkpoint's weights or only its architecture.

        Raises:
            PartError: The checkpoint is none of CLAP, or its weights do not fit.
        """
        config = self._architecture()
        names = {"key_mapping": _PREFIX, "allow_unexpected": _REST}
        tower = _towers.own_tower(self, ClapAudioModel, config, weights=weights, **names)
        return ClapEncoder(tower, self._window())

    def describe(self) -> dict[str, Any]:
        """The architecture, and how long a window is."""
        return {"window": self._window(), "architecture": self._architecture().to_dict()}

    def miniature(self) -> "ClapEncoder":
        """The same class, narrower."""
        config = self._architecture()
        depth = {"depths": [min(2, blocks) for blocks in config.depths]}
        heads = {"num_attention_heads": [2] * len(config.depths)}
        small = type(config).from_dict(config.to_dict() | _SMALL | depth | heads)
        return ClapEncoder(ClapAudioModel(small), self._window())

    def typical(self) -> Layout:
        """One window; with fusion, of a sound that is twice as long."""
        window = self._window()
        return Layout(1, (2 * window if self._architecture().enable_fusion else window,), times_s=(0.0,))

    def preprocessor(self) -> "ClapPreprocessor":
        """What the checkpoint's sounds go through; for well-known hub ids without a network."""
        return ClapPreprocessor(self._extractor(), self.max_seconds, fused=self._architecture().enable_fusion)

    def _window(self) -> int:
        """Frames of a window."""
        found = self._extractor()
        window: int = found.nb_max_samples // found.hop_length + 1
        return window

    def _extractor(self) -> ClapFeatureExtractor:
        config = self._architecture()
        truncation = "fusion" if config.enable_fusion else "rand_trunc"
        found: ClapFeatureExtractor = extractor(self, ClapFeatureExtractor, {"truncation": truncation})
        if (found.truncation == "fusion") != config.enable_fusion or found.feature_size != config.num_mel_bins:
            made = f"truncation {found.truncation!r}, {found.feature_size} bands"
            needed = f"those of a tower of {config.num_mel_bins} bands with enable_fusion: {config.enable_fusion}"
            raise PartError(f"{self.checkpoint}: its preprocessing has {made}, needed {needed}")
        return found

    def _architecture(self) -> PreTrainedConfig:
        config = architecture(self, ("clap", "clap_audio_model"), "CLAP's")
        config = getattr(config, "audio_config", config)
        if config.enable_fusion and config.fusion_type == "channel_map":
            raise PartError(f"{self.checkpoint}: found the fusion 'channel_map', needed attention ('aff_2d')")
        return config


class ClapPreprocessor(SoundPreprocessor):
    """Spectrograms of a sound as CLAP's own feature extractor makes them, but without chance.

    Without fusion a long sound is cut in windows of ten seconds. With fusion every sound is one unit of four
    spectrograms: of a long one, the whole made as short as a window, and a window from the middle of each third of the
    places that it may have, which CLAP draws; of a short one, four times the same.
    A sound that is shorter than a window is repeated and filled with silence, as the checkpoint says.

    Args:
        extractor: The checkpoint's feature extractor.
        max_seconds: Longer sounds are refused.
        fused: Whether the checkpoint fuses.
    """

    def __init__(self, extractor: ClapFeatureExtractor, max_seconds: float, *, fused: bool) -> None:
        facts = {"extractor": extractor.to_dict(), "fused": fused}
        super().__init__(extractor.sampling_rate, 1, max_seconds, facts)
        self.extractor, self.fused = extractor, fused
        self.window, self.hop = extractor.nb_max_samples, extractor.hop_length

    def laid(self, samples: int) -> Layout:
        """A block for each window, of its frames; with fusion one, of the sound's."""
        if self.fused:
            return Layout(1, (samples // self.hop + 1,), times_s=(0.0,))
        return Windows(self.window // self.hop, self.hop).layout(samples, self.rate_hz)

    def made(self, samples: Float32[np.ndarray, " n"]) -> Float[Tensor, "u c frames mel"]:
        """The spectrograms, in decibels."""
        if not self.fused:
            windows = [samples[start : start + self.window] for start in range(0, len(samples), self.window)]
            return torch.stack([self._spectrogram(window)[None] for window in windows])
        whole, frames = self._spectrogram(samples), self.window // self.hop + 1
        if len(whole) <= frames:
            return whole.expand(1, 4, -1, -1).contiguous()
        size = (frames, whole.shape[1])
        short = torch.nn.functional.interpolate(whole[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        thirds = np.array_split(np.arange(len(whole) - frames + 1), 3)
        starts = [third[len(third) // 2] if len(third) else 0 for third in thirds]
        return torch.stack([short, *(whole[start : start + frames] for start in starts)])[None]

    def _spectrogram(self, samples: Float32[np.ndarray, " n"]) -> Float[Tensor, "frames mel"]:
        found, rest = self.extractor, self.window - len(samples)
        if rest > 0:
            repeats = {"repeat": self.window // len(samples) + 1, "repeatpad": self.window // len(samples)}
            samples = np.tile(samples, repeats.get(found.padding, 1))[: self.window]
            samples = np.pad(samples, (0, self.window - len(samples)))
        decibels = spectrogram(
            samples.astype(np.float64),
            window_function(found.fft_window_size, "hann"),
            frame_length=found.fft_window_size,
            hop_length=self.hop,
            power=2.0,
            # The towers with fusion were trained on torchaudio's bands, those without on librosa's.
            mel_filters=found.mel_filters if self.fused else found.mel_filters_slaney,
            log_mel="dB",
        )
        return torch.from_numpy(decibels.T.astype(np.float32))


class ClapEncoder(Encoder):
    """Spectrograms to the tower's last map: rows are bands of frequencies, low to high, and go through time.

    The weights of the fusion read what is longer than a window, as in the paper; transformers' feature extractor lets
    them read a random sound where all are short.

    Args:
        tower: A tower of transformers.
        window: Frames of a window; longer sounds are fused.
    """

    def __init__(self, tower: ClapAudioModel, window: int) -> None:
        super().__init__()
        self.tower, self.window = tower, window
        config = tower.config
        self.fused: bool = config.enable_fusion
        self.dim: int = config.patch_embeds_hidden_size * 2 ** (len(config.depths) - 1)
        self.unit_shape = (4 if self.fused else 1, window, config.num_mel_bins)
        stride, shrunk = tower.audio_encoder.patch_stride, 2 ** (len(config.depths) - 1)
        high, wide = (config.spec_size // shrunk // side for side in stride)
        rows = high // tower.audio_encoder.freq_ratio
        self.grid = (rows, high * wide // rows)

    def layout(self, item: Layout) -> Layout:
        """As many tokens for each window, or for the whole where it is fused: 2 rows of 32 at the usual size."""
        return item.each(self.grid[0] * self.grid[1], self.grid)

    def forward(self, items: Ragged) -> Ragged:
        """Encode spectrograms, in the precision of the tower."""
        longer = None
        if self.fused:
            frames = torch.tensor([frames for layout in items.layouts for frames in layout.blocks])
            longer = to_device((frames > self.window)[:, None], items.values.device)
        state: Tensor = self.tower(items.values.to(self.tower.dtype), is_longer=longer).last_hidden_state
        tokens = state.flatten(2).mT.flatten(0, 1)
        return items.with_values(tokens, [self.layout(layout) for layout in items.layouts])
