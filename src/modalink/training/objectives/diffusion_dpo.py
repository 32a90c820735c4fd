"""Diffusion-DPO: of two media for one request the better shall be restored better than the worse, by the reference.

Source: Wallace et al. (arXiv 2311.12908, eq. 14). There a denoiser learns; here it can, and what makes its
conditions.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn.functional import logsigmoid

from modalink.model.batch import Batch
from modalink.roles import Denoises
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output
from modalink.training.objectives._restored import gains, pairs, summed
from modalink.training.randomness import ItemRngs


class DiffusionDpoConfig(ItemObjectiveConfig):
    """The loss of pairs of media that replies to one prompt make; its unit is one pair."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions", "reference_conditions"})
    otherwise: ClassVar[str] = "learn from replies alone (dpo), or choose a generator that learns by being denoised"

    denoises: ClassVar[bool] = True
    kind: Literal["diffusion_dpo"] = "diffusion_dpo"
    beta: PositiveFloat = 5000.0
    """How strongly the policy holds on to the reference: a factor of mean squared errors, which differ little."""

    def abilities(self) -> tuple[type, ...]:
        return (Denoises,)

    def count(self, batch: Batch) -> int:
        return sum(len(pairs(batch, targets)) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        losses = {}
        for modality, targets in self.targets(batch).items():
            if found := pairs(batch, targets):
                chosen = [place for pair in found for place in pair]
                better, worse = (
                    gains(output, batch, modality, generators[modality], rngs, chosen).unflatten(0, (-1, 2)).T
                )
                losses[modality] = -logsigmoid(self.beta / 2 * (better - worse))
        return summed(losses)
