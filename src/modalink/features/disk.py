"""Features on disk, shared by runs and processes, within a budget.

    FOLDER/MACHINE/KEY/3f2a....pack     values, one after the other
                       3f2a....jsonl    a line for each: its name, place, dtype, shape and hash

Each process appends to packs of its own, so that none waits for another, and a small feature costs no file. It writes
some at a time; a process that is killed loses what it has not written yet. Packs are read through the memory of the
system (`mmap`), so that processes of one machine share it: a value is checked against its hash once a process, and then
costs neither reading nor copying.
"""

import hashlib
import logging
import mmap
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import torch
from torch import Tensor

from modalink import files, json_files

_log = logging.getLogger(__name__)
PACK_BYTES = 64 * 2**20
"""Where a pack ends and the next begins: what is thrown out at a time."""
_PENDING_BYTES, _PENDING = 2**20, 128
"""So much waits to be written together: opening a file for each small feature would take longer than computing it."""
_MAPPED = 1024
"""Packs that are mapped at a time: a process may not have more than some 65,000 mappings."""


@dataclass(frozen=True)
class _Entry:
    digest: str
    offset: int
    size: int
    dtype: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def end(self) -> int:
        return self.offset + self.size

    @classmethod
    def of(cls, digest: str, offset: int, content: bytes, feature: Tensor) -> "_Entry":
        dtype = str(feature.dtype).removeprefix("torch.")
        sha256 = hashlib.sha256(content).hexdigest()
        return cls(digest, offset, len(content), dtype, tuple(feature.shape), sha256)


