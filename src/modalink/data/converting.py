"""A source written anew in another format."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from modalink.conversation import Conversation
from modalink.data.output import Written, writing
from modalink.data.reading import every, opened, record_of
from modalink.data.source import SourceConfig
from modalink.data.writer import WriterConfig


def convert(
    config: SourceConfig,
    writer: WriterConfig,
    out: Path,
    *,
    ledger: Path | None = None,
    keep: Sequence[str] = (),
    limit: int | None = None,
    on_sample: Callable[[int], None] = lambda count: None,
) -> Written:
    """Write the samples of a source in a format; each is read back before it counts.

    Args:
        config: The source.
        writer: The format.
        out: The file.
        ledger: Takes what is left out; by default beside the file.
        keep: Columns of the records that are kept beside the format's.
        limit: How many records at most; a stream needs it.
        on_sample: Told how many records were looked at.

    Raises:
        DataError: The source cannot be opened.
        OptionError: The file is there already, or the source is a stream and there is no limit.
        OSError: It cannot be written.
    """
    source = opened(config, limit)
    with writing(out, writer, ledger) as output:
        for number, found in enumerate(islice(every(source), limit)):
            if isinstance(found, Conversation):
                record = record_of(source, number)
                output.add(number, found, {name: record[name] for name in keep if name in record})
            else:
                output.refuse(number, found)
            on_sample(number + 1)
        return output.result()
