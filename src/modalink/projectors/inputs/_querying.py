"""BLIP-2's querying transformer (arXiv 2301.12597, section 3.1): learned queries read encoder tokens, and words.

The blocks are transformers'. Queries and words see each other in self-attention, each have a feed-forward of their own;
in every second block, by default, queries read the encoder's tokens.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel
from transformers.models.blip_2.modeling_blip_2 import Blip2TextEmbeddings

from modalink.ragged import Ragged

Sees = Literal["all", "earlier"]
"""What a word sees beside the queries: all words, and queries see all words too (`all`); or itself and the words before
it, and queries see none (`earlier`, to write them one by one)."""


class Rows(NamedTuple):
    """Sequences side by side, filled up to the longest."""

    values: Tensor
    """`[i, n, ...]`"""
    there: Bool[Tensor, "i n"] | None
    """Which places hold something; None where all do."""

    @classmethod
    def of(cls, items: Ragged) -> "Rows":
        """Items of any length."""
        return cls(items.stack(), None) if items.is_even else cls(*items.padded())

    def take(self, places: Int[Tensor, " k"]) -> "Rows":
        """The sequences at some places; one may be named twice."""
        return Rows(self.values[places], None if self.there is None else self.there[places])


class QueryingTransformer(nn.Module):
    """Blocks over queries and words.

    Args:
        config: Sizes; with `use_qformer_text_input` it reads words.
    """

    def __init__(self, config: Blip2QFormerConfig) -> None:
        super().__init__()
        config._attn_implementation = "sdpa"
        self.blocks = Blip2QFormerModel(config)
        self.words = Blip2TextEmbeddings(config) if config.use_qformer_text_input else None
        if self.words is not None:
            for table in (self.words.word_embeddings, self.words.position_embeddings):
                nn.init.normal_(table.weight, std=config.initializer_range)

    def forward(
        self,
        queries: Float[Tensor, "n d"] | None,
        features: Rows | None = None,
        words: Rows | None = None,
        sees: Sees = "all",
    ) -> Float[Tensor, "i m d"]:
        """The states of queries, then those of words; one of the two may be missing.

        Args:
            queries: Learned queries, the same for all items.
            features: Encoder tokens of each item.
            words: Token ids of each item.
            sees: What words see.
        """
        given = features if words is None else words
        assert given is not None
        embeds = None if queries is None else queries.expand(len(given.values), -1, -1)
        if words is not None:
            assert self.words is not None
            embeds = self.words(words.values, query_embeds=embeds)
        count = 0 if queries is None else len(queries)
        keys = None if features is None or features.there is None else features.there[:, None, None]
        states: Tensor = self.blocks(
            query_embeds=embeds,
            query_length=count,
            attention_mask=_mask(count, words, sees),
            encoder_hidden_states=None if features is None else features.values,
            encoder_attention_mask=keys,
        ).last_hidden_state
        return states


def _mask(queries: int, words: Rows | None, sees: Sees) -> Bool[Tensor, "i 1 m n"] | None:
    """Who sees whom, True where seen; None where all see all.

    With two queries and two words, `all` is 4 x 4 ones, and `earlier`

        1 1 0 0
        1 1 0 0
        1 1 1 0
        1 1 1 1
    """
    if words is None:
        return None
    items, length = words.values.shape[:2]
    device = words.values.device
    if sees == "earlier":
        seen = torch.ones(queries + length, queries + length, dtype=torch.bool, device=device).tril()
        seen[:queries, :queries] = True
        return seen.expand(items, 1, -1, -1)
    if words.there is None:
        return None
    return torch.cat([words.there.new_ones(items, queries), words.there], dim=1)[:, None, None]
