"""Contrast of media and captions in an input projector: BLIP-2's image-text contrastive learning (ITC).

Source: arXiv 2301.12597, section 3.2; salesforce/LAVIS, lavis/models/blip2_models/blip2_qformer.py. Differs in that the
others are those of the same forward pass alone, not of all processes: `micro_batch` says how many they are.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from modalink.devices import to_device
from modalink.model.batch import Batch
from modalink.training.objectives import CaptionObjectiveConfig, GeneratorView, Need, Output
from modalink.training.randomness import ItemRngs


class ItcConfig(CaptionObjectiveConfig):
    """Cross-entropy of a medium's caption among those of its forward pass, and the other way; its unit is one medium.

    With one medium in a pass there is nothing to tell apart, and the loss is 0.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"contrast"})
    kind: Literal["itc"] = "itc"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality in self.captions(batch):
            found = (output.captioned or {})[modality].similarities
            sums += [self._loss(found) / 2, self._loss(found.T) / 2]
        return torch.stack(sums).sum()

    def _loss(self, similarities: Float[Tensor, "i i"]) -> Float[Tensor, ""]:
        own = to_device(torch.arange(len(similarities)), similarities.device)
        return functional.cross_entropy(similarities, own, reduction="sum", label_smoothing=self.label_smoothing)
