"""Sounds to encoder input: cut in windows, each through the checkpoint's own feature extractor of transformers."""

import json
from typing import Any

from jaxtyping import Float
from torch import Tensor

from modalink.errors import MediumError
from modalink.modalities.audio import AudioHandle, open_audio
from modalink.ragged import Layout
from modalink.roles import Preprocessor


class WindowPreprocessor(Preprocessor):
    """Cuts a sound in windows of one length, the last filled with silence, and makes a spectrogram of each.

    Args:
        extractor: A feature extractor of transformers with `n_samples`, `hop_length` and `sampling_rate`, as Whisper's.
        max_seconds: Longer sounds are refused.
    """

    def __init__(self, extractor: Any, max_seconds: float) -> None:
        self.extractor, self.max_seconds = extractor, max_seconds
        self.rate_hz: int = extractor.sampling_rate

    def layout(self, medium: Any) -> Layout:
        """A unit for each window, which begins at its time and is a block of as many frames as hold sound."""
        sound = open_audio(medium)
        if sound.duration_s > self.max_seconds:
            detail = (
                f"lasts {sound.extent}, this encoder reads at most {self.max_seconds:g} s: cut it, or set max_seconds"
            )
            raise MediumError(sound.label, "too_long", detail)
        samples, window, hop = sound.length(self.rate_hz), self.extractor.n_samples, self.extractor.hop_length
        starts = range(0, samples, window)
        frames = tuple(-(-min(window, samples - start) // hop) for start in starts)
        return Layout(len(frames), frames, times_s=tuple(start / self.rate_hz for start in starts))

    def __call__(self, medium: Any) -> Float[Tensor, "u mel frames"]:
        """The spectrograms of a sound's windows, float32."""
        sound: AudioHandle = open_audio(medium)
        samples, window = sound.samples(self.rate_hz), self.extractor.n_samples
        windows = [samples[start : start + window] for start in range(0, len(samples), window)]
        values: Tensor = self.extractor(windows, sampling_rate=self.rate_hz, return_tensors="pt")["input_features"]
        return values

    def units(self, handle: Any) -> Float[Tensor, "u mel frames"]:
        """The spectrograms of an opened sound, which is decoded at the extractor's rate alone."""
        return self(handle)

    def to_dict(self) -> dict[str, Any]:
        """All that decides the result, as JSON data."""
        return {"extractor": json.loads(json.dumps(self.extractor.to_dict())), "max_seconds": self.max_seconds}
