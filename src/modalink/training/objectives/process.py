"""Each step of a reply shall be told right or wrong, by the system's own reward head at the step's end.

Sources: process supervision (arXiv 2305.20050); Math-Shepherd (2312.08935, eq. 2); VisualPRM (2503.10291).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from modalink.model.batch import Batch
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.randomness import ItemRngs


class ProcessConfig(ObjectiveConfig):
    """Binary cross-entropy of the head with the worth of each step; its unit is a step that was judged."""

    needs: ClassVar[frozenset[Need]] = frozenset({"step_rewards"})
    kind: Literal["process"] = "process"

    def count(self, batch: Batch) -> int:
        return sum(worth is not None for worth in _worth(batch))

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        rewards, worth = self._judged(output, batch)
        return binary_cross_entropy_with_logits(rewards, worth, reduction="sum")

    def won(self, output: Output, batch: Batch) -> Float[Tensor, " p"] | None:
        rewards, worth = self._judged(output, batch)
        return (torch.sign(rewards) * torch.sign(worth - 0.5) + 1) / 2

    def _judged(self, output: Output, batch: Batch) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
        """What the head says of the steps that were judged, and what they are worth."""
        assert output.step_rewards is not None
        judged = [(place, worth) for place, worth in enumerate(_worth(batch)) if worth is not None]
        rewards = output.step_rewards[[place for place, _ in judged]]
        return rewards, rewards.new_tensor([worth for _, worth in judged])


def _worth(batch: Batch) -> list[float | None]:
    """Of each step of the batch."""
    return [worth for side in batch.sides for worth in side.judgement.steps]
