"""One conversation of a data source: as it is written, and as the model will see it."""

from itertools import groupby, islice
from typing import Any, NamedTuple

from modalink.conversation import Conversation, Medium
from modalink.data.source import SourceConfig
from modalink.errors import DataError
from modalink.model import IGNORED, ModalinkProcessor, Prepared

_TRIED = 20
"""Records of a source that are tried for one that can be read."""


class Head(NamedTuple):
    """The beginning of a source."""

    size: int | None
    """How many conversations there are; None for a stream."""
    first: Conversation
    """The first that can be read."""
    bad: list[DataError]
    """What was wrong with those before it."""


def head(config: SourceConfig) -> Head:
    """Open a source and read its first good conversation.

    Raises:
        DataError: It holds nothing, or its first records are all bad.
    """
    source: Any = config.open()
    size = len(source) if hasattr(source, "__len__") else None
    tried = min(_TRIED, _TRIED if size is None else size)
    bad: list[DataError] = []
    for index in range(tried):
        try:
            first = source.conversation(next(source)) if size is None else source[index]
            return Head(size, first, bad)
        except DataError as error:
            bad.append(error)
    if not bad:
        raise DataError(f"{config.name}: looked for samples; found none")
    raise DataError(f"{config.name}: the first {tried} records are bad, the first: {bad[0]}")


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
    if processor.encoder_decoder:
        return f"{_spelt(prepared.input_ids, processor)} [[{_spelt(prepared.labels, processor)}]]"
    pairs = zip(prepared.input_ids, prepared.labels, strict=True)
    runs = [(learned, [t for t, _ in run]) for learned, run in groupby(pairs, lambda pair: pair[1] != IGNORED)]
    return "".join(f"[[{_spelt(ids, processor)}]]" if learned else _spelt(ids, processor) for learned, ids in runs)


def _spelt(ids: list[int], processor: ModalinkProcessor) -> str:
    """Token ids as text; a run of placeholders as one with its length, for example `<image>x576`."""
    placeholders = processor.tokens.placeholders.values()
    texts = []
    for token, same in groupby(ids, lambda t: t if t in placeholders else None):
        run = list(same)
        text = str(processor.tokenizer.decode(run if token is None else [token]))
        texts.append(text if token is None else f"{text}x{len(run)}")
    return "".join(texts)
