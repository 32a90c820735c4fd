"""What the tiny world's judged replies share: which samples there are, and what each is drawn from."""

from typing import Literal

import numpy as np
from pydantic import Field

from modalink import tiny_world
from modalink.data.source import SourceConfig


class TinyWorldJudgedConfig(SourceConfig):
    """Settings of tiny-world replies that nobody has to judge; each sample is a function of split, seed and number."""

    split: Literal["train", "validation", "test"] = "train"
    """Split of compositions."""
    count: int = Field(default=2_000, ge=1)
    """How many samples."""
    seed: int = Field(default=0, ge=0)
    """With the split fixes every word and pixel."""

    @property
    def name(self) -> str:
        """Kind and split."""
        return f"{self.kind} {self.split}"

    def id(self, index: int) -> str:
        """What the sample of a number is called."""
        return f"{self.kind}/{self.split}/{self.seed}/{index}"

    def rng(self, index: int, draws: int) -> np.random.Generator:
        """What the sample of a number is drawn from.

        Args:
            index: The number.
            draws: The kind's own number, so that two kinds do not draw alike.
        """
        return np.random.default_rng([tiny_world.SPLITS.index(self.split), self.seed, index, draws])
