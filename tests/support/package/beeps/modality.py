"""Beeps: series of 16 numbers in `.npy` files."""

import hashlib
from io import BytesIO
from pathlib import Path

import numpy as np

from modalink.errors import MediumError
from modalink.roles import MediumHandle, ModalityRecord

LENGTH = 16


def beep(pitch: int) -> np.ndarray:
    """A beep of as many waves."""
    return np.sin(np.arange(LENGTH) * 2 * np.pi * pitch / LENGTH).astype(np.float32)


class BeepHandle(MediumHandle):
    """A beep that was found."""

    def __init__(self, source, label):
        super().__init__(label)
        self.source = source

    @property
    def digest(self):
        return hashlib.sha256(self.read().tobytes()).hexdigest()

    @property
    def extent(self):
        return f"{len(self.read())} numbers"

    def read(self):
        try:
            given = BytesIO(self.source) if isinstance(self.source, bytes) else self.source
            return np.asarray(given if isinstance(given, np.ndarray) else np.load(given), np.float32)
        except (EOFError, OSError, ValueError) as error:
            raise MediumError(self.label, "unreadable", f"{self.label} holds no beep: {error}") from error


def open_beep(source, name=None):
    """A beep from an array, a path or bytes."""
    if isinstance(source, BeepHandle):
        return source
    if not isinstance(source, np.ndarray | bytes | str | Path):
        raise MediumError(name or "beep", "unsupported", f"found a {type(source).__name__}")
    return BeepHandle(source, name or (str(source) if isinstance(source, str | Path) else "beep"))


RECORD = ModalityRecord(
    name="beep",
    plural="beeps",
    placeholder="<beep>",
    signal="[BEEP{}]",
    argument="beep_values",
    suffixes=(".npy",),
    written=".npy",
    open=open_beep,
    write=lambda values, path: np.save(path, values),
    example=lambda number: beep(number + 1),
)
