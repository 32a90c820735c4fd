"""Several processes on this machine, started and watched together by torch's elastic launcher.

Each of them has the environment that `torchrun` gives. A process that fails hands its words to this one, which stops
the others and speaks for all.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modalink import json_files
from modalink.errors import TrainingError

_ID, _ERROR_FILE = "TORCHELASTIC_RUN_ID", "TORCHELASTIC_ERROR_FILE"
_WORDS = "words.json"
_NAME = "modalink"
"""Tells processes that are started here from those of `torchrun`."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_LOOK_EVERY_S = 0.1
_LOOK_FOR_PARENT_EVERY_S = 1.0


@dataclass(frozen=True)
class _Words:
    """What a process that fails says, in a file beside the one that torch's launcher names to it and reads itself."""

    message: str
    exit_code: int
    time_ns: int


class ProcessesFailed(TrainingError):
    """One of the processes failed, or all were stopped; the text and the exit code are those of the first."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def launch(command: Sequence[str], processes: int, environment: Mapping[str, str] | None = None) -> None:
    """Run Python in several processes of this machine, until all have ended.

    Ctrl-C and SIGTERM go to each of them; each decides how it ends.

    Args:
        command: What follows `python`, for example `-m modalink train ...`.
        processes: How many.
        environment: Variables for each of them beside this process's own.

    Raises:
        ProcessesFailed: One failed, and the others were stopped; or all were.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, start_processes

    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    with TemporaryDirectory(prefix="modalink-") as folder, _own_signals():
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # a port that is free
        shared = _environment(processes, store.port) | dict(environment or {})
        ranks = range(processes)
        context: Any = None
        try:
            context = start_processes(
                _NAME,
                sys.executable,
                {rank: ("-P", *command) for rank in ranks},
                {rank: shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in ranks},
                DefaultLogsSpecs(log_dir=folder),
            )
            _hand_on(context.pids().values())
            ended = context.wait(period=_LOOK_EVERY_S)
        except SignalException as error:
            raise ProcessesFailed("stopped before training began", 128 + error.sigval) from None
        finally:
            if context is not None:
                context.close()
        if ended.is_failed():
            raise _first(Path(folder), {rank: failure.exitcode for rank, failure in ended.failures.items()}, processes)


def launched() -> bool:
    """Whether this process is one of several that `launch` or `torchrun` started."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def hand_over(text: str, exit_code: int) -> bool:
    """Give the words of an error to the process that launched this one.

    Returns:
        Whether there is such a process; otherwise they are to be said here.
    """
    if os.environ.get(_ID) != _NAME or _ERROR_FILE not in os.environ:
        return False
    words = _Words(text, exit_code, time.time_ns())
    Path(os.environ[_ERROR_FILE]).with_name(_WORDS).write_text(json.dumps(asdict(words)), encoding="utf-8")
    return True


def end_with_parent() -> None:
    """Stop this process politely when the one that launched it is gone: nobody else could."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_FOR_PARENT_EVERY_S)
        os.kill(os.getpid(), signal.SIGTERM)

    if os.environ.get(_ID) == _NAME:
        threading.Thread(target=watch, daemon=True).start()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _environment(processes: int, port: int) -> dict[str, str]:
    """What all processes are told: where they meet, and the modules and cores that are theirs."""
    return {
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        _ID: _NAME,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores() // processes))),
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
    }


@contextmanager
def _own_signals() -> Iterator[None]:
    """Afterwards the handlers of signals are as they were: torch's launcher sets its own, and this file others."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hand_on(pids: Collection[int]) -> None:
    """Give the signals that this process gets to others: they are in no terminal's foreground."""

    def hand_on(number: int, frame: Any) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):  # it has ended before
                os.kill(pid, number)

    for number in _SIGNALS:
        signal.signal(number, hand_on)


def _first(folder: Path, exit_codes: Mapping[int, int], processes: int) -> ProcessesFailed:
    """The failure that the others followed from: the words that came first, else a process that was killed."""
    if words := [said for path in folder.rglob(_WORDS) if (said := _read(path))]:
        first = min(words, key=lambda said: said.time_ns)
        return ProcessesFailed(first.message.strip().removeprefix("modalink: "), first.exit_code)
    killed = {rank: -code for rank, code in exit_codes.items() if code < 0 and -code != signal.SIGTERM}
    rank, number = min((killed or exit_codes).items())
    name = f"was killed by {signal.Signals(number).name}" if killed else f"ended with exit code {number}"
    return ProcessesFailed(
        f"process {rank} of {processes} (counted from 0) {name}, and the others were stopped; if memory was short, "
        "lower stages.N.micro_batch or take fewer processes; the same command resumes from the newest checkpoint"
    )


def _read(path: Path) -> _Words | None:
    """The words of a process; None where it was killed while it wrote them."""
    try:
        words: _Words = json_files.read(path, TrainingError, _Words)
    except TrainingError:
        return None
    return words
