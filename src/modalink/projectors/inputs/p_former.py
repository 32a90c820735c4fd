"""The P-Former: from the vector of a sentence to the prompts with which a frozen LLM says it.

It learns from text alone; what it makes of captions is then what a Q-Former's prompt tokens are aligned with. Source:
Jian et al. (arXiv 2307.07063); yiren-jian/BLIText, lavis/models/blip2_models/pformer_opt.py, where the encoder of
sentences (`kind: text`) is part of it.
"""

from collections.abc import Collection
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modalink.errors import PartError
from modalink.kinds import Count, Width
from modalink.ragged import Layout, Ragged
from modalink.roles import InputProjector, InputProjectorConfig


class PFormerConfig(InputProjectorConfig):
    """Settings of the P-Former; the defaults are the paper's."""

    kind: Literal["p_former"] = "p_former"
    queries: Count = 32
    """Prompts of a sentence: as many as the Q-Former that is aligned with them has queries."""
    width: Width = 768
    """Width between the maps."""
    contrast: Width | None = 256
    """Width of the space in which sentences are told apart, for the objective `sentence_contrast`; none if null."""

    @property
    def embeds(self) -> bool:  # type: ignore[override]  # a constant of other kinds
        """Whether it has such a space."""
        return self.contrast is not None

    def layout(self, item: Layout) -> Layout:
        """A prompt token for each query.

        Raises:
            PartError: The item is more than one vector.
        """
        if item.tokens != 1:
            raise PartError(
                f"p_former: found an item of {item.tokens} tokens, needed one vector of a sentence; use an encoder of "
                "kind text"
            )
        return Layout(item.units, (self.queries,))

    def tiny(self) -> "PFormerConfig":
        """The same, narrower."""
        return self.at_most(width=128, contrast=64)

    def build(self, *, dim_in: int, dim_out: int, example: Layout) -> "PFormer":
        """A new projector between these widths.

        Raises:
            PartError: The encoder gives more than one vector.
        """
        self.layout(example)
        return PFormer(self, dim_in, dim_out)

    def sections(self) -> tuple[str, ...]:
        """The three maps, and what sentences are told apart by."""
        return ("expand", "between", "exit", *["heads"] * self.embeds)


class PFormer(InputProjector):
    """A map to all prompts at once, one of each prompt, one to the LLM."""

    def __init__(self, config: PFormerConfig, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.config = config
        self.expand = nn.Linear(dim_in, config.queries * config.width)
        self.between = nn.Linear(config.width, config.width)
        self.exit = nn.Linear(config.width, dim_out)
        if config.contrast is not None:
            self.heads = ContrastHead(dim_in, config.contrast)

    def unread_for(self, needs: Collection[str]) -> frozenset[str]:
        """The maps where nothing but the contrast is asked for, its head where nothing asks for it."""
        heads = {name for name, _ in self.named_parameters() if name.startswith("heads.")}
        if "embeddings" not in needs:
            return frozenset(heads)
        others = {name for name, _ in self.named_parameters()} - heads
        return frozenset() if {*needs} - {"embeddings"} else frozenset(others)

    def forward(self, features: Ragged, texts: Ragged | None = None) -> Ragged:
        """Project the vectors of sentences."""
        expanded = self.expand(features.values).unflatten(-1, (self.config.queries, self.config.width))
        prompts = self.exit(torch.tanh(self.between(expanded)))
        return features.with_values(prompts.flatten(0, 1), [self.config.layout(i) for i in features.layouts])

    def embedded(self, features: Ragged) -> Float[Tensor, "i d"]:
        """See `Embeds`."""
        vectors: Tensor = nn.functional.normalize(self.heads.map(features.values), dim=-1)
        return vectors

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """See `Embeds`."""
        return self.heads.temperature


class ContrastHead(nn.Module):
    """The space in which sentences are told apart."""

    def __init__(self, width: int, contrast: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, contrast)
        self.temperature = nn.Parameter(torch.tensor(0.07))
