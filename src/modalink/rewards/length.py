"""What too long a reply costs.

Source: DAPO (arXiv 2503.14476, eq. 13).
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from modalink.rewards import Answered, Each, Judgement, Reward, RewardConfig


class LengthConfig(RewardConfig):
    """0 up to `most - margin`, from there linearly down to -1 at `most`, and -1 beyond; a reply that was cut has -1."""

    kind: Literal["length"] = "length"
    most: int = Field(ge=1)
    """Length from which the whole penalty counts."""
    margin: int = Field(default=0, ge=0)
    """Over how much of it the penalty grows."""
    least: int = Field(default=0, ge=0)
    """Length below which a reply has -1: against replies that say nothing."""
    unit: Literal["tokens", "words"] = "tokens"
    """In what length is measured."""
    cut: bool = True
    """Whether a reply that did not come to its end has -1, however long it is."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.least <= self.most - self.margin:
            raise ValueError(f"found least {self.least}, margin {self.margin} and most {self.most}, which overlap")
        return self

    def build(self, device: str = "cpu") -> Reward:
        """The reward; nothing is loaded."""
        return Each(self._one)

    def _one(self, answer: Answered) -> Judgement:
        if self.cut and not answer.complete:
            return Judgement(-1.0, "the reply was cut")
        length = len(answer.text.split()) if self.unit == "words" else answer.tokens
        if length is None:
            return Judgement(None, "nobody counted the tokens of the reply")
        if length < self.least:
            return Judgement(-1.0, f"{length} {self.unit}")
        over = length - (self.most - self.margin)
        value = 0.0 if over <= 0 else -min(1.0, over / self.margin) if self.margin else -1.0
        return Judgement(value, f"{length} {self.unit}")
