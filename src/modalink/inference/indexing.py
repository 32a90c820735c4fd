"""An index for retrievers, made of a data source."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from torch import Tensor

from modalink import modalities
from modalink.conversation import Conversation
from modalink.data.reading import every, opened
from modalink.data.source import SourceConfig
from modalink.errors import DataError, PartError, PromptError
from modalink.model import System
from modalink.model.retrieving import embedding
from modalink.retrievers._index import Index, IndexWriter
from modalink.roles import MediumHandle
from modalink.roles.retriever import EmbedsMedia, RetrieverConfig

_BATCH = 32


@dataclass(frozen=True)
class Indexed:
    """What became of a source.

    Args:
        index: The index.
        left_out: Samples that are bad, each with the reason.
    """

    index: Index
    left_out: tuple[str, ...]


def build_index(
    source: SourceConfig,
    config: RetrieverConfig,
    system: System | None = None,
    *,
    limit: int | None = None,
) -> Indexed:
    """Write an index: an entry for each conversation of a source, with all its media and what is answered in it.

    Args:
        source: What can be found.
        config: The retriever; its `index` is the folder that is written, which must not be there yet.
        system: The system whose encoder finds, where one does.
        limit: How many samples are taken at most; a stream without end needs it.

    Raises:
        DataError: The source holds nothing good, or something lies in the folder.
        OptionError: The source has no end and there is no limit.
        PartError: The retriever needs an encoder that the system has not.
    """
    embed = None if system is None else embedding(config, system.model, system.processor)
    if embed is None and (modality := config.embeds()) is not None:
        raise PartError(f"retriever {config.kind}: it finds by an encoder of {modality}; give it a system that has one")
    writer, bad = IndexWriter(Path(config.index)), list[str]()
    conversations = islice(_conversations(source, limit, bad), limit)
    while rows := list(islice(conversations, _BATCH)):
        seen = [_opened(conversation, bad) for conversation in rows]
        good = [(row, media) for row, media in zip(rows, seen, strict=True) if media is not None]
        _add(writer, good, config, embed)
    return Indexed(writer.close(config.facts(embed)), tuple(bad))


def _conversations(source: SourceConfig, limit: int | None, bad: list[str]) -> Iterator[Conversation]:
    for found in every(opened(source, limit)):
        if isinstance(found, DataError):
            bad.append(str(found))
        else:
            yield found


def _opened(conversation: Conversation, bad: list[str]) -> list[tuple[str, MediumHandle]] | None:
    try:
        return [(m.modality, modalities.get(m.modality).open(m.source)) for _, m in conversation.media()]
    except (DataError, PromptError) as error:
        bad.append(f"{conversation.id}: {error}")
        return None


def _add(
    writer: IndexWriter,
    rows: list[tuple[Conversation, list[tuple[str, MediumHandle]]]],
    config: RetrieverConfig,
    embed: EmbedsMedia | None,
) -> None:
    seen = [[handle for name, handle in media if name == config.embeds()] for _, media in rows]
    handles = [handle for own in seen for handle in own]
    vectors: Iterable[Tensor | None] = [None] * len(rows)
    if embed is not None and handles:
        vectors = config.vectors(handles, embed).split([len(own) for own in seen])
    for (conversation, media), own in zip(rows, vectors, strict=True):
        answered = [turn.text.strip() for turn in conversation.turns if turn.role == "assistant"]
        text = "\n".join(answered) or "\n".join(turn.text.strip() for turn in conversation.turns)
        writer.add(conversation.id, text, media, own)
