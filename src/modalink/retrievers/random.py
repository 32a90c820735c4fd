"""Finds by chance: the control that tells what finding itself is worth. The same query finds the same entries."""

import hashlib
from collections.abc import Collection
from typing import Literal

import numpy as np

from modalink.retrievers._index import Index, IndexRetriever, IndexRetrieverConfig
from modalink.roles.retriever import EmbedsMedia, Found, Query


class RandomRetrieverConfig(IndexRetrieverConfig):
    """Settings of a retriever that looks at nothing."""

    kind: Literal["random"] = "random"
    seed: int = 0
    """Decides what is found."""

    def build(self, embed: EmbedsMedia | None) -> "RandomRetriever":
        """The retriever over the index, whatever kind made it."""
        return RandomRetriever(Index.open(self.index), self.seed)


class RandomRetriever(IndexRetriever):
    """Draws entries.

    Args:
        index: Where it draws from.
        seed: Decides what is found.
    """

    def __init__(self, index: Index, seed: int) -> None:
        super().__init__(index)
        self.seed = seed

    def search(self, query: Query, count: int, without: Collection[str] = ()) -> list[Found]:
        """Any entries; their scores lie between 0 and 1 and mean nothing."""
        content = "\n".join([str(self.seed), query.words, *(handle.digest for _, handle in query.media)])
        digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()
        scores = np.random.default_rng(list(digest)).random(len(self.index))
        return self.index.nearest(scores, count, without)
