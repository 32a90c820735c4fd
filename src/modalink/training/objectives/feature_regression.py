"""Regression of features: the output projector makes of the LLM's states what the encoder sees in the target medium.

The states are those at the signal tokens, which stand before the medium's own place where the system goes on to read
what it made (`use: both`). Source: CoDi-2 (arXiv 2311.18775; microsoft/i-Code, `feature_loss` in
CoDi-2/core/models/mmllama/openllama.py), with a weight of 0.1; its loss is the negative cosine, here one more.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.errors import TrainingError
from modalink.model.batch import Batch
from modalink.roles import Conditions
from modalink.training.objectives import GeneratorView, ItemObjectiveConfig, Need, Output, conditions_of
from modalink.training.objectives._distances import Distance, distances
from modalink.training.randomness import ItemRngs


class FeatureRegressionConfig(ItemObjectiveConfig):
    """Distance of a condition to the frozen encoder's features of the target; its unit is one target of a modality that
    is read, too."""

    needs: ClassVar[frozenset[Need]] = frozenset({"conditions", "target_features"})
    reads_media: ClassVar[bool] = False
    kind: Literal["feature_regression"] = "feature_regression"
    distance: Distance = "cosine"
    """`cosine`: one minus the cosine. `mse`: mean squared difference. Either is the mean over tokens where a medium has
    as many features as the condition has tokens; else the means of both are compared."""
    condition: str | None = None
    """Which of the generator's conditions is compared; not needed where it has one."""

    def count(self, batch: Batch) -> int:
        return sum(len(targets.shown) for targets in self.targets(batch).values())

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality, targets in self.targets(batch).items():
            if not targets.shown:
                continue
            features = (output.target_features or {})[modality]
            made = self._compared(conditions_of(output, batch, modality).take([*targets.shown]), modality)
            if made.shape[-1] != features.values.shape[-1]:
                raise TrainingError(
                    f"outputs.{modality}: found a condition of width {made.shape[-1]} and {modality} features of width "
                    f"{features.values.shape[-1]}, needed the same for the objective {self.kind!r}; choose an encoder "
                    "whose features this generator reads"
                )
            sums += [self._distance(one, wanted) for one, wanted in zip(made, features, strict=True)]
        return torch.stack(sums).sum()

    def _compared(self, conditions: Conditions, modality: str) -> Float[Tensor, "i l d_gen"]:
        """The condition that is compared, a pooled one as one token."""
        if self.condition is None and len(conditions.tensors) > 1:
            raise TrainingError(
                f"outputs.{modality}: the generator reads {', '.join(conditions.tensors)}; say by `condition` which of "
                f"them the objective {self.kind!r} compares"
            )
        values = conditions[self.condition or next(iter(conditions.tensors))]
        return values.reshape(len(values), -1, values.shape[-1])

    def _distance(self, made: Float[Tensor, "l d"], wanted: Float[Tensor, "p d"]) -> Float[Tensor, ""]:
        if len(made) != len(wanted):
            made, wanted = made.mean(dim=0, keepdim=True), wanted.mean(dim=0, keepdim=True)
        return distances(self.distance, made[None], wanted[None])[0]
