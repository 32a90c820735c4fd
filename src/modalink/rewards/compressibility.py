"""How well a picture compresses: a reward without labels or networks, whose effect is seen at a glance.

Source: DDPO (arXiv 2305.13301, section 5.1): minus the size of the JPEG file in kilobytes; its code has quality 95.
"""

import io
from typing import Literal

from pydantic import Field

from modalink import modalities
from modalink.rewards import Answered, Each, Judgement, Reward, RewardConfig

_KILOBYTE = 1000


class CompressibilityConfig(RewardConfig):
    """Minus the kilobytes of the last picture that was made as a JPEG file; with a negative `weight` what is hard to
    compress is good."""

    kind: Literal["compressibility"] = "compressibility"
    quality: int = Field(default=95, ge=1, le=95)
    """Quality of the JPEG file."""

    def build(self, device: str = "cpu") -> Reward:
        """The reward."""
        return Each(self.one)

    def one(self, answer: Answered) -> Judgement:
        """What it says of one reply."""
        made = answer.made("image")
        if not made:
            return Judgement(None, "the reply made no picture")
        file = io.BytesIO()
        modalities.get("image").read(made[-1]).convert("RGB").save(file, "JPEG", quality=self.quality)
        return Judgement(-len(file.getvalue()) / _KILOBYTE)
