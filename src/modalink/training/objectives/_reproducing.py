"""What objectives share by which a frozen generator shall make the target medium itself out of what is projected."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
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
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the items that are made at all, drawn anew in each step; their errors stand for those of all."""

    @abstractmethod
    def errors(
        self,
        view: GeneratorView,
        modality: str,
        targets: Targets,
        chosen: Sequence[int],
        conditions: Conditions,
        rngs: ItemRngs,
    ) -> Float[Tensor, " i"]:
        """The error of some targets.

        Args:
            view: The generator.
            modality: What the targets are of.
            targets: All targets of the batch: one item's draws do not depend on which others are meant.
            chosen: Which of them are meant.
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
            if not targets.learned:
                continue
            view, projected = generators[modality], conditions_of(output, batch, modality)
            if not (chosen := self.drawn(modality, targets, rngs)):
                sums.append(0.0 * torch.stack([tensor.sum() for tensor in projected.tensors.values()]).sum())
                continue
            conditions = projected.take(chosen)
            if self.condition_dropout:
                drop = dropped(self.condition_dropout, modality, targets, chosen, rngs)
                empty = nothing(output, modality, partial(self.null_conditions, view))
                conditions = conditions.where(drop, empty)
            errors = self.errors(view, modality, targets, chosen, conditions, rngs)
            sums.append(errors.float().sum() / self.share)
        return torch.stack(sums).sum()

    def drawn(self, modality: str, targets: Targets, rngs: ItemRngs) -> list[int]:
        """The targets that are made in this step."""
        if self.share == 1:
            return targets.learned
        draws = rngs.of(f"share {modality}", targets.samples)
        return [i for i in targets.learned if torch.rand((), generator=draws[i]) < self.share]
