"""Held-out questions, each about the picture of a scene of its own, and when an answer is the right one."""

import re
from dataclasses import dataclass

import numpy as np

from modalink.tiny_world.asking import Question
from modalink.tiny_world.language import QUESTION_KINDS, SYNONYMS, questions
from modalink.tiny_world.scenes import SPLITS, Scene, sample_scene

_SYNONYM_OF = {other: word for word, others in SYNONYMS.items() for other in others}
_DIGITS = {"0": "zero", "1": "one", "2": "two", "3": "three"}


@dataclass(frozen=True)
class SceneQuestion:
    """One question about the picture of one scene."""

    scene: Scene
    question: Question


def sample_scene_questions(split: str, count: int, seed: int) -> list[SceneQuestion]:
    """Questions of all kinds in turn, each about a picture of its own, so that no two depend on each other."""
    sampled: list[SceneQuestion] = []
    number = seed * 1_000_000
    while len(sampled) < count:
        scene, rng = sample_scene(number, split), np.random.default_rng([SPLITS.index(split), number])
        # Not every scene allows every kind: a relation needs two objects.
        if possible := questions(scene, rng, (QUESTION_KINDS[len(sampled) % len(QUESTION_KINDS)],)):
            sampled.append(SceneQuestion(scene, possible[0]))
        number += 1
    return sampled


def normalise_answer(answer: str) -> str:
    """An answer without case, punctuation, articles and synonyms: `A violet box.` is `purple square`."""
    words = re.sub(r"[^a-z0-9 ]", " ", answer.lower()).split()
    return " ".join(_SYNONYM_OF.get(w, _DIGITS.get(w, w)) for w in words if w not in ("a", "an", "the"))
