"""Writes an index as it goes, beside its place: memory stays flat, and what a kill interrupts is resumed.

.INDEX.unfinished/progress.jsonl   a line for what it becomes, and one for each state to which it can go back
                  entries.jsonl    the entries so far
                  vectors, owners  bare numbers, of which `vectors.safetensors` becomes
                  media/           the media so far
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from modalink import files, json_files, modalities, tensor_files
from modalink.errors import DataError, PartError
from modalink.retrievers._index import ENTRIES, FORMAT, HEAD, MEDIA, VECTORS, Entry, Head, Index, KeptMedium
from modalink.roles import MediumHandle

_PROGRESS, _LOCK, _VALUES, _OWNERS = "progress.jsonl", "lock", "vectors", "owners"


@dataclass(frozen=True)
class Mark:
    """A state of an index that is being written.

    Args:
        taken: How many samples were taken, good and bad.
        digest: Tells these samples apart from others.
        entries: How many entries were written.
        length: How many bytes these are.
        vectors: How many vectors were written.
        width: Of how many numbers each.
        left_out: Samples that are bad since the mark before, each with the reason.
    """

    taken: int = 0
    digest: str = ""
    entries: int = 0
    length: int = 0
    vectors: int = 0
    width: int = 0
    left_out: list[str] = field(default_factory=list)


class IndexWriter:
    """Writes an index beside its place, and puts it there when it is whole; a context that keeps other writers out.

    Args:
        folder: Where it shall lie; it must not be there yet.
        made: What it says of how it was made.
        source: What its entries come from, as JSON data: what a killed writer of another source, or made otherwise,
            left is thrown away, and that of the same is resumed.

    Raises:
        DataError: Something lies there, or another process writes it.
    """

    def __init__(self, folder: Path, made: Mapping[str, Any], source: Mapping[str, Any] | None = None) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder}: there is something already; choose another folder, or remove it first")
        self.folder, self.beside = folder, folder.with_name(f".{folder.name}.unfinished")
        self.beside.mkdir(parents=True, exist_ok=True)
        self._lock: IO[bytes] = (self.beside / _LOCK).open("wb")
        busy = f"{folder}: another process is writing it; wait for its end, or choose another folder"
        try:
            files.lock(self._lock, DataError(busy))
        except DataError:
            self._lock.close()
            raise
        self._made, first = dict(made), {"made": dict(made), "source": dict(source or {})}
        marks = self._marks(first)
        self.left_out = [why for mark in marks for why in mark.left_out]
        self.mark = marks[-1] if marks else Mark()
        if not marks:
            self._begin(first)
        self._go_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

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
            PartError: Vectors have another width than those before.
        """
        kept = [self._keep(modality, handle) for modality, handle in media]
        if vectors is not None and len(vectors):
            self._write(vectors.float().cpu())
        line = files.json_line(asdict(Entry(source, text, kept)))
        files.append(self.beside / ENTRIES, line)
        self._now(entries=self.mark.entries + 1, length=self.mark.length + len(line))

    def done(self, taken: int, digest: str, left_out: Sequence[str] = ()) -> None:
        """Mark a state: killed after it, a writer goes back to it.

        Args:
            taken: How many samples were taken until now, good and bad.
            digest: Tells these samples apart from others.
            left_out: Those that are bad since the mark before, each with the reason.
        """
        for name in (ENTRIES, _VALUES, _OWNERS):
            if (self.beside / name).exists():
                files.sync(self.beside / name)
        self._now(taken=taken, digest=digest, left_out=[*left_out])
        self.left_out += left_out
        files.append_json_lines(self.beside / _PROGRESS, [asdict(self.mark)], durable=True)

    def close(self) -> Index:
        """Put together what was added, and open it.

        Raises:
            DataError: Nothing was added.
        """
        if not self.mark.entries:
            raise DataError(f"{self.folder}: found nothing to put into the index, needed one entry at least")
        names, number = [ENTRIES], self.mark.vectors
        if number:
            names.append(VECTORS)
            values = (self.beside / _VALUES, "F32", (number, self.mark.width))
            owners = (self.beside / _OWNERS, "I64", (number,))
            tensor_files.join({"owners": owners, "vectors": values}, self.beside / VECTORS)
        hashes = {name: files.sha256(self.beside / name) for name in names}
        files.write_json(self.beside / HEAD, asdict(Head(FORMAT, self._made, self.mark.entries, hashes)))
        for name in names:
            files.sync(self.beside / name)
        if self.folder.is_dir():
            self.folder.rmdir()
        self.beside.replace(self.folder)
        for name in (_PROGRESS, _VALUES, _OWNERS, _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        self._lock.close()
        return Index(self.folder)

    def _marks(self, first: Mapping[str, Any]) -> list[Mark]:
        """The states of what lies there; none where it is of something else, or was damaged."""
        try:
            lines = json_files.lines(self.beside / _PROGRESS, DataError)
            if next(lines, None) != first:
                return []
            marks = [json_files.shaped(line, DataError, Mark) for line in lines]
        except DataError:
            return []
        return marks if marks and all(map(self._holds, marks[-1:])) else []

    def _holds(self, mark: Mark) -> bool:
        """Whether as much lies there as a state tells."""
        needed = {ENTRIES: mark.length, _VALUES: 4 * mark.vectors * mark.width, _OWNERS: 8 * mark.vectors}
        sizes = {name: path.stat().st_size for name in needed if (path := self.beside / name).exists()}
        return all(sizes.get(name, 0) >= size for name, size in needed.items())

    def _begin(self, first: Mapping[str, Any]) -> None:
        for path in self.beside.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()
        files.append_json_lines(self.beside / _PROGRESS, [first, asdict(Mark())], durable=True)

    def _go_back(self) -> None:
        """Cut off what was written behind the last mark."""
        (self.beside / MEDIA).mkdir(exist_ok=True)
        files.cut_torn_line(self.beside / _PROGRESS)
        mark = self.mark
        sizes = {ENTRIES: mark.length, _VALUES: 4 * mark.vectors * mark.width, _OWNERS: 8 * mark.vectors}
        for name, size in sizes.items():
            if (self.beside / name).exists():
                os.truncate(self.beside / name, size)

    def _now(self, **changes: Any) -> None:
        self.mark = Mark(**{**asdict(self.mark), **changes})

    def _write(self, vectors: Float[Tensor, "n d"]) -> None:
        number, width = vectors.shape
        if self.mark.width not in (0, width):
            raise PartError(f"{self.folder}: found a vector of {width} numbers, needed {self.mark.width} as before")
        files.append(self.beside / _VALUES, vectors.contiguous().numpy().tobytes())
        files.append(self.beside / _OWNERS, torch.full((number,), self.mark.entries).numpy().tobytes())
        self._now(vectors=self.mark.vectors + number, width=width)

    def _keep(self, modality: str, handle: MediumHandle) -> KeptMedium:
        record = modalities.get(modality)
        name = hashlib.sha256(f"{modality} {handle.digest}".encode()).hexdigest()[:32] + record.written
        path = self.beside / MEDIA / name
        if not path.exists():
            partial = path.with_name(f"partial{record.written}")
            record.keep(handle, partial)
            partial.replace(path)
        return KeptMedium(modality, f"{MEDIA}/{name}", handle.digest)
