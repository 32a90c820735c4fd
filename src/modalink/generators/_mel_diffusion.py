"""Sounds from latents of mel spectrograms: the VAE between, HiFi-GAN behind, and the spectrogram that is learned from.

Source: Liu et al., AudioLDM (arXiv 2301.12503), section 3; its spectrograms are those of Tacotron 2's STFT, natural
logarithms of magnitudes. The samples are those of diffusers' pipelines.
"""

import math
from functools import cached_property
from typing import Any, ClassVar

import diffusers
import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from transformers import SpeechT5HifiGan
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from modalink import hub
from modalink.errors import GenerationError, PartError, shown
from modalink.generators._latent import LatentDiffusion
from modalink.generators._pipelines import PipelineConfig
from modalink.generators._sounds import heard, to_sounds
from modalink.generators.musicgen import MusicgenConfig
from modalink.modalities.audio import Sound, open_audio
from modalink.ragged import Ragged
from modalink.roles import MediaOptions, Preprocessor, Seconds, ShouldStop, check_stop

MOST_SECONDS = 120.0
"""Longest sound that is made at once."""
_WINDOW, _FLOOR = 1024, 1e-5
"""Samples of a window, at 16 kHz, and the least magnitude."""


class MelPipelineConfig(PipelineConfig):
    """Settings of a pipeline with a VAE of mel spectrograms and a HiFi-GAN."""

    denoiser: ClassVar[str | None] = "unet"

    seconds: Seconds | None = None
    """Length of a sound; the checkpoint's own if not set."""
    min_snr: float | None = Field(default=None, gt=0)
    """Min-SNR weighting of the denoising error (5 is usual); none if not set."""

    def makes(self) -> frozenset[str]:
        """Sounds."""
        return frozenset({"audio"})

    def tiny(self) -> MusicgenConfig:
        """The zoo's generator of sounds, which says codes."""
        return MusicgenConfig(checkpoint=self.checkpoint).tiny()

    def preprocessor(self) -> "TargetSpectrogram":
        """What a sound goes through before `encode_media`: the spectrogram of as much as is made."""
        vocoder = self.component("vocoder")
        with hub.foreign(PartError, f"{self.checkpoint}: found no length of its sounds in its settings"):
            rate, hop = int(vocoder["sampling_rate"]), math.prod(vocoder["upsample_rates"])
            unit = 2 ** (len(self.component("vae")["block_out_channels"]) - 1)
            frames = self.component("unet")["sample_size"] * unit
            if self.seconds is not None:
                frames = max(1, math.ceil(int(self.seconds * rate / hop) / unit)) * unit
            if not 1 <= frames * hop <= MOST_SECONDS * rate:
                raise PartError(f"{self.checkpoint}: makes {shown(frames)} frames, at most {MOST_SECONDS:g} s are made")
            return TargetSpectrogram(rate, hop, frames, int(vocoder["model_in_dim"]))

    def own(self, name: str, kind: Any, *, weights: bool) -> Any:
        """A network of transformers from a subfolder."""
        if weights:
            return self._load(name, kind)
        with hub.building(f"{self.checkpoint}: its {name} cannot be built"):
            return kind(kind.config_class.from_dict(self.component(name)))

    def both_ways(self, *, weights: bool) -> dict[str, Any]:
        """The VAE and the vocoder."""
        return {
            "vae": self.network("vae", diffusers.AutoencoderKL, weights=weights),
            "vocoder": self.own("vocoder", SpeechT5HifiGan, weights=weights),
        }

    def sampling(self) -> dict[str, Any]:
        """What `LatentDiffusion` is told."""
        target = self.preprocessor()
        seconds = self.seconds or target.frames * target.hop / target.rate_hz
        return {
            "solver": self.new_solver(),
            "condition_shapes": self.condition_shapes(),
            "min_snr": self.min_snr,
            "defaults": MediaOptions(steps=self.steps, guidance=self.guidance, seconds=seconds),
        }


