"""Questions that weigh things of several modalities: does the sound fit the video, which picture shows the solid."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from modalink.tiny_world.asking import Question, pick, yes_no
from modalink.tiny_world.clips.actors import ClipScene, sample_clip
from modalink.tiny_world.scenes import CELLS, COLOURS, SHAPES, SIZES, Scene, WorldObject, split_of
from modalink.tiny_world.solids import bodies
from modalink.tiny_world.solids.bodies import POSES, SOLIDS, Bodies, Solid
from modalink.tiny_world.sounds.notes import sample_sound
from modalink.tiny_world.worlds import WORLDS

Things = tuple[tuple[str, Any], ...]
"""Modality and thing of all that is shown, in its order."""

FITTING = {"rises": "rising", "falls": "falling", "rests": "steady", "blinks": "pulsing"}
"""What an object does -> how the note moves that fits it."""


def _number(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _fit(rng: np.random.Generator, split: str) -> tuple[Things, Question]:
    """One note for each actor, in their order; a sound that does not fit differs in one of them."""
    while True:
        clip = sample_clip(_number(rng), split)
        if all(actor.action in FITTING for actor in clip.actors):
            break
    yes = rng.random() < 0.5
    wanted = [FITTING[actor.action] for actor in clip.actors]
    while True:
        sound = sample_sound(_number(rng), split)
        if len(sound.notes) == len(wanted):
            misses = sum(note.motion != motion for note, motion in zip(sound.notes, wanted, strict=True))
            if misses == (0 if yes else 1):
                break
    text = pick(rng, ("does the sound fit the video?", "do the sound and the video fit?"))
    return (("audio", sound), ("video", clip)), Question("fit", text, yes_no(yes), (*sound.notes, *clip.actors))


def _which(rng: np.random.Generator, split: str) -> tuple[Things, Question]:
    """Two pictures of one object each, only one in the solid's form and colour."""
    while len((cloud := bodies.sample_bodies(_number(rng), split)).solids) > 1:
        pass
    solid = cloud.solids[0]
    looks = ((solid.shape, solid.colour), _near(rng, solid.shape, solid.colour))
    pictures = [_picture(rng, split, *look) for look in looks]
    right = int(rng.integers(2))
    shown = (("image", pictures[right]), ("image", pictures[1 - right]), ("points", cloud))
    about = (*(item for _, picture in shown[:2] for item in picture.objects), solid)
    text = pick(rng, ("which picture shows the solid?", "which picture fits the points?"))
    return shown, Question("which", text, ("first", "second")[right], about)


def _same_object(rng: np.random.Generator, split: str) -> tuple[Things, Question]:
    """A picture of one object, which acts in the video or differs from those that do."""
    clip = sample_clip(_number(rng), split)
    yes, (shape, colour) = _look(rng, clip)
    text = pick(rng, ("does the video show the object?", "is the object in the video?"))
    picture = _picture(rng, split, shape, colour)
    question = Question("same object", text, yes_no(yes), (*picture.objects, *clip.actors))
    return (("image", picture), ("video", clip)), question


def _same_solid(rng: np.random.Generator, split: str) -> tuple[Things, Question]:
    """A solid whose picture acts in the video or differs from those that do."""
    while True:
        clip = sample_clip(_number(rng), split)
        yes, (shape, colour) = _look(rng, clip)
        solid = SOLIDS[SHAPES.index(shape)]
        poses = POSES[:1] if solid == "sphere" else POSES
        choices = [Solid(solid, colour, size, pick(rng, poses), "center") for size in SIZES]
        if allowed := [body for body in choices if bodies.split_of(body) in (split, "train")]:
            break
    cloud = Bodies((pick(rng, allowed),), _number(rng))
    text = pick(rng, ("does the video show the solid?", "is the solid in the video?"))
    return (("points", cloud), ("video", clip)), Question(
        "same solid", text, yes_no(yes), (*cloud.solids, *clip.actors)
    )


def _as_many(rng: np.random.Generator, split: str) -> tuple[Things, Question]:
    """Two things, of one modality each, with parts to be counted."""
    one, other = pick(rng, (("audio", "image"), ("audio", "points"), ("points", "image")))
    yes = rng.random() < 0.5
    while True:
        shown = tuple((modality, WORLDS[modality].sample(_number(rng), split)) for modality in (one, other))
        counts = [len(getattr(thing, WORLDS[modality].parts)) for modality, thing in shown]
        if (counts[0] == counts[1]) == yes:
            break
    text = f"are there as many {WORLDS[one].parts} as {WORLDS[other].parts}?"
    return shown, Question("as many", text, yes_no(yes), tuple(counts))


def _look(rng: np.random.Generator, clip: ClipScene) -> tuple[bool, tuple[str, str]]:
    """Shape and colour of an actor, or of none that is alike; and whether they are an actor's."""
    actor = pick(rng, clip.actors)
    if rng.random() < 0.5:
        return True, (actor.shape, actor.colour)
    while True:
        shape, colour = _near(rng, actor.shape, actor.colour)
        if all((other.shape, other.colour) != (shape, colour) for other in clip.actors):
            return False, (shape, colour)


def _near(rng: np.random.Generator, shape: str, colour: str) -> tuple[str, str]:
    """Another shape, or another colour."""
    if rng.random() < 0.5:
        return pick(rng, [other for other in SHAPES if other != shape]), colour
    return shape, pick(rng, [other for other in COLOURS if other != colour])


def _picture(rng: np.random.Generator, split: str, shape: str, colour: str) -> Scene:
    """A picture of one object somewhere, never of a composition that is held out from its split."""
    item = WorldObject(shape, colour, pick(rng, SIZES), pick(rng, CELLS))
    while split_of(item) not in (split, "train"):
        item = replace(item, cell=pick(rng, CELLS))
    return Scene((item,), _number(rng))


_Asker = Callable[[np.random.Generator, str], tuple[Things, Question]]
_ASKERS: dict[str, tuple[frozenset[str], _Asker]] = {
    "fit": (frozenset({"audio", "video"}), _fit),
    "which": (frozenset({"image", "points"}), _which),
    "same object": (frozenset({"image", "video"}), _same_object),
    "same solid": (frozenset({"points", "video"}), _same_solid),
    "as many": (frozenset({"audio", "image", "points"}), _as_many),
}
ACROSS_KINDS = tuple(_ASKERS)


def kinds_across(modalities: frozenset[str]) -> list[str]:
    """Kinds of questions that some modalities are enough for."""
    return [kind for kind, (needed, _) in _ASKERS.items() if needed <= modalities]


def ask_across(rng: np.random.Generator, split: str, kind: str) -> tuple[Things, Question]:
    """Draw things of several modalities and a question about them together.

    At least one of the things has a composition of the split; none is of the other held-out split.

    Args:
        rng: Source of all that is drawn.
        split: `train`, `validation` or `test`.
        kind: One of `ACROSS_KINDS`.
    """
    return _ASKERS[kind][1](rng, split)
