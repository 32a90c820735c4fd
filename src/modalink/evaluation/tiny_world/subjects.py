"""Questions and captions about clips, sounds, point clouds, and questions across modalities, beside blind guessing."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from modalink.conversation import Conversation
from modalink.evaluation.replies import replies
from modalink.evaluation.tiny_world.shares import Share
from modalink.model import System
from modalink.tiny_world import SPLITS, WORLDS, Shown, kinds_across
from modalink.tiny_world.media import user_turn
from modalink.tiny_world.scene_questions import normalise_answer
from modalink.tiny_world.shown_questions import ShownQuestion, sample_questions, sample_questions_across

_MAJORITY_FROM = 200
ACROSS = "across"


@dataclass(frozen=True)
class Answered:
    """A question about things that are shown, with what was replied."""

    asked: ShownQuestion
    reply: str

    @property
    def right(self) -> bool:
        """Whether the reply is the answer, after normalisation."""
        return normalise_answer(self.reply) == normalise_answer(self.asked.question.answer)


@dataclass(frozen=True)
class Described:
    """One thing with the request for its caption, and what was replied."""

    shown: Shown
    prompt: str
    reply: str

    @property
    def hits(self) -> tuple[int, int]:
        """How many attributes of its parts are said rightly, and out of how many; parts too many count as wrong."""
        world = WORLDS[self.shown.modality]
        parts, said = getattr(self.shown.thing, world.parts), self.reply.lower().split(", ")
        right = sum(
            f" {getattr(part, name)} " in f" {words} "
            for part, words in zip(parts, said, strict=False)
            for name in world.attributes
        )
        return right, len(world.attributes) * max(len(parts), len(said))


def subjects(modalities: Iterable[str]) -> list[str]:
    """What beside pictures a system that reads some modalities can be asked about."""
    read = frozenset(modalities)
    others = [modality for modality in WORLDS if modality in read and modality != "image"]
    return others + [ACROSS] * bool(kinds_across(read))


def sample(subject: str, modalities: Iterable[str], split: str, count: int, seed: int) -> list[ShownQuestion]:
    """Held-out questions about a subject."""
    if subject != ACROSS:
        return sample_questions(subject, split, count, seed)
    return sample_questions_across(kinds_across(frozenset(modalities)), split, count, seed)


def answer(system: System, asked: Sequence[ShownQuestion], *, blind: bool = False) -> list[Answered]:
    """Ask each question in a conversation of its own, or blind: without what it is about."""
    talks = [_conversation(() if blind else item.shown, item.question.text) for item in asked]
    answers = replies(system, talks, max_new_tokens=16)
    return [Answered(item, reply.text) for item, reply in zip(asked, answers, strict=True)]


def describe(system: System, modality: str, split: str, count: int, seed: int) -> list[Described]:
    """Ask for the captions of things that no question is about."""
    world, first = WORLDS[modality], seed * 1_000_000 + 500_000
    shown = [Shown.of(modality, world.sample(first + number, split)) for number in range(count)]
    rng = np.random.default_rng([SPLITS.index(split), seed, 6])
    prompts = [world.caption_request(rng) for _ in shown]
    talks = [_conversation((thing,), prompt) for thing, prompt in zip(shown, prompts, strict=True)]
    answers = replies(system, talks)
    return [Described(s, p, reply.text) for s, p, reply in zip(shown, prompts, answers, strict=True)]


def majority(subject: str, modalities: Iterable[str], asked: Iterable[ShownQuestion], seed: int) -> list[Answered]:
    """The answers of one who knows only which answer is most frequent for each kind in the training split."""
    counts: dict[str, Counter[str]] = {}
    for item in sample(subject, modalities, "train", 10 * _MAJORITY_FROM, seed):
        counts.setdefault(item.question.kind, Counter())[item.question.answer] += 1
    best = {kind: answers.most_common(1)[0][0] for kind, answers in counts.items()}
    return [Answered(item, best[item.question.kind]) for item in asked]


def score(answered: Sequence[Answered], name: str) -> dict[str, Share]:
    """Exact answers: all under `name.questions`, and each kind under `name.by_kind`."""
    rows = [(item.asked.question.kind, item.right) for item in answered]
    shares = {f"{name}.questions": Share.total((right, 1) for _, right in rows)}
    for kind in dict.fromkeys(kind for kind, _ in rows):
        shares[f"{name}.by_kind.{kind}"] = Share.total((right, 1) for k, right in rows if k == kind)
    return shares


def _conversation(shown: Sequence[Shown], text: str) -> Conversation:
    return Conversation((user_turn(shown, text),), "tiny world")
