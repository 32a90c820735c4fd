"""Binary classification of replies, the better of two above the running mean of both, the worse below.

Source: BCO, arXiv 2404.04656, eq. 8, with its reward shift delta, a mean of all rewards so far; part of MPO (arXiv
2411.10442, eq. 4), whose released code keeps delta too.
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
from modalink.training.objectives._replies import PairObjectiveConfig, PairSums, ratios_of, sums
from modalink.training.randomness import ItemRngs


class BcoConfig(PairObjectiveConfig):
    """-log sigmoid(reward of the better - delta) - log sigmoid(delta - reward of the worse); its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs", "reference_logprobs"})
    measures: ClassVar[bool] = True
    kind: Literal["bco"] = "bco"
    beta: PositiveFloat = 0.1
    """Factor that makes rewards of log-ratios to the reference."""
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of delta that stays at a step; None: delta is the mean of all rewards since the stage began."""

    def statistics(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        found = self._rewards(output, batch)
        count = found.chosen.new_tensor(2.0 * len(found.chosen))
        return {"sum": found.chosen.sum() + found.rejected.sum(), "count": count}

    def noted(self, before: Mapping[str, float], totals: Mapping[str, float]) -> dict[str, float]:
        seen, delta, new = before.get("seen", 0.0), before.get("delta", 0.0), totals["count"]
        if not new:
            return {"seen": seen, "delta": delta}
        mean = totals["sum"] / new
        stays = seen / (seen + new) if self.momentum is None else self.momentum if seen else 0.0
        return {"seen": seen + new, "delta": stays * delta + (1 - stays) * mean}

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        rewards, delta = self._rewards(output, batch), output.noted.get("delta", 0.0)
        return (-logsigmoid(rewards.chosen - delta) - logsigmoid(delta - rewards.rejected)).sum()

    def _rewards(self, output: Output, batch: Batch) -> PairSums:
        return PairSums.of(self.beta * sums(batch, ratios_of(output)), pairs_of(batch.sides))
