"""The mean log-probability of the better of two replies shall be larger by a margin, without a reference.

Source: SimPO, arXiv 2405.14734, eq. 6; compared with TRL 1.16's `CPOTrainer.cpo_loss`.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.model.batch import Batch
from modalink.model.sides import pairs_of
from modalink.training.objectives import GeneratorView, Need, Output
from modalink.training.objectives._replies import PairObjectiveConfig, PairSums, logprobs_of, means
from modalink.training.randomness import ItemRngs


class SimpoConfig(PairObjectiveConfig):
    """-log sigmoid(beta * (mean of the better - mean of the worse) - margin); its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})
    kind: Literal["simpo"] = "simpo"
    beta: PositiveFloat = 2.0
    """Factor of the means; 2 to 10."""
    margin: Annotated[float, Field(ge=0)] = 1.0
    """The paper's gamma, in the units of the product; 0.3 to 0.5 times `beta`."""

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        found = PairSums.of(means(batch, logprobs_of(output)), pairs_of(batch.sides))
        return -logsigmoid(self.beta * (found.chosen - found.rejected) - self.margin).sum()
