"""An index on disk: entries of text and media, with the vectors by which an encoder finds them.

    INDEX/index.json            what it is and how it was made, with the hashes of the two files beside it
          entries.jsonl         an entry a line: its source, its text, its media by file and digest
          vectors.safetensors   one unit vector for each medium of the encoder's modality, and the entry that has it
          media/                the media, each once, so that the folder can be moved

A kind without vectors writes no `vectors.safetensors`.
"""

import hashlib
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from modalink import files, json_files, modalities, tensor_files
from modalink.errors import DataError, PartError
from modalink.roles import MediumHandle
from modalink.roles.retriever import Found

FORMAT = 1
_HEAD, _ENTRIES, _VECTORS, _MEDIA = "index.json", "entries.jsonl", "vectors.safetensors", "media"
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
class _Head:
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
        head = json_files.read(folder / _HEAD, PartError, _Head, remedy=_REMEDY)
        if head.format != FORMAT:
            raise PartError(f"{folder}: found an index of format {head.format}, needed {FORMAT}; {_REMEDY}")
        self.made: Mapping[str, Any] = head.made
        self.sha256 = files.sha256(folder / _HEAD)
        for name, digest in head.files.items():
            path = files.inside(folder, name, PartError)
            if not path.is_file() or files.known_sha256(path) != digest:
                raise PartError(f"{path}: it is not the file that {_HEAD} tells of; {_REMEDY}")
        self.entries: list[Entry] = list(json_files.lines(folder / _ENTRIES, PartError, Entry, remedy=_REMEDY))
        if len(self.entries) != head.entries:
            raise PartError(f"{folder}: found {len(self.entries)} entries, needed {head.entries}; {_REMEDY}")

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
        return len(self.entries)

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
        path = self.folder / _VECTORS
        tensors = tensor_files.read(path, PartError, remedy=_REMEDY)
        vectors, owners = tensors.get("vectors"), tensors.get("owners")
        if vectors is None or owners is None or vectors.ndim != 2 or owners.shape != vectors.shape[:1]:
            raise PartError(f"{path}: found {sorted(tensors)}, needed vectors and the owner of each; {_REMEDY}")
        if len(owners) and not 0 <= int(owners.min()) <= int(owners.max()) < len(self):
            raise PartError(f"{path}: found owners beyond the {len(self)} entries; {_REMEDY}")
        return vectors, owners

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

    def nearest(self, scores: Float[np.ndarray, " e"], count: int, without: Collection[str]) -> list[Found]:
        """The entries of the highest scores, the nearest first; of equal ones the earlier.

        Args:
            scores: One for each entry; entries of minus infinity are not found.
            count: How many at most.
            without: See `Retriever.search`.
        """
        scores = scores.copy()
        scores[list(self.left_out(without))] = -np.inf
        order = np.argsort(-scores, kind="stable")[:count]
        return [self.found(int(number), float(scores[number])) for number in order if np.isfinite(scores[number])]

    def found(self, number: int, score: float) -> Found:
        """An entry as what was found.

        Raises:
            PartError: It names a file outside of the index.
        """
        entry = self.entries[number]
        media = [(medium.modality, files.inside(self.folder, medium.file, PartError)) for medium in entry.media]
        return Found(number, score, entry.source, entry.text, tuple(media))


class IndexWriter:
    """Writes an index beside its place, and puts it there when it is whole.

    Args:
        folder: Where it shall lie; it must not be there yet.

    Raises:
        DataError: Something lies there.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder}: there is something already; choose another folder, or remove it first")
        self.folder, self._beside = folder, folder.with_name(f".{folder.name}.unfinished")
        shutil.rmtree(self._beside, ignore_errors=True)
        (self._beside / _MEDIA).mkdir(parents=True)
        self._entries: list[Entry] = []
        self._vectors: list[Tensor] = []
        self._owners: list[int] = []

    def add(
        self,
        source: str,
        text: str,
        media: Sequence[tuple[str, MediumHandle]],
        vectors: Float[Tensor, "n d"] | None = None,
    ) -> None:
        """Add an entry.

        Args:
            source: Where it comes from.
            text: Its words.
            media: Modality and opened medium, in order.
            vectors: One for each medium by which it shall be found.

        Raises:
            MediumError: A medium cannot be read.
        """
        kept = [self._keep(modality, handle) for modality, handle in media]
        if vectors is not None:
            self._vectors.append(vectors.float().cpu())
            self._owners += [len(self._entries)] * len(vectors)
        self._entries.append(Entry(source, text, kept))

    def close(self, made: Mapping[str, Any]) -> Index:
        """Write what was added, and open it.

        Args:
            made: What it says of how it was made.

        Raises:
            DataError: Nothing was added.
        """
        if not self._entries:
            raise DataError(f"{self.folder}: found nothing to put into the index, needed one entry at least")
        files.write(self._beside / _ENTRIES, b"".join(files.json_line(asdict(entry)) for entry in self._entries))
        names = [_ENTRIES]
        if self._vectors:
            names.append(_VECTORS)
            tensors = {"vectors": torch.cat(self._vectors), "owners": torch.tensor(self._owners)}
            tensor_files.save(tensors, self._beside / _VECTORS)
        hashes = {name: files.sha256(self._beside / name) for name in names}
        head = _Head(FORMAT, dict(made), len(self._entries), hashes)
        files.write_json(self._beside / _HEAD, asdict(head))
        if self.folder.is_dir():
            self.folder.rmdir()
        self._beside.replace(self.folder)
        return Index(self.folder)

    def _keep(self, modality: str, handle: MediumHandle) -> KeptMedium:
        record = modalities.get(modality)
        name = hashlib.sha256(f"{modality} {handle.digest}".encode()).hexdigest()[:32] + record.written
        path = self._beside / _MEDIA / name
        if not path.exists():
            record.write(handle.read(), path)
        return KeptMedium(modality, f"{_MEDIA}/{name}", handle.digest)
