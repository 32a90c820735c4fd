"""The zoo's tiny world as preferences: right captions, answers and drawings beside wrong ones; no one has to judge."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from modalink import tiny_world
from modalink.conversation import Content, Text, Turn
from modalink.data.preference import Preference, Side
from modalink.data.source import Numbered
from modalink.data.sources._tiny_world_judged import TinyWorldJudgedConfig
from modalink.tiny_world import COLOURS, SHAPES, SIZES, Scene, WorldObject
from modalink.tiny_world.asking import COUNT_WORDS
from modalink.tiny_world.media import medium, user_turn
from modalink.tiny_world.scenes import CELLS, MAX_OBJECTS, changed

Task = Literal["caption", "vqa", "draw"]
Fault = Literal["invented", "attribute"]
_ANSWERS: tuple[tuple[str, ...], ...] = (("yes", "no"), COLOURS, SHAPES, SIZES, COUNT_WORDS)
"""Answers of which one is right and the others are wrong."""


class TinyWorldPreferencesConfig(TinyWorldJudgedConfig):
    """Settings of tiny-world preferences."""

    kind: Literal["tiny_world_preferences"] = "tiny_world_preferences"
    tasks: list[Task] = Field(default=["caption", "vqa"], min_length=1)
    """What the replies are: captions of pictures, answers to questions about them, drawings that are asked for."""
    faults: list[Fault] = Field(default=["invented", "attribute"], min_length=1)
    """What is wrong with the worse captions and drawings: an object that should not be there, or another shape, colour
    or size."""
    replies: int = Field(default=2, ge=2, le=4)
    """How many replies: each worse caption or drawing has one fault more than the one before. Answers are pairs
    always."""

    @field_validator("tasks", "faults")
    @classmethod
    def _each_once(cls, value: list[Any]) -> list[Any]:
        if len({*value}) < len(value):
            raise ValueError(f"found {value}, needed each at most once")
        return value

    def open(self) -> "TinyWorldPreferences":
        """The preferences."""
        return TinyWorldPreferences(self)


class TinyWorldPreferences(Numbered):
    """Right replies beside wrong ones, each a function of split, seed and number."""

    def __init__(self, config: TinyWorldPreferencesConfig) -> None:
        self._config = config

    def __len__(self) -> int:
        return self._config.count

    def sample(self, index: int) -> Preference:
        """The replies of a number."""
        config = self._config
        rng = config.rng(index, 1)
        task = config.tasks[rng.integers(len(config.tasks))]
        scene = tiny_world.sample_scene(int(rng.integers(2**31)), config.split)
        asked, replies = _answers(scene, rng) if task == "vqa" else self._told(scene, rng, task)
        facts: dict[str, Any] = {"task": task, "objects": [vars(item) for item in scene.objects]}
        if task != "draw":
            facts["captions"] = [tiny_world.describe(scene)]
        sides = [Side((Turn("assistant", content),), score=float(-n)) for n, content in enumerate(replies)]
        prompt = [user_turn((tiny_world.Shown.of("image", scene),) if task != "draw" else (), asked)]
        return replace(Preference.of(prompt, sides, config.id(index)), facts=facts)

    def _told(self, scene: Scene, rng: np.random.Generator, task: Task) -> tuple[str, list[tuple[Content, ...]]]:
        """A request, the right caption or drawing, and those with ever more faults."""
        told = [scene]
        while len(told) < self._config.replies:
            told.append(self._spoilt(told, rng))
        if task == "caption":
            return tiny_world.caption_request(rng), [(Text(tiny_world.describe(each)),) for each in told]
        words = Text(tiny_world.drawing_reply(scene))
        drawings = [medium(tiny_world.Shown.of("image", each)) for each in told]
        return tiny_world.drawing_request(scene, rng), [(words, drawing) for drawing in drawings]

    def _spoilt(self, told: list[Scene], rng: np.random.Generator) -> Scene:
        """What was told last, with one fault more."""
        faults, allowed = self._config.faults, {self._config.split, "train"}
        while True:
            fault, objects = faults[rng.integers(len(faults))], [*told[-1].objects]
            place = int(rng.integers(len(objects)))
            if fault == "attribute":
                objects[place] = changed(objects[place], rng)
            else:
                taken = {item.cell for scene in told for item in scene.objects}
                free = [cell for cell in CELLS if cell not in taken]
                # A caption has room for so many: the invented object takes the place of another.
                objects = [*objects[:place], *objects[place + (len(objects) == MAX_OBJECTS) :]]
                objects.append(_object(free[rng.integers(len(free))], rng))
            made = tuple(sorted(objects, key=lambda item: CELLS.index(item.cell)))
            new = all(made != scene.objects for scene in told)
            if new and all(tiny_world.split_of(item) in allowed for item in made):
                return replace(told[-1], objects=made)


def _object(cell: str, rng: np.random.Generator) -> WorldObject:
    shape, colour, size = (values[rng.integers(len(values))] for values in (SHAPES, COLOURS, SIZES))
    return WorldObject(shape, colour, size, cell)


def _answers(scene: Scene, rng: np.random.Generator) -> tuple[str, list[tuple[Content, ...]]]:
    """A question with its right answer, and a wrong one of the same sort."""
    while True:
        for question in tiny_world.questions(scene, rng):
            sort = next((answers for answers in _ANSWERS if question.answer in answers), None)
            if sort is not None:
                wrong = [answer for answer in sort if answer != question.answer]
                return question.text, [(Text(question.answer),), (Text(wrong[rng.integers(len(wrong))]),)]
