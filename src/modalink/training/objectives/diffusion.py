"""Denoising: the frozen generator shall restore the target medium under the conditions that the output projector makes.

Source: survey arXiv 2401.13601, eq. 5; dropped conditions as in classifier-free guidance, arXiv 2207.12598.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.model.batch import Batch
from modalink.roles import Denoises
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, conditions_of
from modalink.training.objectives._dropping import Share, dropped, nothing
from modalink.training.randomness import ItemRngs


class DiffusionConfig(ItemObjectiveConfig):
    """Mean squared error of the generator's predicted noise; its unit is one target item."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions"})
    kind: Literal["diffusion"] = "diffusion"
    condition_dropout: Share = 0.1
    """Share of the items that learn without conditions, for classifier-free guidance."""

    def abilities(self) -> tuple[type, ...]:
        return (Denoises,)

    def count(self, batch: Batch) -> int:
        return sum(len(targets.learned) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality, targets in self.targets(batch).items():
            if not (chosen := targets.learned):
                continue
            generator = generators[modality]
            conditions = conditions_of(output, batch, modality).take(chosen)
            if self.condition_dropout:
                drop = dropped(self.condition_dropout, modality, targets, chosen, rngs)
                conditions = conditions.where(drop, nothing(output, modality, generator.null_conditions))
            noise = rngs.of(f"noise {modality}", targets.samples)
            latents = generator.latents(targets)
            errors = generator.denoising_error([latents[i] for i in chosen], conditions, [noise[i] for i in chosen])
            sums.append(errors.float().sum())
        return torch.stack(sums).sum()
