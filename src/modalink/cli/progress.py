"""What long work looks like: a progress bar on a terminal, plain lines elsewhere, JSON lines for a script."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Table

from modalink.model.groups import GroupRow
from modalink.training.events import (
    Evaluated,
    Event,
    Noted,
    OnEvent,
    PrecisionChosen,
    RunFinished,
    RunStarted,
    StageStarted,
    StepDone,
    Warned,
)

_LINES_PER_STAGE = 20
_LINES_PER_BENCHMARK = 20


@contextmanager
def show(*, as_json: bool = False, console: Console | None = None, curves: Sequence[str] = ()) -> Iterator[OnEvent]:
    """Give the function that draws training events.

    Args:
        as_json: One JSON object a line: an event's fields, and its name under `event`.
        console: Where to draw; standard output by default.
        curves: Lines that say where curves are shown; drawn when a run begins.
    """
    console = console or Console()
    if as_json:
        yield lambda event: print(json.dumps(_fields(event)), file=console.file, flush=True)
    elif console.is_terminal:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"), console=console,
        ) as bars:  # fmt: skip
            yield _Bars(bars, curves)
    else:
        yield _Lines(console, curves)


class _Bars:
    """One bar a stage."""

    def __init__(self, bars: Progress, curves: Sequence[str] = ()) -> None:
        self.bars, self.curves = bars, curves
        self.tasks: dict[str, TaskID] = {}
        self.time_left = _TimeLeft()

    def __call__(self, event: Event) -> None:
        self.time_left.hear(event)
        if isinstance(event, StageStarted):
            self.bars.console.print(group_table(event.table, f"stage {event.stage}"))
            self.tasks[event.stage] = self.bars.add_task(
                event.stage, total=event.steps, completed=event.first_step, loss=""
            )
        elif isinstance(event, StepDone):
            text = _losses(event.record) + self.time_left(event)
            self.bars.update(self.tasks[event.stage], completed=event.step, loss=text)
        elif text := _sentence(event, self.curves):
            self.bars.console.print(text, markup=False, soft_wrap=True)


class _Lines:
    """About twenty lines a stage."""

    def __init__(self, console: Console, curves: Sequence[str] = ()) -> None:
        self.print: Callable[..., None] = console.print
        self.curves = curves
        self.time_left = _TimeLeft()

    def __call__(self, event: Event) -> None:
        self.time_left.hear(event)
        if isinstance(event, StageStarted):
            self.print(group_table(event.table, f"stage {event.stage}"))
        elif isinstance(event, StepDone):
            if event.step == event.steps or event.step % math.ceil(event.steps / _LINES_PER_STAGE) == 0:
                numbers = _losses(event.record) + self.time_left(event)
                text = f"{event.stage}: step {event.step} of {event.steps}, {numbers}"
                self.print(text, markup=False, highlight=False, soft_wrap=True)
        elif text := _sentence(event, self.curves):
            self.print(text, markup=False, highlight=False, soft_wrap=True)


class _TimeLeft:
    """How long a stage will go on, and all that follow if their steps take as long as this one's."""

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        self.seconds, self.steps = 0.0, 0

    def hear(self, event: Event) -> None:
        """Note a step's time."""
        if isinstance(event, RunStarted):
            self.waiting = dict(event.steps)
        elif isinstance(event, StageStarted):
            for stage in list(self.waiting):  # stages before it are done
                del self.waiting[stage]
                if stage == event.stage:
                    break
            self.seconds, self.steps = 0.0, 0
        elif isinstance(event, StepDone):
            self.seconds += event.record.get("seconds", 0.0)
            self.steps += 1

    def __call__(self, event: StepDone) -> str:
        """The words behind a step's numbers; none where no time is known, or none is left."""
        a_step = self.seconds / max(1, self.steps)
        here = a_step * (event.steps - event.step)
        later = a_step * sum(self.waiting.values())
        if not here + later:
            return ""
        return f", {_duration(here)} left" + (f", about {_duration(here + later)} in all" if later else "")


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _sentence(event: Event, curves: Sequence[str]) -> str:
    if isinstance(event, RunStarted):
        begun = f"{event.run}: {'goes on where it stopped' if event.resumed else 'begins'}"
        return "\n".join([begun, *curves])
    if isinstance(event, RunFinished):
        return f"{event.run}: {'was complete before' if event.before else 'complete'}"
    if isinstance(event, PrecisionChosen):
        times = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in event.seconds.items())
        return f"{event.stage}: computes in {event.precision} (a step: {times}; threads: {event.threads})"
    if isinstance(event, Evaluated):
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in event.numbers.items())
        mark = "; the best so far" if event.best else ""
        return f"{event.stage}: evaluated after step {event.step} of {event.steps}: {numbers}{mark}"
    if isinstance(event, Noted):
        return event.text
    if isinstance(event, Warned):
        return f"note: {event.text}"
    return ""


def _losses(record: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in record["losses"].items())


def _fields(event: Event) -> dict[str, Any]:
    return {
        "event": type(event).__name__,
        **{k: str(v) if isinstance(v, Path) else v for k, v in asdict(event).items()},
    }


class Answering:
    """Tells how far a benchmark is.

    Args:
        console: Where.
        status: The line that changes on a terminal.
        title: The benchmark's.
        done: What is done with its questions: `answered`, `made`.
    """

    def __init__(self, console: Console, status: Status, title: str, done: str) -> None:
        self.console, self.status, self.title, self.done = console, status, title, done
        self.told = -1

    def tell(self, done: int, number: int) -> None:
        """So many of all are done; of lines that stay there are about twenty."""
        text, part = f"{self.title}: {done} of {number} {self.done}", _LINES_PER_BENCHMARK * done // max(number, 1)
        self._show(text, part != self.told)
        self.told = part

    def say(self, task: str) -> None:
        """What is done now."""
        self._show(f"{self.title}: {task}", True)

    def _show(self, text: str, line: bool) -> None:
        self.status.update(text)
        if line and not self.console.is_terminal:
            self.console.print(text, markup=False, highlight=False)


@contextmanager
def answering(console: Console, title: str, done: str = "answered") -> Iterator[Answering]:
    """Give what tells how many of a benchmark's questions are answered."""
    with console.status(title) as status:
        yield Answering(console, status, title, done)


def group_table(rows: Iterable[GroupRow], title: str) -> Table:
    """The table of trained and frozen parameters, for a terminal."""
    rows = list(rows)
    table = Table(title=title)
    table.add_column("part")
    for heading in ("parameters", "share", "learning rate"):
        table.add_column(heading, justify="right")
    for row in rows:
        rate = "frozen" if row.lr is None else f"{row.lr:g}"
        style = "bold" if row.trained else "dim"
        table.add_row(row.group, f"{row.parameters:,}", f"{row.share:.2%}", rate, style=style)
    trained = [row for row in rows if row.trained]
    count, share = sum(row.parameters for row in trained), sum(row.share for row in trained)
    table.add_section()
    table.add_row("trained", f"{count:,}", f"{share:.2%}", "")
    return table
