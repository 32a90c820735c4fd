"""What filling the cache looks like: a bar a stage on a terminal, plain lines elsewhere, JSON lines for a script."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from pydantic import ByteSize
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from modalink.settings import RunSettings
from modalink.training.caching.fill import OnProgress, StageTotals

_LINES_PER_STAGE = 20


@contextmanager
def show(*, as_json: bool, console: Console | None = None) -> Iterator[OnProgress]:
    """Give the function that draws how far a stage is; it draws nothing where a script reads.

    Args:
        as_json: Whether a script reads.
        console: Where to draw; standard output by default.
    """
    console = console or Console()
    if as_json:
        yield lambda totals: None
    elif console.is_terminal:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[size]}"), console=console,
        ) as bars:  # fmt: skip
            tasks = {}

            def draw(totals: StageTotals) -> None:
                if totals.stage not in tasks:
                    tasks[totals.stage] = bars.add_task(totals.stage, size="")
                number = tasks[totals.stage]
                bars.update(number, total=totals.samples, completed=totals.done, size=size_of(totals.size))

            yield draw
    else:
        yield _lines(lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True))


def _lines(say: Callable[[str], None]) -> OnProgress:
    """About twenty lines a stage."""
    said: dict[str, int] = {}

    def draw(totals: StageTotals) -> None:
        part = _LINES_PER_STAGE * totals.done // max(1, totals.samples)
        if said.get(totals.stage) != part:
            said[totals.stage] = part
            say(f"{totals.stage}: {totals.done} of {totals.samples} samples, {size_of(totals.size)}")

    return draw


def lines(totals: StageTotals, *, dry: bool) -> Iterator[str]:
    """What came of a stage, for people."""
    yield f"{totals.stage}: {totals.done:,} samples" + ("" if totals.parts else ", nothing to keep")
    for part, found in totals.parts.items():
        tokens = f", {found.tokens:,} tokens" if found.tokens else ""
        new = f"{found.computed:,} to compute" if dry else f"{found.computed:,} computed"
        there = found.items - found.computed
        yield f"  {part}: {found.items:,} items{tokens}, {size_of(found.size)}; {new}, {there:,} there before"
    for reason, count in totals.left.items():
        yield f"  left out: {count:,} x {reason}" + (f"; see {totals.ledger}" if totals.ledger else "")
    for note in totals.notes:
        yield f"  note: {note}"
    if totals.refusal:
        yield f"  stopped at {totals.done:,} of {totals.samples:,} samples, the cache takes no more: {totals.refusal}"


def last_line(found: Iterable[StageTotals], settings: RunSettings, *, dry: bool) -> str:
    """What all stages take together, and where."""
    parts = [part for totals in found for part in totals.parts.values()]
    new = size_of(sum(part.computed_size for part in parts))
    if not dry:
        return f"{settings.cache}: {new} computed"
    limit = f"at most {size_of(settings.cache_bytes)} are kept there (cache_bytes)"
    return f"{settings.cache}: {new} would be computed and kept; {limit}"


def as_json(totals: StageTotals) -> str:
    """The same as one JSON object."""
    return json.dumps(asdict(totals) | {"size": totals.size}, default=str)


def size_of(count: int) -> str:
    """Bytes for people, for example `1.5 GB`."""
    return ByteSize(count).human_readable(decimal=True, separator=" ")
