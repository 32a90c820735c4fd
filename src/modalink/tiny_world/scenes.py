"""Scenes of the tiny world: what may stand where, and which compositions each split may show."""

from dataclasses import dataclass, replace

import numpy as np

SHAPES = ("circle", "square", "triangle", "cross", "ring", "star")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
SIZES = ("small", "large")
CELLS = (
    "top left", "top", "top right",
    "left", "center", "right",
    "bottom left", "bottom", "bottom right",
)  # fmt: skip
SPLITS = ("train", "validation", "test")
MAX_OBJECTS = 3

# One cell of nine, for every shape and colour, is kept for each of the two held-out splits: every pair of
# attributes is seen in training, these triples never are, neither drawn nor written.
_HELD_OUT_CLASS = {"validation": 7, "test": 4}


@dataclass(frozen=True, order=True)
class WorldObject:
    """One coloured shape in one of the nine cells, all attributes by name."""

    shape: str
    colour: str
    size: str
    cell: str

    @property
    def column(self) -> int:
        """Column of the cell, 0 on the left to 2 on the right."""
        return CELLS.index(self.cell) % 3

    @property
    def row(self) -> int:
        """Row of the cell, 0 at the top to 2 at the bottom."""
        return CELLS.index(self.cell) // 3


@dataclass(frozen=True)
class Scene:
    """What one picture shows: one to three objects in reading order, no two in one cell, and a seeded background."""

    objects: tuple[WorldObject, ...]
    background: int


def split_of(item: WorldObject) -> str:
    """Name the split that the composition (shape, colour, cell) of an object belongs to."""
    class_ = (SHAPES.index(item.shape) + COLOURS.index(item.colour) + CELLS.index(item.cell)) % len(CELLS)
    return next((split for split, held_out in _HELD_OUT_CLASS.items() if class_ == held_out), "train")


def check_split(split: str) -> None:
    """Refuse a split that the tiny world does not have.

    Raises:
        ValueError: It is none of `SPLITS`.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is not known; the tiny world has {', '.join(SPLITS)}")


def sample_scene(seed: int, split: str) -> Scene:
    """Draw the scene number `seed` of a split; the same arguments always give the same scene.

    Training scenes hold training compositions only. A held-out scene holds at least one composition of its own
    split; its other objects are of its split or of training, never of the other held-out split.

    Args:
        seed: number of the scene, any non-negative integer.
        split: `train`, `validation` or `test`.

    Raises:
        ValueError: the split is none of the three.
    """
    check_split(split)
    rng = np.random.default_rng([SPLITS.index(split), seed])
    cells = rng.permutation(len(CELLS))[: rng.integers(1, MAX_OBJECTS + 1)]
    wanted = [{split}] + [{split, "train"}] * (len(cells) - 1)
    objects = [_sample_object(rng, int(cell), allowed) for cell, allowed in zip(cells, wanted, strict=True)]
    objects.sort(key=lambda item: CELLS.index(item.cell))
    return Scene(objects=tuple(objects), background=int(rng.integers(2**31)))


def _sample_object(rng: np.random.Generator, cell: int, allowed: set[str]) -> WorldObject:
    while True:
        item = WorldObject(
            shape=SHAPES[rng.integers(len(SHAPES))],
            colour=COLOURS[rng.integers(len(COLOURS))],
            size=SIZES[rng.integers(len(SIZES))],
            cell=CELLS[cell],
        )
        if split_of(item) in allowed:
            return item


def changed(item: WorldObject, rng: np.random.Generator) -> WorldObject:
    """An object of which one attribute, its shape, colour or size, is another."""
    name, values = (("shape", SHAPES), ("colour", COLOURS), ("size", SIZES))[rng.integers(3)]
    others = [value for value in values if value != getattr(item, name)]
    return replace(item, **{name: others[rng.integers(len(others))]})
