"""Rewards: what a reply is worth. A kind is one file, found by its name.

Rewards say something about the reply to a conversation: whether its answer is the right one, whether its boxes lie
where they should, whether a judge likes it. What a record tells beside its turns (the right answer, boxes, captions)
are its facts. Online learning, preference pairs made by a machine and the filtering of data read rewards.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from modalink import modalities
from modalink.conversation import Content, Conversation, Medium, Region, Text
from modalink.errors import DataError, SampleError
from modalink.kinds import KindConfig
from modalink.model import System
from modalink.recipe import Stage


@dataclass(frozen=True)
class Answered:
    """A reply, and what it replies to.

    Args:
        conversation: What was asked: its last turn is not the assistant's.
        reply: Text and media in their order.
        facts: What the record tells beside its turns, by name: `answer`, `regions`, `captions` and whatever it has.
        tokens: Length of the reply in tokens, its end included; None where nobody counted.
        complete: Whether the reply came to its end; else it was cut at its longest length.
    """

    conversation: Conversation
    reply: tuple[Content, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    tokens: int | None = None
    complete: bool = True

    @property
    def text(self) -> str:
        """The words of the reply."""
        return "".join(piece.text for piece in self.reply if isinstance(piece, Text))

    @property
    def question(self) -> str:
        """The words of the last turn that was asked."""
        return self.conversation.turns[-1].text

    def made(self, modality: str) -> list[Any]:
        """The media of a modality that the reply made, as they are or where they come from."""
        return [piece.source for piece in self.reply if isinstance(piece, Medium) and piece.modality == modality]

    def shown(self, modality: str) -> list[Any]:
        """The media of a modality that the reply is about: of all turns that were asked, the last one behind."""
        return [medium.source for turn, medium in self.conversation.media(modality) if turn.role != "assistant"]

    def picture(self) -> tuple[str, Any] | None:
        """Modality and source of the last picture that was shown; None where there is none."""
        shown = [(m.modality, m.source) for turn, m in self.conversation.media() if turn.role != "assistant"]
        pictures = [(modality, source) for modality, source in shown if modalities.get(modality).fits({"image"})]
        return pictures[-1] if pictures else None


def asked_of(record: Conversation) -> tuple[Conversation, dict[str, Any]]:
    """A record with its right reply as what is asked and the facts: the last turn, if the assistant's, is the answer.

    Returns:
        The turns before the reply; the record's own facts, and from the reply, where it has them and the record does
        not name others, `answer` (its words) and `regions` (its areas, in pixels of the picture unless they are
        shares).

    Raises:
        SampleError: Nothing is asked.
    """
    turns, facts = record.turns, dict(record.facts)
    if turns and turns[-1].role == "assistant":
        turns, last = turns[:-1], turns[-1]
        areas = [area for piece in last.content if isinstance(piece, Region) for area in piece.areas]
        if last.text.strip():
            facts.setdefault("answer", last.text.strip())
        if areas:
            facts.setdefault("regions", [list(area) for area in areas])
    if not turns or turns[-1].role == "assistant":
        raise SampleError(record.id, "not_asked", "found no turn to reply to, needed one of the user before the reply")
    return Conversation(turns, record.id), facts


@dataclass(frozen=True)
class Judgement:
    """What a reward says of a reply.

    Args:
        value: The score; None where there is none.
        why: In words: the reasons of a judge, or why there is no score.
        applies: False where the reward has nothing to say about such a record (no right answer stands there), which it
            says of all replies to it alike; a reply that it could not judge has no value and stays True.

    Raises:
        DataError: The value is NaN or infinite.
    """

    value: float | None
    why: str = ""
    applies: bool = True

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise DataError(f"found a reward of {self.value}, needed a finite number, or None where there is none")

    @classmethod
    def lacking(cls, fact: str) -> "Judgement":
        """Of a record without a fact that the reward compares with."""
        return cls(None, f"the record tells no {fact!r}", applies=False)


class Differentiable(ABC):
    """The ability of a reward whose score has a gradient to the media that a reply made."""

    @abstractmethod
    def gradient(
        self, modality: str, seen: Float[Tensor, "i ..."], captions: Sequence[str]
    ) -> tuple[Float[Tensor, " i"], Float[Tensor, "i ..."]]:
        """The score of each medium, and its gradient to what is seen of it.

        The gradient is computed here and not left to the caller's backward pass: so weights that a reward borrows may
        be given back, and nothing of it stays in memory.

        Args:
            modality: What the media are.
            seen: The media in the range of what users are given, see `modalink.roles.Walk.visible`.
            captions: What each should show.

        Raises:
            DataError: It does not judge such media.
        """


class Reward(ABC):
    """Scores replies."""

    @abstractmethod
    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        """What it says of each reply, in order.

        Args:
            answers: The replies; a kind may compare them with each other, and says so in its settings' docstring.

        Raises:
            DataError: A judge cannot be reached, or a function of the user gives no scores.
            MediumError: A medium cannot be read.
        """

    def score(self, answers: Sequence[Answered]) -> list[float | None]:
        """The scores alone; None of a reply that cannot be judged."""
        return [judgement.value for judgement in self.judge(answers)]


@dataclass(frozen=True)
class Each(Reward):
    """A reward that looks at each reply by itself."""

    one: Callable[[Answered], Judgement]

    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        return [self.one(answer) for answer in answers]


@runtime_checkable
class OwnRun(Protocol):
    """The run in which a stage asks rewards, for those that an earlier stage of it has taught to judge."""

    @property
    def system(self) -> System:
        """Its system, as the stage has it now."""

    def stage(self, name: str) -> Stage:
        """One of its stages."""

    def after(self, name: str) -> AbstractContextManager[None]:
        """Inside, the system has the weights that an earlier stage has left, for passes without gradients.

        Raises:
            CheckpointError: They are not there, or are damaged.
        """


class RewardConfig(KindConfig):
    """Base of the settings of rewards."""

    room: ClassVar[str] = "modalink.rewards"
    alone: ClassVar[bool] = True
    """Whether the score of a reply is the same whatever replies stand beside it."""

    weight: float = 1.0
    """Factor in the sum of rewards; of one with weight 0 nothing is learned, it is measured beside the others."""

    def tiny(self) -> "RewardConfig":
        """Itself, for a kind that needs no checkpoint and no network."""
        return self

    @property
    def by_stage(self) -> str | None:
        """The earlier stage of the recipe that judges; None of a kind that asks none."""
        return None

    def build_in(self, own: OwnRun, device: str = "cpu") -> Reward:
        """The reward where a stage of a run asks it; arguments and errors as for `build`."""
        return self.build(device)

    @abstractmethod
    def build(self, device: str = "cpu") -> Reward:
        """The reward, what it needs loaded.

        Args:
            device: Where a network of its own computes.

        Raises:
            PartError: A checkpoint cannot be loaded.
        """
