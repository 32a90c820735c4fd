"""The tiny world in one place: sample a scene, draw it, talk about it."""

from modalink.tiny_world.dialogues import Dialogue, dialogues, sample_dialogue
from modalink.tiny_world.language import (
    QUESTION_KINDS,
    SYNONYMS,
    Question,
    caption_request,
    describe,
    drawing_reply,
    drawing_request,
    place,
    questions,
)
from modalink.tiny_world.rendering import object_mask, render
from modalink.tiny_world.scenes import CELLS, COLOURS, SHAPES, SIZES, SPLITS, Scene, WorldObject, sample_scene, split_of

__all__ = [
    "CELLS",
    "COLOURS",
    "QUESTION_KINDS",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "SYNONYMS",
    "Dialogue",
    "Question",
    "Scene",
    "WorldObject",
    "caption_request",
    "describe",
    "dialogues",
    "drawing_reply",
    "drawing_request",
    "object_mask",
    "place",
    "questions",
    "render",
    "sample_dialogue",
    "sample_scene",
    "split_of",
]
