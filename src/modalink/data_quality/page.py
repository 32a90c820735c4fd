"""Samples with what checks found in them, as the page of `modalink data preview`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from modalink.data.reading import opened
from modalink.data.source import Source, SourceConfig, Stream
from modalink.data_quality.check import Context
from modalink.data_quality.checking import Checked
from modalink.errors import DataError, OptionError
from modalink.planning.preview import ShownSample, page, shown


def faulty_page(config: SourceConfig, checked: Checked, context: Context, each: int = 5) -> str:
    """The first samples with each fault, as a page of HTML in one file.

    Args:
        config: The source.
        checked: What was found in it.
        context: Makes the prompts, where it can.
        each: How many samples of each reason are shown.

    Raises:
        OptionError: It is a stream, whose samples cannot be read again.
    """
    source = opened(config, checked.samples)
    if isinstance(source, Stream):
        raise OptionError(f"{config.name}: samples of a stream cannot be shown afterwards; write it to a file first")
    rows = [_shown(source, number, faults, context) for number, faults in _chosen(checked, each)]
    title = f"{checked.source}: {len(checked.faulty):,} of {checked.samples:,} samples have faults"
    return page(title, rows)


def _chosen(checked: Checked, each: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The numbers of samples that are shown, and their faults."""
    seen: Counter[str] = Counter()
    for number, found in checked.faulty.items():
        reasons = [f"{check}: {fault.reason}" for check, fault in found]
        if any(seen[reason] < each for reason in reasons):
            seen.update(reasons)
            yield number, tuple(f"{reason}: {fault.detail}" for reason, (_, fault) in zip(reasons, found, strict=True))


def _shown(source: Source, number: int, faults: tuple[str, ...], context: Context) -> ShownSample:
    try:
        sample = shown(source[number], context.processor, context.max_tokens, context.template)
    except DataError:
        return ShownSample(f"sample {number}", [], [], faults=faults)  # the check of records says why
    return replace(sample, faults=faults)
