"""Files that hold streams of pictures and sound, opened by PyAV: only formats that are known, and no file but the one.

FFmpeg knows some hundred formats, of which a few are lists of other files or addresses; those are never opened.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from modalink.errors import MediumError
from modalink.modalities._binary import Stored

_FORMATS = (
    *("mov", "mp4", "matroska", "webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "gif", "ivf", "nut"),
    *("wav", "w64", "aiff", "au", "caf", "flac", "mp3", "aac", "amr", "ac3", "wv", "ape", "tta"),
)
_BEGINNINGS = {
    0: (b"\x1aE\xdf\xa3", b"OggS", b"GIF8", b"FLV\1", b"\x30\x26\xb2\x75", b"fLaC", b"ID3", b"\0\0\1\xba"),
    4: (b"ftyp", b"moov", b"mdat", b"wide", b"free"),
    8: (b"AVI ", b"WAVE"),
}
_BUFFER = 2**18
"""Bytes that are read at a time."""


@contextmanager
def opened(stored: Stored, modality: str, *, max_pixels: int) -> Iterator[InputContainer]:
    """A container, opened for as long as it is read; FFmpeg's errors meanwhile are errors of the medium.

    Args:
        stored: The bytes.
        modality: What they should be, for errors.
        max_pixels: Larger pictures are not decoded.

    Raises:
        MediumError: With the reason `not_a_MODALITY` (or `not_an_`) or `damaged`.
    """
    options = {"format_whitelist": ",".join(_FORMATS), "max_pixels": str(max_pixels)}
    with stored.open() as file:
        beginning = file.read(16)
        file.seek(0)
        try:
            container = av.open(file, options=options, buffer_size=_BUFFER, metadata_errors="ignore")
        except Exception as error:  # a broken header fails in another way in each of the formats
            raise _unreadable(stored.label, modality, beginning, error) from error
        assert isinstance(container, InputContainer)
        with container:
            try:
                yield container
            except MediumError:
                raise
            except Exception as error:  # broken data fail in another way in each of the decoders
                detail = f"cannot be decoded: {_cause(error)}; fetch or write it again"
                raise MediumError(stored.label, "damaged", detail) from error


def stream(container: InputContainer, kind: str, label: str, modality: str) -> Stream:
    """The first stream of a kind (`video`, `audio`) that is no picture on the cover.

    Raises:
        MediumError: There is none, with the reason `no_KIND`, or none that can be decoded (`unsupported`).
    """
    found = [one for one in container.streams if one.type == kind and not one.disposition & Disposition.attached_pic]
    if not found:
        there = ", ".join(sorted({str(one.type) for one in container.streams})) or "nothing"
        raise MediumError(label, f"no_{kind}", f"holds no {kind}, found {there}; give another file as {modality}")
    if found[0].codec_context is None:
        raise MediumError(label, "unsupported", f"its {kind} is coded in a way that is not known; convert it")
    return found[0]


def _unreadable(label: str, modality: str, beginning: bytes, error: Exception) -> MediumError:
    known = any(beginning[at:].startswith(mark) for at, marks in _BEGINNINGS.items() for mark in marks)
    if known:
        return MediumError(label, "damaged", f"has a broken header, or is cut off ({_cause(error)}); fetch it again")
    article = "an" if modality[0] in "aeiou" else "a"
    return MediumError(label, f"not_{article}_{modality}", f"is in none of the formats {', '.join(_FORMATS)}")


def _cause(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or type(error).__name__)
