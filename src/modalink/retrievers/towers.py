"""Finds media by words, and by media: entries that lie near in the space that towers of words and media share.

CLIP's towers (arXiv 2103.00020) put a picture beside the words that describe it, CLAP's (arXiv 2211.06687) a sound,
ImageBind's (arXiv 2305.05665) both and videos: what is said finds media of which no entry tells in words.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from modalink import hub
from modalink.hub.embedding import unit
from modalink.hub.kind_embedding import embedder
from modalink.retrievers._index import Index
from modalink.retrievers._vectors import VectorRetriever, VectorRetrieverConfig
from modalink.roles.retriever import EmbedsMedia, Query, Vectors


class TowersRetrieverConfig(VectorRetrieverConfig):
    """Settings of a retriever that brings towers of its own."""

    kind: Literal["towers"] = "towers"
    checkpoint: str
    """Folder or hub id of an encoder that embeds texts and media alike, such as openai/clip-vit-base-patch32 for
    pictures, videos and shapes, or laion/clap-htsat-unfused for sounds; or a kind of modalink's own encoders with its
    checkpoint: `imagebind:FOLDER` for pictures, videos and sounds."""
    modality: str = "image"
    """The media that are found."""
    first: Literal["words", "media"] = "words"
    """What of a question is looked at: its words, or its last medium of the modality; the other where it has none."""

    def looks_at(self) -> frozenset[str]:
        """Words and the modality."""
        return frozenset({"words", self.modality})

    def keeps(self) -> str:
        """The modality."""
        return self.modality

    def facts(self, embed: EmbedsMedia | None) -> Mapping[str, Any]:
        """Its kind, its modality, and which towers they are, by the hash of their weights."""
        sha256 = hub.identity(embedder(self.checkpoint).checkpoint).sha256
        return {"kind": self.kind, "modality": self.modality, "encoder": sha256}

    def vectors(self, embed: EmbedsMedia | None) -> Vectors:
        """The vectors of the media's tower; of a video or a shape the mean over its frames or views."""
        towers = embedder(self.checkpoint)
        return lambda media: _unit(towers.aligned(media, self.modality))

    def build(self, embed: EmbedsMedia | None) -> "TowersRetriever":
        """The retriever over the index."""
        index = Index.open(self.index)
        index.demand(self.facts(None))
        return TowersRetriever(index, self)


class TowersRetriever(VectorRetriever):
    """Looks at words, or at the last medium of its modality.

    Args:
        index: Where it looks.
        config: What it looks at first, and by which towers.
    """

    def __init__(self, index: Index, config: TowersRetrieverConfig) -> None:
        super().__init__(index, config.graph(index))
        self.config, self._towers, self._media = config, embedder(config.checkpoint), config.vectors(None)

    def vector(self, query: Query) -> Float[Tensor, " d"] | None:
        """That of the words, or of the last medium."""
        words = query.words.strip()
        seen = [handle for modality, handle in query.media if modality == self.config.modality][-1:]
        if seen and (self.config.first == "media" or not words):
            return self._media(seen)[0]
        return _unit(self._towers.texts([words]))[0] if words else None


def _unit(vectors: Any) -> Float[Tensor, "n d"]:
    return torch.from_numpy(unit(vectors)).float()
