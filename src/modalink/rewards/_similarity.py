"""Rewards by the angle between words and media in the space of one encoder."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from modalink.errors import DataError
from modalink.evaluation.media_features import HubEncoder
from modalink.rewards import Answered, Differentiable, Judgement, Reward, RewardConfig
from modalink.rewards._texts import listed
from modalink.scoring.metrics.clip_score import cosines


class SimilarityConfig(RewardConfig):
    """Base of rewards by an encoder of words and media."""

    modality: ClassVar[str]

    checkpoint: str
    """Folder or hub id of the encoder."""
    of: Literal["made", "shown"] = "made"
    """What is judged: media that the reply made, against the words of the request; or the words of the reply, against
    the media that were shown."""
    fact: str | None = None
    """Fact of the record that says what a made medium should show; by default `captions`, else the words of the
    request."""
    prefix: str = ""
    """What stands before the words; the published CLIPScore has `A photo depicts `."""

    def tiny(self) -> RewardConfig:
        """There is none: what ships embeds no words and media in one space."""
        return super(RewardConfig, self).tiny()  # type: ignore[return-value]

    def build(self, device: str = "cpu") -> Reward:
        """The reward; the encoder is loaded when it is first asked."""
        return Similarity(self)

    @abstractmethod
    def value(self, cosine: float) -> float:
        """The score of a cosine."""

    def values(self, cosines: Float[Tensor, " i"]) -> Float[Tensor, " i"]:
        """The scores of cosines, with gradients; not where they are cut, so that there is a way back."""
        return cosines


@dataclass(frozen=True)
class Similarity(Reward, Differentiable):
    """Compares words and media; of pictures also with gradients."""

    config: SimilarityConfig

    @cached_property
    def encoder(self) -> HubEncoder:
        """The encoder."""
        return HubEncoder(self.config.checkpoint)

    def judge(self, answers: Sequence[Answered]) -> list[Judgement]:
        pairs = [self._pair(answer) for answer in answers]
        asked = [i for i, pair in enumerate(pairs) if not isinstance(pair, Judgement)]
        values = dict(zip(asked, self._values([pairs[i] for i in asked]) if asked else [], strict=True))
        return [
            pair if isinstance(pair, Judgement) else Judgement(self.config.value(values[i]))
            for i, pair in enumerate(pairs)
        ]

    def gradient(
        self, modality: str, seen: Float[Tensor, "i ..."], captions: Sequence[str]
    ) -> tuple[Float[Tensor, " i"], Float[Tensor, "i ..."]]:
        if modality != self.config.modality or modality != "image":
            raise DataError(
                f"reward {self.config.kind}: found {modality} to follow a gradient to; there is one of pictures alone, "
                "by a reward of pictures: take clip for them, or learn from scores (stage kind online)"
            )
        return self.encoder.gradient(seen, [f"{self.config.prefix}{words}" for words in captions], self.config.values)

    def _pair(self, answer: Answered) -> tuple[Any, str] | Judgement:
        modality = self.config.modality
        if self.config.of == "shown":
            shown = answer.shown(modality)
            if not shown:
                return Judgement(None, f"no {modality} was shown", applies=False)
            return (shown[-1], answer.text) if answer.text.strip() else Judgement(0.0, "the reply has no words")
        made = answer.made(modality)
        wanted = answer.facts.get(self.config.fact or "captions")
        if self.config.fact is not None and not wanted:
            return Judgement.lacking(self.config.fact)
        words = str(listed(wanted)[0]) if wanted else answer.question
        return (made[-1], words) if made else Judgement(0.0, f"the reply made no {modality}")

    def _values(self, pairs: Sequence[Any]) -> list[float]:
        media = self.encoder.media([medium for medium, _ in pairs], self.config.modality)
        words = self.encoder.texts([f"{self.config.prefix}{words}" for _, words in pairs])
        return [float(value) for value in cosines(media, words)]
