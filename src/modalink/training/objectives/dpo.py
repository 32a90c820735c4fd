"""Direct preference optimisation: the better of two replies shall gain on the worse, measured by the reference.

Sources: arXiv 2305.18290, eq. 7; the other losses as in `_dpo_losses.py`; `tail` is LD-DPO's alpha (arXiv 2409.06411);
`margin_weight` is MM-RLHF's dynamic beta (arXiv 2502.10391, section 4.2).
"""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from modalink.model.batch import Batch
from modalink.model.sides import Pair, pairs_of
from modalink.training.objectives import GeneratorView, Need, Output
from modalink.training.objectives._dpo_losses import LOSSES, SMOOTHED, Pairs
from modalink.training.objectives._replies import PairObjectiveConfig, PairSums, ratios_of, sums, tokens_of, weighted
from modalink.training.randomness import ItemRngs


class DpoConfig(PairObjectiveConfig):
    """The loss of pairs of replies; its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logprobs", "reference_logprobs"})
    kind: Literal["dpo"] = "dpo"
    loss: Literal[
        "sigmoid", "ipo", "hinge", "robust", "cdpo", "sigmoid_norm", "nca_pair", "sppo_hard", "apo_zero", "apo_down",
        "exo_pair",
    ] = "sigmoid"  # fmt: skip
    """What a pair costs."""
    beta: PositiveFloat = 0.1
    """How strongly the policy holds on to the reference; of `sigmoid_norm` 2 to 10."""
    smoothing: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """Share of pairs that are taken to be the wrong way round, for `robust`, `cdpo` and `exo_pair` (there 0.1)."""
    tail: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Weight of the tokens of the longer reply that lie beyond the length of the shorter (LD-DPO); 1 counts them
    whole."""
    margin_weight: Annotated[float, Field(ge=0)] = 0.0
    """How much more a pair weighs whose replies differ much in their scores: beta becomes
    beta * (1 + margin_weight * (1 - exp(-margin_slope * margin)))."""
    margin_slope: PositiveFloat = 1.0
    """How soon a margin counts as large."""

    @model_validator(mode="after")
    def _smoothing_is_read(self) -> Self:
        if self.smoothing is not None and self.loss not in SMOOTHED:
            raise ValueError(f"found smoothing beside the loss {self.loss!r}, which {', '.join(sorted(SMOOTHED))} read")
        return self

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        pairs, ratios = pairs_of(batch.sides), ratios_of(output)
        tokens = PairSums.of(tokens_of(batch, ratios), pairs)
        whole = self.tail == 1
        found = PairSums.of(sums(batch, ratios), pairs) if whole else self._shortened(batch, ratios, pairs)
        betas = ratios.new_tensor([self._beta(pair) for pair in pairs])
        seen = Pairs(found.chosen, found.rejected, tokens.chosen, tokens.rejected, betas, self._smoothing)
        return LOSSES[self.loss](seen).sum()

    @property
    def _smoothing(self) -> float:
        return (0.1 if self.smoothing is None else self.smoothing) if self.loss in SMOOTHED else 0.0

    def _beta(self, pair: Pair) -> float:
        return self.beta * (1 + self.margin_weight * (1 - math.exp(-self.margin_slope * (pair.margin or 0.0))))

    def _shortened(self, batch: Batch, ratios: Float[Tensor, " m"], pairs: list[Pair]) -> PairSums:
        """Log-ratios of pairs whose tokens beyond the shorter reply weigh less, of policy and reference alike."""
        lengths = [len(side.tokens) for side in batch.sides]

        def at_most(both: int) -> Float[Tensor, " s"]:
            return weighted(batch, ratios, [[1.0 if n < both else self.tail for n in range(own)] for own in lengths])

        both = [min(lengths[pair.chosen], lengths[pair.rejected]) for pair in pairs]
        each = [*map(at_most, both)]
        chosen = torch.stack([values[pair.chosen] for values, pair in zip(each, pairs, strict=True)])
        rejected = torch.stack([values[pair.rejected] for values, pair in zip(each, pairs, strict=True)])
        return PairSums(chosen, rejected)
