"""What a sound of the tiny world is, and which compositions each split may hold."""

from dataclasses import dataclass

import numpy as np

from modalink.tiny_world.asking import pick
from modalink.tiny_world.scenes import SPLITS, check_split

TIMBRES = ("flute", "buzzer", "bell", "wind")
PITCHES = ("low", "medium", "high")
MOTIONS = ("steady", "rising", "falling", "pulsing")
LENGTHS = ("short", "long")
ORDINALS = ("first", "second", "third")
MAX_NOTES = len(ORDINALS)

# A sixth of the triples for each held-out split; every pair of attributes is heard in training.
_HELD_OUT_CLASS = {"validation": 5, "test": 2}
_CLASSES = 6


@dataclass(frozen=True, order=True)
class Note:
    """One note, all attributes by name."""

    timbre: str
    pitch: str
    motion: str
    length: str
    ordinal: str


@dataclass(frozen=True)
class Sound:
    """One to three notes in their order, and a seed of what does not matter: tuning, loudness, pauses, hiss."""

    notes: tuple[Note, ...]
    noise: int


def split_of(note: Note) -> str:
    """Name the split that the composition (timbre, pitch, motion) of a note belongs to."""
    class_ = (TIMBRES.index(note.timbre) + PITCHES.index(note.pitch) + MOTIONS.index(note.motion)) % _CLASSES
    return next((split for split, held_out in _HELD_OUT_CLASS.items() if class_ == held_out), "train")


def sample_sound(seed: int, split: str) -> Sound:
    """Draw the sound number `seed` of a split; a held-out one has at least one composition of its split.

    Raises:
        ValueError: The split is not known.
    """
    check_split(split)
    rng = np.random.default_rng([SPLITS.index(split), seed, 1])
    count = int(rng.integers(1, MAX_NOTES + 1))
    own = int(rng.integers(count))
    notes = [_sample_note(rng, ORDINALS[i], {split} if i == own else {split, "train"}) for i in range(count)]
    return Sound(tuple(notes), int(rng.integers(2**31)))


def _sample_note(rng: np.random.Generator, ordinal: str, allowed: set[str]) -> Note:
    while True:
        note = Note(pick(rng, TIMBRES), pick(rng, PITCHES), pick(rng, MOTIONS), pick(rng, LENGTHS), ordinal)
        if split_of(note) in allowed:
            return note
