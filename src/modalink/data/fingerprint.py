"""What a source's data are: names, sizes, times and hashes of its files, to tell later what has changed."""

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from modalink import files
from modalink.conversation import Medium
from modalink.data.source import Source, SourceConfig, Stream
from modalink.errors import DataError, PromptError

_Value = TypeVar("_Value")
MOST_RECORDS = 10_000
"""Files, and records whose media are looked at; evenly spread where there are more."""
_PROBED = 256
"""If so many of them name no file, their media lie inside the records."""
HASHED_BYTES = 128 * 2**20
"""So many bytes of a source are hashed; of the files behind them size and time must do."""
_SHOWN = 3


@dataclass(frozen=True)
class FileState:
    """One file as it was found; one that was not there has a size of -1."""

    size: int
    time_ns: int
    sha256: str | None = None

    def change(self, now: "FileState") -> str | None:
        """What has changed, in a word; None for nothing."""
        if -1 in (self.size, now.size):
            return None if self.size == now.size else "gone" if now.size == -1 else "new"
        if self.size != now.size:
            return "changed"
        if self.sha256 and now.sha256:
            return None if self.sha256 == now.sha256 else "changed"
        return None if self.time_ns == now.time_ns else "written anew"


Fingerprint = dict[str, FileState]
"""File -> its state."""


def fingerprint(config: SourceConfig, source: Source | Stream) -> Fingerprint:
    """Look at the files of a source: those of its records, and those of the media that they name.

    Args:
        config: Its settings; data that are in no file have an empty fingerprint.
        source: The same, opened.
    """
    records = config.files()
    media = () if isinstance(source, Stream) or not records else _media(source)
    room = HASHED_BYTES
    names = "\n".join(map(str, records)).encode(errors="surrogatepass")
    found: Fingerprint = {}
    if len(records) > MOST_RECORDS:
        found["the list of all names"] = FileState(len(names), 0, hashlib.sha256(names).hexdigest())
    for path in dict.fromkeys([*_spread(records), *media]):
        state = _state(path, room)
        room -= max(0, state.size) if state.sha256 else 0
        found[str(path)] = state
    return found


def changes(before: Mapping[str, FileState], now: Mapping[str, FileState]) -> list[str]:
    """What has changed, a line for each kind of change."""
    absent = FileState(-1, 0)
    by_kind: dict[str, list[str]] = {}
    for path in {**before, **now}:
        kind = before.get(path, absent).change(now.get(path, absent))
        if kind is not None:
            by_kind.setdefault(kind, []).append(path)
    return [f"{len(paths)} of {len(before)} files {kind}: {_some(paths)}" for kind, paths in by_kind.items()]


def _media(source: Source) -> Iterator[Path]:
    """The files of media that a source's records name."""
    count = len(source)
    for index in range(0, count, max(1, count // _PROBED)):
        if next(_named(source, [index]), None) is not None:
            break
    else:
        return
    yield from _named(source, _spread(range(count)))


def _spread(values: Sequence[_Value]) -> Sequence[_Value]:
    """At most as many of them as are looked at."""
    return values[:: max(1, math.ceil(len(values) / MOST_RECORDS))]


def _named(source: Source, indices: Iterable[int]) -> Iterator[Path]:
    for index in indices:
        with suppress(DataError, PromptError):
            pieces = (piece for turn in source[index].turns for piece in turn.content)
            yield from (path for piece in pieces if (path := _path(piece)) is not None)


def _path(piece: object) -> Path | None:
    given = piece.source if isinstance(piece, Medium) else None
    if not isinstance(given, str | os.PathLike) or str(given)[:5].lower() == "data:" or "://" in str(given):
        return None
    return Path(given)


def _state(path: Path, room: int) -> FileState:
    try:
        status = path.stat()
        sha256 = files.known_sha256(path) if status.st_size <= room and path.is_file() else None
    except (OSError, ValueError):
        return FileState(-1, 0)
    return FileState(status.st_size, status.st_mtime_ns, sha256)


def _some(paths: list[str]) -> str:
    return ", ".join(islice(paths, _SHOWN)) + (", ..." if len(paths) > _SHOWN else "")
