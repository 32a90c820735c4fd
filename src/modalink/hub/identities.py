"""Who a checkpoint is: its name, revision, content hash and licence, for manifests and cache keys."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modalink import files, yaml_files
from modalink.errors import PartError
from modalink.hub.files import is_hub_id, locate, piece_files, weight_files
from modalink.roles import FromCheckpoint, OfPieces

BESIDE = " + "
"""Stands between the references of a part that is made of several checkpoints."""
_LONGEST = 2**20
"""Bytes of a model card or licence that are read."""


@dataclass(frozen=True)
class Identity:
    """What tells one checkpoint from all others.

    Args:
        id: The reference that was given.
        revision: The commit of a hub checkpoint, else None.
        sha256: Hash of all its weight files: the same weights have the same hash, wherever they lie.
        licence: What its model card or licence file declares, or `"unknown"`.
    """

    id: str
    revision: str | None
    sha256: str
    licence: str


def identity(reference: str, revision: str | None = None, names: Iterable[str] = ()) -> Identity:
    """The identity of a checkpoint; a file's content is read once in a process.

    Args:
        reference: `zoo:NAME`, a local folder, or a hub id.
        revision: Commit or tag of a hub id.
        names: Patterns of the tensors that are taken of it: only the files that hold some are looked at.

    Raises:
        PartError: The checkpoint is absent or has no weights.
    """
    folder = locate(reference, revision, weights=not names)
    weights = piece_files(reference, names, revision) if names else weight_files(folder)
    if not weights:
        raise PartError(f"{reference}: found no weight files in {folder}, needed *.safetensors")
    digest = hashlib.sha256()
    for file in weights:
        digest.update(f"{file.relative_to(folder).as_posix()} {_sha256(file)}\n".encode())
    # The hub's cache names a snapshot's folder by its commit.
    commit = folder.name if is_hub_id(reference) else None
    return Identity(reference, commit, digest.hexdigest(), _licence(folder))


def identity_of(part: FromCheckpoint, revision: str | None = None) -> Identity:
    """The identity of a part: its checkpoint's, or that of all its checkpoints together.

    Args:
        part: The part's settings.
        revision: A revision instead of the one that the settings name, for a part of one checkpoint.

    Raises:
        PartError: A checkpoint is absent or has no weights.
    """
    sources = part.checkpoints()
    if len(sources) == 1:
        names = part.pieces() if isinstance(part, OfPieces) else ()
        return identity(sources[0][0], revision or sources[0][1], names)
    each = [identity(*source) for source in sources]
    digest = hashlib.sha256("\n".join(one.sha256 for one in each).encode()).hexdigest()
    return Identity(
        BESIDE.join(one.id for one in each),
        BESIDE.join(one.revision for one in each if one.revision) or None,
        digest,
        BESIDE.join(dict.fromkeys(one.licence for one in each)),
    )


def _sha256(file: Path) -> str:
    # The hub's cache names the file behind a link by this very hash.
    if file.is_symlink() and re.fullmatch(r"[0-9a-f]{64}", name := file.resolve().name):
        return name
    return files.known_sha256(file)


def _licence(folder: Path) -> str:
    """The licence of a model card's front matter, or of a licence file's first line."""
    card = folder / "README.md"
    if match := re.match(r"---\s*\n(.*?)\n---", _words(card), re.DOTALL):
        try:
            matter = yaml_files.parse(match[1], str(card), PartError).data
        except PartError:
            matter = None
        if isinstance(matter, dict) and matter.get("license"):
            return str(matter["license_name"] if matter.get("license_name") else matter["license"])
    for file in sorted(folder.glob("LICENSE*")):
        if line := next((line.strip() for line in _words(file).splitlines() if line.strip()), ""):
            return line
    return "unknown"


def _words(file: Path) -> str:
    """The beginning of a text for people; empty where there is none, as of a folder of licences."""
    try:
        return files.content(file, PartError, _LONGEST).decode("utf-8", "replace")
    except PartError:
        return ""
