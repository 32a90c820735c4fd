"""The tiny world in one place: sample a scene, a clip, a sound or solids, show them, talk about them."""

from modalink.tiny_world.across import ACROSS_KINDS, ask_across, kinds_across
from modalink.tiny_world.asking import Question
from modalink.tiny_world.dialogues import (
    SUBJECTS,
    Dialogue,
    dialogues,
    interview,
    sample_across,
    sample_dialogue,
    sample_question,
)
from modalink.tiny_world.language import (
    QUESTION_KINDS,
    SYNONYMS,
    caption_request,
    describe,
    drawing_reply,
    drawing_request,
    place,
    questions,
)
from modalink.tiny_world.locating import PLACE_KINDS, sample_place
from modalink.tiny_world.rendering import object_mask, render
from modalink.tiny_world.scenes import CELLS, COLOURS, SHAPES, SIZES, SPLITS, Scene, WorldObject, sample_scene, split_of
from modalink.tiny_world.worlds import WORLDS, Shown, World

__all__ = [
    "ACROSS_KINDS",
    "CELLS",
    "COLOURS",
    "PLACE_KINDS",
    "QUESTION_KINDS",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "SUBJECTS",
    "SYNONYMS",
    "WORLDS",
    "Dialogue",
    "Question",
    "Scene",
    "Shown",
    "World",
    "WorldObject",
    "ask_across",
    "caption_request",
    "describe",
    "dialogues",
    "drawing_reply",
    "drawing_request",
    "interview",
    "kinds_across",
    "object_mask",
    "place",
    "questions",
    "render",
    "sample_across",
    "sample_dialogue",
    "sample_place",
    "sample_question",
    "sample_scene",
    "split_of",
]
