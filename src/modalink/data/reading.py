"""Conversations of a source from first to last, bad ones as their errors: for those who look at data."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from typing import Any

from modalink.conversation import Conversation
from modalink.data.source import Source, SourceConfig, Stream
from modalink.errors import DataError, OptionError, SampleError


def in_order(config: SourceConfig, limit: int | None = None) -> Iterator[Conversation | DataError]:
    """The first conversations of a source in its own order; one that is bad is its error.

    Args:
        config: The source.
        limit: How many records at most, good and bad; a stream needs it, since nobody knows its end.

    Raises:
        DataError: The source cannot be opened.
        OptionError: It is a stream, and there is no limit.
    """
    return islice(every(opened(config, limit)), limit)


def opened(config: SourceConfig, limit: int | None) -> Source | Stream:
    """A source, opened to be read to its end or to a limit; raises as `in_order`."""
    source = config.open()
    if isinstance(source, Stream) and limit is None:
        raise OptionError(f"{config.name}: it streams without a known end; say how many samples are taken (--limit)")
    return source


def every(source: Source | Stream) -> Iterator[Conversation | DataError]:
    """All conversations of an open source, of a stream without end; one that is bad is its error."""
    for number in count() if isinstance(source, Stream) else range(len(source)):
        try:
            yield source.conversation(next(source)) if isinstance(source, Stream) else source[number]
        except DataError as error:
            yield error


def record_of(source: Source | Stream, number: int) -> Mapping[str, Any]:
    """The record as it stands that a sample comes from; empty where the source keeps none, or it is broken."""
    record: Callable[[int], Mapping[str, Any]] | None = getattr(source, "record", None)
    try:
        return {} if record is None else record(number)
    except SampleError:
        return {}
