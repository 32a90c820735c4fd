"""Diffusion-KTO: media that were judged one by one, good ones restored better than by the reference and bad ones worse.

Source: Li et al. (arXiv 2404.04465, eq. 9), with the sigmoid as utility. There a denoiser learns; here it can,
and what makes its conditions.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor

from modalink.model.batch import Batch
from modalink.roles import Denoises
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output
from modalink.training.objectives._restored import gains, marked, summed
from modalink.training.randomness import ItemRngs


class DiffusionKtoConfig(ItemObjectiveConfig):
    """One less the utility of media that replies make, each good or bad; its unit is one medium.

    Gains are measured from their mean over the media of the same pass, not below 0, through which no gradient goes: so
    it depends on how many these are.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions", "reference_conditions"})
    otherwise: ClassVar[str] = "learn from replies alone (kto), or choose a generator that learns by being denoised"

    denoises: ClassVar[bool] = True
    kind: Literal["diffusion_kto"] = "diffusion_kto"
    beta: PositiveFloat = 5000.0
    """How strongly the policy holds on to the reference: a factor of mean squared errors, which differ little."""
    good: PositiveFloat = 1.0
    """Weight of good media."""
    bad: PositiveFloat = 1.0
    """Weight of bad media."""

    def abilities(self) -> tuple[type, ...]:
        return (Denoises,)

    def count(self, batch: Batch) -> int:
        return sum(len(marked(batch, targets)) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        losses = {}
        for modality, targets in self.targets(batch).items():
            if found := marked(batch, targets):
                gain = self.beta * gains(output, batch, modality, generators[modality], rngs, [*found])
                above = gain - gain.detach().mean().clamp(min=0)
                sign = gain.new_tensor([1.0 if is_good else -1.0 for is_good in found.values()])
                weight = gain.new_tensor([self.good if is_good else self.bad for is_good in found.values()])
                losses[modality] = weight * (1 - (sign * above).sigmoid())
        return summed(losses)