class MelDiffusion(LatentDiffusion):
    """Base of generators of sounds whose latents are those of a mel spectrogram, `[c t m]`.

    Args:
        vae: Between spectrograms and latents.
        vocoder: From spectrograms to samples.
        settings: See `LatentDiffusion`.
    """

    options = frozenset({"steps", "guidance", "seconds"})
    unet: Any

    def __init__(self, *, vae: Any, vocoder: Any, **settings: Any) -> None:
        super().__init__(**settings)
        self.vae, self.vocoder = vae, vocoder

    @property
    def _unit(self) -> int:
        unit: int = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return unit

    def latent_shape(self, asked: MediaOptions) -> tuple[int, ...]:
        """Channels, times and bands."""
        assert asked.seconds is not None
        config = self.vocoder.config
        frames = int(asked.seconds / (math.prod(config.upsample_rates) / config.sampling_rate))
        if frames < 1 or asked.seconds > MOST_SECONDS:
            least = math.prod(config.upsample_rates) / config.sampling_rate
            raise GenerationError(
                f"seconds: found {asked.seconds:g}, needed a length from {least:g} to {MOST_SECONDS:g} seconds"
            )
        return self.unet.config.in_channels, math.ceil(frames / self._unit), config.model_in_dim // self._unit

    @torch.no_grad()
    def encode_media(self, media: Ragged) -> Float[Tensor, "i c t m"]:
        """The scaled latents of spectrograms, each of one unit `[1 t m]`: the mode of the VAE's posterior."""
        latents: Tensor = self.vae.encode(media.values.to(self.vae.dtype)).latent_dist.mode()
        return latents.mul(self.vae.config.scaling_factor)

    @torch.no_grad()
    def to_media(self, latents: Tensor, asked: MediaOptions, should_stop: ShouldStop | None) -> list[Sound]:
        """Sounds from scaled latents, as long as was asked."""
        check_stop(should_stop, "before its samples were made")
        return to_sounds(self._waves(latents, asked), self.vocoder.config.sampling_rate)

    def visible(self, latents: Float[Tensor, "i c t m"], asked: MediaOptions) -> Float[Tensor, "i n"]:
        """The samples of sounds, with gradients."""
        return heard(self._waves(latents, asked))

    def _waves(self, latents: Tensor, asked: MediaOptions) -> Float[Tensor, "i n"]:
        assert asked.seconds is not None
        bands = self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample
        samples: Tensor = self.vocoder(bands[:, 0].to(self.vocoder.dtype))
        return samples[:, : int(asked.seconds * self.vocoder.config.sampling_rate)]


class TargetSpectrogram(Preprocessor):
    """The log mel spectrogram of a sound, cut or filled with silence to one length.

    Args:
        rate_hz: Samples a second.
        hop: Samples between frames.
        frames: Frames.
        bands: Bands of the mel scale, up to half the rate.
    """

    def __init__(self, rate_hz: int, hop: int, frames: int, bands: int) -> None:
        self.rate_hz, self.hop, self.frames, self.bands = rate_hz, hop, frames, bands

    def __call__(self, medium: Any) -> Float[Tensor, "1 1 t m"]:
        """The spectrogram as one unit, float32."""
        length = self.frames * self.hop
        samples = open_audio(medium).samples(self.rate_hz, 0, length)
        filled = np.pad(samples, (0, length - len(samples)))
        found = spectrogram(
            filled,
            window_function(_WINDOW, "hann"),
            frame_length=_WINDOW,
            hop_length=self.hop,
            power=1.0,
            mel_filters=self._filters,
            mel_floor=_FLOOR,
            log_mel="log",
        )
        return torch.from_numpy(found.T[: self.frames].astype(np.float32))[None, None]

    def units(self, handle: Any) -> Float[Tensor, "1 1 t m"]:
        """The unit of an opened sound, of which no more is decoded than it holds."""
        return self(handle)

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        sizes = {"rate_hz": self.rate_hz, "hop": self.hop, "frames": self.frames, "bands": self.bands}
        return sizes | {"window": _WINDOW, "floor": _FLOOR, "scale": "slaney", "log": "natural"}

    @cached_property
    def _filters(self) -> np.ndarray:
        return mel_filter_bank(
            num_frequency_bins=_WINDOW // 2 + 1,
            num_mel_filters=self.bands,
            min_frequency=0.0,
            max_frequency=self.rate_hz / 2,
            sampling_rate=self.rate_hz,
            norm="slaney",
            mel_scale="slaney",
        )
