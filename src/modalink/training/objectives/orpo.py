"""The odds of the better of two replies against those of the worse, without a reference; stands beside `language`.

Source: ORPO, arXiv 2403.07691, eq. 6 and 7; compared with TRL 1.16's `ORPOTrainer.odds_ratio_loss`, whose sign is the
other way round.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.model.batch import Batch
from modalink.model.sides import pairs_of
from modalink.training.objectives import GeneratorView, Need, Output
from modalink.training.objectives._replies import PairObjectiveConfig, PairSums, logprobs_of, means
from modalink.training.randomness import ItemRngs


class OrpoConfig(PairObjectiveConfig):
    """-log sigmoid of the log of the odds ratio, of means over tokens; its unit is one pair.

    The paper's lambda is `weight` (0.1), its other term the objective `language`.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs"})
    kind: Literal["orpo"] = "orpo"

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        found = PairSums.of(means(batch, logprobs_of(output)), pairs_of(batch.sides))
        return odds_ratio_losses(found.chosen, found.rejected).sum()


def odds_ratio_losses(chosen: Float[Tensor, " p"], rejected: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    """-log sigmoid(log odds of the better reply - log odds of the worse), of mean log-probabilities below 0."""
    return -logsigmoid(_log_odds(chosen) - _log_odds(rejected))


def _log_odds(logprob: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    # Not at 0, where a reply is certain and its odds are infinite.
    logprob = logprob.clamp(max=-1e-6)
    return logprob - torch.log(-torch.expm1(logprob))
