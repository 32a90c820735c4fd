"""The role of a retriever: it finds in an index of media and texts what lies nearest to a question."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from modalink.errors import PartError
from modalink.kinds import KindConfig
from modalink.roles.modality import MediumHandle

Pool = Literal["mean", "max"]
"""How one vector comes of many tokens."""


@dataclass(frozen=True)
class Query:
    """What is looked for.

    Args:
        words: What is said.
        media: What it is said about: modality and opened medium, in order.
    """

    words: str
    media: tuple[tuple[str, MediumHandle], ...] = ()


@dataclass(frozen=True)
class Found:
    """An entry of an index that was found.

    Args:
        number: Its place in the index, from 0.
        score: How near it is; the largest is 1.
        source: Where it comes from, for people.
        text: Its words.
        media: Modality and file of its media, in order.
    """

    number: int
    score: float
    source: str
    text: str
    media: tuple[tuple[str, Path], ...] = ()


@runtime_checkable
class EmbedsMedia(Protocol):
    """A frozen encoder of the system, as retrievers use it."""

    sha256: str
    """Hash of its weights, its settings and its preprocessing: vectors of another one mean something else."""

    def __call__(self, media: Sequence[MediumHandle], pool: Pool) -> Float[Tensor, "n d"]:
        """One vector of length 1 for each medium: the mean, or the largest values, of its tokens."""


class Retriever(ABC):
    """Finds entries of an index."""

    sha256: str
    """Identity of the index: of its entries, their media and its vectors."""

    def vectors_of(self, found: Sequence[Found]) -> Float[Tensor, "n d"]:
        """The vectors by which an index keeps entries, of each that of its first medium; zeros where it has none.

        Raises:
            PartError: The index keeps no vectors.
        """
        raise PartError(f"{type(self).__name__}: found no vectors of entries, needed an index that keeps some")

    @abstractmethod
    def search(self, query: Query, count: int, without: Collection[str] = ()) -> list[Found]:
        """The entries that lie nearest to a query, the nearest first.

        Args:
            query: What is looked for; where it holds nothing that this kind looks at, nothing is found.
            count: How many at most.
            without: Names and digests of media: entries of such a source or with such a medium are left out.
        """


Vectors = Callable[[Sequence[MediumHandle]], Float[Tensor, "n d"]]
"""Makes a vector of length 1 of each opened medium, float32 on the CPU."""


class RetrieverConfig(KindConfig):
    """Base of retriever settings."""

    room: ClassVar[str] = "modalink.retrievers"

    index: str
    """Folder that `modalink index build` wrote."""

    def tiny(self) -> "RetrieverConfig":
        """Itself: an index has the size of its data."""
        return self

    def width(self) -> int:
        """How many numbers a vector of its index has.

        Raises:
            PartError: The index is absent or damaged, or keeps no vectors.
        """
        raise PartError(f"retriever {self.kind}: found no vectors of entries, needed an index that keeps some")

    def embeds(self) -> str | None:
        """The modality whose encoder, of the system, makes its vectors; None if it needs none of the system's."""
        return None

    def looks_at(self) -> frozenset[str]:
        """What of a query it looks at: `words`, or modalities; where a query has none of these, nothing is found.

        Empty for a kind that looks at nothing, and finds all the same.
        """
        return frozenset()

    def keeps(self) -> str | None:
        """The modality of the media whose vectors its index keeps; that of `embeds`, if not overridden."""
        return self.embeds()

    def vectors(self, embed: EmbedsMedia | None) -> Vectors | None:
        """What makes the vectors of media that its index keeps; None where it keeps none.

        Args:
            embed: The encoder that `embeds` names.
        """
        return None

    @abstractmethod
    def build(self, embed: EmbedsMedia | None) -> Retriever:
        """The retriever over its index.

        Args:
            embed: The encoder that `embeds` names.

        Raises:
            PartError: The index is absent or damaged, of another kind, or was made with another encoder.
        """

    def facts(self, embed: EmbedsMedia | None) -> Mapping[str, Any]:
        """What an index says of how it is made, as JSON data; its kind, if not overridden."""
        return {"kind": self.kind}
