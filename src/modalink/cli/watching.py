"""What the terminal shows while an answer's media are made: a line of steps, and Ctrl-C that stops these alone."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from modalink.inference import Making, Watch


@contextmanager
def watched(console: Console | None = None, *, begins: Callable[[], None] | None = None) -> Iterator[Watch]:
    """Who looks on while an answer is made.

    On a terminal a line tells how far a medium is; it goes away afterwards. Once media are being made, the first
    Ctrl-C lets what was said and made until then be the answer, and the second one interrupts as it always does.

    Args:
        console: Where the line stands; standard error by default.
        begins: Called before the first medium is begun.
    """
    console = console or Console(stderr=True)
    line = _Line(console, begins)
    handler: Any = None
    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        handler = signal.signal(signal.SIGINT, line.interrupt)
    try:
        yield Watch(line.tell, lambda: line.stopped)
    finally:
        line.clear()
        if in_main:
            signal.signal(signal.SIGINT, handler)


class _Line:
    def __init__(self, console: Console, begins: Callable[[], None] | None) -> None:
        self.begins, self.begun, self.stopped = begins, False, False
        self.bars: Progress | None = None
        self.number: int | None = None
        self.task: TaskID | None = None
        if console.is_terminal:
            columns = (TextColumn("making {task.description}"), BarColumn(), MofNCompleteColumn())
            self.bars = Progress(*columns, console=console, transient=True)

    def tell(self, making: Making) -> None:
        """Show a step."""
        if not self.begun:
            self.begun = True
            if self.begins is not None:
                self.begins()
            if self.bars is not None:
                self.bars.start()
        if self.bars is None:
            return
        if making.number != self.number:
            if self.task is not None:
                self.bars.remove_task(self.task)
            self.number = making.number
            self.task = self.bars.add_task(f"{making.modality} {making.number}", total=making.steps)
        assert self.task is not None
        self.bars.update(self.task, completed=making.step, total=making.steps)

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C."""
        if self.stopped or not self.begun:
            raise KeyboardInterrupt
        self.stopped = True

    def clear(self) -> None:
        """Take the line away."""
        if self.bars is not None and self.begun:
            self.bars.stop()
