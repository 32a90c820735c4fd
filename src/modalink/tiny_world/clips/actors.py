"""What a clip of the tiny world is, and which compositions each split may show."""

from dataclasses import dataclass, replace

import numpy as np

from modalink.tiny_world.asking import pick
from modalink.tiny_world.scenes import COLOURS, SHAPES, SIZES, SPLITS, check_split

ACTIONS = (
    "rests", "moves leftward", "moves rightward", "rises", "falls", "grows", "shrinks", "turns", "appears", "vanishes",
    "blinks",
)  # fmt: skip
WHENS = ("slowly", "quickly", "first", "then")
"""A single object acts during the whole clip or its first half; of two each acts during its own half."""
PLACES = ("center", "left", "right")
_ROUND = ("circle", "ring")
"""Shapes that look the same when turned."""

# An eighth of the triples for each held-out split; every pair of attributes is seen in training.
_HELD_OUT_CLASS = {"validation": 7, "test": 3}
_CLASSES = 8


@dataclass(frozen=True, order=True)
class Actor:
    """One coloured shape and what it does, all attributes by name."""

    shape: str
    colour: str
    size: str
    action: str
    when: str
    place: str


@dataclass(frozen=True)
class ClipScene:
    """One or two actors in the order in which they act, and a seed of background and jitter."""

    actors: tuple[Actor, ...]
    background: int


def split_of(actor: Actor) -> str:
    """Name the split that the composition (shape, colour, action) of an actor belongs to."""
    class_ = (SHAPES.index(actor.shape) + COLOURS.index(actor.colour) + ACTIONS.index(actor.action)) % _CLASSES
    return next((split for split, held_out in _HELD_OUT_CLASS.items() if class_ == held_out), "train")


def sample_clip(seed: int, split: str) -> ClipScene:
    """Draw the clip number `seed` of a split; a held-out one shows at least one composition of its split.

    Raises:
        ValueError: The split is not known.
    """
    check_split(split)
    rng = np.random.default_rng([SPLITS.index(split), seed, 2])
    if rng.random() < 0.5:
        actor = _sample_actor(rng, pick(rng, WHENS[:2]), "center", {split})
        # How fast an object rests cannot be seen.
        actors = [replace(actor, when="slowly") if actor.action == "rests" else actor]
    else:
        own = int(rng.integers(2))
        allowed = [{split} if i == own else {split, "train"} for i in range(2)]
        places = rng.permutation(PLACES[1:])
        actors = [_sample_actor(rng, WHENS[2 + i], str(places[i]), allowed[i]) for i in range(2)]
        while all(actor.action == "rests" for actor in actors):  # whose order cannot be seen
            actors[1 - own] = _sample_actor(rng, actors[1 - own].when, actors[1 - own].place, allowed[1 - own])
    return ClipScene(tuple(actors), int(rng.integers(2**31)))


def _sample_actor(rng: np.random.Generator, when: str, place: str, allowed: set[str]) -> Actor:
    while True:
        actor = Actor(pick(rng, SHAPES), pick(rng, COLOURS), pick(rng, SIZES), pick(rng, ACTIONS), when, place)
        if split_of(actor) in allowed and not (actor.action == "turns" and actor.shape in _ROUND):
            return actor
