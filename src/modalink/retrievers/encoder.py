"""Finds by an encoder of the system: entries whose media lie nearest to the medium that is asked about.

The frozen encoder that reads a modality is what finds, too: no part is added (RA-CM3, arXiv 2211.12561, finds with a
frozen CLIP), by the cosine of its vectors.
"""

from collections.abc import Mapping
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from modalink.errors import PartError
from modalink.retrievers._graph import Graph
from modalink.retrievers._index import Index
from modalink.retrievers._vectors import VectorRetriever, VectorRetrieverConfig
from modalink.roles.retriever import EmbedsMedia, Pool, Query, Vectors


class EncoderRetrieverConfig(VectorRetrieverConfig):
    """Settings of a retriever that looks at media."""

    kind: Literal["encoder"] = "encoder"
    modality: str = "image"
    """The input whose encoder finds; it must be frozen in all stages."""
    pool: Pool = "max"
    """How one vector comes of a medium's tokens: their largest values, channel by channel (MAC, Tolias et al.,
    arXiv 1511.05879), which tell apart what is small in a picture, or their `mean`."""

    def embeds(self) -> str:
        """The modality."""
        return self.modality

    def facts(self, embed: EmbedsMedia | None) -> Mapping[str, Any]:
        """Its kind, its modality, which encoder it is, and how it pools."""
        own = {"kind": self.kind, "modality": self.modality, "pool": self.pool}
        return own | {"encoder": embed.sha256 if embed else None}

    def looks_at(self) -> frozenset[str]:
        """The modality."""
        return frozenset({self.modality})

    def vectors(self, embed: EmbedsMedia | None) -> Vectors | None:
        """The vectors of media, pooled as the settings say."""
        return None if embed is None else lambda media: embed(media, self.pool)

    def build(self, embed: EmbedsMedia | None) -> "EncoderRetriever":
        """The retriever over the index."""
        if embed is None:
            raise PartError(f"{self.index}: found no encoder of {self.modality} to look at media with; needed one")
        index = Index.open(self.index)
        index.demand(self.facts(embed))
        return EncoderRetriever(index, self.modality, self.pool, embed, self.graph(index))


class EncoderRetriever(VectorRetriever):
    """Looks at the last medium of its modality.

    Args:
        index: Where it looks.
        modality: What it looks at.
        pool: How its vectors are pooled.
        embed: Makes the vector of what is looked for.
        graph: Tells which vectors are near; None compares with all.
    """

    def __init__(self, index: Index, modality: str, pool: Pool, embed: EmbedsMedia, graph: Graph | None = None) -> None:
        super().__init__(index, graph)
        self.modality, self.pool, self.embed = modality, pool, embed

    def vector(self, query: Query) -> Float[Tensor, " d"] | None:
        """That of the last medium."""
        seen = [handle for modality, handle in query.media if modality == self.modality]
        return self.embed(seen[-1:], self.pool)[0] if seen else None
