"""Puts the held-out questions, captions and drawing requests to a system and to its baselines."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world import (
    captions,
    drawings,
    examples,
    made,
    ood,
    places,
    questions,
    robustness,
    subjects,
)
from modalink.evaluation.tiny_world.ask import Show, answer_questions, conversation_about
from modalink.evaluation.tiny_world.captions import Caption
from modalink.evaluation.tiny_world.drawings import Drawing, DrawingRequest
from modalink.evaluation.tiny_world.examples import Example
from modalink.evaluation.tiny_world.questions import AnsweredQuestion
from modalink.evaluation.tiny_world.shares import Number, Share, nested
from modalink.kinds import Settings
from modalink.model import System
from modalink.roles import Conditions
from modalink.scoring import held_out
from modalink.scoring.measures import Measure
from modalink.tiny_world import SPLITS, Scene, caption_request, describe, render, sample_scene
from modalink.tiny_world.locating import sample_place_questions
from modalink.tiny_world.scene_questions import sample_scene_questions
from modalink.zoo.scene_classifier import SceneClassifier

OnTask = Callable[[str], None]


class Sizes(Settings):
    """How much is asked."""

    split: Literal["validation", "test"] = "test"
    """Split of compositions; `validation` is for choosing settings, `test` for the report."""
    questions: NonNegativeInt = 900
    """Questions, all kinds in turn."""
    captions: NonNegativeInt = 500
    """Pictures to describe."""
    others: NonNegativeInt = 400
    """Questions about each other modality that the system reads, and across modalities; a fourth as many captions."""
    places: NonNegativeInt = 0
    """Questions about places in pictures, half of them answered by a box; for systems whose recipe names a coordinate
    codec."""
    drawings: NonNegativeInt = 500
    """Requests for drawings."""
    made: NonNegativeInt = 100
    """Requests for each other medium that the system makes: clips, sounds, point clouds."""
    robustness: NonNegativeInt = 225
    """Questions, the first of those above, that are asked again about pictures that other code draws; 0 leaves
    robustness out."""
    ood: PositiveInt | None = None
    """At most so many pictures, messages and questions from outside the world, each; all if not set."""
    ood_max_new_tokens: PositiveInt = 64
    """Longest reply to something from outside the world."""
    examples: NonNegativeInt = 9
    """Cases of each task to keep for looking at; some wrong ones are added."""
    limit: PositiveInt | None = None
    """At most so many questions, captions, drawings and things from outside, each."""
    seed: NonNegativeInt = 0
    """Picks scenes, words and noise."""

    def limited(self) -> "Sizes":
        """The sizes within the limit."""
        if self.limit is None:
            return self
        bounded = ("questions", "captions", "others", "places", "drawings", "made")
        counts = {name: min(getattr(self, name), self.limit) for name in bounded}
        return self.replace(**counts, ood=min(self.ood or self.limit, self.limit))


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
        asked = {"split": self.sizes.split, "seed": self.sizes.seed, "seconds": round(self.seconds, 1)}
        return asked | nested(self.shares) | {"examples": [example.to_dict() for example in self.examples]}

    def tables(self) -> dict[str, list[Measure]]:
        """The headline, and questions by kind."""
        numbers = self.to_dict()
        return {
            f"held-out numbers ({self.sizes.split} split)": held_out.headline(numbers),
            "questions by kind": held_out.by_kind(numbers),
            **{f"{name.lower()} by kind": rows for name, rows in held_out.others_by_kind(numbers).items()},
        }


def evaluate(
    system: System, sizes: Sizes | None = None, *, classifier: SceneClassifier | None = None, on_task: OnTask = print
) -> HeldOut:
    """Evaluate a system on the tiny world, in whatever directions it has images.

    Args:
        system: The system.
        sizes: How much to ask.
        classifier: Reads drawings; the one that ships by default.
        on_task: Hears the name of each task when it begins.
    """
    sizes, began = (sizes or Sizes()).limited(), time.perf_counter()
    shares: dict[str, Number] = {}
    chosen: list[Example] = []
    if "image" in system.spec.inputs and sizes.questions:
        answered = _ask(system, sizes, shares, chosen, on_task)
        if sizes.robustness:
            _measure_robustness(system, sizes, answered, shares, chosen, on_task)
    if "image" in system.spec.inputs and sizes.captions:
        _caption(system, sizes, shares, chosen, on_task)
    if "image" in system.spec.inputs and sizes.places:
        _ask_places(system, sizes, shares, chosen, on_task)
    for subject in subjects.subjects(system.spec.inputs) if sizes.others else ():
        _ask_about(system, subject, sizes, shares, chosen, on_task)
    if "image" in system.spec.outputs and sizes.drawings:
        _draw(system, sizes, classifier or SceneClassifier.load(), shares, chosen, on_task)
    for modality in made.makes(system.spec.outputs) if sizes.made else ():
        _make(system, modality, sizes, shares, chosen, on_task)
    return HeldOut(sizes, shares, chosen, time.perf_counter() - began)


def _ask(
    system: System, sizes: Sizes, shares: dict[str, Number], chosen: list[Example], on_task: OnTask
) -> list[AnsweredQuestion]:
    asked = sample_scene_questions(sizes.split, sizes.questions, sizes.seed)
    on_task("questions about pictures")
    answered = answer_questions(system, asked, render)
    shares |= questions.score(answered, "vqa", "vqa_by_kind")
    chosen += examples.of_questions(answered, sizes.examples)
    on_task("the same questions without the picture")
    blind = {
        "majority": questions.majority(asked, sizes.seed),
        "no_image": answer_questions(system, asked, lambda scene: None),
        "empty_image": answer_questions(system, asked, lambda scene: render(Scene((), scene.background))),
    }
    for name, guesses in blind.items():
        shares |= questions.score(guesses, f"baselines.{name}", f"baselines.{name}_by_kind")
    return answered


def _measure_robustness(
    system: System,
    sizes: Sizes,
    answered: list[AnsweredQuestion],
    shares: dict[str, Number],
    chosen: list[Example],
    on_task: OnTask,
) -> None:
    on_task("the same questions about pictures by other renderers")
    clean = answered[: sizes.robustness]
    answers_by_renderer = robustness.answers_by_renderer(system, clean)
    shares |= robustness.score(clean, answers_by_renderer)
    chosen += robustness.cases(clean, answers_by_renderer) if sizes.examples else []
    on_task("questions and pictures from outside")
    ood_cases = ood.ask(system, [item.asked.scene for item in clean], sizes.ood_max_new_tokens, sizes.ood)
    shares |= ood.score(ood_cases, answered)
    chosen += ood.cases(ood_cases, sizes.examples)


def _caption(system: System, sizes: Sizes, shares: dict[str, Number], chosen: list[Example], on_task: OnTask) -> None:
    on_task("captions")
    # Other scenes than those that were asked about.
    first = sizes.seed * 1_000_000 + 500_000
    scenes = [sample_scene(first + i, sizes.split) for i in range(sizes.captions)]
    rng = np.random.default_rng([SPLITS.index(sizes.split), sizes.seed, 2])
    prompts = [caption_request(rng) for _ in scenes]

    def caption_all(show: Show) -> list[Caption]:
        talks = [conversation_about(show(scene), text) for scene, text in zip(scenes, prompts, strict=True)]
        return [Caption(scene, reply.text) for scene, reply in zip(scenes, replies(system, talks), strict=True)]

    captioned = caption_all(render)
    shares |= captions.score(captioned)
    shares["baselines.caption_no_image"] = captions.score(caption_all(lambda scene: None))["caption_attributes"]
    chosen += examples.of_captions(list(zip(prompts, captioned, strict=True)), sizes.examples)


def _ask_places(
    system: System, sizes: Sizes, shares: dict[str, Number], chosen: list[Example], on_task: OnTask
) -> None:
    on_task("places in pictures")
    asked = sample_place_questions(sizes.split, sizes.places, sizes.seed)
    located = places.answer(system, asked, render)
    shares |= places.score(located, "places")
    blind = places.answer(system, asked, lambda scene: render(Scene((), scene.background)))
    shares |= places.score(blind, "baselines.places.empty_image")
    shares |= places.score(places.majority(asked, sizes.seed), "baselines.places.majority")
    chosen += examples.of_places(located, sizes.examples)


def _ask_about(
    system: System, subject: str, sizes: Sizes, shares: dict[str, Number], chosen: list[Example], on_task: OnTask
) -> None:
    modalities, split, seed = system.spec.inputs, sizes.split, sizes.seed
    on_task(f"questions {'across modalities' if subject == subjects.ACROSS else f'about {subject}'}")
    asked = subjects.sample(subject, modalities, split, sizes.others, seed)
    answered = subjects.answer(system, asked)
    shares |= subjects.score(answered, f"others.{subject}")
    shares |= subjects.score(subjects.answer(system, asked, blind=True), f"baselines.others.blind.{subject}")
    shares |= subjects.score(
        subjects.majority(subject, modalities, asked, seed), f"baselines.others.majority.{subject}"
    )
    chosen += examples.of_subject(answered, sizes.examples)
    if subject != subjects.ACROSS:
        described = subjects.describe(system, subject, split, max(1, sizes.others // 4), seed)
        shares[f"others.{subject}.caption_attributes"] = Share.total(item.hits for item in described)
        chosen += examples.of_descriptions(described, sizes.examples)


def _draw(
    system: System,
    sizes: Sizes,
    classifier: SceneClassifier,
    shares: dict[str, Number],
    chosen: list[Example],
    on_task: OnTask,
) -> None:
    on_task("drawings")
    requested = drawings.request(sizes.split, sizes.drawings, sizes.seed)
    answers = list(replies(system, [conversation_about(None, item.text) for item in requested]))
    texts = [reply.text for reply in answers]

    def drawn(conditions: Sequence[Conditions | None]) -> list[Drawing]:
        return _drawn(system, sizes, classifier, requested, texts, conditions)

    # Of several images in a reply the first counts.
    through = drawn([next(iter(reply.conditions.get("image", ())), None) for reply in answers])
    shares |= drawings.score(through)
    shares["drawn_replies"] = Share.total((d.picture is not None, 1) for d in through)
    chosen += examples.of_drawings(through, sizes.examples)
    on_task("drawings from the generator's own text encoder")
    encode: Any = system.generators["image"].encode_text
    descriptions = {
        "text_encoder": [describe(item.scene) for item in requested],
        "caption_handover": map(_description, texts),
    }
    for name, texts_of in descriptions.items():
        scored = drawings.score(drawn(list(encode(list(texts_of)))))
        shares |= {
            f"baselines.{name}{_below(path)}": share for path, share in scored.items() if path.startswith("drawn_")
        }


def _make(
    system: System, modality: str, sizes: Sizes, shares: dict[str, Number], chosen: list[Example], on_task: OnTask
) -> None:
    on_task(f"what it makes of {modality}")
    found = made.ask(system, modality, sizes.split, sizes.made, sizes.seed)
    chosen += examples.of_made(found, sizes.examples)
    if found[0].read is None:
        return
    shares |= made.score(found, f"made.{modality}")
    on_task("the same from the generator's own text encoder")
    own = made.from_captions(system.generators[modality], modality, sizes.split, sizes.made, sizes.seed)
    shares |= made.score(own, f"baselines.made.text_encoder.{modality}") if own else {}


def _drawn(
    system: System,
    sizes: Sizes,
    classifier: SceneClassifier,
    requested: Sequence[DrawingRequest],
    texts: Sequence[str],
    conditions: Sequence[Conditions | None],
) -> list[Drawing]:
    given = [condition for condition in conditions if condition is not None]
    sampled = iter(drawings.sample(system.generators["image"], given, sizes.seed))
    pictures = [None if condition is None else next(sampled) for condition in conditions]
    return drawings.read_drawings(classifier, requested, texts, pictures)


def _description(reply: str) -> str:
    """The description in the reply to a drawing request."""
    return reply.removeprefix("here is ").rstrip(".")


def _below(path: str) -> str:
    return "" if path == "drawn_objects" else "_" + path.removeprefix("drawn_")
