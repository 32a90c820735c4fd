"""The log-probability of the better of two replies against that of the worse, without a reference; beside `language`.

Source: CPO, arXiv 2401.08417, eq. 3 and 4; compared with TRL 1.16's `CPOTrainer.cpo_loss`.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.model.batch import Batch
from modalink.model.sides import pairs_of
from modalink.training.objectives import GeneratorView, Need, Output
from modalink.training.objectives._replies import PairObjectiveConfig, PairSums, logprobs_of, sums
from modalink.training.randomness import ItemRngs


class CpoConfig(PairObjectiveConfig):
    """-log sigmoid(beta * (sum of the better - sum of the worse)); its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})
    kind: Literal["cpo"] = "cpo"
    beta: PositiveFloat = 0.1
    """Factor of the difference."""

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        found = PairSums.of(sums(batch, logprobs_of(output)), pairs_of(batch.sides))
        return -logsigmoid(self.beta * (found.chosen - found.rejected)).sum()
