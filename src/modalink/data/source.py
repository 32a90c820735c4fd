"""What a data source is: settings that open a random-access sequence, or an endless stream, of conversations."""

import glob
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable
from urllib.parse import unquote

from pydantic import Field

from modalink import files
from modalink.conversation import Content, Conversation, Medium, inner_source
from modalink.errors import DataError
from modalink.kinds import KindConfig

# No path: those of media have a suffix, and so a dot.
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")


@runtime_checkable
class Source(Protocol):
    """Conversations by number."""

    def __len__(self) -> int:
        """How many records there are, good and bad."""

    def __getitem__(self, index: int) -> Conversation:
        """Record `index` as a conversation; raises `SampleError` or `MediumError` where the record is bad, and
        `IndexError` where there is none, so that a loop over a source ends."""


class Numbered(ABC):
    """A source that gives the samples from 0 to its length, and no others."""

    @abstractmethod
    def __len__(self) -> int:
        """How many samples there are, good and bad."""

    @abstractmethod
    def sample(self, index: int) -> Conversation:
        """One of them; raises `SampleError` or `MediumError` where its record is bad."""

    def __getitem__(self, index: int) -> Conversation:
        """The same of any number; raises `IndexError` where there is none, so that a loop ends."""
        if not 0 <= index < len(self):
            raise IndexError(f"found sample {index}, needed one of 0 to {len(self) - 1}")
        return self.sample(index)


@runtime_checkable
class Stream(Protocol):
    """Conversations one after the other, endlessly, of a number nobody knows."""

    def __next__(self) -> Any:
        """The next raw record; after the last, the first of the next pass. Cheap, called by one thread."""

    def conversation(self, record: Any) -> Conversation:
        """A raw record as a conversation; raises `SampleError` where the record is bad. Called by many threads."""

    def state_dict(self) -> dict[str, Any]:
        """The place of the next record, as JSON data."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a place that `state_dict` told."""


@runtime_checkable
class Rereads(Protocol):
    """Settings of a source that shows the samples of another one as another modality."""

    modality: str
    """The modality as which they are read."""

    def rereading(self, source: Mapping[str, Any]) -> "SourceConfig":
        """The same of another source, given by its settings."""


class SourceConfig(KindConfig):
    """Base of source settings."""

    room: ClassVar[str] = "modalink.data.sources"

    weight: float | None = Field(default=None, gt=0)
    """Share of the samples under the mixture `ratio`, relative to the other sources' weights."""
    loss_weight: float | None = Field(default=None, gt=0)
    """Weight of this source's loss. Where a source of a stage has one (else 1), the loss of a step is the weighted sum
    of the means over each source's samples in it, and not the mean over all."""
    template: str | None = None
    """Prompt template for this source's samples instead of the recipe's."""
    prefix: bool = False
    """Cut the last reply of each sample between two words of its first half, drawn anew each time that it comes: what
    stands before is read, what stands behind is learned (prefix language modelling)."""

    @abstractmethod
    def open(self) -> Source | Stream:
        """Find the records; raises `DataError` when there are none, telling what was looked for and where."""

    def files(self) -> list[Path]:
        """The files that hold its records, or are them; none where data are made or come from afar."""
        return [] if (path := getattr(self, "path", None)) is None else files_of(path)

    @property
    def name(self) -> str:
        """What ledgers and errors call this source: its kind and its path."""
        path = getattr(self, "path", None)
        return self.kind if path is None else f"{self.kind} {path}"


def find_files(pattern: str, suffixes: Sequence[str], *, deep: bool = False) -> list[Path]:
    """Files that a file's path, a folder or a glob pattern means, in an order that does not depend on the file system.

    Args:
        pattern: A file (taken whatever its suffix), a folder, or a pattern such as `shards/*.tar`.
        suffixes: What the names of the files must end with.
        deep: Look in the folder's own folders too.

    Raises:
        DataError: Nothing is there.
    """
    path = files.named(pattern, DataError)
    if path.is_file():
        return [path]
    candidates = (
        path.glob("**/*" if deep else "*") if path.is_dir() else map(Path, glob.glob(str(path), recursive=True))
    )
    found = sorted(p for p in candidates if p.name.lower().endswith(tuple(suffixes)) and p.is_file())
    if not found:
        state = "the folder holds none" if path.is_dir() else "there is no such file or folder"
        raise DataError(f"{pattern}: looked for files ending with {', '.join(suffixes)}; {state}")
    return found


def files_of(pattern: str) -> list[Path]:
    """All files that a file's path, a folder with its folders, or a pattern means; none where nothing is there."""
    expanded = os.path.expanduser(pattern)
    given = [Path(expanded)] if os.path.exists(expanded) else sorted(map(Path, glob.glob(expanded, recursive=True)))
    inner = (sorted(path.rglob("*")) if path.is_dir() else [path] for path in given)
    return [path for paths in inner for path in paths if path.is_file()]


def place(source: Any, folder: Path) -> Any:
    """A medium's source as the modalities take it.

    A relative path hangs against the folder; mappings with bytes or a path, as `datasets` leaves them, are unwrapped;
    `file://` is a path, and base64 without a name, unless there is such a file, becomes a data URL.
    """
    if isinstance(source, dict):
        source = inner_source(source)
    if isinstance(source, str) and source.startswith("file://"):
        source = unquote(source.removeprefix("file://"))
    if not isinstance(source, str | Path) or str(source)[:5].lower() == "data:" or "://" in str(source)[:32]:
        return source
    if isinstance(source, str) and _BASE64.fullmatch(source) and not os.path.exists(folder / source):
        return f"data:;base64,{''.join(source.split())}"
    # Not for `~name`: a record may hold any signs, and no user is looked up by them.
    return str(folder / (os.path.expanduser(source) if str(source).startswith("~/") else source))


def placed(content: Iterable[Content], folder: Path) -> tuple[Content, ...]:
    """Content with its media's sources placed."""
    return tuple(
        replace(piece, source=place(piece.source, folder)) if isinstance(piece, Medium) else piece for piece in content
    )


def media_folder(media: str | None, path: str) -> Path:
    """The folder that records' paths are relative to: the given one, else that of the records."""
    if media is not None:
        return files.named(media, DataError)
    records = files.named(path, DataError)
    return records if records.is_dir() else records.parent
