"""Captions written by an input projector: BLIP-2's image-grounded text generation (ITG).

Source: arXiv 2301.12597, section 3.2; salesforce/LAVIS, lavis/models/blip2_models/Qformer.py.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from modalink.model.batch import Batch
from modalink.training.objectives import CaptionObjectiveConfig, GeneratorView, Need, Output
from modalink.training.randomness import ItemRngs


class ItgConfig(CaptionObjectiveConfig):
    """Cross-entropy of each word of a caption, seeing queries and the words before; its unit is one word."""

    needs: ClassVar[frozenset[Need]] = frozenset({"writing"})
    kind: Literal["itg"] = "itg"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def count(self, batch: Batch) -> int:
        return sum(len(text) - 1 for found in self.captions(batch).values() for text in found.texts)

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality in self.captions(batch):
            found = (output.captioned or {})[modality]
            logits = found.projector.written(found.features, found.words).float()
            wanted = torch.cat([ids[1:] for ids in found.words])
            smoothing = self.label_smoothing
            sums.append(functional.cross_entropy(logits, wanted, reduction="sum", label_smoothing=smoothing))
        return torch.stack(sums).sum()
