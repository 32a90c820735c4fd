"""What is asked before a reply is there, and what is known of replies and media that the policy itself drew."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from modalink.conversation import Conversation


@dataclass(frozen=True)
class Asked:
    """A prompt whose replies, or their media, are yet to be drawn.

    Args:
        conversation: What is asked.
        facts: What rewards compare replies with.
    """

    conversation: Conversation
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawing:
    """How tokens are drawn from an LLM's scores, so that training gives them the probability that they had.

    Args:
        temperature: What scores are divided by.
        never: Tokens that are never drawn: placeholders, and signal tokens behind the first of a run.
        longest: Most tokens of a reply.
        most_media: Most runs of signal tokens of a reply.
    """

    temperature: float = 1.0
    never: tuple[int, ...] = ()
    longest: int = 1
    most_media: int = 16


@dataclass(frozen=True)
class Sampled:
    """What training needs of a reply that was drawn.

    Args:
        drawing: How it was drawn.
        barred: Further tokens that could not be drawn, each with its place among the reply's labelled tokens.
        old: Log-probability of each labelled token when it was drawn.
        reference: The same in the state in which the stage began.
        advantages: How much better than expected each token was.
        values: What was expected of its reward from each token on, when it was drawn; empty where nothing expects.
        returns: What should have been expected.
        counts: Whether the reply teaches anything; one that was cut may not.
    """

    drawing: Drawing
    barred: tuple[tuple[int, int], ...] = ()
    old: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()
    advantages: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    returns: tuple[float, ...] = ()
    counts: bool = True


@dataclass(frozen=True, eq=False)
class SampledMedium:
    """What training needs of a medium that the policy made.

    Args:
        tensors: How it came about, by names of the objective that drew it.
        advantage: How much better than expected it was.
        counts: Whether it teaches anything; one without a reward, or none of whose group is better, does not.
    """

    tensors: Mapping[str, Tensor]
    advantage: float = 0.0
    counts: bool = True
