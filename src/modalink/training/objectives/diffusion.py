"""Denoising: the frozen generator shall restore the target medium under the conditions that the output projector makes.

Source: survey arXiv 2401.13601, eq. 5; dropped conditions as in classifier-free guidance, arXiv 2207.12598.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from modalink.model.batch import Batch
from modalink.roles import Conditions, Denoises
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, conditions_of
from modalink.training.randomness import ItemRngs


class DiffusionConfig(ItemObjectiveConfig):
    """Mean squared error of the generator's predicted noise; its unit is one target item."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions"})
    kind: Literal["diffusion"] = "diffusion"
    condition_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
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
            # Drawn for all items, so that one item's draws do not depend on the marks of the others.
            noise, drop = (rngs.of(f"{purpose} {modality}", targets.samples) for purpose in ("noise", "drop"))
            if self.condition_dropout:
                conditions = self._dropped(conditions, generator, [drop[i] for i in chosen])
            latents = generator.latents(targets)
            errors = generator.denoising_error([latents[i] for i in chosen], conditions, [noise[i] for i in chosen])
            sums.append(errors.float().sum())
        return torch.stack(sums).sum()

    def _dropped(self, conditions: Conditions, generator: GeneratorView, rngs: list[torch.Generator]) -> Conditions:
        """Some items' conditions replaced by those that ask for nothing: what guidance steers away from in sampling."""
        drop = torch.stack([torch.rand((), generator=rng) for rng in rngs]) < self.condition_dropout
        return conditions.where(drop, generator.null_conditions())
