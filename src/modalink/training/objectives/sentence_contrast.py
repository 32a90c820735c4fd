"""Contrast of sentences with each other, of a P-Former: each is told apart from the others of its forward pass.

Source: yiren-jian/BLIText, lavis/models/blip2_models/pformer_opt.py (`loss_c`; arXiv 2307.07063). As there, a sentence
is its own like in the same pass, no gradient goes through those that it is compared with, and these are those of the
same forward pass on all processes: `micro_batch` says how many they are.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from modalink.model.batch import Batch
from modalink.training import peers
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.randomness import ItemRngs


class SentenceContrastConfig(ObjectiveConfig):
    """Cross-entropy of each sentence among those of its forward pass; its unit is one sentence."""

    needs: ClassVar[frozenset[Need]] = frozenset({"embeddings"})
    compares: ClassVar[bool] = True
    kind: Literal["sentence_contrast"] = "sentence_contrast"
    modality: str = "sentence"
    """The input whose items are told apart."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def count(self, batch: Batch) -> int:
        return sum(item.loss for item in batch.items.get(self.modality, ()))

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        device = batch.input_ids.device
        learned = [i for i, item in enumerate(batch.items.get(self.modality, ())) if item.loss]
        found = (output.embeddings or {}).get(self.modality)
        own = found.vectors[learned].float() if found is not None and learned else None
        rows = peers.rows(own, output.peers, device)
        if found is None or rows is None or own is None:
            return torch.zeros((), device=device)
        similarities = own @ rows.all.detach().T / found.temperature.float()
        return functional.cross_entropy(
            similarities, rows.places(own=True), reduction="sum", label_smoothing=self.label_smoothing
        )
