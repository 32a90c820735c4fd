"""Requests for clips, sounds and point clouds, and replies that make them."""

import numpy as np

from modalink import modalities
from modalink.tiny_world.asking import pick
from modalink.tiny_world.dialogues import Dialogue
from modalink.tiny_world.worlds import WORLDS, Shown


def sample_making(split: str, rng: np.random.Generator, modality: str) -> Dialogue:
    """Ask for a thing of the split in the words of its modality; the reply says the canonical caption of what it makes.

    Args:
        split: `train`, `validation` or `test`.
        rng: Source of all that is drawn.
        modality: `video`, `audio` or `points`.
    """
    world = WORLDS[modality]
    thing = world.sample(int(rng.integers(2**31)), split)
    said = world.describe(thing, rng if rng.random() < 0.5 else None)
    request = pick(rng, modalities.get(modality).make).format(modality=modality, caption=said)
    made = Shown.of(modality, thing)
    return Dialogue("making", ((request, f"here is {made.description}."),), made=made)
