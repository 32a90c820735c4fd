"""An index for retrievers, made of a data source."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from modalink import modalities
from modalink.conversation import Conversation
from modalink.data.reading import every, opened
from modalink.data.source import SourceConfig, Stream
from modalink.errors import DataError, MediumError, PartError, PromptError
from modalink.model import System
from modalink.model.retrieving import embedding
from modalink.retrievers._index import Index
from modalink.retrievers._index_writer import IndexWriter
from modalink.roles import MediumHandle
from modalink.roles.retriever import RetrieverConfig, Vectors

_BATCH = 32


@dataclass(frozen=True)
class Indexed:
    """What became of a source.

    Args:
        index: The index.
        left_out: Samples that are bad, each with the reason.
        resumed: How many samples were taken by a process that was stopped before.
    """

    index: Index
    left_out: tuple[str, ...]
    resumed: int = 0


OnTaken = Callable[[int, int | None], None]
"""Hears how many samples were taken, of how many where that is known."""


def build_index(
    source: SourceConfig,
    config: RetrieverConfig,
    system: System | None = None,
    *,
    limit: int | None = None,
    on_taken: OnTaken | None = None,
) -> Indexed:
    """Write an index: an entry for each conversation of a source, with all its media and what is answered in it.

    It is written as it goes; what a process that was stopped has written is resumed by one of the same source and
    retriever.

    Args:
        source: What can be found.
        config: The retriever; its `index` is the folder that is written, which must not be there yet.
        system: The system whose encoder finds, where one does.
        limit: How many samples are taken at most; a stream without end needs it.
        on_taken: Hears how far it is.

    Raises:
        DataError: The source holds nothing good, has changed since it was resumed, or something lies in the folder.
        OptionError: The source has no end and there is no limit.
        PartError: The retriever needs an encoder that the system has not.
    """
    embed = None if system is None else embedding(config, system.model, system.processor)
    if embed is None and (modality := config.embeds()) is not None:
        raise PartError(f"retriever {config.kind}: it finds by an encoder of {modality}; give it a system that has one")
    rows = _Rows.of(source, limit)
    whole = {"source": source.model_dump(mode="json"), "limit": limit}
    vectors = config.vectors(embed)
    with IndexWriter(Path(config.index), config.facts(embed), whole) as writer:
        resumed = writer.mark.taken
        rows.skip(resumed, writer)
        while batch := list(islice(rows, _BATCH)):
            bad = [str(row) for row in batch if isinstance(row, DataError)]
            good = [row for row in batch if isinstance(row, Conversation)]
            seen = [(row, media) for row in good if (media := _opened(row, bad)) is not None]
            _add(writer, seen, config.keeps(), vectors, bad)
            writer.done(rows.taken, rows.digest, bad)
            if on_taken is not None:
                on_taken(rows.taken, rows.number)
        return Indexed(writer.close(), tuple(writer.left_out), resumed)


@dataclass
class _Rows:
    """The samples of a source up to a limit of good ones, bad ones as their errors; counts and names what was taken."""

    rows: Iterator[Conversation | DataError]
    limit: int | None
    number: int | None
    taken: int = 0
    good: int = 0
    _names: Any = field(default_factory=hashlib.sha256)

    @classmethod
    def of(cls, config: SourceConfig, limit: int | None) -> "_Rows":
        source = opened(config, limit)
        whole = [] if isinstance(source, Stream) else [len(source)]
        return cls(every(source), limit, min([*whole, *([] if limit is None else [limit])], default=None))

    @property
    def digest(self) -> str:
        """Tells what was taken apart from other samples."""
        return str(self._names.hexdigest())

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> Conversation | DataError:
        if self.good == self.limit:
            raise StopIteration
        row = next(self.rows)
        self.taken += 1
        self.good += isinstance(row, Conversation)
        self._names.update(f"{row.id if isinstance(row, Conversation) else row}\n".encode("utf-8", "surrogatepass"))
        return row

    def skip(self, count: int, writer: IndexWriter) -> None:
        """Pass over what a stopped process has taken.

        Raises:
            DataError: These are other samples now.
        """
        for _ in islice(self, count):
            pass
        if count and (self.taken, self.digest) != (count, writer.mark.digest):
            raise DataError(
                f"{writer.folder}: its building was stopped after {count} samples, and the source begins with others "
                f"now; remove {writer.beside} to begin anew"
            )


def _opened(conversation: Conversation, bad: list[str]) -> list[tuple[str, MediumHandle]] | None:
    try:
        return [(m.modality, modalities.get(m.modality).open(m.source)) for _, m in conversation.media()]
    except (DataError, PromptError) as error:
        bad.append(f"{conversation.id}: {error}")
        return None


_Opened = tuple[Conversation, list[tuple[str, MediumHandle]]]


def _add(
    writer: IndexWriter, rows: list[_Opened], modality: str | None, vectors: Vectors | None, bad: list[str]
) -> None:
    """Add rows; those with a medium that cannot be decoded are bad."""
    seen = [[handle for name, handle in media if name == modality] for _, media in rows]
    try:
        found = _vectors_of(seen, vectors)
    except MediumError as error:
        if len(rows) == 1:
            bad.append(f"{rows[0][0].id}: {error}")
        else:
            for row in rows:
                _add(writer, [row], modality, vectors, bad)
        return
    for (conversation, media), own in zip(rows, found, strict=True):
        answered = [turn.text.strip() for turn in conversation.turns if turn.role == "assistant"]
        text = "\n".join(answered) or "\n".join(turn.text.strip() for turn in conversation.turns)
        try:
            writer.add(conversation.id, text, media, own)
        except MediumError as error:
            bad.append(f"{conversation.id}: {error}")


def _vectors_of(seen: list[list[MediumHandle]], vectors: Vectors | None) -> Iterable[Tensor | None]:
    handles = [handle for own in seen for handle in own]
    if vectors is None or not handles:
        return [None] * len(seen)
    return vectors(handles).split([len(own) for own in seen])
