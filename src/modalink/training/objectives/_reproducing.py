"""What objectives share by which a frozen generator shall make the target medium itself out of what is projected."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.model.batch import Batch, Targets
from modalink.roles import Conditions
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, conditions_of
from modalink.training.objectives._dropping import Share, dropped, nothing
from modalink.training.randomness import ItemRngs


class ReproducingConfig(ItemObjectiveConfig):
    """Base of such objectives; their unit is one target item."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions"})
    condition_dropout: Share = 0.1
    """Share of the items that learn without conditions, for classifier-free guidance."""

    @abstractmethod
    def errors(
        self, view: GeneratorView, modality: str, targets: Targets, conditions: Conditions, rngs: ItemRngs
    ) -> Float[Tensor, " i"]:
        """The error of each target that is learned.

        Args:
            view: The generator.
            modality: What the targets are of.
            targets: All targets of the batch; those of `learned` are meant.
            conditions: Under which each of these shall be made.
            rngs: The step's sources.
        """

    def null_conditions(self, view: GeneratorView) -> Conditions:
        """The generator's own conditions of one item that asks for nothing."""
        return view.null_conditions()

    def count(self, batch: Batch) -> int:
        return sum(len(targets.learned) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality, targets in self.targets(batch).items():
            if not (chosen := targets.learned):
                continue
            view = generators[modality]
            conditions = conditions_of(output, batch, modality).take(chosen)
            if self.condition_dropout:
                drop = dropped(self.condition_dropout, modality, targets, chosen, rngs)
                empty = nothing(output, modality, partial(self.null_conditions, view))
                conditions = conditions.where(drop, empty)
            sums.append(self.errors(view, modality, targets, conditions, rngs).float().sum())
        return torch.stack(sums).sum()
