"""A source written anew in another format."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from modalink.conversation import Conversation
from modalink.data.output import writing
from modalink.data.reading import every, opened, record_of
from modalink.data.source import SourceConfig
from modalink.data.writer import WriterConfig
from modalink.errors import reason_of


@dataclass(frozen=True)
class Converted:
    """What became of a source.

    Args:
        written: Samples in the new file.
        left_out: Reason -> samples that are not, each with its line in the ledger.
        ledger: The ledger.
    """

    written: int
    left_out: dict[str, int]
    ledger: Path


def convert(
    config: SourceConfig,
    writer: WriterConfig,
    out: Path,
    *,
    ledger: Path | None = None,
    keep: Sequence[str] = (),
    limit: int | None = None,
    on_sample: Callable[[int], None] = lambda count: None,
) -> Converted:
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
                name, reason = reason_of(found, f"sample {number}")
                output.leave_out(number, name, reason, str(found).removeprefix(f"{name}: "))
            on_sample(number + 1)
        return Converted(output.written, output.ledger.summary(), output.ledger.path)
