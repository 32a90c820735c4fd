"""What objectives read of a forward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from modalink.model.items import Described
from modalink.ragged import Ragged
from modalink.roles import Compared, Conditions, LearnsCaptions, OutputProjector

Need = Literal[
    "logits",
    "logprobs",
    "conditions",
    "links",
    "features",
    "prompt_tokens",
    "target_features",
    "embeddings",
    "vocabulary",
    "reference_prompts",
    "contrast",
    "matching",
    "writing",
    "reference_logprobs",
    "rewards",
    "step_rewards",
    "values",
    "reference_conditions",
    "own_reading",
    "sampled_media",
]
"""What objectives can ask for: a field of `Output`, one of the ways of `Output.captioned`, or `Item.sampled`."""
OF_CAPTIONS: frozenset[Need] = frozenset({"contrast", "matching", "writing"})
"""What a projector that learns captions fills, without a pass through the LLM."""
OF_START: frozenset[Need] = frozenset({"reference_logprobs", "reference_conditions", "own_reading"})
"""What the state in which the stage began gives."""
OF_FROZEN: frozenset[Need] = OF_START | {"target_features", "vocabulary", "reference_prompts", "sampled_media"}
"""What parts that do not learn give: no gradient goes there."""


@dataclass(frozen=True)
class Captioned:
    """A batch's media of one modality with their captions, as an input projector reads both.

    Args:
        projector: The projector.
        features: Encoder tokens of the media.
        words: Token ids of the captions, of as many.
        described: The same on the host.
    """

    projector: LearnsCaptions
    features: Ragged
    words: Ragged
    described: Described

    @cached_property
    def compared(self) -> Compared:
        """Media and captions where they are compared; computed once for all who ask."""
        return self.projector.compared(self.features, self.words)

    @cached_property
    def similarities(self) -> Float[Tensor, "i i"]:
        """How well each medium goes with each caption, float32."""
        return self.compared.similarities


@dataclass(frozen=True)
class Embedded:
    """A batch's media of one modality in a space in which they are told apart, see `modalink.roles.Embeds`."""

    vectors: Float[Tensor, "i d"]
    temperature: Float[Tensor, ""]


@dataclass(frozen=True)
class Link:
    """How the batch's media of one modality are asked for.

    Args:
        heads: The output projectors by the condition that each makes.
        asked: What they read of each target, in the projectors' type.
    """

    heads: Mapping[str, OutputProjector]
    asked: Float[Tensor, "i k d_llm"]


@runtime_checkable
class ReadsBack(Protocol):
    """How likely the state in which the stage began finds captions of media that were made."""

    def asking(self, question: str | None) -> "ReadsBack":
        """The same with another question about the media; itself if it is None."""

    def gradient(
        self, modality: str, seen: Float[Tensor, "i ..."], captions: Sequence[str]
    ) -> tuple[Float[Tensor, " i"], Float[Tensor, "i ..."]]:
        """See `modalink.rewards.Differentiable`."""

    def score(self, modality: str, media: Sequence[Any], captions: Sequence[str]) -> Float[Tensor, " i"]:
        """The score of each medium, as users are given it."""


@dataclass(frozen=True)
class Output:
    """What objectives read of a forward pass; what none of them needs stays None and costs nothing."""

    logits: Float[Tensor, "m v"] | None = None
    """One row for each labelled token of the batch (`Batch.wanted`)."""
    logprobs: Float[Tensor, " m"] | None = None
    """Log-probability of each labelled token, float32."""
    reference_logprobs: Float[Tensor, " m"] | None = None
    """The same in the state in which the stage began; no gradient goes there."""
    rewards: Float[Tensor, " s"] | None = None
    """What each side of the batch is worth by the system's own head, float32."""
    step_rewards: Float[Tensor, " p"] | None = None
    """What each step of the batch (`Batch.steps`) is worth by the same head, float32."""
    values: Float[Tensor, " m"] | None = None
    """What is expected of its side's reward at each labelled token, before it is said, float32."""
    reference_conditions: Mapping[str, Conditions] | None = None
    """The conditions that the same state makes; no gradient goes there."""
    own_reading: "ReadsBack | None" = None
    """How likely the same state finds captions of media that it is shown."""
    conditions: Mapping[str, Conditions] | None = None
    """Modality -> conditions, one item for each of the batch's targets; None where the batch has none."""
    nothing: Mapping[str, Conditions] | None = None
    """Modality -> conditions of one item that asks for nothing, where projectors make them (`OutputSpec.nothing`)."""
    links: Mapping[str, Link] | None = None
    """Modality -> output projectors and what they read, one item for each of the batch's targets."""
    features: Mapping[str, Ragged] | None = None
    """Modality -> encoder outputs `[i, p, d_enc]` of the batch's media; no pass through the LLM."""
    prompt_tokens: Mapping[str, Ragged] | None = None
    """Modality -> what the input projector makes of them, `[i, n, d_llm]`; no pass through the LLM."""
    embeddings: Mapping[str, Embedded] | None = None
    """Modality -> vectors of the batch's media, of input projectors that have some; no pass through the LLM."""
    vocabulary: Float[Tensor, "v d_llm"] | None = None
    """What the LLM reads of each of its tokens; no gradient goes there."""
    reference_prompts: Mapping[str, Ragged] | None = None
    """Modality -> what a frozen input projector makes of captions, of each of `captions_of`; no gradient goes there."""
    target_features: Mapping[str, Ragged] | None = None
    """Modality -> what the frozen encoder makes of the media that shall be made, of each of `Targets.shown`."""
    captioned: Mapping[str, Captioned] | None = None
    """Modality -> the media that have captions; no pass through the LLM."""
    noted: Mapping[str, float] = field(default_factory=dict)
    """What the objective that reads this has noted of the step, see `ObjectiveConfig.noted`."""
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    """Where the objective that reads this leaves what it `diagnoses`."""
    peers: str | None = None
    """What those passes of other processes are called that run beside this one and whose media are compared with its
    media, see `ObjectiveConfig.compares`; None where none are."""
