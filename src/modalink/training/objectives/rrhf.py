"""Of several ranked replies each shall be more likely than each worse one; stands beside `language`.

Source: RRHF, arXiv 2304.05302, eq. 2 and 3; GanjinZero/RRHF, train.py, which multiplies it by 100 (`weight`).
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from modalink.model.batch import Batch
from modalink.model.sides import by_sample, pairs_of
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.objectives._replies import PairSums, logprobs_of, sums, tokens_of
from modalink.training.randomness import ItemRngs


class RrhfConfig(ObjectiveConfig):
    """max(0, score of the worse - score of the better), summed over a prompt's pairs; its unit is one prompt."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})
    kind: Literal["rrhf"] = "rrhf"
    length_power: Annotated[float, Field(ge=0)] = 1.0
    """A reply's score is its log-probability over its number of tokens to this power; 1 is the mean."""

    def count(self, batch: Batch) -> int:
        paired = {batch.sides[pair.chosen].sample for pair in pairs_of(batch.sides)}
        return sum(batch.sides[own[0]].sample in paired for own in by_sample(batch.sides))

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        logprobs = logprobs_of(output)
        scores = sums(batch, logprobs) / tokens_of(batch, logprobs).clamp(min=1) ** self.length_power
        found = PairSums.of(scores, pairs_of(batch.sides))
        return torch.relu(found.rejected - found.chosen).sum()
