"""Alignment of conditions: what the output projector makes shall be what the generator's own text encoder makes.

Source: survey arXiv 2401.13601, eq. 4.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.model.batch import Batch, Targets
from modalink.roles import Conditions, ReadsText
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, conditions_of
from modalink.training.objectives._distances import Distance, distances
from modalink.training.randomness import ItemRngs


class AlignConfig(ItemObjectiveConfig):
    """Distance of conditions to the generator's conditions of the target's caption; its unit is one captioned item."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions"})
    kind: Literal["align"] = "align"
    distance: Distance = "mse"
    """`mse`: mean squared difference. `cosine`: one minus the cosine, mean over condition tokens.

    Of several conditions the mean is taken. Tokens that a caption's mask leaves out are not compared.
    """

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
                sums.append(self.distances(made, wanted).sum())
        return torch.stack(sums).sum()

    def distances(self, made: Conditions, wanted: Conditions) -> Float[Tensor, " i"]:
        """The distance of each item."""
        each = [distances(self.distance, made[n], wanted[n], wanted.masks.get(n)) for n in wanted.tensors]
        return torch.stack(each).mean(0)


def captioned(targets: Targets) -> list[int]:
    """Indices of the learned items that have a caption."""
    return [i for i in targets.learned if targets.captions[i]]
