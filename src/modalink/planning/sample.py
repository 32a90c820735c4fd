"""One conversation of a data source: as it is written, and as the model will see it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import groupby, islice
from typing import Any, NamedTuple

from modalink.conversation import Conversation, Medium
from modalink.data.source import SourceConfig
from modalink.errors import DataError, PromptError
from modalink.model import IGNORED, ModalinkProcessor, Prepared

_TRIED = 20
"""Records of a source that are tried for one that can be read."""


class Head(NamedTuple):
    """The beginning of a source."""

    size: int | None
    """How many conversations there are; None for a stream."""
    good: list[Conversation]
    """Those of its first records that can be read."""
    bad: list[DataError]
    """What is wrong with the others of them."""


def head(config: SourceConfig) -> Head:
    """Open a source and read its first records.

    Raises:
        DataError: It holds nothing, or its first records are all bad.
    """
    source: Any = config.open()
    found = Head(len(source) if hasattr(source, "__len__") else None, [], [])
    tried = _TRIED if found.size is None else min(_TRIED, found.size)
    for index in range(tried):
        try:
            found.good.append(source.conversation(next(source)) if found.size is None else source[index])
        except DataError as error:
            found.bad.append(error)
    if found.good:
        return found
    if found.bad:
        raise DataError(f"{config.name}: the first {tried} records are bad, the first: {found.bad[0]}")
    raise DataError(f"{config.name}: looked for samples; found none")


def opened(config: SourceConfig) -> Iterator[str]:
    """How large a source is, how it begins, and what is wrong there.

    Raises:
        DataError: It holds nothing, or its first records are all bad.
    """
    size, good, bad = head(config)
    count = "a stream" if size is None else f"{size:,} conversations"
    yield f"{config.name}: {count}; first: {said(good[0])}"
    if bad:
        yield f"warning: of the first {len(good) + len(bad)} records {len(bad)} are bad, the first: {bad[0]}"


def first_prepared(conversations: list[Conversation], prepare: Callable[[Conversation], Prepared]) -> Prepared:
    """The first conversation that can be made ready for the model.

    Raises:
        DataError: None can, and the media of the last cannot be read.
        PromptError: None can, and the last cannot become tokens.
    """
    for conversation in conversations[:-1]:
        with suppress(DataError, PromptError):
            return prepare(conversation)
    return prepare(conversations[-1])


def said(conversation: Conversation, *, turns: int = 2, longest: int = 120) -> str:
    """The first turns of a conversation, in short."""
    texts = []
    for turn in islice(conversation.turns, turns):
        pieces = [f"<{p.modality}>" if isinstance(p, Medium) else p.text for p in turn.content]
        text = " ".join("".join(pieces).split())
        texts.append(f"{turn.role}: {text[:longest]}{'...' if len(text) > longest else ''}")
    return f"{conversation.id}: " + " | ".join(texts)


def marked(prepared: Prepared, processor: ModalinkProcessor) -> str:
    """A sample as the model sees it, with what it learns between double brackets, for example `[[a red cube</s>]]`.

    It is read back from the tokens, so that it shows what is, not what was meant.
    """
    return "".join(f"[[{text}]]" if learned else text for text, learned in pieces(prepared, processor))


def pieces(prepared: Prepared, processor: ModalinkProcessor) -> list[tuple[str, bool]]:
    """A sample as the model sees it, read back from its tokens: texts, and whether each is learned."""
    if processor.encoder_decoder:
        return [(f"{_spelt(prepared.input_ids, processor)} ", False), (_spelt(prepared.labels, processor), True)]
    pairs = zip(prepared.input_ids, prepared.labels, strict=True)
    runs = [(learned, [t for t, _ in run]) for learned, run in groupby(pairs, lambda pair: pair[1] != IGNORED)]
    return [(_spelt(ids, processor), learned) for learned, ids in runs]


def _spelt(ids: list[int], processor: ModalinkProcessor) -> str:
    """Token ids as text; a run of placeholders as one with its length, for example `<image>x576`."""
    placeholders = processor.tokens.placeholders.values()
    texts = []
    for token, same in groupby(ids, lambda t: t if t in placeholders else None):
        run = list(same)
        text = str(processor.tokenizer.decode(run if token is None else [token]))
        texts.append(text if token is None else f"{text}x{len(run)}")
    return "".join(texts)
