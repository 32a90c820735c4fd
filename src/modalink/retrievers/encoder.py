"""Finds by an encoder of the system: entries whose media lie nearest to the medium that is asked about.

The frozen encoder that reads a modality is what finds, too: no part is added (RA-CM3, arXiv 2211.12561, finds with a
frozen CLIP). The search is exact: the cosine of a medium's vector with each of the index.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from modalink.errors import PartError
from modalink.retrievers._index import Index
from modalink.roles import MediumHandle
from modalink.roles.retriever import EmbedsMedia, Found, Pool, Query, Retriever, RetrieverConfig


class EncoderRetrieverConfig(RetrieverConfig):
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

    def vectors(self, media: Sequence[MediumHandle], embed: EmbedsMedia) -> Float[Tensor, "n d"]:
        """The vectors of media, pooled as the settings say."""
        return embed(media, self.pool)

    def build(self, embed: EmbedsMedia | None) -> "EncoderRetriever":
        """The retriever over the index."""
        if embed is None:
            raise PartError(f"{self.index}: found no encoder of {self.modality} to look at media with; needed one")
        index = Index.open(self.index)
        index.demand(self.facts(embed))
        return EncoderRetriever(index, self.modality, self.pool, embed)


class EncoderRetriever(Retriever):
    """Looks at the last medium of its modality.

    Args:
        index: Where it looks.
        modality: What it looks at.
        pool: How its vectors are pooled.
        embed: Makes the vector of what is looked for.
    """

    def __init__(self, index: Index, modality: str, pool: Pool, embed: EmbedsMedia) -> None:
        self.index, self.modality, self.pool, self.embed = index, modality, pool, embed
        self.sha256 = index.sha256

    def search(self, query: Query, count: int, without: Collection[str] = ()) -> list[Found]:
        """The entries of the nearest media; nothing where the query has no medium of the modality."""
        seen = [handle for modality, handle in query.media if modality == self.modality]
        if not seen:
            return []
        vectors, owners = self.index.vectors
        likeness = (vectors @ self.embed(seen[-1:], self.pool)[0]).double().numpy()
        scores = np.full(len(self.index), -np.inf)
        np.maximum.at(scores, owners.numpy(), likeness)
        return self.index.nearest(scores, count, without)
