"""Direct preference optimisation: the better of two replies shall gain on the worse, measured by the reference.

Sources: arXiv 2305.18290, eq. 7, and for each further `loss` where it stands.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from modalink.model.batch import Batch
from modalink.model.sides import pairs_of, per_side
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.objectives._dpo_losses import LOSSES, Ratios
from modalink.training.randomness import ItemRngs


class DpoConfig(ObjectiveConfig):
    """The loss of pairs of replies; its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs", "reference_logprobs"})
    kind: Literal["dpo"] = "dpo"
    loss: Literal["sigmoid"] = "sigmoid"
    """What a pair costs."""
    beta: PositiveFloat = 0.1
    """How strongly the policy holds on to the reference."""

    def count(self, batch: Batch) -> int:
        return len(pairs_of(batch.sides))

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        assert output.logprobs is not None
        assert output.reference_logprobs is not None
        pairs = pairs_of(batch.sides)
        ratios = per_side(output.logprobs - output.reference_logprobs, batch.sides)
        chosen, rejected = ratios[[pair.chosen for pair in pairs]], ratios[[pair.rejected for pair in pairs]]
        return LOSSES[self.loss](Ratios(chosen, rejected, chosen.new_full((), self.beta).expand_as(chosen))).sum()
