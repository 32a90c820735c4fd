"""What every modality does first: find a path, bytes or data URL, checked, never in a network."""

import base64
import binascii
import hashlib
import os
import re
import stat
from functools import cached_property
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

from modalink import files
from modalink.errors import MediumError

_SHOWN_CHARACTERS = 200


def label(source: Any, modality: str, name: str | None) -> str:
    """What errors call a medium: its name, its path or form, or both."""
    if is_data_url(source):
        form = f"{modality} given as data URL"
    elif isinstance(source, str | os.PathLike):
        form = str(source)
        form = form if len(form) <= _SHOWN_CHARACTERS else form[:_SHOWN_CHARACTERS] + "..."
    else:
        form = f"{modality} given as {type(source).__name__}"
    return form if name in (None, form) else f"{name} ({form})"


def is_data_url(source: Any) -> bool:
    """Whether a source is a data URL."""
    return isinstance(source, str) and source[:5].lower() == "data:"


class Stored:
    """A medium's bytes, opened anew for each look at them, and the same ones at each.

    Args:
        source: A path, bytes or data URL.
        label: What errors call it.
        max_bytes: Most bytes that are read.

    Raises:
        MediumError: With the reason `missing`, `unreadable`, `not_a_file`, `empty`, `too_large`, `remote` or
            `bad_data_url`.
    """

    def __init__(self, source: Any, label: str, max_bytes: int) -> None:
        self.label, self._max_bytes = label, max_bytes
        self._path: str | None = None
        self._content: bytes | bytearray | memoryview = b""
        self._state: tuple[int, ...] = ()
        if is_data_url(source):
            self._content = _data_url_bytes(source, label, max_bytes)
        elif isinstance(source, str | os.PathLike):
            self._path = os.fsdecode(source)
            self._state = _state(_checked_path(self._path, label, max_bytes))
        else:
            self._content = source
            _check_bytes(memoryview(source).nbytes, label, max_bytes)

    @staticmethod
    def takes(source: Any) -> bool:
        """Whether a source is a path, bytes or data URL."""
        return isinstance(source, str | os.PathLike | bytes | bytearray | memoryview)

    def open(self) -> BytesIO | BufferedReader:
        """The bytes as a file.

        Raises:
            MediumError: As when it was found, or with the reason `changed`.
        """
        if self._path is None:
            return BytesIO(self._content)
        status = _checked_path(self._path, self.label, self._max_bytes)
        if _state(status) != self._state:
            raise MediumError(self.label, "changed", "was changed since it was opened; open it again")
        try:
            return open(self._path, "rb")
        except OSError as error:
            raise MediumError(self.label, "unreadable", f"cannot be opened: {error.strerror}") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        with self.open() as file:
            if self._path is not None:
                return files.known_sha256(Path(self._path))
            return hashlib.file_digest(file, "sha256").hexdigest()


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _checked_path(path: str, label: str, max_bytes: int) -> os.stat_result:
    if scheme := re.match(r"([a-zA-Z][a-zA-Z0-9+.-]+)://", path):
        detail = f"is a {scheme[1]} address; reading data downloads nothing: download it first and give the file's path"
        raise MediumError(label, "remote", detail)
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise MediumError(label, "missing", "no such file; check the path and the folder it is relative to") from error
    except (OSError, ValueError) as error:
        raise MediumError(label, "unreadable", f"cannot be found: {getattr(error, 'strerror', error)}") from error
    # Checked before opening: a pipe would block, a device would be read without end.
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device"
        raise MediumError(label, "not_a_file", f"is {what}, needed a file")
    _check_bytes(status.st_size, label, max_bytes)
    return status


def _data_url_bytes(url: str, label: str, max_bytes: int) -> bytes:
    head, comma, payload = url.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise MediumError(label, "bad_data_url", f"found {head[:60]!r}, needed 'data:TYPE;base64,' and the data")
    _check_bytes(len(payload) * 3 // 4, label, max_bytes)
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediumError(label, "bad_data_url", f"holds no base64: {error}") from error


def _check_bytes(size: int, label: str, max_bytes: int) -> None:
    if size == 0:
        raise MediumError(label, "empty", "holds zero bytes; fetch or write it again")
    if size > max_bytes:
        raise MediumError(label, "too_large", f"holds {size:,} bytes, at most {max_bytes:,} are read; make it smaller")
