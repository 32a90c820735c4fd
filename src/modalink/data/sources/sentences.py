"""Sentences of another source, each to be said again from what an encoder of text makes of it (P-Former's data)."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from modalink import modalities
from modalink.conversation import Conversation, Medium, Text, Turn
from modalink.data.source import Numbered, Source, SourceConfig, Stream
from modalink.errors import SampleError
from modalink.recipe.evaluation import DataSource


class SentencesConfig(SourceConfig):
    """Settings of sentences: the last thing that the assistant says in each sample of another source."""

    kind: Literal["sentences"] = "sentences"
    of: DataSource
    """The source: `{source: text, path: captions.txt}`, or captions of any other."""
    modality: str = "sentence"
    """The modality as which it is read."""

    def tiny(self) -> "SentencesConfig":
        """Descriptions of the tiny world."""
        return self.rereading({"source": "tiny_world", "count": 2000, "tasks": {"caption": 1.0}})

    def rereading(self, source: Mapping[str, Any]) -> "SentencesConfig":
        """The same of another source, given by its settings."""
        return self.replace(of=source)

    def files(self) -> list[Path]:
        """Those of the other source."""
        return cast(SourceConfig, self.of).files()

    @property
    def name(self) -> str:
        """What ledgers call it."""
        return f"{self.kind} of {cast(SourceConfig, self.of).name}"

    def open(self) -> Source | Stream:
        """Open the other source."""
        found = cast(SourceConfig, self.of).open()
        return SentenceStream(found, self.modality) if isinstance(found, Stream) else Sentences(found, self.modality)


class Sentences(Numbered):
    """Samples of a source by number."""

    def __init__(self, source: Source, modality: str) -> None:
        self._source, self._modality = source, modality

    def __len__(self) -> int:
        return len(self._source)

    def sample(self, index: int) -> Conversation:
        """A sample, said again."""
        return said_again(self._source[index], self._modality)


class SentenceStream:
    """Samples of a stream."""

    def __init__(self, stream: Stream, modality: str) -> None:
        self._stream, self._modality = stream, modality
        self.state_dict, self.load_state_dict = stream.state_dict, stream.load_state_dict

    def __next__(self) -> Any:
        return next(self._stream)

    def conversation(self, record: Any) -> Conversation:
        """A raw record as a conversation."""
        return said_again(self._stream.conversation(record), self._modality)


def said_again(conversation: Conversation, modality: str) -> Conversation:
    """A conversation that shows the last sentence of the assistant and learns it.

    Raises:
        SampleError: The assistant says nothing.
    """
    text = next((turn.text.strip() for turn in reversed(conversation.turns) if turn.role == "assistant"), "")
    make = modalities.get(modality).from_text
    if not text or make is None:
        raise SampleError(conversation.id, "no_text", "found nothing that the assistant says, needed a sentence")
    shown = Medium(modality, make(text))
    return replace(conversation, turns=(Turn("user", (shown,)), Turn("assistant", (Text(text),))))
