"""Plain files of sound (WAV, AIFF, AU, FLAC, Ogg), by libsndfile: what they say, and their samples in blocks."""

from collections.abc import Iterator
from io import BufferedReader, BytesIO

import numpy as np
import soundfile
from jaxtyping import Float32

from modalink.errors import MediumError
from modalink.modalities._tracks import Facts
from modalink.modalities._truncation import is_cut_short

_BEGINNINGS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"fLaC", b"OggS")
_BLOCK = 2**18
"""Values that are decoded together."""


class _Patient:
    """A file that stays where it is when libsndfile seeks what is not there, as it does in damaged ones."""

    def __init__(self, file: BytesIO | BufferedReader) -> None:
        self._file = file
        self.read, self.readinto, self.tell = file.read, file.readinto, file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return self._file.tell()


def facts(file: BytesIO | BufferedReader, label: str) -> Facts | None:
    """What a file says of its sound; None where libsndfile does not read it, or it does not say how long it is.

    Raises:
        MediumError: It is truncated.
    """
    if file.read(4) not in _BEGINNINGS:
        return None
    cut = is_cut_short(file)
    try:
        with soundfile.SoundFile(_Patient(file)) as sound:
            found = Facts(sound.samplerate, sound.channels, sound.frames)
    except soundfile.LibsndfileError:
        return None
    if cut:
        raise MediumError(label, "truncated", "is truncated: it ends before its own header says; fetch it again")
    # FLAC that was written to a pipe.
    return None if found.frames > 2**62 else found


def blocks(
    file: BytesIO | BufferedReader, label: str, facts: Facts, start: int, count: int
) -> Iterator[Float32[np.ndarray, "n c"]]:
    """Some of a file's samples.

    Raises:
        MediumError: They cannot be decoded, or are fewer than it says.
    """
    try:
        with soundfile.SoundFile(_Patient(file)) as sound:
            sound.seek(start)
            while count > 0:
                block = sound.read(min(count, max(1, _BLOCK // facts.channels)), dtype="float32", always_2d=True)
                if not len(block):
                    detail = f"is truncated: {count:,} of the {facts.frames:,} samples that it says are not there"
                    raise MediumError(label, "truncated", f"{detail}; fetch it again")
                count -= len(block)
                yield block
    except soundfile.LibsndfileError as error:
        detail = f"is damaged or cut short: {_said(error)}; fetch or write it again"
        raise MediumError(label, "damaged", detail) from error


def _said(error: soundfile.LibsndfileError) -> str:
    return error.error_string.removeprefix("Error : ").rstrip(".")
