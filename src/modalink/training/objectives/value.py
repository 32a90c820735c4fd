"""The value head shall expect the reward that a reply gets, from each of its tokens on.

Source: PPO (arXiv 1707.06347, section 5), its values clipped as in Ziegler et al. (1909.08593) and TRL.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from modalink.model.batch import Batch
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.objectives._drawn import Drawn, counted_tokens, share
from modalink.training.policy_gradient import value_losses
from modalink.training.randomness import ItemRngs


class ValueConfig(ObjectiveConfig):
    """Half the squared error of what the value head expects, beside `policy` in a stage with `advantage: gae`; its unit
    is a token."""

    needs: ClassVar[frozenset[Need]] = frozenset({"values"})
    diagnoses: ClassVar[tuple[str, ...]] = ("clipped",)

    kind: Literal["value"] = "value"
    weight: float = 0.1
    """Factor of it beside the policy's loss (TRL 0.1, verl 0.5 of an own critic)."""
    clip: PositiveFloat | None = 0.2
    """How far a value may move from what it was when the reply was drawn; None does not bound it."""

    def count(self, batch: Batch) -> int:
        return counted_tokens(batch.sides)

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        assert output.values is not None
        drawn = Drawn.of(batch, output.values)
        values, old, returns, mask = (
            drawn.rows(output.values),
            drawn.known("values"),
            drawn.known("returns"),
            drawn.mask,
        )
        losses = value_losses(values, old, returns, self.clip)
        with torch.no_grad():
            bounded = losses > value_losses(values, old, returns, None)
        output.diagnostics["clipped"] = share(bounded, mask)
        return (losses * mask).sum()
