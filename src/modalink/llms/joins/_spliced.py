"""What joins have in common that put prompt tokens into the LLM's input."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from modalink.llms.joins._vectors import Vectors
from modalink.ragged import Ragged
from modalink.roles import Join, JoinConfig, Placed


class SplicedConfig(JoinConfig):
    """Where prompt tokens stand, and what is learned around them."""

    where: Literal["anywhere", "prefix"] = "anywhere"
    """`anywhere`: where the medium was said; `prefix`: all media before all text, the first token included."""
    begin: bool = False
    """A learned vector before the prompt tokens of each item, one a modality."""
    end: bool = False
    """A learned vector behind them."""

    @property
    def learns(self) -> bool:
        return self.begin or self.end

    @property
    def vectors(self) -> tuple[int, int]:
        return int(self.begin), int(self.end)

    @property
    def media_first(self) -> bool:
        return self.where == "prefix"


class Spliced(Join):
    """Puts prompt tokens, and learned vectors around them, into the LLM's input.

    Args:
        vectors: The learned vectors.
    """

    def __init__(self, vectors: Vectors) -> None:
        super().__init__()
        self.vectors = vectors

    def lengths(self, prompt: Ragged) -> tuple[int, ...]:
        return tuple(length + self.vectors.count for length in prompt.lengths)

    def embed(self, embeds: Float[Tensor, "b t d_llm"], items: Sequence[Placed]) -> Float[Tensor, "b t d_llm"]:
        """Put each item at its places; with two prompt tokens, `[a, I, I, b]` becomes `[a, item_0, item_1, b]`."""
        for placed in items:
            values = self.vectors.around(placed.modality, placed.prompt)
            flat = embeds.flatten(0, 1).index_copy(0, placed.index, values.to(embeds.dtype))
            embeds = flat.view_as(embeds)
        return embeds
