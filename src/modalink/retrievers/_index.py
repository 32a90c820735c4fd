"""An index on disk: entries of text and media, with the vectors by which an encoder finds them.

    INDEX/index.json            what it is and how it was made, with the hashes of the two files beside it
          entries.jsonl         an entry a line: its source, its text, its media by file and digest
          vectors.safetensors   one unit vector for each medium of the encoder's modality, and the entry that has it
          media/                the media, each once, so that the folder can be moved

A kind without vectors writes no `vectors.safetensors`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from modalink import files, json_files, tensor_files
from modalink.errors import PartError
from modalink.roles.retriever import Found, Retriever, RetrieverConfig

FORMAT = 1
HEAD, ENTRIES, VECTORS, MEDIA = "index.json", "entries.jsonl", "vectors.safetensors", "media"
_REMEDY = "make it anew with `modalink index build`"


@dataclass(frozen=True)
class KeptMedium:
    """A medium of an entry: its modality, its file in the index, and the digest that its source had."""

    modality: str
    file: str
    digest: str


@dataclass(frozen=True)
class Entry:
    """What can be found: where it comes from, its words and its media."""

    source: str
    text: str
    media: list[KeptMedium]


@dataclass(frozen=True)
class Head:
    """What an index says of itself."""

    format: int
    made: dict[str, Any]
    entries: int
    files: dict[str, str]


class Index:
    """An index that was opened and checked.

    Args:
        folder: Where it lies.

    Raises:
        PartError: It is absent, damaged, or of a format that is not known.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        head = json_files.read(folder / HEAD, PartError, Head, remedy=_REMEDY)
        if head.format != FORMAT:
            raise PartError(f"{folder}: found an index of format {head.format}, needed {FORMAT}; {_REMEDY}")
        self.made: Mapping[str, Any] = head.made
        self.sha256 = files.sha256(folder / HEAD)
        for name, digest in head.files.items():
            path = files.inside(folder, name, PartError)
            if not path.is_file() or files.known_sha256(path) != digest:
                raise PartError(f"{path}: it is not the file that {HEAD} tells of; {_REMEDY}")
        self._count, self.vectors_sha256 = head.entries, head.files.get(VECTORS, "")

    @classmethod
    def open(cls, reference: str) -> Self:
        """The index in a folder that a recipe names.

        Raises:
            PartError: As of the class, or there is no such folder.
        """
        folder = files.named(reference, PartError)
        if not folder.is_dir():
            raise PartError(f"{reference}: no such folder; write it with `modalink index build --out {reference}`")
        return cls(folder)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def entries(self) -> list[Entry]:
        """What can be found.

        Raises:
            PartError: They are others than the index tells of.
        """
        found = list(json_files.lines(self.folder / ENTRIES, PartError, Entry, remedy=_REMEDY))
        if len(found) != self._count:
            raise PartError(f"{self.folder}: found {len(found)} entries, needed {self._count}; {_REMEDY}")
        return found

    def demand(self, made: Mapping[str, Any]) -> None:
        """Demand that it was made in such a way.

        Raises:
            PartError: It was made otherwise.
        """
        for key, needed in made.items():
            if (found := self.made.get(key)) != needed:
                raise PartError(f"{self.folder}: found an index with {key} {found}, needed {needed}; {_REMEDY}")

    @cached_property
    def vectors(self) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]:
        """The vectors, and which entry each belongs to.

        Raises:
            PartError: There are none, or they fit the entries badly.
        """
        path = self.folder / VECTORS
        tensors = tensor_files.read(path, PartError, remedy=_REMEDY)
        vectors, owners = tensors.get("vectors"), tensors.get("owners")
        if vectors is None or owners is None or vectors.ndim != 2 or owners.shape != vectors.shape[:1]:
            raise PartError(f"{path}: found {sorted(tensors)}, needed vectors and the owner of each; {_REMEDY}")
        if len(owners) and not 0 <= int(owners.min()) <= int(owners.max()) < len(self):
            raise PartError(f"{path}: found owners beyond the {len(self)} entries; {_REMEDY}")
        return vectors, owners

    def vectors_of(self, numbers: Sequence[int]) -> Float[Tensor, "n d"]:
        """The vector of each entry's first medium; zeros of an entry without one.

        Raises:
            PartError: There are none, or they fit the entries badly.
        """
        vectors, owners = self.vectors
        places = torch.searchsorted(owners, torch.tensor([*numbers], dtype=owners.dtype))
        has = [
            place < len(owners) and int(owners[place]) == n for place, n in zip(places.tolist(), numbers, strict=True)
        ]
        return vectors[places.clamp(max=len(owners) - 1)] * torch.tensor(has, dtype=vectors.dtype)[:, None]

    def left_out(self, without: Collection[str]) -> Iterable[int]:
        """The entries whose source, or the digest of one of whose media, is among some names."""
        return {number for name in without for number in self._named.get(name, ())}

    @cached_property
    def _named(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            for name in {entry.source, *(medium.digest for medium in entry.media)}:
                found.setdefault(name, []).append(number)
        return found

    def nearest(
        self,
        scores: Float[np.ndarray, " e"],
        count: int,
        without: Collection[str],
        numbers: Int[np.ndarray, " e"] | None = None,
    ) -> list[Found]:
        """The entries of the highest scores, the nearest first; of equal ones the earlier.

        Args:
            scores: One for each entry; entries of minus infinity are not found.
            count: How many at most.
            without: See `Retriever.search`.
            numbers: Which entries these are, in rising order; all, if not given.
        """
        numbers, scores = np.arange(len(self)) if numbers is None else numbers, scores.copy()
        scores[np.isin(numbers, [*self.left_out(without)])] = -np.inf
        order = np.argsort(-scores, kind="stable")[:count]
        return [self.found(int(numbers[at]), float(scores[at])) for at in order if np.isfinite(scores[at])]

    def found(self, number: int, score: float) -> Found:
        """An entry as what was found.

        Raises:
            PartError: It names a file outside of the index.
        """
        entry = self.entries[number]
        media = [(medium.modality, files.inside(self.folder, medium.file, PartError)) for medium in entry.media]
        return Found(number, score, entry.source, entry.text, tuple(media))


class IndexRetrieverConfig(RetrieverConfig):
    """Base of the settings of retrievers over such an index."""

    def width(self) -> int:
        """How many numbers a vector of the index has, read without the vectors."""
        return tensor_files.shape(Index.open(self.index).folder / VECTORS, "vectors", PartError, remedy=_REMEDY)[1]


class IndexRetriever(Retriever):
    """Base of retrievers over such an index.

    Args:
        index: Where it looks.
    """

    def __init__(self, index: Index) -> None:
        self.index, self.sha256 = index, index.sha256

    def vectors_of(self, found: Sequence[Found]) -> Float[Tensor, "n d"]:
        """See `Retriever.vectors_of`."""
        return self.index.vectors_of([one.number for one in found])
