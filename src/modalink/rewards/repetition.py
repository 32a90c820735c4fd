"""What a reply costs that says the same again and again.

Source: Yeo et al. (arXiv 2502.03373, section 4.3: n-gram repetition penalty).
"""

from typing import Literal

from pydantic import Field

from modalink.rewards import Answered, Each, Judgement, Reward, RewardConfig


class RepetitionConfig(RewardConfig):
    """Minus the share of runs of words that stood in the reply before; 0 where none did."""

    kind: Literal["repetition"] = "repetition"
    words: int = Field(default=3, ge=1)
    """Words of a run."""

    def build(self, device: str = "cpu") -> Reward:
        """The reward; nothing is loaded."""
        return Each(self._one)

    def _one(self, answer: Answered) -> Judgement:
        words = answer.text.lower().split()
        runs = [tuple(words[i : i + self.words]) for i in range(len(words) - self.words + 1)]
        return Judgement(len({*runs}) / len(runs) - 1.0 if runs else 0.0)
