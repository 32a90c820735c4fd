"""The better of two replies shall be worth more, by the system's own reward head.

Source: Bradley and Terry 1952, as reward models take it (arXiv 2203.02155, eq. 1, with the mean over a prompt's pairs);
margins of arXiv 2307.09288, eq. 2; centring of arXiv 2312.09244; compared with TRL 1.16's `RewardTrainer.compute_loss`.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.model.batch import Batch
from modalink.model.sides import Pair, pairs_of
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.objectives._replies import PairSums, wins
from modalink.training.randomness import ItemRngs


class BradleyTerryConfig(ObjectiveConfig):
    """-log sigmoid(better - worse - margin), the mean over a prompt's pairs; its unit is one prompt."""

    needs: ClassVar[frozenset[Need]] = frozenset({"rewards"})
    kind: Literal["bradley_terry"] = "bradley_terry"
    margins: bool = False
    """Whether the difference of two replies' scores, where the data tell it, is the margin between their rewards."""
    centring: Annotated[float, Field(ge=0)] = 0.01
    """Weight of the squared sum of a pair's rewards, which keeps rewards around zero."""
    ties: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the squared difference of the rewards of replies with the same score."""

    def count(self, batch: Batch) -> int:
        return len(self._by_prompt(batch))

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        assert output.rewards is not None
        rewards = output.rewards
        means = [self._losses(rewards, pairs).mean() for pairs in self._by_prompt(batch).values()]
        return torch.stack(means).sum() if means else rewards.new_zeros(())

    def won(self, output: Output, batch: Batch) -> Float[Tensor, " p"] | None:
        assert output.rewards is not None
        return wins(PairSums.of(output.rewards, pairs_of(batch.sides)))

    def _by_prompt(self, batch: Batch) -> dict[int, list[Pair]]:
        found: dict[int, list[Pair]] = {}
        for pair in pairs_of(batch.sides, ties=self.ties > 0):
            found.setdefault(batch.sides[pair.chosen].sample, []).append(pair)
        return found

    def _losses(self, rewards: Float[Tensor, " s"], pairs: list[Pair]) -> Float[Tensor, " p"]:
        better, worse = rewards[[pair.chosen for pair in pairs]], rewards[[pair.rejected for pair in pairs]]
        margins = rewards.new_tensor([(pair.margin or 0.0) if self.margins else 0.0 for pair in pairs])
        tied = torch.tensor([pair.margin == 0 for pair in pairs], device=rewards.device)
        ranked = -logsigmoid(better - worse - margins)
        losses = torch.where(tied, self.ties * (better - worse) ** 2, ranked)
        return losses + self.centring * (better + worse) ** 2
