"""Ctrl-C and SIGTERM as a polite request: the running step is finished and saved, then training stops."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from modalink.errors import TrainingError


class Interrupted(TrainingError):
    """Training was stopped from outside after a step that is saved; the same command goes on from there."""

    exit_code = 130


class StopRequest:
    """A context in which the first SIGINT or SIGTERM only sets `requested`; a second one acts as it always did.

    Handlers belong to the main thread; elsewhere the context changes nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
