"""Questions about places in the picture of a scene: where a thing is, as a box, and what a box holds."""

from dataclasses import dataclass

import numpy as np

from modalink.tiny_world.asking import pick
from modalink.tiny_world.dialogues import Dialogue
from modalink.tiny_world.language import names
from modalink.tiny_world.rendering import Box, object_boxes
from modalink.tiny_world.scenes import SPLITS, Scene, sample_scene
from modalink.tiny_world.worlds import Shown

BOX = "<bbox>"
"""Stands where the box is said: the marker of conversations, from a room that brings no torch along."""
PLACE_KINDS = ("locate", "region")
"""Where a thing is, answered by its box; what a box holds, answered in words."""
_LOCATE = ("give the box of {}.", "what is the box of {}?", "show me {} as a box.", "locate {}.")
_REGION = (f"what is in {BOX}?", f"what does {BOX} show?", f"name the object in {BOX}.")


@dataclass(frozen=True)
class PlaceQuestion:
    """A question about one object of a scene; `<bbox>` stands for its box, in the answer or in the question.

    Args:
        kind: One of `PLACE_KINDS`.
        scene: What the picture shows.
        text: The question.
        answer: The reply.
        box: Left, top, right and bottom of the object, in pixels of the picture.
    """

    kind: str
    scene: Scene
    text: str
    answer: str
    box: Box

    @property
    def dialogue(self) -> Dialogue:
        """The conversation about the picture."""
        shown = Shown.of("image", self.scene)
        return Dialogue(self.kind, ((self.text, self.answer),), (shown,), boxes=(self.box,))


def ask_place(scene: Scene, rng: np.random.Generator, kind: str) -> PlaceQuestion | None:
    """Ask about one object of a scene, or nothing where that one cannot be named so that it is no other."""
    number = int(rng.integers(len(scene.objects)))
    item, box = scene.objects[number], object_boxes(scene)[number]
    if kind == "region":
        return PlaceQuestion(kind, scene, pick(rng, _REGION), f"{item.colour} {item.shape}", box)
    if not (known := names(scene, item)):
        return None
    return PlaceQuestion(kind, scene, pick(rng, _LOCATE).format(pick(rng, known)), BOX, box)


def sample_place(split: str, rng: np.random.Generator, kind: str) -> Dialogue:
    """Draw one conversation about a place in a picture of the split.

    Args:
        split: `train`, `validation` or `test`.
        rng: Source of all that is drawn.
        kind: One of `PLACE_KINDS`.
    """
    while (asked := ask_place(sample_scene(int(rng.integers(2**31)), split), rng, kind)) is None:
        pass
    return asked.dialogue


def sample_place_questions(split: str, count: int, seed: int) -> list[PlaceQuestion]:
    """Questions of both kinds in turn, each about a picture of its own."""
    sampled: list[PlaceQuestion] = []
    number = seed * 1_000_000
    while len(sampled) < count:
        rng = np.random.default_rng([SPLITS.index(split), number, 7])
        asked = ask_place(sample_scene(number, split), rng, PLACE_KINDS[len(sampled) % 2])
        sampled += [] if asked is None else [asked]
        number += 1
    return sampled
