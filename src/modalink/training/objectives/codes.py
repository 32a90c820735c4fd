"""Codes: the frozen generator shall say the codes of the target medium under the conditions that are projected.

Source: teacher forcing (Williams and Zipser, A Learning Algorithm for Continually Running Fully Recurrent Neural
Networks, 1989), as MusicGen (arXiv 2306.05284) learns; dropped conditions as in classifier-free guidance (arXiv
2207.12598).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.model.batch import Batch
from modalink.model.items import ragged
from modalink.roles import Conditions, PredictsCodes
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, conditions_of
from modalink.training.objectives._dropping import Share, dropped, nothing
from modalink.training.randomness import ItemRngs


class CodesConfig(ItemObjectiveConfig):
    """Mean cross-entropy of the target's codes, each given those before it; its unit is one target item."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions"})
    kind: Literal["codes"] = "codes"
    condition_dropout: Share = 0.1
    """Share of the items that learn without conditions, for classifier-free guidance."""

    def abilities(self) -> tuple[type, ...]:
        return (PredictsCodes,)

    def count(self, batch: Batch) -> int:
        return sum(len(targets.learned) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality, targets in self.targets(batch).items():
            if not (chosen := targets.learned):
                continue
            generator = generators[modality].generator
            assert isinstance(generator, PredictsCodes)
            conditions = conditions_of(output, batch, modality).take(chosen)
            if self.condition_dropout:
                drop = dropped(self.condition_dropout, modality, targets, chosen, rngs)
                conditions = conditions.where(drop, nothing(output, modality, partial(generator.null_conditions, 1)))
            # Not kept: numbers of codes are exact in no type that features are kept in.
            with torch.no_grad():
                codes = generator.encode_media(ragged([targets.items[i] for i in chosen]).to(conditions.device))
            sums.append(_errors(generator, codes, conditions).float().sum())
        return torch.stack(sums).sum()


def _errors(generator: PredictsCodes, codes: Sequence[Tensor], conditions: Conditions) -> Float[Tensor, " i"]:
    """The error of each item; those of different lengths are said apart."""
    groups: dict[torch.Size, list[int]] = {}
    for place, own in enumerate(codes):
        groups.setdefault(own.shape, []).append(place)
    errors: dict[int, Tensor] = {}
    for places in groups.values():
        found = generator.code_error(torch.stack([codes[i] for i in places]), conditions.take(places))
        errors.update(zip(places, found, strict=True))
    return torch.stack([errors[place] for place in range(len(codes))])
