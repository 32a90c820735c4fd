"""The kit for modalities: a new one needs a test of one line."""

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from modalink.errors import MediumError
from modalink.roles import MediumHandle, ModalityRecord
from modalink.testing.requirements import require


def check_modality(record: ModalityRecord, medium: Any = None) -> None:
    """Prove that a modality is spelled so that others can use it, keeps what it writes, and refuses what it must.

    Args:
        record: Its row in the table.
        medium: A decoded medium of it; the record's first example if not given.

    Raises:
        AssertionError: It breaks the promise that the message names.
    """
    medium = record.example(0) if medium is None else medium
    _check_names(record)
    require(_same(record.example(0), record.example(0)), "examples must be the same at each call")
    decoded = record.read(medium)
    require(_same(record.read(decoded), decoded), "reading a decoded medium must change nothing more")
    with tempfile.TemporaryDirectory() as place:
        for suffix in record.suffixes:
            path = Path(place) / f"medium{suffix}"
            try:
                record.write(decoded, path)
            except MediumError:
                continue  # a format that is read but not written
            back = np.asarray(record.read(path))
            found, needed = back.shape, np.asarray(decoded).shape
            require(found == needed, f"{suffix}: wrote a medium of shape {needed}, read one of {found}")
            require(_same(record.read(path.read_bytes()), back), f"{suffix}: bytes must read as their file does")
        written = Path(place, f"medium{record.written}")
        require(written.exists(), f"{record.written} must be written: others ask for it")
        _check_handle(record, decoded, written)
        _check_refusals(record, Path(place))


def _check_names(record: ModalityRecord) -> None:
    require(record.name.isidentifier(), f"the name {record.name!r} must be usable as a key")
    require(record.argument.isidentifier(), f"the argument {record.argument!r} must be usable as a keyword")
    require(record.signal.count("{}") == 1, f"the signal {record.signal!r} must have one place for a number")
    spellings = {record.placeholder, record.signal.format(0), record.signal.format(1)}
    require(len(spellings) == 3, "placeholder and signal tokens must be spelled differently")
    dotted = all(suffix.startswith(".") and suffix == suffix.lower() for suffix in record.suffixes)
    require(dotted and bool(record.suffixes), f"suffixes must be lower-case with a dot, found {record.suffixes}")
    require(record.written in record.suffixes, f"written {record.written!r} must be one of {record.suffixes}")
    require(all("{caption}" in text for text in record.make), f"requests to make one need {{caption}}: {record.make}")


def _check_handle(record: ModalityRecord, decoded: Any, path: Path) -> None:
    """Opened media tell what they are, and are read when they are asked, not before."""
    handle, given = record.open(path), record.open(decoded)
    for opened in (handle, given):
        require(isinstance(opened, MediumHandle), f"open must give a MediumHandle, found {type(opened).__name__}")
        require(record.open(opened) is opened, "a handle must open as itself")
        require(
            opened.extent == given.extent, f"the extent must not depend on where a medium comes from: {opened.extent}"
        )
        require(_same(opened.read(), decoded), "a handle must read what was opened")
        require(re.fullmatch("[0-9a-f]{64}", opened.digest) is not None, f"no SHA-256: {opened.digest!r}")
    again = record.open(path.read_bytes())
    require(again.digest == handle.digest, "the digest must be that of the content, wherever it lies")
    others = {record.open(record.example(number)).digest for number in range(3)}
    require(len(others) == 3, "media of different content must have different digests")
    _check_lazy(record, path)


def _check_lazy(record: ModalityRecord, path: Path) -> None:
    handle, unread = record.open(path, "sample 3"), record.open(path)
    unread.digest  # noqa: B018 - known from here on, whatever becomes of the file
    require("sample 3" in handle.label, f"a handle must be labelled with the name that was given, found {handle.label}")
    path.unlink()
    for ask in (handle.read, unread.read, lambda: handle.digest):
        try:
            ask()
        except MediumError as error:
            require(path.name in str(error), f"the error for a file that went away must name it, found: {error}")
            continue
        raise AssertionError("opening must decode nothing: what went away since must not be read")


def _check_refusals(record: ModalityRecord, place: Path) -> None:
    broken, empty = place / f"broken{record.suffixes[0]}", place / f"empty{record.suffixes[0]}"
    broken.write_bytes(b"\xffthis is no medium at all" * 20)
    empty.touch()
    for source in (place / "absent", broken, empty, object()):
        try:
            record.read(source)
        except MediumError as error:
            require(bool(error.reason), f"the error for {source} must have a reason for the ledger")
            if isinstance(source, Path):
                require(source.name in str(error), f"the error for {source} must name it, found: {error}")
            continue
        raise AssertionError(f"reading {source} must raise a MediumError")


def _same(one: Any, other: Any) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))
