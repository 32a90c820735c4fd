"""Ctrl-C and SIGTERM as a polite request: the running step is finished and saved, then training stops."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from modalink.errors import TrainingError

IMPATIENCE_S = 1.0
"""How long after the first Ctrl-C another one means that even the running step is too long."""


class Interrupted(TrainingError):
    """Training was stopped from outside after a step that is saved; the same command goes on from there."""

    exit_code = 130


class StopRequest:
    """A context in which SIGINT and SIGTERM only set `requested`; another Ctrl-C a while later stops at once.

    Handlers belong to the main thread; elsewhere the context changes nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        # A terminal and `torchrun` both hand on one Ctrl-C, so the second comes at once and means nothing.
        if self.requested and number == signal.SIGINT and time.monotonic() - self._since > IMPATIENCE_S:
            raise KeyboardInterrupt
        self._since = self._since if self.requested else time.monotonic()
        self.requested = True
