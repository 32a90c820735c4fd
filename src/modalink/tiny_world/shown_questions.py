"""Held-out questions about clips, sounds, point clouds, and several things together; each about things of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modalink.tiny_world.across import ask_across
from modalink.tiny_world.asking import Question
from modalink.tiny_world.scenes import SPLITS
from modalink.tiny_world.worlds import WORLDS, Shown


@dataclass(frozen=True)
class ShownQuestion:
    """One question about things that are shown."""

    shown: tuple[Shown, ...]
    question: Question


def sample_questions(modality: str, split: str, count: int, seed: int) -> list[ShownQuestion]:
    """Questions of all kinds about things of one modality, the kinds in turn, no two about one thing."""
    world = WORLDS[modality]
    sampled: list[ShownQuestion] = []
    number = seed * 1_000_000
    while len(sampled) < count:
        thing, rng = world.sample(number, split), np.random.default_rng([SPLITS.index(split), number, 4])
        # Not every thing allows every kind: an order needs two notes.
        if possible := world.questions(thing, rng, (world.kinds[len(sampled) % len(world.kinds)],)):
            sampled.append(ShownQuestion((Shown.of(modality, thing),), possible[0]))
        number += 1
    return sampled


def sample_questions_across(kinds: Sequence[str], split: str, count: int, seed: int) -> list[ShownQuestion]:
    """Questions of some kinds about things of several modalities together, the kinds in turn."""
    sampled = []
    for number in range(count):
        rng = np.random.default_rng([SPLITS.index(split), seed, number, 5])
        things, question = ask_across(rng, split, kinds[number % len(kinds)])
        sampled.append(ShownQuestion(tuple(Shown.of(modality, thing) for modality, thing in things), question))
    return sampled
