"""Alignment of prompt tokens: what a projector makes of a medium shall be what a P-Former makes of its caption.

Source: Jian et al. (arXiv 2307.07063); yiren-jian/BLIText, lavis/models/blip2_models/blip2_qformer_pformer.py
(`loss_align`), with a weight of 10 beside BLIP-2's first objectives and of 100 beside its second.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.errors import TrainingError
from modalink.model.batch import Batch
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output, captions_of
from modalink.training.objectives._distances import distances
from modalink.training.randomness import ItemRngs


class PromptAlignmentConfig(ObjectiveConfig):
    """Mean squared difference of a medium's prompt tokens to those of its caption; its unit is one captioned medium.

    A caption is that of the medium, or else the assistant's next turn.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"prompt_tokens", "reference_prompts"})
    kind: Literal["prompt_alignment"] = "prompt_alignment"
    to: str = "sentence"
    """The input that reads captions; its encoder and projector stay as they are."""
    modalities: tuple[str, ...] | None = None
    """The modalities that are aligned; None is all whose media have captions."""

    def count(self, batch: Batch) -> int:
        return sum(map(len, self._places(batch).values()))

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        sums = []
        for modality, places in self._places(batch).items():
            made = (output.prompt_tokens or {})[modality].take(places)
            wanted = (output.reference_prompts or {})[modality]
            if made.lengths != wanted.lengths:
                raise TrainingError(
                    f"inputs.{modality}.projector: found {made.lengths[0]} prompt tokens, and {wanted.lengths[0]} of a "
                    f"caption by inputs.{self.to}.projector; needed as many (queries)"
                )
            sums += [distances("mse", own[None], its[None])[0] for own, its in zip(made, wanted, strict=True)]
        return torch.stack(sums).sum()

    def _places(self, batch: Batch) -> dict[str, list[int]]:
        found = captions_of(batch)
        return {m: places for m, places in found.items() if self.modalities is None or m in self.modalities}
