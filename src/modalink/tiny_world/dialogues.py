"""Whole conversations about the tiny world in text alone: a description stands where a picture will stand."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from modalink.tiny_world.language import (
    Question,
    caption_request,
    describe,
    drawing_reply,
    drawing_request,
    questions,
)
from modalink.tiny_world.scenes import COLOURS, SHAPES, SIZES, SPLITS, Scene, WorldObject, sample_scene

_MAX_QUESTIONS = 4


@dataclass(frozen=True)
class Dialogue:
    """Turns of user and assistant; `description` stands before the first turn when the talk is about a scene.

    `about` holds, where the turns are questions, the objects that each of them names.
    """

    kind: str
    turns: tuple[tuple[str, str], ...]
    scene: Scene | None = None
    description: str | None = None
    about: tuple[tuple[WorldObject, ...], ...] = ()

    def messages(self) -> list[dict[str, str]]:
        """Give the turns as Hugging Face chat messages, the description before the first question."""
        messages: list[dict[str, str]] = []
        for i, (user, assistant) in enumerate(self.turns):
            text = f"{self.description}\n{user}" if i == 0 and self.description is not None else user
            messages += [{"role": "user", "content": text}, {"role": "assistant", "content": assistant}]
        return messages


def dialogues(split: str, count: int, seed: int) -> Iterator[dict[str, object]]:
    """Give conversations about scenes of a split as Hugging Face chat records.

    Args:
        split: `train`, `validation` or `test`.
        count: how many.
        seed: with the split fixes every word.

    Yields:
        `{"messages": [{"role", "content"}, ...], "kind": ...}` with a kind of `questions`, `caption`, `drawing`,
        `small talk` or `decline`.
    """
    for number in range(count):
        dialogue = sample_dialogue(split, np.random.default_rng([SPLITS.index(split), seed, number]))
        yield {"messages": dialogue.messages(), "kind": dialogue.kind}


def sample_dialogue(split: str, rng: np.random.Generator, kind: str | None = None) -> Dialogue:
    """Draw one conversation about a scene of the split, of a random or a given kind."""
    kind = kind or str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
    if kind == "small talk":
        return Dialogue(kind, (_SMALL_TALK[rng.integers(len(_SMALL_TALK))],))
    scene = sample_scene(int(rng.integers(2**31)), split)
    description = describe(scene, rng if rng.random() < 0.7 else None)
    if kind == "decline":
        turns = ((_outside_question(scene, rng), DECLINE),)
        return Dialogue(kind, turns, scene, description) if rng.random() < 0.5 else Dialogue(kind, turns)
    if kind == "drawing":
        return Dialogue(kind, ((drawing_request(scene, rng), drawing_reply(scene)),), scene)
    if kind == "caption":
        return Dialogue(kind, ((caption_request(rng), describe(scene)),), scene, description)
    return interview(scene, description, questions(scene, rng)[: rng.integers(1, _MAX_QUESTIONS + 1)])


def interview(scene: Scene, description: str, asked: Sequence[Question]) -> Dialogue:
    """Put questions about a scene, one a turn, after its description."""
    turns = tuple((question.text, question.answer) for question in asked)
    return Dialogue("questions", turns, scene, description, tuple(question.about for question in asked))


_SHARES = {"questions": 0.70, "caption": 0.10, "drawing": 0.10, "small talk": 0.02, "decline": 0.08}
DECLINE = "i only know about small pictures of coloured shapes."
_SMALL_TALK = (
    ("hello", "hello! show me a picture or ask me to draw one."),
    ("hello!", "hello! show me a picture or ask me to draw one."),
    ("hi", "hello! show me a picture or ask me to draw one."),
    ("hi there", "hello! show me a picture or ask me to draw one."),
    ("good morning", "hello! show me a picture or ask me to draw one."),
    ("how are you?", "i am fine, thank you."),
    ("thanks", "you are welcome."),
    ("thank you!", "you are welcome."),
    ("bye", "goodbye!"),
    ("goodbye", "goodbye!"),
    ("who are you?", "i am a tiny model that sees and draws coloured shapes."),
    ("what are you?", "i am a tiny model that sees and draws coloured shapes."),
    ("what can you do?", "i can answer questions about pictures and draw coloured shapes."),
    ("help", "i can answer questions about pictures and draw coloured shapes."),
)
_TOPICS = (
    "weather", "capital of france", "president", "meaning of life", "time", "news", "price of gold", "best movie",
    "population of china", "square root of nine", "speed of light", "recipe for bread", "history of rome",
    "distance to the moon", "name of this dog", "age of the man", "brand of the car", "title of the song",
    "name of the city", "date today", "stock market", "football score", "score of the game", "height of the tree",
)  # fmt: skip
_THINGS = (
    "dog", "cat", "car", "man", "woman", "house", "tree", "bird", "horse", "phone", "table", "computer", "river",
    "train", "banana", "guitar", "bicycle", "mountain", "elephant", "robot", "piano", "bridge", "boat", "child",
)  # fmt: skip
_BABBLE = (
    "what", "is", "the", "a", "how", "many", "where", "who", "why", "when", "which", "do", "does", "did", "can", "you",
    "i", "me", "my", "your", "it", "they", "this", "that", "there", "are", "of", "in", "on", "to", "with", "and", "or",
)  # fmt: skip
_SYLLABLES = tuple(
    start + vowel + end
    for start in ("", *"bcdfghjklmnprstvwz", "sh", "th", "st", "tr", "pl", "gr", "ch")
    for vowel in (*"aeiou", "ea", "oo")
    for end in ("", *"dlmnrst", "ck", "ng")
)
_OUTSIDE = (
    ("what is the {}?", _TOPICS), ("tell me about the {}.", _TOPICS), ("do you know the {}?", _TOPICS),
    ("explain the {} to me", _TOPICS), ("what is the {} doing?", _THINGS), ("why is the {} happy?", _THINGS),
    ("write a poem about a {}.", _THINGS), ("is the {} asleep?", _THINGS), ("where does the {} live?", _THINGS),
    ("translate {} into german.", _THINGS), ("how old is the {}?", _THINGS), ("write code for a {}", _THINGS),
    ("who owns the {}?", _THINGS), ("what does the {} eat?", _THINGS), ("tell me a joke about a {}", _THINGS),
)  # fmt: skip


_INSIDE = re.compile(rf"\b({'|'.join((*SHAPES, *COLOURS, *SIZES))}|objects?|picture|image)(e?s)?\b")


def _outside_question(scene: Scene, rng: np.random.Generator) -> str:
    """Ask about what the world does not hold: another topic, a question of its own with strange words, or babble."""
    manner = rng.integers(4)
    if manner == 0:
        form, topics = _OUTSIDE[rng.integers(len(_OUTSIDE))]
        return form.format(topics[rng.integers(len(topics))])
    if manner == 1:
        words = [
            _unknown_word(rng) if rng.random() < 0.5 else str(rng.choice(_BABBLE)) for _ in range(rng.integers(2, 8))
        ]
        return " ".join([*words, _unknown_word(rng)]) + str(rng.choice(["?", ".", ""]))
    asked = questions(scene, rng)[0].text if manner == 2 else drawing_request(scene, rng)
    strange = _INSIDE.sub(lambda found: _unknown_word(rng) if rng.random() < 0.7 else found[0], asked)
    return strange if strange != asked else f"{asked.rstrip('?.')} {_unknown_word(rng)}?"


def _unknown_word(rng: np.random.Generator) -> str:
    """Name a thing that is not of the world, or make up a word."""
    if rng.random() < 0.3:
        return _THINGS[rng.integers(len(_THINGS))]
    return "".join(str(rng.choice(_SYLLABLES)) for _ in range(rng.integers(1, 5)))
