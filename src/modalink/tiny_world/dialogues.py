"""Whole conversations about the tiny world in text alone: a description stands where a picture will stand."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modalink.tiny_world.across import ACROSS_KINDS, ask_across
from modalink.tiny_world.asking import Question, pick
from modalink.tiny_world.language import drawing_reply, drawing_request
from modalink.tiny_world.rendering import Box
from modalink.tiny_world.scenes import COLOURS, SHAPES, SIZES, SPLITS, Scene
from modalink.tiny_world.solids.bodies import SOLIDS
from modalink.tiny_world.sounds.notes import TIMBRES
from modalink.tiny_world.worlds import WORLDS, Shown, Thing

_MAX_QUESTIONS = 4
SUBJECTS = (*WORLDS, "across")
"""What a conversation can be about: things of one modality, or things of several together."""


@dataclass(frozen=True)
class Dialogue:
    """Turns of user and assistant about what is shown before the first of them, if anything is.

    Args:
        kind: What it is for.
        turns: What the user says, and the reply.
        shown: Things that stand before the first turn.
        drawn: What the last reply draws.
        made: What the last reply makes that is no picture.
        about: Where the turns are questions, the parts of what is shown that each of them names.
        boxes: Places in the picture, in pixels: left, top, right, bottom; they stand where the turns say `<bbox>`.
    """

    kind: str
    turns: tuple[tuple[str, str], ...]
    shown: tuple[Shown, ...] = ()
    drawn: Scene | None = None
    made: Shown | None = None
    about: tuple[tuple[Any, ...], ...] = ()
    boxes: tuple[Box, ...] = ()

    @property
    def scene(self) -> Scene | None:
        """The one picture that the conversation shows or draws."""
        pictures = [shown.thing for shown in self.shown if shown.modality == "image"]
        return pictures[0] if len(pictures) == len(self.shown) == 1 else self.drawn

    def messages(self) -> list[dict[str, str]]:
        """Give the turns as Hugging Face chat messages, descriptions before the first question."""
        messages: list[dict[str, str]] = []
        for i, (user, assistant) in enumerate(self.turns):
            text = "\n".join([*(shown.description for shown in self.shown), user]) if i == 0 else user
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


def sample_dialogue(split: str, rng: np.random.Generator, kind: str | None = None, subject: str = "image") -> Dialogue:
    """Draw one conversation about things of the split.

    Args:
        split: `train`, `validation` or `test`.
        rng: Source of all that is drawn.
        kind: `questions`, `caption` or `decline`, of pictures also `drawing` and `small talk`; a random one by default.
        subject: One of `SUBJECTS`; of several modalities together there are questions alone.
    """
    if subject == "across":
        return sample_across(split, rng)
    shares = _SHARES if subject == "image" else _SHARES_OF_OTHERS
    kind = kind or str(rng.choice(list(shares), p=list(shares.values())))
    if kind == "small talk":
        return Dialogue(kind, (_SMALL_TALK[rng.integers(len(_SMALL_TALK))],))
    world = WORLDS[subject]
    thing = world.sample(int(rng.integers(2**31)), split)
    shown = Shown.of(subject, thing, rng)
    if kind == "decline":
        turns = ((_outside_question(subject, thing, rng), DECLINE),)
        return Dialogue(kind, turns, (shown,)) if rng.random() < 0.5 else Dialogue(kind, turns)
    if kind == "drawing":
        return Dialogue(kind, ((drawing_request(thing, rng), drawing_reply(thing)),), drawn=thing)
    if kind == "caption":
        return Dialogue(kind, ((world.caption_request(rng), world.describe(thing)),), (shown,))
    return interview(shown, world.questions(thing, rng)[: rng.integers(1, _MAX_QUESTIONS + 1)])


def sample_question(split: str, rng: np.random.Generator, subject: str, kinds: Sequence[str]) -> Dialogue:
    """Draw one question of some kinds about a thing of one modality; of those that are among its kinds."""
    world = WORLDS[subject]
    kinds = [kind for kind in world.kinds if kind in kinds]
    while True:
        thing = world.sample(int(rng.integers(2**31)), split)
        # Not every thing allows every kind: the kind is drawn first, so that none is rare for it.
        if asked := world.questions(thing, rng, (pick(rng, kinds),)):
            return interview(Shown.of(subject, thing, rng), asked)


def sample_across(split: str, rng: np.random.Generator, kinds: Sequence[str] = ACROSS_KINDS) -> Dialogue:
    """Draw one question of some kinds about things of several modalities together."""
    things, question = ask_across(rng, split, pick(rng, kinds))
    return interview([Shown.of(modality, thing, rng) for modality, thing in things], [question])


def interview(shown: Shown | Sequence[Shown], asked: Sequence[Question]) -> Dialogue:
    """Put questions about what is shown, one a turn."""
    turns = tuple((question.text, question.answer) for question in asked)
    things = (shown,) if isinstance(shown, Shown) else tuple(shown)
    return Dialogue("questions", turns, things, about=tuple(question.about for question in asked))


_SHARES = {"questions": 0.70, "caption": 0.10, "drawing": 0.10, "small talk": 0.02, "decline": 0.08}
_SHARES_OF_OTHERS = {"questions": 0.80, "caption": 0.16, "decline": 0.04}
DECLINE = "i only know about the tiny world."
_SMALL_TALK = (
    ("hello", "hello! show me something or ask me to draw."),
    ("hello!", "hello! show me something or ask me to draw."),
    ("hi", "hello! show me something or ask me to draw."),
    ("hi there", "hello! show me something or ask me to draw."),
    ("good morning", "hello! show me something or ask me to draw."),
    ("how are you?", "i am fine, thank you."),
    ("thanks", "you are welcome."),
    ("thank you!", "you are welcome."),
    ("bye", "goodbye!"),
    ("goodbye", "goodbye!"),
    ("who are you?", "i am a tiny model that sees, hears and draws."),
    ("what are you?", "i am a tiny model that sees, hears and draws."),
    ("what can you do?", "i can answer questions about pictures, videos, sounds and points, and draw."),
    ("help", "i can answer questions about pictures, videos, sounds and points, and draw."),
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


_WORDS = (*SHAPES, *COLOURS, *SIZES, *TIMBRES, *SOLIDS)
_INSIDE = re.compile(rf"\b({'|'.join(_WORDS)}|objects?|notes?|solids?|points|picture|image|video|sound)(e?s)?\b")


def _outside_question(subject: str, thing: Thing, rng: np.random.Generator) -> str:
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
    drawing = manner == 3 and subject == "image"
    asked = drawing_request(thing, rng) if drawing else WORLDS[subject].questions(thing, rng)[0].text
    strange = _INSIDE.sub(lambda found: _unknown_word(rng) if rng.random() < 0.7 else found[0], asked)
    return strange if strange != asked else f"{asked.rstrip('?.')} {_unknown_word(rng)}?"


def _unknown_word(rng: np.random.Generator) -> str:
    """Name a thing that is not of the world, or make up a word."""
    if rng.random() < 0.3:
        return _THINGS[rng.integers(len(_THINGS))]
    return "".join(str(rng.choice(_SYLLABLES)) for _ in range(rng.integers(1, 5)))
