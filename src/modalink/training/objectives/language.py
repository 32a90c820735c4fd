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
from modalink.model.sides import per_side, spans
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.randomness import ItemRngs


class LanguageConfig(ObjectiveConfig):
    """Cross-entropy of the labelled tokens, of several replies of the best; its unit is one labelled token."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})
    kind: Literal["language"] = "language"
    per: Literal["token", "reply"] = "token"
    """What counts once: each token, or each sample, whose loss is then the mean over its tokens."""

    def count(self, batch: Batch) -> int:
        best = [side for side in batch.sides if side.is_best and side.tokens]
        return len(best) if self.per == "reply" else sum(len(side.tokens) for side in best)

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        assert output.logits is not None
        logits, wanted, best = output.logits, batch.wanted, [side for side in batch.sides if side.is_best]
        if len(best) < len(batch.sides):
            own = [slice(*span) for side, span in zip(batch.sides, spans(batch.sides), strict=True) if side.is_best]
            logits, wanted = (torch.cat([rows[part] for part in own]) for rows in (logits, wanted))
        if self.per == "token":
            return functional.cross_entropy(logits.float(), wanted, reduction="sum")
        losses = functional.cross_entropy(logits.float(), wanted, reduction="none")
        return per_side(losses, best, torch.mean).sum()
