"""Random numbers that depend on where in the run they are needed, never on what was drawn before.

Each step's draws follow from the recipe's seed and the place (stage, step, sample, item). So a resumed run draws what
the uninterrupted one would have drawn, and an item's noise does not depend on how a step is split into micro-batches or
over processes.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


def seed_of(*place: object) -> int:
    """A 63-bit seed for a place, for example `seed_of(recipe.seed, "pretrain", step)`."""
    digest = hashlib.sha256("/".join(map(str, place)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(*place: object) -> None:
    """Seed the global random states of Python, NumPy and torch (all devices), from which dropout draws."""
    seed = seed_of(*place)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@dataclass(frozen=True)
class ItemRngs:
    """Random generators for the items of one batch.

    Args:
        seed: The recipe's seed, with the stage.
        step: The step, from 0.
        positions: Each of the batch's samples' place in the whole step, over all micro-batches and processes.
    """

    seed: int
    step: int
    positions: Sequence[int]

    def of(self, purpose: str, samples: Sequence[int]) -> list[torch.Generator]:
        """One generator an item, on the CPU, so that every device draws the same.

        Args:
            purpose: What is drawn; different purposes draw independently.
            samples: Which sample of the batch each item belongs to; items of one sample are told apart by their order.
        """
        seen: Counter[int] = Counter()
        rngs = []
        for sample in samples:
            seed = seed_of(self.seed, self.step, self.positions[sample], purpose, seen[sample])
            rngs.append(torch.Generator().manual_seed(seed))
            seen[sample] += 1
        return rngs
