"""What is good of a source, written to a file, and what is not in a ledger, each with its reasons."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modalink.conversation import Conversation
from modalink.data.output import Written, check_new, writing
from modalink.data.reading import every, opened, record_of
from modalink.data.source import SourceConfig, Stream
from modalink.data.writer import WriterConfig
from modalink.data_quality.check import CheckConfig, Context
from modalink.data_quality.checking import Checked, check
from modalink.errors import DataError, OptionError


@dataclass(frozen=True)
class Filtered(Written):
    """What became of a source, whose ledger has a line for each fault.

    Args:
        checked: What was found in it.
    """

    checked: Checked


def scores_of(path: Path) -> Path:
    """Where long measurements are kept until a file is written, and after: `good.scores` beside `good.jsonl`."""
    return path.with_suffix(".scores")


def keep_good(
    config: SourceConfig,
    checks: Sequence[CheckConfig],
    context: Context,
    writer: WriterConfig,
    out: Path,
    *,
    ledger: Path | None = None,
    keep: Sequence[str] = (),
    limit: int | None = None,
    on_sample: Callable[[int], None] = lambda count: None,
) -> Filtered:
    """Write the samples in which no check finds a fault; every other has a line in the ledger for each fault.

    Args:
        config: The source.
        checks: What is looked for.
        context: What the checks may use.
        writer: The format.
        out: The file.
        ledger: Takes what is left out; by default beside the file.
        keep: Columns of the records that are kept beside the format's.
        limit: How many records at most.
        on_sample: Told how many records were looked at.

    Raises:
        DataError: The source cannot be opened, or what a check compares with cannot be read.
        OptionError: The file is there already; or the source is a stream, which cannot be read twice.
        OSError: It cannot be written.
    """
    check_new(out)
    source = opened(config, limit)
    if isinstance(source, Stream):
        raise OptionError(f"{config.name}: a stream cannot be read twice; write it to a file first (data convert)")
    checked = check(config, checks, context, limit=limit, on_sample=on_sample)
    faulty = checked.faulty
    with writing(out, writer, ledger) as output:
        for number, found in zip(range(checked.samples), every(source), strict=False):
            for name, fault in faulty.get(number, ()):
                output.leave_out(number, fault.sample, fault.reason, f"{name}: {fault.detail}")
            if isinstance(found, DataError) and number not in faulty:
                output.refuse(number, found)
            elif isinstance(found, Conversation) and number not in faulty:
                record = record_of(source, number)
                output.add(number, found, {column: record[column] for column in keep if column in record})
        return Filtered(**vars(output.result()), checked=checked)
