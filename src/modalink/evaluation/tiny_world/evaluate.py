"""Puts the held-out questions, captions and drawing requests to a system, and to the baselines beside it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeInt
from torch import Tensor

from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world import captions, drawings, examples, ood, questions, robustness
from modalink.evaluation.tiny_world.ask import Show, about, answers
from modalink.evaluation.tiny_world.captions import Caption
from modalink.evaluation.tiny_world.drawings import Drawn, Requested
from modalink.evaluation.tiny_world.examples import Example
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.evaluation.tiny_world.shares import Number, Share, nested
from modalink.kinds import Settings
from modalink.model import System
from modalink.tiny_world import SPLITS, Scene, caption_request, describe, render, sample_scene
from modalink.tiny_world.scene_questions import sample_scene_questions
from modalink.zoo.judge import Judge

OnTask = Callable[[str], None]


class Sizes(Settings):
    """How much is asked."""

    split: Literal["validation", "test"] = "test"
    """Split of compositions; `validation` is for choosing settings, `test` for the report."""
    questions: NonNegativeInt = 900
    """Questions, all kinds in turn."""
    captions: NonNegativeInt = 500
    """Pictures to describe."""
    drawings: NonNegativeInt = 500
    """Requests for drawings."""
    robustness: NonNegativeInt = 225
    """Questions, the first of those above, that are asked again about pictures that other code draws; 0 leaves
    robustness out."""
    examples: NonNegativeInt = 9
    """Cases of each task to keep for looking at; some wrong ones are added."""
    seed: NonNegativeInt = 0
    """Picks scenes, words and noise."""


@dataclass(frozen=True)
class HeldOut:
    """What a system reached.

    Args:
        sizes: How much was asked.
        shares: Name of a number -> the number; dots stand for levels, baselines are below `baselines`.
        examples: Cases to look at.
        seconds: How long it took.
    """

    sizes: Sizes
    shares: dict[str, Number]
    examples: list[Example]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the numbers as fractions from 0 to 1, their 95 % `intervals` and `counts` as trees alike."""
        about = {"split": self.sizes.split, "seed": self.sizes.seed, "seconds": round(self.seconds, 1)}
        return about | nested(self.shares) | {"examples": [example.to_dict() for example in self.examples]}


def evaluate(
    system: System, sizes: Sizes | None = None, *, judge: Judge | None = None, on_task: OnTask = print
) -> HeldOut:
    """Evaluate a system on the tiny world, in whatever directions it has images.

    Args:
        system: The system.
        sizes: How much to ask.
        judge: Reads drawings; the one that ships by default.
        on_task: Hears the name of each task when it begins.
    """
    sizes, began = sizes or Sizes(), time.perf_counter()
    shares: dict[str, Number] = {}
    kept: list[Example] = []
    if "image" in system.spec.inputs and sizes.questions:
        answered = _ask(system, sizes, shares, kept, on_task)
        if sizes.robustness:
            _strain(system, sizes, answered, shares, kept, on_task)
    if "image" in system.spec.inputs and sizes.captions:
        _caption(system, sizes, shares, kept, on_task)
    if "image" in system.spec.outputs and sizes.drawings:
        _draw(system, sizes, judge or Judge.load(), shares, kept, on_task)
    return HeldOut(sizes, shares, kept, time.perf_counter() - began)


def _ask(
    system: System, sizes: Sizes, shares: dict[str, Number], kept: list[Example], on_task: OnTask
) -> list[AnsweredQuestion]:
    asked = sample_scene_questions(sizes.split, sizes.questions, sizes.seed)
    on_task("questions about pictures")
    answered = answers(system, asked, render)
    shares |= questions.score(answered, "vqa", "vqa_by_kind")
    kept += examples.of_questions(answered, sizes.examples)
    on_task("the same questions without the picture")
    blind = {
        "majority": questions.majority(asked, sizes.seed),
        "no_image": answers(system, asked, lambda scene: None),
        "empty_image": answers(system, asked, lambda scene: render(Scene((), scene.background))),
    }
    for name, guesses in blind.items():
        shares |= questions.score(guesses, f"baselines.{name}", f"baselines.{name}_by_kind")
    return answered


