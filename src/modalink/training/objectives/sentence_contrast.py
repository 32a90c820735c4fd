"""Contrast of sentences with each other, of a P-Former: each is told apart from the others of its forward pass.

Source: yiren-jian/BLIText, lavis/models/blip2_models/pformer_opt.py (`loss_c`; arXiv 2307.07063). As there, a sentence
is its own like in the same pass, and no gradient goes through those that it is compared with. Differs in that these are
those of the same forward pass alone: `micro_batch` says how many they are.
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
from modalink.training.objectives import Embedded, GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.randomness import ItemRngs


class SentenceContrastConfig(ObjectiveConfig):
    """Cross-entropy of each sentence among those of its forward pass; its unit is one sentence."""

    needs: ClassVar[frozenset[Need]] = frozenset({"embeddings"})
    kind: Literal["sentence_contrast"] = "sentence_contrast"
    modality: str = "sentence"
    """The input whose items are told apart."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def count(self, batch: Batch) -> int:
        return sum(item.loss for item in batch.items.get(self.modality, ()))

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        learned = [i for i, item in enumerate(batch.items[self.modality]) if item.loss]
        return self.loss((output.embeddings or {})[self.modality], learned)

    def loss(self, found: Embedded, learned: list[int]) -> Float[Tensor, ""]:
        """The sum over the learned ones, among themselves."""
        vectors = found.vectors[learned].float()
        similarities = vectors @ vectors.detach().T / found.temperature.float()
        own = to_device(torch.arange(len(vectors)), vectors.device)
        return functional.cross_entropy(similarities, own, reduction="sum", label_smoothing=self.label_smoothing)
