"""Alignment of conditions: what the output projector makes shall be what the generator's own text encoder makes.

Source: survey arXiv 2401.13601, eq. 4.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from modalink.model.batch import Batch, Targets
from modalink.roles import ReadsText
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, conditions_of
from modalink.training.randomness import ItemRngs


class AlignConfig(ItemObjectiveConfig):
    """Distance of conditions to the generator's conditions of the target's caption; its unit is one captioned item."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions"})
    kind: Literal["align"] = "align"
    distance: Literal["mse", "cosine"] = "mse"
    """`mse`: mean squared difference. `cosine`: one minus the cosine, mean over condition tokens."""

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
                made = conditions_of(output, batch, modality)[chosen]
                sums.append(self.distances(made.float(), wanted.float()).sum())
        return torch.stack(sums).sum()

    def distances(self, made: Float[Tensor, "i l d_gen"], wanted: Float[Tensor, "i l d_gen"]) -> Float[Tensor, " i"]:
        """The distance of each item."""
        if self.distance == "mse":
            return (made - wanted).square().mean(dim=(1, 2))
        return (1 - functional.cosine_similarity(made, wanted, dim=-1)).mean(dim=1)


def captioned(targets: Targets) -> list[int]:
    """Indices of the learned items that have a caption."""
    return [i for i in targets.learned if targets.captions[i]]
