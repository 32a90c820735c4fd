"""Sounds to encoder input, in windows: spectrograms of one length, or as many rows (samples, frames) as there are."""

import json
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from pydantic import Field
from torch import Tensor
from transformers import FeatureExtractionMixin, PreTrainedConfig

from modalink import hub, json_files
from modalink.devices import to_device
from modalink.errors import MediumError, PartError, shown
from modalink.modalities._waves import MAX_RATE_HZ, MIN_RATE_HZ
from modalink.modalities.audio import AudioHandle, open_audio
from modalink.ragged import Layout
from modalink.roles import EncoderConfig, Preprocessor


class SoundConfig(EncoderConfig):
    """What the settings of all encoders of sound have."""

    max_seconds: float = Field(default=300.0, gt=0)
    """Longest sound, in seconds; longer ones are refused, with a line in the ledger."""

    def reads(self) -> frozenset[str]:
        """Sounds."""
        return frozenset({"audio"})


def architecture(config: EncoderConfig, families: Sequence[str], needed: str) -> PreTrainedConfig:
    """The configuration of a checkpoint of one of some model types.

    Raises:
        PartError: It is of another one.
    """
    found = hub.architecture(config.checkpoint, config.revision)
    if found.model_type not in families:
        raise PartError(f"{config.checkpoint}: found a checkpoint of type {found.model_type!r}, needed {needed}")
    return found


def extractor(config: EncoderConfig, kind: type[FeatureExtractionMixin], known: dict[str, Any] | None = None) -> Any:
    """The feature extractor of a checkpoint.

    Args:
        config: Settings that name the checkpoint.
        kind: Its class.
        known: Settings that it has at well-known hub ids, where all of them are the same.

    Raises:
        PartError: It is absent, of another kind, or for a rate that no sound has.
    """
    with warnings.catch_warnings():
        # Bands of low frequencies so narrow that no Fourier coefficient lies in them: so the towers were trained.
        warnings.filterwarnings("ignore", "At least one mel filter has all zero values")
        if known is not None and hub.is_known(config.checkpoint):
            return kind(**known)
        folder = hub.locate(config.checkpoint, config.revision, weights=False)
        _check(json_files.read(folder / "preprocessor_config.json", PartError, dict[str, Any]), config.checkpoint, kind)
        return hub.read(kind, folder)


def _check(facts: dict[str, Any], name: str, kind: type[FeatureExtractionMixin]) -> None:
    named = facts.get("feature_extractor_type") or facts.get("image_processor_type") or kind.__name__
    if named != kind.__name__:
        raise PartError(f"{name}: found the preprocessing of a {shown(named)}, needed {kind.__name__}'s")
    rate = facts.get("sampling_rate", MIN_RATE_HZ)
    if type(rate) is not int or not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        needed = f"needed a whole number from {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,}"
        raise PartError(f"{name}: its preprocessing has a sampling_rate of {shown(rate)}, {needed}")


class SoundPreprocessor(Preprocessor):
    """What is read of a sound, which is decoded at one rate alone.

    Args:
        rate_hz: Samples a second.
        shortest: Samples of which one token can be made; shorter sounds are refused.
        max_seconds: Longer sounds are refused.
        facts: What else decides the result, the rate among it, as JSON data.
    """

    def __init__(self, rate_hz: int, shortest: int, max_seconds: float, facts: dict[str, Any]) -> None:
        self.rate_hz, self.shortest, self.max_seconds, self.facts = rate_hz, shortest, max_seconds, facts

    def layout(self, medium: Any) -> Layout:
        """How a sound of its length lies.

        Raises:
            MediumError: It is too long, or too short for one token.
        """
        sound = open_audio(medium)
        if sound.duration_s > self.max_seconds:
            detail = (
                f"lasts {sound.extent}, this encoder reads at most {self.max_seconds:g} s: cut it, or set max_seconds"
            )
            raise MediumError(sound.label, "too_long", detail)
        samples = sound.length(self.rate_hz)
        if samples < self.shortest:
            least = f"{self.shortest / self.rate_hz:.3g} s ({self.shortest} samples at {self.rate_hz:,} Hz)"
            detail = f"lasts {sound.duration_s:.3g} s, this encoder makes no token of less than {least}; leave it out"
            raise MediumError(sound.label, "too_short", detail)
        return self.laid(samples)

    def __call__(self, medium: Any) -> Float[Tensor, "u ..."]:
        """The units of a sound, float32."""
        sound: AudioHandle = open_audio(medium)
        self.layout(sound)
        return self.made(sound.samples(self.rate_hz))

    def units(self, handle: Any) -> Float[Tensor, "u ..."]:
        """The units of an opened sound, which is decoded at this rate alone."""
        return self(handle)

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return json.loads(json.dumps({**self.facts, "max_seconds": self.max_seconds}))

    @abstractmethod
    def laid(self, samples: int) -> Layout:
        """How so many samples lie."""

    @abstractmethod
    def made(self, samples: Float32[np.ndarray, " n"]) -> Float[Tensor, "u ..."]:
        """The units of samples."""


