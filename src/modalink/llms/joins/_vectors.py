"""Learned vectors of a join, one a modality, and such before and behind an item's prompt tokens."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from modalink.ragged import Ragged


class PerModality(nn.Module):
    """A learned vector for each modality, all in one tensor, so that a stage without some of them trains it whole.

    Args:
        llm: The LLM from whose embeddings' mean they start: at the scale of its words, and saying nothing yet.
        modalities: Names of the modalities.
    """

    def __init__(self, llm: PreTrainedModel, modalities: Sequence[str]) -> None:
        super().__init__()
        self.rows = {modality: row for row, modality in enumerate(modalities)}
        mean = llm.get_input_embeddings().weight.detach().float().mean(0)
        self.weight = nn.Parameter(mean.repeat(len(modalities), 1))

    def forward(self, modality: str) -> Float[Tensor, "1 d_llm"]:
        """The vector of a modality."""
        return self.weight[self.rows[modality], None]


class Vectors(nn.Module):
    """Learned vectors around items.

    Args:
        begin: Those before an item's prompt tokens, if there are any.
        end: Those behind them.
    """

    def __init__(self, begin: PerModality | None, end: PerModality | None) -> None:
        super().__init__()
        self.begin, self.end = begin, end

    @classmethod
    def of(cls, llm: PreTrainedModel, modalities: Sequence[str], *, begin: bool, end: bool) -> "Vectors":
        """New vectors, those that are wanted."""
        return cls(*(PerModality(llm, modalities) if wanted else None for wanted in (begin, end)))

    @property
    def count(self) -> int:
        """How many stand around each item."""
        return (self.begin is not None) + (self.end is not None)

    def around(self, modality: str, prompt: Ragged) -> Float[Tensor, "n d_llm"]:
        """The prompt tokens of all items, each item between its vectors."""
        if not self.count:
            return prompt.values
        dtype = prompt.values.dtype
        before, behind = ([] if own is None else [own(modality).to(dtype)] for own in (self.begin, self.end))
        return torch.cat([piece for tokens in prompt for piece in (*before, tokens, *behind)])
