"""Sounds that lie between those of the world: notes of any timbre and motion, at pitches that the world has not.

From the world's sounds alone networks learn which timbres, pitches and motions come together in training.
"""

import numpy as np

from modalink.tiny_world.asking import pick
from modalink.tiny_world.sounds.notes import LENGTHS, MAX_NOTES, MOTIONS, ORDINALS, PITCHES, TIMBRES, Note, Sound

_BETWEEN = (2.5, 11.5)
"""Semitones above or below a pitch at which a note is neither it nor the next one, which is 14 away."""


def sample(rng: np.random.Generator, count: int) -> tuple[list[Sound], list[list[float]]]:
    """Sounds, and how much higher than its pitch each of their notes is, in semitones."""
    sounds = [_any_sound(rng) for _ in range(count)]
    return sounds, [_semitones(rng, len(sound.notes)) for sound in sounds]


def _any_sound(rng: np.random.Generator) -> Sound:
    """Notes of any timbre and motion."""
    count = int(rng.integers(1, MAX_NOTES + 1))
    notes = tuple(
        Note(pick(rng, TIMBRES), pick(rng, PITCHES), pick(rng, MOTIONS), pick(rng, LENGTHS), ORDINALS[i])
        for i in range(count)
    )
    return Sound(notes, int(rng.integers(2**31)))


def _semitones(rng: np.random.Generator, count: int) -> list[float]:
    return list(rng.choice((-1.0, 1.0), count) * rng.uniform(*_BETWEEN, count))
