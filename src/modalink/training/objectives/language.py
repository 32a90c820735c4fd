"""Next-token prediction: the assistant's text, signal tokens included.

Source: survey arXiv 2401.13601, eq. 2.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from modalink.model.batch import Batch
from modalink.model.sides import spans
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.randomness import ItemRngs


class LanguageConfig(ObjectiveConfig):
    """Cross-entropy of the labelled tokens, of several replies of the best; its unit is one labelled token."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})
    kind: Literal["language"] = "language"

    def count(self, batch: Batch) -> int:
        return sum(len(side.tokens) for side in batch.sides if side.is_best)

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        assert output.logits is not None
        logits, wanted = output.logits, batch.wanted
        if not all(side.is_best for side in batch.sides):
            best = [slice(*span) for side, span in zip(batch.sides, spans(batch.sides), strict=True) if side.is_best]
            logits, wanted = (torch.cat([rows[own] for own in best]) for rows in (logits, wanted))
        return functional.cross_entropy(logits.float(), wanted, reduction="sum")
