"""Containers of sound and video (MP4, WebM, MPEG, AVI, ...), opened so that nothing but the file itself is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader, BytesIO
from typing import Any

from modalink.errors import MediumError
from modalink.modalities._truncation import is_cut_short

_FORMATS = (
    *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "asf", "flv", "mpegts", "mpeg", "mpegvideo"),
    *("ogg", "mp3", "aac", "ac3", "eac3", "amr", "aiff", "au", "flac", "wav", "w64"),
)
"""None of those that name other files or addresses (playlists, lists of pictures), as FFmpeg calls them."""


@contextmanager
def opened(file: BytesIO | BufferedReader, label: str, modality: str) -> Iterator[Any]:
    """A container of PyAV, open while it is looked at; errors of FFmpeg become errors of the medium.

    Args:
        file: The medium's bytes; not closed.
        label: What errors call it.
        modality: What is looked for, for errors.

    Raises:
        MediumError: With the reason `truncated`, `damaged`, or `not_audio`, where sound is looked for.
    """
    import av

    if is_cut_short(file):
        raise MediumError(label, "truncated", "is truncated: it ends before its own headers say; fetch it again")
    try:
        container = av.open(file, metadata_errors="ignore", options={"format_whitelist": ",".join(_FORMATS)})
    except Exception as error:  # a broken header fails in another way in each of the formats
        detail = f"is in no format of {modality} that is known, or its header is broken ({_said(error)})"
        raise MediumError(label, f"not_{modality}", detail) from error
    with container:
        try:
            yield container
        except (MediumError, MemoryError):
            raise
        except Exception as error:  # broken data fail in another way in each of the decoders
            detail = f"is damaged or cut short: {_said(error)}; fetch or write it again"
            raise MediumError(label, "damaged", detail) from error


def _said(error: Exception) -> str:
    """What FFmpeg says, without the number of the error and the name of a file that has none."""
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
