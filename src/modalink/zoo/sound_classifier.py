"""A small network that reads a sound of the tiny world back into its notes, to score sounds that were made."""

from collections.abc import Sequence
from functools import cache
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from modalink.modalities.audio import AudioHandle, open_audio
from modalink.modalities.audio import Sound as Samples
from modalink.tiny_world.sounds.notes import LENGTHS, MOTIONS, ORDINALS, PITCHES, TIMBRES, Note
from modalink.tiny_world.sounds.synthesis import RATE_HZ, SECONDS
from modalink.zoo import _classifier

BANDS = 48
HOP = 160
"""Samples between two moments at which it names the note that sounds."""
OUTPUTS = (2, len(TIMBRES), len(PITCHES), len(MOTIONS))
_WINDOW = 512
_DECADES = 4.0
"""How far below the loudest moment it listens."""
_SILENT = 1e-3
"""Largest sample of what counts as silence."""
_SHORTEST_S, _GAP_S = 0.1, 0.03
"""Notes that are shorter are none; breaks that are not longer are none."""


class SoundClassifierNet(nn.Module):
    """Names the note that sounds at each moment, of which it hears a third of a second before and behind."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.first = nn.Sequential(nn.Conv1d(BANDS, width, 5, padding=2), nn.GroupNorm(8, width), nn.SiLU())
        self.further = nn.ModuleList(_dilated(width, step) for step in (1, 2, 4, 8, 16))
        self.head = nn.Conv1d(width, sum(OUTPUTS), 1)

    def forward(self, bands: Float[Tensor, "b m t"]) -> Float[Tensor, "b t k"]:
        """Give logits of present, timbre, pitch and motion, one after the other, for every moment.

        Args:
            bands: What `listen` gives.
        """
        states = self.first(bands)
        for layer in self.further:
            states = states + layer(states)
        logits: Tensor = self.head(states).transpose(1, 2)
        return logits


class SoundClassifier(_classifier.Classifier[SoundClassifierNet]):
    """Reads sounds back into notes with a trained network."""

    part = "sound_classifier"
    network = SoundClassifierNet

    @torch.no_grad()
    def __call__(self, sounds: Sequence[Samples]) -> list[list[Note]]:
        """Name the notes of each sound in their order, at most three."""
        return [self._heard(open_audio(sound)) for sound in sounds]

    def _heard(self, sound: AudioHandle) -> list[Note]:
        wave = sound.samples(RATE_HZ, 0, sound.length(RATE_HZ))
        if np.abs(wave).max(initial=0.0) < _SILENT:
            return []
        # A window has to fit, however short the sound is.
        return _notes(self.net(listen(np.pad(wave, (0, max(0, _WINDOW - len(wave))))[None]))[0])


def listen(waves: Float[np.ndarray, "b n"] | Float[Tensor, "b n"]) -> Float[Tensor, "b m t"]:
    """Loudness of bands at each moment in decades, from 0, the loudest of all, down to -4."""
    spectrum = torch.stft(
        torch.as_tensor(waves), _WINDOW, HOP, window=torch.hann_window(_WINDOW), return_complex=True
    ).abs()
    loud = (_filters() @ spectrum).clamp(min=1e-6).log10()
    return (loud - loud.amax((1, 2), keepdim=True)).clamp(min=-_DECADES)


@cache
def _filters() -> Float[Tensor, "m f"]:
    bins = _WINDOW // 2 + 1
    filters = mel_filter_bank(bins, BANDS, 60.0, RATE_HZ / 2, RATE_HZ, norm=None, mel_scale="htk")
    return torch.from_numpy(filters.T.astype(np.float32))


def _notes(logits: Float[Tensor, "t k"]) -> list[Note]:
    here, *attributes = [part.log_softmax(-1) for part in logits.split(list(OUTPUTS), dim=-1)]
    spans = [
        (first, last)
        for first, last in _runs(here.argmax(-1).tolist())
        if (last - first) * HOP >= _SHORTEST_S * RATE_HZ
    ]
    notes = []
    for ordinal, (first, last) in zip(ORDINALS, spans, strict=False):
        timbre, pitch, motion = (int(part[first:last].sum(0).argmax()) for part in attributes)
        seconds = (last - first) * HOP / RATE_HZ
        length = min(LENGTHS, key=lambda name: abs(SECONDS[name] - seconds))
        notes.append(Note(TIMBRES[timbre], PITCHES[pitch], MOTIONS[motion], length, ordinal))
    return notes


def _runs(present: list[int]) -> list[tuple[int, int]]:
    """Where notes begin and end; short breaks are closed."""
    runs: list[tuple[int, int]] = []
    for here, moments in groupby(range(len(present)), key=present.__getitem__):
        places = list(moments)
        if here and runs and (places[0] - runs[-1][1]) * HOP <= _GAP_S * RATE_HZ:
            runs[-1] = (runs[-1][0], places[-1] + 1)
        elif here:
            runs.append((places[0], places[-1] + 1))
    return runs


def _dilated(width: int, step: int) -> nn.Module:
    return nn.Sequential(nn.Conv1d(width, width, 3, padding=step, dilation=step), nn.GroupNorm(8, width), nn.SiLU())
