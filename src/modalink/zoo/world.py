"""The tiny world in one place: sample a scene, draw it, talk about it."""

from modalink.zoo.dialogues import Dialogue, dialogues, sample_dialogue
from modalink.zoo.drawing import object_mask, render
from modalink.zoo.language import (
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
from modalink.zoo.scenes import CELLS, COLOURS, SHAPES, SIZES, SPLITS, Scene, WorldObject, sample_scene, split_of

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
