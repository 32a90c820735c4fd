"""Whether a file ends before the end that its own headers tell, found without decoding: its decoders would not say."""

import re
import struct
from io import BufferedReader, BytesIO

_UNKNOWN = 0x7FFF0000
"""From here on a size of 32 bits says that whoever wrote the file did not know it, as those who write to a pipe."""
_PAYLOAD = (b"data", b"SSND", b"movi")
_BOXES = (b"moov", b"moof", b"mdat")
_OGG_PAGE = 27 + 255 + 255 * 255
_ID3 = 10
_MP3_FRAME = 1500
"""Writers do not agree whether the first frame, which tells the length, is counted in it."""


def is_cut_short(file: BytesIO | BufferedReader) -> bool:
    """Whether a sound or video ends early; False too where its format does not tell.

    Args:
        file: The file; it is left at its beginning.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(64)
    if head[:4] in (b"RIFF", b"FORM"):
        end = _chunks_end(file, "<" if head[:4] == b"RIFF" else ">", size)
    elif head[:4] == b"RF64":
        end = struct.unpack_from("<Q", head.ljust(64, b"\0"), 20)[0] + 8
    elif head[:4] == b"riff":
        end = struct.unpack_from("<Q", head.ljust(64, b"\0"), 16)[0]
    elif head[:4] == b".snd":
        offset, length = struct.unpack_from(">II", head.ljust(64, b"\0"), 4)
        end = offset + length if length < _UNKNOWN else 0
    elif head[:4] == b"caff":
        end = _core_end(file, size)
    elif head[:4] == b"OggS":
        end = _ogg_end(file, size)
    elif head[:4] == b"\x1aE\xdf\xa3":
        end = _segment_end(file)
    elif head[4:8] in (b"ftyp", *_BOXES):
        end = _boxes_end(file, size)
    else:
        end = _mp3_end(file) - _MP3_FRAME
    file.seek(0)
    return end > size


def _chunks_end(file: BytesIO | BufferedReader, order: str, size: int) -> int:
    """Where the chunk ends that holds the samples (RIFF, AIFF, AVI)."""
    place = 12
    while place + 12 <= size:
        file.seek(place)
        name, length, inner = struct.unpack(f"{order}4sI4s", file.read(12))
        end: int = place + 8 + length
        if name in _PAYLOAD or inner in _PAYLOAD:
            return end if length < _UNKNOWN else 0
        place = end + length % 2
    return 0


def _core_end(file: BytesIO | BufferedReader, size: int) -> int:
    """Where the samples of a CAF end; 0 where it was written to a pipe."""
    place = 8
    while place + 12 <= size:
        file.seek(place)
        name, length = struct.unpack(">4sq", file.read(12))
        if name == b"data":
            return place + 12 + length if length >= 0 else 0
        place += 12 + max(0, length)
    return 0


def _ogg_end(file: BytesIO | BufferedReader, size: int) -> int:
    """Where the last page ends; beyond the file where none says that it is the last."""
    file.seek(max(0, size - _OGG_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26] or not page[5] & 4:
        return size + 1
    return size - len(page) + 27 + page[26] + sum(page[27 : 27 + page[26]])


def _segment_end(file: BytesIO | BufferedReader) -> int:
    """Where the segment of a Matroska file ends; 0 where it was written to a pipe."""
    place = 0
    for _ in range(8):  # the header, perhaps padding, the segment
        file.seek(place)
        head = file.read(16).ljust(16, b"\0")
        name = head[: _vint_length(head[0])]
        width = _vint_length(head[len(name)])
        length = int.from_bytes(head[len(name) : len(name) + width]) & (1 << 7 * width) - 1
        if length == (1 << 7 * width) - 1:
            return 0
        place += len(name) + width + length
        if name == b"\x18S\x80g":
            return place
    return 0


def _vint_length(first: int) -> int:
    return min(8, 9 - first.bit_length()) if first else 8


def _boxes_end(file: BytesIO | BufferedReader, size: int) -> int:
    """Where the last box of an MP4 or QuickTime file ends that holds its media or tells where they are."""
    place, end = 0, 0
    while place + 16 <= size:
        file.seek(place)
        length, name, large = struct.unpack(">I4sQ", file.read(16))
        length = large if length == 1 else length or size - place
        end = place + length if name in _BOXES else end
        if length < 8:
            break
        place += length
    return end


def _mp3_end(file: BytesIO | BufferedReader) -> int:
    """Where an MP3 ends by the header in its first frame; 0 where it has none."""
    file.seek(0)
    head = file.read(_ID3)
    start = 0
    if head[:3] == b"ID3":
        start = _ID3 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
    file.seek(start)
    frame = file.read(256)
    tag = re.search(b"Xing|Info", frame)
    if tag is None or frame[:1] != b"\xff" or len(frame) < tag.end() + 12:
        return 0
    flags, *counts = struct.unpack_from(">III", frame, tag.end())
    return start + counts[1 if flags & 1 else 0] if flags & 2 else 0
