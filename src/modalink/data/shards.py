"""WebDataset shards, read by plain `tarfile`: an index of all members, then each at random."""

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modalink.errors import DataError, SampleError

_LARGEST = 2**30
"""Most bytes of one member."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where one file lies in its shard."""

    shard: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The file's bytes."""
        where = f"{self.shard} at byte {self.offset}"
        if not 0 <= self.size <= _LARGEST:
            detail = f"claims {self.size:,} bytes, at most {_LARGEST:,} are read; store it as a file of its own"
            raise SampleError(where, "too_large", detail)
        try:
            with open(self.shard, "rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise SampleError(where, "unreadable", f"cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class ShardSample:
    """Members of one shard that share a key: the name up to its first dot."""

    id: str
    members: dict[str, Member]
    """Member by suffix in lower case, for example `.jpg`."""


def index_shards(shards: Sequence[Path]) -> list[ShardSample]:
    """The samples of shards, in the order of the shards and of their first members.

    Raises:
        DataError: A shard is cut off, compressed, or no tar file.
    """
    return [sample for shard in shards for sample in _index(shard)]


def _index(shard: Path) -> list[ShardSample]:
    samples: dict[str, dict[str, Member]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for info in archive:
                if info.isreg():
                    folder, slash, name = info.name.rpartition("/")
                    stem, _, suffix = name.partition(".")
                    members = samples.setdefault(f"{folder}{slash}{stem}", {})
                    members[f".{suffix.lower()}"] = Member(shard, info.offset_data, info.size)
            end = Member(shard, archive.offset, tarfile.BLOCKSIZE).read()
            if end.strip(b"\0") or len(end) not in (0, tarfile.BLOCKSIZE):  # `tarfile` itself stops without a word
                raise tarfile.ReadError(f"no header at byte {archive.offset}")
    except (tarfile.TarError, OSError) as error:
        hint = "fetch it again, or unpack it (gunzip) where it is compressed"
        raise DataError(f"{shard}: is no readable tar file: {error}; {hint}") from error
    return [ShardSample(f"{shard.name}/{key}", members) for key, members in samples.items()]