def _strain(
    system: System,
    sizes: Sizes,
    answered: list[AnsweredQuestion],
    shares: dict[str, Number],
    kept: list[Example],
    on_task: OnTask,
) -> None:
    on_task("the same questions about pictures by other hands")
    clean = answered[: sizes.robustness]
    by_hand = robustness.by_hand(system, clean)
    shares |= robustness.score(clean, by_hand)
    kept += robustness.cases(clean, by_hand) if sizes.examples else []
    on_task("questions and pictures from outside")
    strangers = ood.ask(system, [item.asked.scene for item in clean])
    shares |= ood.score(strangers, answered)
    kept += ood.cases(strangers, sizes.examples)


def _caption(system: System, sizes: Sizes, shares: dict[str, Number], kept: list[Example], on_task: OnTask) -> None:
    on_task("captions")
    # Other scenes than those that were asked about.
    first = sizes.seed * 1_000_000 + 500_000
    scenes = [sample_scene(first + i, sizes.split) for i in range(sizes.captions)]
    rng = np.random.default_rng([SPLITS.index(sizes.split), sizes.seed, 2])
    prompts = [caption_request(rng) for _ in scenes]

    def said(show: Show) -> list[Caption]:
        talks = [about(show(scene), text) for scene, text in zip(scenes, prompts, strict=True)]
        return [Caption(scene, reply.text) for scene, reply in zip(scenes, replies(system, talks), strict=True)]

    made = said(render)
    shares |= captions.score(made)
    shares["baselines.caption_no_image"] = captions.score(said(lambda scene: None))["caption_attributes"]
    kept += examples.of_captions(list(zip(prompts, made, strict=True)), sizes.examples)


def _draw(
    system: System, sizes: Sizes, judge: Judge, shares: dict[str, Number], kept: list[Example], on_task: OnTask
) -> None:
    on_task("drawings")
    requested = drawings.request(sizes.split, sizes.drawings, sizes.seed)
    said = list(replies(system, [about(None, item.text) for item in requested]))
    texts = [reply.text for reply in said]

    def drawn(conditions: Sequence[Tensor | None]) -> list[Drawn]:
        return _drawn(system, sizes, judge, requested, texts, conditions)

    through = drawn([reply.conditions.get("image") for reply in said])
    shares |= drawings.score(through)
    shares["drawn_replies"] = Share.total((d.picture is not None, 1) for d in through)
    kept += examples.of_drawings(through, sizes.examples)
    on_task("drawings from the generator's own text encoder")
    encode: Any = system.generators["image"].encode_text
    handed = {"text_encoder": [describe(item.scene) for item in requested], "caption_handover": map(_told, texts)}
    for name, told in handed.items():
        found = drawings.score(drawn(list(encode(list(told)))))
        shares |= {
            f"baselines.{name}{_below(path)}": share for path, share in found.items() if path.startswith("drawn_")
        }


def _drawn(
    system: System,
    sizes: Sizes,
    judge: Judge,
    requested: Sequence[Requested],
    texts: Sequence[str],
    conditions: Sequence[Tensor | None],
) -> list[Drawn]:
    there = [found for found in conditions if found is not None]
    made = iter(drawings.sample(system.generators["image"], system.spec.outputs["image"], there, sizes.seed))
    pictures = [None if found is None else next(made) for found in conditions]
    return drawings.judged(judge, requested, texts, pictures)


def _told(reply: str) -> str:
    """The description in the reply to a drawing request."""
    return reply.removeprefix("here is ").rstrip(".")


def _below(path: str) -> str:
    return "" if path == "drawn_objects" else "_" + path.removeprefix("drawn_")
