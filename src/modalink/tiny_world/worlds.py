"""All that the tiny world can show, by modality: how a thing is drawn at random, described and asked about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from modalink.tiny_world.asking import Question
from modalink.tiny_world.clips.actors import sample_clip
from modalink.tiny_world.clips.language import KINDS as CLIP_KINDS
from modalink.tiny_world.clips.language import clip_caption_request, clip_questions, describe_clip
from modalink.tiny_world.language import QUESTION_KINDS, caption_request, describe, questions
from modalink.tiny_world.scenes import sample_scene
from modalink.tiny_world.solids.bodies import sample_bodies
from modalink.tiny_world.solids.language import KINDS as SOLID_KINDS
from modalink.tiny_world.solids.language import bodies_caption_request, bodies_questions, describe_bodies
from modalink.tiny_world.sounds.language import KINDS as SOUND_KINDS
from modalink.tiny_world.sounds.language import describe_sound, sound_caption_request, sound_questions
from modalink.tiny_world.sounds.notes import sample_sound

Thing = Any
"""A `Scene`, `Sound`, `ClipScene` or `Bodies`."""


@dataclass(frozen=True)
class World:
    """The things of one modality.

    Args:
        parts: Attribute of a thing that holds its parts.
        attributes: What is said of each part in its canonical caption.
        kinds: Kinds of questions about them.
        sample: The thing of a number and a split.
        describe: Its canonical caption, or with a random source one of its paraphrases.
        questions: One question of each of some kinds that it allows, in random order.
        caption_request: Asks for a caption.
    """

    parts: str
    attributes: tuple[str, ...]
    kinds: tuple[str, ...]
    sample: Callable[[int, str], Thing]
    describe: Callable[..., str]
    questions: Callable[..., list[Question]]
    caption_request: Callable[[np.random.Generator], str]


WORLDS = {
    "image": World(
        "objects", ("shape", "colour", "size", "cell"), QUESTION_KINDS, sample_scene, describe, questions,
        caption_request,
    ),
    "video": World(
        "actors", ("shape", "colour", "size", "action", "when"), CLIP_KINDS, sample_clip, describe_clip, clip_questions,
        clip_caption_request,
    ),
    "audio": World(
        "notes", ("timbre", "pitch", "motion", "length"), SOUND_KINDS, sample_sound, describe_sound, sound_questions,
        sound_caption_request,
    ),
    "points": World(
        "solids", ("solid", "colour", "size", "pose"), SOLID_KINDS, sample_bodies, describe_bodies, bodies_questions,
        bodies_caption_request,
    ),
}  # fmt: skip
"""Modality -> its things."""


@dataclass(frozen=True)
class Shown:
    """One thing that a conversation shows, and what is said of it where it is not shown."""

    modality: str
    thing: Thing
    description: str

    @classmethod
    def of(cls, modality: str, thing: Thing, rng: np.random.Generator | None = None) -> "Shown":
        """A thing with its canonical description, or with `rng` mostly with another one."""
        described = WORLDS[modality].describe(thing, rng if rng is not None and rng.random() < _REWORDED else None)
        return cls(modality, thing, described)


_REWORDED = 0.7