class DiskFeatures:
    """Tensors by key and digest.

    What this process or another has used since this one began stays; the rest makes room, least recently used first.
    Where nothing can make room, nothing new is taken: an epoch visits each item once, so that throwing out the least
    recently used would always throw out what comes next. A folder that cannot be written costs a warning, not the run.

    Args:
        folder: Where they are kept; made when it is not there.
        limit: Most bytes of packs; each process may go beyond it by the pack that it is filling.
        machine: What, besides the key, decides a feature's last bits; see `compute.numerics`.

    Attributes:
        refusal: Why it takes nothing any more; empty while it does.
    """

    def __init__(self, folder: Path, limit: int, machine: str = "any") -> None:
        self._folder, self._limit, self._home = folder, limit, folder / machine
        self._pack_bytes = min(PACK_BYTES, limit // 16)
        self._entries: dict[str, dict[str, list[tuple[Path, _Entry]]]] = {}
        self._pending: dict[str, dict[str, Tensor]] = {}
        self._listed_ns: dict[str, int] = {}
        self._read: dict[str, dict[Path, int]] = {}
        self._filling: dict[str, Path] = {}
        self._own: set[Path] = set()
        self._touched: set[Path] = set()
        self._maps: dict[Path, mmap.mmap] = {}
        self._checked: set[tuple[Path, int]] = set()
        self.refusal = "" if limit > 0 else "its limit is 0 bytes"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = folder / "lock"
            self._lock.touch()
            self._began_ns = self._lock.stat().st_mtime_ns  # by the clock of the file system, as all other times here
        except OSError as error:
            self._stop(error)

    def contains(self, key: str, digest: str) -> bool:
        """Whether a feature is there, as far as can be told without reading it."""
        return digest in self._pending.get(key, {}) or bool(self._find(key, digest))

    def get(self, key: str, digest: str) -> Tensor | None:
        """A feature, or None where it is not there, or not whole; who changes its values changes no file."""
        if (feature := self._pending.get(key, {}).get(digest)) is not None:
            return feature
        places = self._find(key, digest)
        while places:  # more than one where two processes had it at a time, or one was corrupt before
            pack, entry = places[-1]
            mapped = self._mapped(pack, entry.end)
            if mapped is not None and self._is_whole(pack, entry, mapped):
                values = torch.frombuffer(mapped, dtype=torch.uint8, count=entry.size, offset=entry.offset)
                return values.view(getattr(torch, entry.dtype)).reshape(entry.shape)
            if pack.exists() and len(places) == 1:
                _log.warning("%s: the feature %s is corrupt and is made anew", pack, digest)
            places.pop()
        return None

    def _mapped(self, pack: Path, end: int) -> mmap.mmap | None:
        """A pack in memory, at least up to a byte; None where it does not reach so far, or another made room."""
        mapped = self._maps.pop(pack, None)
        if mapped is None or len(mapped) < end:
            try:
                with pack.open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
                self._touch(pack)
            except (OSError, ValueError):  # a ValueError of an empty one
                return None
        self._maps[pack] = mapped  # the last one used stands last
        if len(self._maps) > _MAPPED:
            del self._maps[next(iter(self._maps))]  # it stays mapped for as long as a tensor of it lives
        return mapped if len(mapped) >= end else None

    def _is_whole(self, pack: Path, entry: _Entry, mapped: mmap.mmap) -> bool:
        if (pack, entry.offset) not in self._checked:
            with memoryview(mapped) as content:
                if hashlib.sha256(content[entry.offset : entry.end]).hexdigest() != entry.sha256:
                    return False
            self._checked.add((pack, entry.offset))
        return True

    def put(self, key: str, digest: str, feature: Tensor) -> None:
        """Keep a feature, if there is room."""
        if self.refusal or not feature.nbytes:
            return
        waiting = self._pending.setdefault(key, {})
        size = sum(other.nbytes for other in waiting.values()) + feature.nbytes
        if waiting and size > min(_PENDING_BYTES, self._pack_bytes):
            self._write(key)
        self._pending.setdefault(key, {})[digest] = feature.detach().cpu()
        if len(self._pending[key]) >= _PENDING:
            self._write(key)

    def flush(self) -> None:
        """Write what waits to be written."""
        for key in list(self._pending):
            self._write(key)

    def _write(self, key: str) -> None:
        waiting = {digest: _bytes(feature) for digest, feature in self._pending[key].items()}
        features = self._pending.pop(key)
        try:
            pack = self._pack(key, sum(map(len, waiting.values())))
            if pack is None:
                self.refusal = f"it is full at {self._limit:,} bytes, and all there is in use"
                return
            place = files.append(pack, b"".join(waiting.values()))
            entries = []
            for digest, content in waiting.items():
                entries.append(_Entry.of(digest, place, content, features[digest]))
                place += len(content)
            files.append_json_lines(pack.with_suffix(".jsonl"), map(asdict, entries))
            for entry in entries:
                self._entries.setdefault(key, {}).setdefault(entry.digest, []).append((pack, entry))
        except OSError as error:
            self._stop(error)

    def _find(self, key: str, digest: str) -> list[tuple[Path, _Entry]]:
        """Where a feature is kept."""
        if not self._entries.setdefault(key, {}).get(digest):
            self._read_on(key)
        return self._entries[key].get(digest, [])

    def _read_on(self, key: str) -> None:
        """Read what other processes have added under a key."""
        folder, read = self._home / key, self._read.setdefault(key, {})
        changed_ns = _stat(folder).st_mtime_ns
        if self._listed_ns.get(key) != changed_ns:
            self._listed_ns[key] = changed_ns
            read.update({index: 0 for index in folder.glob("*.jsonl") if index not in read})
        for index, done in read.items():
            if _stat(index).st_size > done and index.with_suffix(".pack") not in self._own:
                for line in files.whole_lines(index, done):
                    read[index] += len(line)
                    if entry := _parsed(line):
                        self._entries[key].setdefault(entry.digest, []).append((index.with_suffix(".pack"), entry))

    def _pack(self, key: str, size: int) -> Path | None:
        """The pack to append so many bytes to; None where there is no room."""
        pack = self._filling.get(key)
        if pack is not None and pack.exists() and pack.stat().st_size + size <= self._pack_bytes:
            return pack
        self._filling.pop(key, None)
        with self._lock.open() as file:
            files.lock(file)
            if not self._make_room(max(size, self._pack_bytes)):
                return None
            pack = self._home / key / f"{uuid4().hex}.pack"
            pack.parent.mkdir(parents=True, exist_ok=True)
            pack.touch()
        self._filling[key] = pack
        self._own.add(pack)
        return pack

    def _make_room(self, size: int) -> bool:
        packs = [(path, path.stat()) for path in self._folder.glob("*/*/*.pack")]
        own = set(self._filling.values())
        room = self._limit - sum(max(s.st_size, self._pack_bytes) if p in own else s.st_size for p, s in packs)
        for path, status in sorted(packs, key=lambda pack: pack[1].st_mtime_ns):
            if room >= size or status.st_mtime_ns >= self._began_ns:
                break
            for file in (path.with_suffix(".jsonl"), path):
                file.unlink(missing_ok=True)
            room += status.st_size
        return room >= size

    def _touch(self, pack: Path) -> None:
        if pack not in self._touched:
            os.utime(pack)
            self._touched.add(pack)

    def _stop(self, error: OSError) -> None:
        self.refusal = error.strerror or str(error)
        _log.warning("features are not kept in %s: %s; give another folder, or `off`", self._folder, self.refusal)


def _bytes(feature: Tensor) -> bytes:
    return feature.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _stat(path: Path) -> os.stat_result:
    """The state of a file or folder; all zeros where there is none."""
    try:
        return path.stat()
    except OSError:
        return os.stat_result([0] * 10)


def _parsed(line: bytes) -> _Entry | None:
    try:
        entry: _Entry = json_files.parse(line, ValueError, _Entry)
        return entry
    except ValueError:
        return None
