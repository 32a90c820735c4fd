"""Next-token prediction: the assistant's text, signal tokens included.

Source: survey arXiv 2401.13601, eq. 2.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from modalink.model.batch import Batch
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.randomness import ItemRngs


class LanguageConfig(ObjectiveConfig):
    """Cross-entropy of the labelled tokens; its unit is one labelled token."""

    needs: ClassVar[frozenset[Need]] = frozenset({"logits"})
    kind: Literal["language"] = "language"

    def count(self, batch: Batch) -> int:
        return batch.label_count

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        assert output.logits is not None
        return functional.cross_entropy(output.logits.float(), batch.wanted, reduction="sum")