@dataclass(frozen=True)
class Windows:
    """How the frames of a spectrogram are cut in windows of one length, none of them lost.

    Args:
        frames: Frames of a window.
        hop: Samples between frames.
        frame: Samples that a frame needs: 1 where what lies beyond the end is filled with silence.
    """

    frames: int
    hop: int
    frame: int = 1

    def count(self, samples: int) -> int:
        """How many frames so many samples have."""
        return (samples - self.frame) // self.hop + 1

    def cut(self, samples: int) -> list[tuple[int, int]]:
        """The first and the end of the samples of each window; those of neighbours overlap where frames do."""
        length = (self.frames - 1) * self.hop + max(self.frame, self.hop)
        starts = range(0, self.count(samples) * self.hop, self.frames * self.hop)
        return [(start, min(start + length, samples)) for start in starts]

    def layout(self, samples: int, rate_hz: int, *, rows: bool = False) -> Layout:
        """A block for each window, of as many frames as hold sound.

        Args:
            samples: Samples of the sound.
            rate_hz: Samples a second.
            rows: Whether the units are the frames; else they are the windows.
        """
        windows = self.cut(samples)
        blocks = tuple(min(self.frames, self.count(stop - start)) for start, stop in windows)
        times_s = tuple(start / rate_hz for start, _ in windows)
        return Layout(sum(blocks) if rows else len(blocks), blocks, times_s=times_s)


class WindowPreprocessor(SoundPreprocessor):
    """Cuts a sound in windows of one length, the last filled up, and makes a spectrogram of each.

    Args:
        extractor: A feature extractor of transformers, which fills what is shorter than a window.
        windows: How it cuts.
        max_seconds: Longer sounds are refused.
    """

    def __init__(self, extractor: Any, windows: Windows, max_seconds: float) -> None:
        super().__init__(extractor.sampling_rate, windows.frame, max_seconds, {"extractor": extractor.to_dict()})
        self.extractor, self.windows = extractor, windows

    def laid(self, samples: int) -> Layout:
        """A unit for each window, which begins at its time and is a block of as many frames as hold sound."""
        return self.windows.layout(samples, self.rate_hz)

    def made(self, samples: Float32[np.ndarray, " n"]) -> Float[Tensor, "u ..."]:
        """The spectrograms of the windows."""
        windows = [samples[start:stop] for start, stop in self.windows.cut(len(samples))]
        found = self.extractor(windows, sampling_rate=self.rate_hz, return_tensors="pt")
        values: Tensor = found[self.extractor.model_input_names[0]]
        return values.float()


def encoded(
    windows: Sequence[Tensor],
    encode: Callable[[Float[Tensor, "i n ..."], Bool[Tensor, "i n"] | None], Float[Tensor, "i p d"]],
    *,
    masked: bool,
) -> list[Tensor]:
    """Windows of several lengths, each encoded as it would be alone.

    Args:
        windows: Samples or frames of each, `[n ...]`.
        encode: The tokens of windows of one length, and which of their rows are no filling, if some are.
        masked: Whether windows may be filled to one length; if not, those of one length are encoded together.

    Returns:
        The tokens of each, `[p d]`, those of its filling among them.
    """
    lengths = [len(window) for window in windows]
    if masked and len({*lengths}) > 1:
        filled = torch.nn.utils.rnn.pad_sequence(list(windows), batch_first=True)
        heard = torch.arange(filled.shape[1]) < torch.tensor(lengths)[:, None]
        return list(encode(filled, to_device(heard, filled.device)))
    found: dict[int, Tensor] = {}
    for length in dict.fromkeys(lengths):
        places = [i for i, n in enumerate(lengths) if n == length]
        found |= zip(places, encode(torch.stack([windows[i] for i in places]), None), strict=True)
    return [found[i] for i in range(len(windows))]
