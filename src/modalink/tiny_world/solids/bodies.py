"""What a point cloud of the tiny world shows, and which compositions each split may show."""

from dataclasses import dataclass

import numpy as np

from modalink.tiny_world.asking import pick
from modalink.tiny_world.scenes import COLOURS, SHAPES, SIZES, SPLITS, check_split

SOLIDS = ("sphere", "cube", "cone", "jack", "torus", "crown")
"""In the order of `SHAPES`: a picture of a sphere shows a circle, of a cube a square, and so on."""
POSES = ("straight", "tilted")
PLACES = ("center", "left", "right")

# An eighth of the triples for each held-out split; every pair of attributes is seen in training.
_HELD_OUT_CLASS = {"validation": 7, "test": 4}
_CLASSES = 8


@dataclass(frozen=True, order=True)
class Solid:
    """One coloured solid, all attributes by name."""

    solid: str
    colour: str
    size: str
    pose: str
    place: str

    @property
    def shape(self) -> str:
        """What a picture of it shows."""
        return SHAPES[SOLIDS.index(self.solid)]


@dataclass(frozen=True)
class Bodies:
    """One or two solids, from left to right, and a seed of where the points lie."""

    solids: tuple[Solid, ...]
    noise: int


def split_of(body: Solid) -> str:
    """Name the split that the composition (solid, colour, size) of a body belongs to."""
    class_ = (SOLIDS.index(body.solid) + COLOURS.index(body.colour) + 2 * SIZES.index(body.size)) % _CLASSES
    return next((split for split, held_out in _HELD_OUT_CLASS.items() if class_ == held_out), "train")


def sample_bodies(seed: int, split: str) -> Bodies:
    """Draw the cloud number `seed` of a split; a held-out one shows at least one composition of its split.

    Raises:
        ValueError: The split is not known.
    """
    check_split(split)
    rng = np.random.default_rng([SPLITS.index(split), seed, 3])
    places = PLACES[:1] if rng.random() < 0.5 else PLACES[1:]
    own = int(rng.integers(len(places)))
    solids = [_sample_solid(rng, place, {split} if i == own else {split, "train"}) for i, place in enumerate(places)]
    return Bodies(tuple(solids), int(rng.integers(2**31)))


def _sample_solid(rng: np.random.Generator, place: str, allowed: set[str]) -> Solid:
    while True:
        body = Solid(pick(rng, SOLIDS), pick(rng, COLOURS), pick(rng, SIZES), pick(rng, POSES), place)
        if split_of(body) in allowed and not (body.solid == "sphere" and body.pose == "tilted"):
            return body
