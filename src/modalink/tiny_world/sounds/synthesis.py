"""Plays sounds of the tiny world: samples made from sines alone, no recording."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from modalink.tiny_world.sounds.notes import Note, Sound

RATE_HZ = 16_000
MAX_SECONDS = 2.0
"""Longest sound."""
SECONDS = {"short": 0.25, "long": 0.55}
"""Length of a note."""
HERTZ = {"low": 220.0, "medium": 494.0, "high": 1109.0}
"""Pitch of a note at its middle; 14 semitones apart, so that a sweep of 5 up or down stays nearest its own."""
_SEMITONES = 5.0
_PAUSE_S = (0.05, 0.09)
_PULSES_HZ = 12.0
_FADE_S = 0.012

_PARTIALS: dict[str, tuple[tuple[float, float], ...]] = {
    "flute": ((1.0, 1.0), (2.0, 0.12)),
    "buzzer": tuple((float(k), 1.0 / k) for k in range(1, 9)),
    "bell": ((1.0, 1.0), (2.76, 0.6), (5.4, 0.35)),
}
"""Timbre -> frequency and loudness of what sounds together, as multiples of the lowest."""
_WIND = 24
"""Sines close to each other that make the wind's hiss."""


def play(sound: Sound, semitones: Sequence[float] | None = None) -> Float32[np.ndarray, " n"]:
    """Play a sound at `RATE_HZ`, full scale being 1; the same arguments always give the same samples.

    Args:
        sound: Its notes.
        semitones: How much higher than its pitch each note is.
    """
    rng = np.random.default_rng(sound.noise)
    parts = [_silence(rng)]
    for note, higher in zip(sound.notes, semitones or [0.0] * len(sound.notes), strict=True):
        parts += [_note(note, rng, higher), _silence(rng)]
    samples = np.concatenate(parts)
    samples *= rng.uniform(0.3, 0.8) / np.abs(samples).max()
    samples += rng.normal(0.0, rng.uniform(0.0005, 0.005), len(samples))
    return samples.clip(-1, 1).astype(np.float32)


def spans_s(sound: Sound) -> list[tuple[float, float]]:
    """When each note begins and ends, in seconds."""
    rng = np.random.default_rng(sound.noise)
    spans, now = [], len(_silence(rng))
    for note in sound.notes:
        length = len(_note(note, rng))
        spans.append((now / RATE_HZ, (now + length) / RATE_HZ))
        now += length + len(_silence(rng))
    return spans


def _silence(rng: np.random.Generator) -> np.ndarray:
    return np.zeros(int(rng.uniform(*_PAUSE_S) * RATE_HZ))


def _note(note: Note, rng: np.random.Generator, higher: float = 0.0) -> np.ndarray:
    count = int(SECONDS[note.length] * rng.uniform(0.92, 1.08) * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    sweep = {"rising": 1.0, "falling": -1.0}.get(note.motion, 0.0) * np.linspace(-1, 1, count) * _SEMITONES
    hertz = HERTZ[note.pitch] * 2 ** ((sweep + rng.uniform(-0.6, 0.6) + higher) / 12)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE_HZ
    if note.timbre == "wind":
        partials = [(detuned, 1.0) for detuned in rng.uniform(0.92, 1.08, _WIND)]
    else:
        partials = list(_PARTIALS[note.timbre])
    # Above half the rate a sine would come back as a lower one that moves the other way.
    heard = [(ratio, loud * (ratio * hertz < RATE_HZ / 2)) for ratio, loud in partials]
    wave: np.ndarray = sum(loud * np.sin(ratio * phase + rng.uniform(0, 6.3)) for ratio, loud in heard)
    if note.timbre == "bell":
        wave = wave * np.exp(-time / 0.3)
    if note.motion == "pulsing":
        wave = wave * (0.5 - 0.5 * np.cos(2 * np.pi * _PULSES_HZ * time)) ** 2
    fade = np.clip(np.minimum(time, time[-1] - time) / _FADE_S, 0, 1)
    return wave * fade * rng.uniform(0.75, 1.0) / np.sqrt(np.mean(np.square(wave)))
