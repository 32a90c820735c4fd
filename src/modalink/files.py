"""Files that are whole or absent, locks, hashes and JSON lines: for every room that writes, once."""

import base64
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from modalink.errors import shown

Damaged = Callable[[str], Exception]
"""Makes the error of who reads from what is wrong, for example the class `CheckpointError`."""


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Write a file or a folder beside its place, and rename it into it: at the place it is whole or absent.

    Args:
        path: The place; what stands there is replaced. Missing folders above it are made.
        shared: Several processes may write it at once, and a power cut may cost it, as in a cache. Otherwise the
            content is on the disk itself when the context ends.

    Yields:
        Where to write.

    Raises:
        OSError: It cannot be written; nothing is left beside the place.

    Example:
        with replacing(folder / "model") as beside:
            model.save_pretrained(beside)
    """
    beside = path.with_name(f".{path.name}.{uuid4().hex if shared else 'partial'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(beside)  # what a killed process left
    try:
        yield beside
        if not shared:
            for inner in (*beside.rglob("*"), beside):
                sync(inner)
        if path.is_dir():
            if not beside.is_dir():  # a folder that somebody put in the place of a file
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            shutil.rmtree(path)
        os.replace(beside, path)
        if not shared:
            sync(path.parent)
    except BaseException:
        _remove(beside)
        raise


def content(path: Path, damaged: Damaged, longest: int) -> bytes:
    """The bytes of a file, of a longer one its first `longest` + 1.

    Args:
        path: The file.
        damaged: Makes the error.
        longest: How many its reader takes at most.

    Raises:
        Exception: What `damaged` makes: the file is absent or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(longest + 1)
    except FileNotFoundError:
        raise damaged("there is no such file") from None
    except (OSError, ValueError) as error:  # a ValueError of a name that no file can have
        raise damaged(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def named(text: str | os.PathLike[str], damaged: Damaged) -> Path:
    """The path that a text names, with `~` for the home folder; whether something is there is not asked.

    Args:
        text: What people, recipes or files say.
        damaged: Makes the error.

    Raises:
        Exception: What `damaged` makes: no file can have that name. An empty text is none, though Python takes it for
            the current folder.
    """
    if not os.fspath(text):
        raise damaged("found an empty text, needed a path; the current folder is .")
    try:
        path = Path(text).expanduser()
        path.lstat()
    except (OSError, ValueError, RuntimeError) as error:
        # What is merely absent, or behind a door, is a path.
        if not isinstance(error, OSError) or error.errno == errno.ENAMETOOLONG:
            cause = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
            raise damaged(f"{shown(os.fspath(text))}: no file can be called so: {cause}") from None
    return path


def inside(folder: Path, name: Any, damaged: Damaged) -> Path:
    """The path of a file that another file of a folder names: it must be in the folder.

    A link may lead into the `blobs` of the hub's cache, where a snapshot's files are.

    Args:
        folder: The folder.
        name: What the other file says.
        damaged: Makes the error.

    Raises:
        Exception: What `damaged` makes: the name leads out of the folder, by itself or through a link.
    """
    if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise damaged(f"{folder}: it names the file {shown(name)}, needed the name of a file in it")
    path = named(folder / name, damaged)
    try:
        home, end = folder.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:
        raise damaged(f"{path}: this link cannot be followed: {error}") from None
    blobs = [parent.parent / "blobs" for parent in home.parents if parent.name == "snapshots"]
    if not any(end.is_relative_to(allowed) for allowed in (home, *blobs)):
        raise damaged(f"{path}: this link leads out of its folder, to {end}; put a copy of the file there")
    return path


def data_url(kind: str, content: bytes) -> str:
    """Content as a URL that holds it.

    Args:
        kind: Its media type, for example `image/png`.
        content: The bytes.
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def write(path: Path, content: str | bytes) -> None:
    """Write a small file, whole or not at all; text in UTF-8.

    Raises:
        OSError: It cannot be written; what was there before stays.
    """
    with replacing(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON for people to read, whole or not at all.

    Raises:
        OSError: It cannot be written; what was there before stays.
    """
    write(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(file: IO[Any], busy: Exception | None = None) -> None:
    """Keep other processes out until the file is closed; the kernel lets go when this one ends, however it ends.

    Args:
        file: An open file.
        busy: What is raised when another process holds it; None waits for its end.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if busy is None else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise busy or error from None
    except OSError:
        pass  # some network file systems know no locks


def sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """SHA-256 of a file's content, read once in a process for as long as size and time of the file stay.

    A file that was changed in the last two seconds is read again each time: the clock of a file system may not tell
    another change apart.
    """
    status = path.stat()
    if abs(time.time_ns() - status.st_mtime_ns) < 2_000_000_000:
        return sha256(path)
    return _sha256(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@lru_cache(2**18)
def _sha256(path: Path, *state: int) -> str:
    return sha256(path)


def json_line(row: Mapping[str, Any]) -> bytes:
    """A line of JSON in UTF-8; half a surrogate pair, which UTF-8 cannot hold, is escaped."""
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def append_json_lines(path: Path, rows: Iterable[Mapping[str, Any]], *, durable: bool = False) -> None:
    """Append a line each.

    Args:
        path: The file, made where there is none.
        rows: What to write.
        durable: Wait until they are on the disk itself.

    Raises:
        OSError: The disk takes no more; the last line may be torn, see `cut_torn_line`.
    """
    append(path, b"".join(map(json_line, rows)), durable=durable)


def append(path: Path, content: bytes, *, durable: bool = False) -> int:
    """Append bytes to a file, which is made where there is none.

    Returns:
        Where in the file they begin.

    Raises:
        OSError: The disk does not take them all.
    """
    with path.open("ab", buffering=0) as file:
        start = file.tell()
        # What fits is written without an error.
        if file.write(content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if durable:
            os.fsync(file.fileno())
    return start


def whole_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """The lines of a file that have an end: whoever is killed while writing, or still writes, leaves half a line.

    Args:
        path: The file; one that is absent has no lines.
        start: The byte at which the first line begins.
    """
    if path.exists():
        with path.open("rb") as file:
            file.seek(start)
            yield from (line for line in file if line.endswith(b"\n"))


def cut_torn_line(path: Path) -> None:
    """Cut off what follows the last whole line, so that a new one can be appended."""
    end = sum(map(len, whole_lines(path)))
    if path.exists() and path.stat().st_size > end:
        os.truncate(path, end)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
