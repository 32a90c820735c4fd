"""Sentences: words as a medium of their own, read by an encoder of text and not by the LLM's embeddings."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modalink.errors import MediumError
from modalink.modalities import _binary, _previews
from modalink.roles import MediumHandle, ModalityRecord

MAX_BYTES = 2**16
_WORDS = ("a red cube", "two blue circles beside it", "the ball stands left of a green cone")


@dataclass(frozen=True)
class Sentence:
    """Words as a medium; a plain string would be the path of a file."""

    text: str


class SentenceHandle(MediumHandle):
    """One sentence, opened.

    Args:
        label: What errors call it.
        source: The words, or where they are stored.
    """

    def __init__(self, label: str, source: Sentence | _binary.Stored) -> None:
        super().__init__(label)
        self._source = source

    @property
    def digest(self) -> str:
        """SHA-256 of the words."""
        return hashlib.sha256(self.read().text.encode()).hexdigest()

    @property
    def extent(self) -> str:
        """How many words."""
        return f"{len(self.read().text.split())} words"

    def read(self) -> Sentence:
        """The words.

        Raises:
            MediumError: The file went away, or holds no words in UTF-8.
        """
        if isinstance(self._source, Sentence):
            return self._source
        with self._source.open() as file:
            content = file.read()
        try:
            text = content.decode("utf-8-sig").strip()
        except UnicodeDecodeError as error:
            reason = f"is no text in UTF-8: {error.reason} at byte {error.start}"
            raise MediumError(self.label, "not_a_sentence", reason) from None
        if not text:
            raise MediumError(self.label, "empty", "holds no words, needed a sentence")
        return Sentence(text)


def _open(source: Any, name: str | None = None) -> MediumHandle:
    if isinstance(source, SentenceHandle):
        return source
    label = _binary.label(source, RECORD.name, name)
    if isinstance(source, Sentence):
        if not source.text.strip():
            raise MediumError(label, "empty", "holds no words, needed a sentence")
        return SentenceHandle(label, source)
    if _binary.Stored.takes(source):
        return SentenceHandle(label, _binary.Stored(source, label, MAX_BYTES))
    found = type(source).__name__
    raise MediumError(label, "unsupported", f"found a {found}, needed a path, bytes, data URL or `Sentence`")


def _write(sentence: Sentence, path: Any) -> None:
    try:
        Path(path).write_text(sentence.text, encoding="utf-8")
    except OSError as error:
        raise MediumError(str(path), "unwritable", f"cannot be written: {error}") from error


def _example(number: int) -> Sentence:
    return Sentence(" ".join([*_WORDS[number % len(_WORDS)].split(), *["again"] * (number // len(_WORDS))]))


# Not `.txt`: such files are most often captions or documents of data.
RECORD = ModalityRecord(
    name="sentence",
    plural="sentences",
    placeholder="<sentence>",
    signal="[SENTENCE{}]",
    argument="sentence_ids",
    suffixes=(".sentence",),
    written=".sentence",
    describe=("Say it again.",),
    open=_open,
    write=_write,
    preview=lambda sentence: _previews.words(sentence.text),
    example=_example,
    from_text=Sentence,
)
