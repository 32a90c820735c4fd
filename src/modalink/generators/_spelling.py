"""Words as voices read them: passages of a text, numbers in words, and characters of a SentencePiece file.

Source of the file's format: `sentencepiece_model.proto` of SentencePiece (github.com/google/sentencepiece), of which a
vocabulary of characters needs the list of pieces alone.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from transformers.models.speecht5.number_normalizer import EnglishNumberNormalizer

from modalink.errors import PartError

_ENDS = re.compile(r"(?<=[.!?…])\s+|\s*\n\s*")
_LONG = re.compile(r"\d{13,}")
_BLANK = "\u2581"
"""What SentencePiece writes for a space."""


def passages(text: str, longest: int) -> list[str]:
    """The sentences of a text in order; one that is too long is broken between words, or else within one.

    Args:
        text: The text.
        longest: Most characters of a passage.
    """
    return [line for sentence in _ENDS.split(text) for line in textwrap.wrap(sentence, longest)]


def spelled_out(text: str) -> str:
    """The text with its numbers as English words; one of 13 digits and more digit by digit."""
    text = _LONG.sub(lambda found: " ".join(found[0]), text)
    return str(EnglishNumberNormalizer()(re.sub(r"(?<![\w.,])0(?![\w.,]*\d)", "zero", text)))


class Characters:
    """The vocabulary of a SentencePiece file whose pieces are characters.

    Args:
        file: `spm_char.model`.

    Raises:
        PartError: It is missing, or holds no pieces.
    """

    def __init__(self, file: Path) -> None:
        try:
            pieces = [*_pieces(file.read_bytes())]
        except (OSError, IndexError, UnicodeDecodeError) as error:
            raise PartError(f"{file}: cannot be read as a file of SentencePiece: {error}") from None
        self.ids = {piece: number for number, piece in enumerate(pieces)}
        if "</s>" not in self.ids or _BLANK not in self.ids:
            raise PartError(f"{file}: found {len(pieces)} pieces without the end </s> or the space {_BLANK}")

    def __call__(self, text: str) -> list[int]:
        """Ids of the characters that it knows, and of the end; nothing of a text of which it knows none."""
        words = unicodedata.normalize("NFKC", text).split()
        known = [self.ids[c] for c in _BLANK + _BLANK.join(words) if c in self.ids]
        spoken = [number for number in known if number != self.ids[_BLANK]]
        return [*known, self.ids["</s>"]] if spoken else []


def _pieces(content: bytes) -> Iterator[str]:
    """Texts of the pieces: of the message's fields 1, each time field 1."""
    for field, value in _fields(content):
        if field == 1 and isinstance(value, bytes):
            yield next(v.decode() for f, v in _fields(value) if f == 1 and isinstance(v, bytes))


def _fields(content: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Numbers and values of a message's fields in protobuf's wire format."""
    place = 0
    while place < len(content):
        key, place = _number(content, place)
        kind = key & 7
        if kind == 0:
            value, place = _number(content, place)
            yield key >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, place = _number(content, place)
        if length is None or place + length > len(content):
            raise IndexError(f"found a damaged field at byte {place}")
        yield key >> 3, content[place : place + length]
        place += length


def _number(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = content[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
    raise IndexError(f"found a damaged number at byte {place}")
