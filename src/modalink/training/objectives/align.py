"""Alignment of conditions: what the output projector makes shall be what the generator's own text encoder makes.

Source: survey arXiv 2401.13601, eq. 4.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from modalink.errors import TrainingError, UnknownNameError
from modalink.model.batch import Batch, Targets
from modalink.roles import Conditions, ReadsText
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, conditions_of
from modalink.training.objectives._distances import Distance, distances
from modalink.training.objectives._dropping import Share, dropped
from modalink.training.randomness import ItemRngs


class AlignConfig(ItemObjectiveConfig):
    """Distance of conditions to the generator's conditions of the target's caption; its unit is one captioned item."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions"})
    reads_media: ClassVar[bool] = False
    kind: Literal["align"] = "align"
    distance: Distance = "mse"
    """`mse`: mean squared difference. `cosine`: one minus the cosine, mean over condition tokens.

    Tokens that a caption's mask leaves out are not compared.
    """
    condition_dropout: Share = 0.0
    """Share of the items whose conditions are dropped, those that `diffusion` drops with the same share: what the
    projector makes of nothing (`outputs.MODALITY.nothing: zeros`) is aligned to the empty caption there (MiniGPT-5)."""
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Weight of each condition by its name, 1 where none is said: of several conditions the weighted mean is taken."""

    def abilities(self) -> tuple[type, ...]:
        return (ReadsText,)

    def count(self, batch: Batch) -> int:
        return sum(len(captioned(targets)) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality, targets in self.targets(batch).items():
            if chosen := captioned(targets):
                wanted = generators[modality].text_conditions([targets.captions[i] or "" for i in chosen])
                made = conditions_of(output, batch, modality).take(chosen)
                if self.condition_dropout:
                    drop = dropped(self.condition_dropout, modality, targets, chosen, rngs)
                    made = made.where(drop, self._nothing(output, modality))
                    wanted = wanted.where(drop, generators[modality].text_conditions([""]))
                sums.append(self.distances(made, wanted).sum())
        return torch.stack(sums).sum()

    def _nothing(self, output: Output, modality: str) -> Conditions:
        if not output.nothing or modality not in output.nothing:
            raise TrainingError(
                f"the objective {self.kind!r}: found condition_dropout {self.condition_dropout:g}, and no projector "
                f"makes anything of nothing; set outputs.{modality}.nothing: zeros, or leave condition_dropout out"
            )
        return output.nothing[modality]

    def distances(self, made: Conditions, wanted: Conditions) -> Float[Tensor, " i"]:
        """The distance of each item.

        Raises:
            TrainingError: There is no condition of a name that has a weight, or none has one.
        """
        if unknown := sorted(self.weights.keys() - wanted.tensors.keys()):
            raise TrainingError(f"the objective 'align': {UnknownNameError('condition', unknown[0], wanted.tensors)}")
        shares = {name: self.weights.get(name, 1.0) for name in wanted.tensors}
        if not (total := sum(shares.values())):
            raise TrainingError("the objective 'align': found no condition with a weight above 0, needed one")
        each = [
            distances(self.distance, made[name], wanted[name], wanted.masks.get(name)) * share
            for name, share in shares.items()
            if share
        ]
        return torch.stack(each).sum(0) / total


def captioned(targets: Targets) -> list[int]:
    """Indices of the learned items that have a caption."""
    return [i for i in targets.learned if targets.captions[i]]
