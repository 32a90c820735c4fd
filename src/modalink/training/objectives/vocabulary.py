"""Prompt tokens kept near the LLM's words: the distance of each to the nearest of them.

Source: yiren-jian/BLIText, lavis/models/blip2_models/pformer_opt.py (`loss_vq`; arXiv 2307.07063). The words stay as
they are.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink.model.batch import Batch
from modalink.training.objectives import GeneratorView, Need, ObjectiveConfig, Output
from modalink.training.objectives._distances import distances
from modalink.training.randomness import ItemRngs


class VocabularyConfig(ObjectiveConfig):
    """Mean squared difference of prompt tokens to the nearest word each; its unit is one medium."""

    needs: ClassVar[frozenset[Need]] = frozenset({"prompt_tokens", "vocabulary"})
    kind: Literal["vocabulary"] = "vocabulary"
    modality: str = "sentence"
    """The input whose prompt tokens these are."""

    def count(self, batch: Batch) -> int:
        return sum(item.loss for item in batch.items.get(self.modality, ()))

    def sum(
        self, output: Output, batch: Batch, generators: Mapping[str, GeneratorView], rngs: ItemRngs
    ) -> Float[Tensor, ""]:
        assert output.vocabulary is not None
        words = output.vocabulary.float()
        prompts = (output.prompt_tokens or {})[self.modality].take(
            [i for i, item in enumerate(batch.items[self.modality]) if item.loss]
        )
        nearest = words[_nearest(prompts.values.detach().float(), words)]
        each = zip(prompts, nearest.split(prompts.lengths), strict=True)
        return torch.stack([distances("mse", own[None], word[None])[0] for own, word in each]).sum()


def _nearest(vectors: Float[Tensor, "n d"], words: Float[Tensor, "v d"]) -> Tensor:
    """The index of the word nearest to each vector; the vectors' own squares make no difference."""
    return (words.square().sum(dim=1) - 2 * vectors @ words.T).argmin(dim=1)
