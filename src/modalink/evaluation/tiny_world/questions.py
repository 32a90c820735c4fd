"""Questions about held-out pictures, and what blind guessing would earn."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from modalink.evaluation.tiny_world.shares import Share
from modalink.tiny_world import QUESTION_KINDS, SPLITS, SYNONYMS, Question, Scene, questions, sample_scene

_SAME = {other: word for word, others in SYNONYMS.items() for other in others}
_DIGITS = {"0": "zero", "1": "one", "2": "two", "3": "three"}
_MAJORITY_FROM = 400


@dataclass(frozen=True)
class Asked:
    """One question about the picture of one scene."""

    scene: Scene
    question: Question


@dataclass(frozen=True)
class Answered:
    """A question with what was replied."""

    asked: Asked
    reply: str

    @property
    def right(self) -> bool:
        """Whether the reply is the answer, after normalisation."""
        return normalise(self.reply) == normalise(self.asked.question.answer)


def draw(split: str, count: int, seed: int) -> list[Asked]:
    """Questions of all kinds in turn, each about a picture of its own, so that no two depend on each other."""
    asked: list[Asked] = []
    number = seed * 1_000_000
    while len(asked) < count:
        scene, rng = sample_scene(number, split), np.random.default_rng([SPLITS.index(split), number])
        # Not every scene allows every kind: a relation needs two objects.
        if found := questions(scene, rng, (QUESTION_KINDS[len(asked) % len(QUESTION_KINDS)],)):
            asked.append(Asked(scene, found[0]))
        number += 1
    return asked


def normalise(answer: str) -> str:
    """An answer without case, punctuation, articles and synonyms: `A violet box.` is `purple square`."""
    words = re.sub(r"[^a-z0-9 ]", " ", answer.lower()).split()
    return " ".join(_SAME.get(word, _DIGITS.get(word, word)) for word in words if word not in ("a", "an", "the"))


def score(answered: Iterable[Answered], name: str, by_kind: str) -> dict[str, Share]:
    """Exact answers: all under `name`, and each kind under `by_kind`."""
    rows = [(item.asked.question.kind, item.right) for item in answered]
    found = {name: Share.total((right, 1) for _, right in rows)}
    for kind in QUESTION_KINDS:
        found[f"{by_kind}.{kind}"] = Share.total((right, 1) for k, right in rows if k == kind)
    return found


def majority(asked: Iterable[Asked], seed: int) -> list[Answered]:
    """The answers of one who knows only which answer is most frequent for each kind in the training split."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in QUESTION_KINDS}
    for item in draw("train", _MAJORITY_FROM * len(QUESTION_KINDS), seed):
        counts[item.question.kind][item.question.answer] += 1
    best = {kind: answers.most_common(1)[0][0] for kind, answers in counts.items()}
    return [Answered(item, best[item.question.kind]) for item in asked]
