"""Finds by unit vectors: the entries of the media whose vectors have the highest cosines with that of a query."""

from abc import abstractmethod
from collections.abc import Collection

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from modalink.errors import PartError
from modalink.kinds import Count
from modalink.retrievers._graph import Graph, UsearchGraph
from modalink.retrievers._index import Index, IndexRetriever, IndexRetrieverConfig
from modalink.roles.retriever import Found, Query


class VectorRetrieverConfig(IndexRetrieverConfig):
    """Base of the settings of retrievers that compare vectors."""

    approximate: bool = False
    """Whether a graph tells which vectors are near, for indexes of millions; needs the package `usearch`. Else all are
    compared."""
    breadth: Count = 64
    """How many vectors an approximate search follows: more of them find more of the nearest, and take longer."""

    def graph(self, index: Index) -> Graph | None:
        """The graph of an index, where the settings want one.

        Raises:
            MissingExtraError: usearch is not installed.
        """
        return UsearchGraph(index, self.breadth) if self.approximate else None


class VectorRetriever(IndexRetriever):
    """Compares the vector of a query with those of the index.

    Args:
        index: Where it looks.
        graph: Tells which vectors are near; None compares with all.
    """

    def __init__(self, index: Index, graph: Graph | None = None) -> None:
        super().__init__(index)
        self.graph = graph

    @abstractmethod
    def vector(self, query: Query) -> Float[Tensor, " d"] | None:
        """The unit vector of a query; None where the query has nothing that it looks at."""

    def search(self, query: Query, count: int, without: Collection[str] = ()) -> list[Found]:
        """The entries of the nearest media: of an entry of several media, the nearest counts."""
        vector = self.vector(query)
        if vector is None:
            return []
        vectors, owners = self.index.vectors
        if len(vector) != vectors.shape[1]:
            raise PartError(
                f"{self.index.folder}: found vectors of {vectors.shape[1]} numbers, needed {len(vector)} as of what is "
                "looked for; make it anew with `modalink index build`"
            )
        if self.graph is not None:
            return self._among(self._near(self.graph, vector, count, without), vector, count, without)
        scores = np.full(len(self.index), -np.inf)
        np.maximum.at(scores, owners.numpy(), (vectors @ vector).double().numpy())
        return self.index.nearest(scores, count, without)

    def _among(self, places: np.ndarray, vector: Tensor, count: int, without: Collection[str]) -> list[Found]:
        """The nearest entries of those that have some of the vectors."""
        vectors, owners = self.index.vectors
        entries, own = np.unique(owners.numpy()[places], return_inverse=True)
        scores = np.full(len(entries), -np.inf)
        np.maximum.at(scores, own, (vectors[torch.from_numpy(places)] @ vector).double().numpy())
        return self.index.nearest(scores, count, without, entries)

    def _near(self, graph: Graph, vector: Tensor, count: int, without: Collection[str]) -> np.ndarray:
        """The places of near vectors, of as many entries as are wanted beside those that are left out."""
        owners = self.index.vectors[1].numpy()
        unwanted = np.array([*self.index.left_out(without)], dtype=np.int64)
        ask = 2 * count
        while True:
            places = graph.nearest(vector.numpy(), min(ask, len(owners)))
            if ask >= len(owners) or len(np.setdiff1d(owners[places], unwanted)) >= count:
                return places
            ask *= 4
