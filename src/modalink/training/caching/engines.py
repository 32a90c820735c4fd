"""The processes that fill a cache, on this machine."""

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, runtime_checkable

import torch

from modalink.errors import ModalinkError
from modalink.settings import RunSettings
from modalink.training.caching.filler import Filler
from modalink.training.caching.work import Block, Done, Failed, Job
from modalink.training.launch import ProcessesFailed

START = "spawn"
"""How processes begin: with nothing of this one, whose devices may be in use."""
TRIES = 3
"""So often a block is tried whose process ends."""


@runtime_checkable
class Engine(Protocol):
    """Does blocks."""

    def results(self, blocks: Iterable[Block]) -> Iterator[Done]:
        """What came of each block, in any order; the blocks are asked for as they can be done.

        Raises:
            ProcessesFailed: A block cannot be done.
        """


class Here:
    """This process."""

    def __init__(self, job: Job) -> None:
        self._filler = Filler(job)

    def close(self) -> None:
        """Write what waits to be written."""
        self._filler.cache.flush()

    def results(self, blocks: Iterable[Block]) -> Iterator[Done]:
        """See `Engine`."""
        return map(self._filler.fill, blocks)


class Processes:
    """Several processes of this machine, of which one that ends early is started again.

    Args:
        job: What they are told.
        count: How many.
    """

    def __init__(self, job: Job, count: int) -> None:
        self._job = job
        self._context: Any = multiprocessing.get_context(START)
        self._children = [self._started(number) for number in range(count)]
        self._failures: Counter[Block] = Counter()

    def close(self) -> None:
        """End them."""
        for child in self._children:
            child.process.terminate()
            child.process.join()

    def results(self, blocks: Iterable[Block]) -> Iterator[Done]:
        """See `Engine`."""
        waiting, again = iter(blocks), deque[Block]()
        under_way: dict[int, Block] = {}

        def give(number: int) -> None:
            block = again.popleft() if again else next(waiting, None)
            if block is not None:
                self._children[number].give(block)
                under_way[number] = block

        for number in range(len(self._children)):
            give(number)
        while under_way:
            for number in self._ready(under_way):
                answer = self._children[number].answer()
                if answer is None:
                    self._restart(number, under_way[number])
                    again.append(under_way.pop(number))
                else:
                    del under_way[number]
                    yield checked(answer)
                give(number)

    def _ready(self, numbers: Iterable[int]) -> list[int]:
        connections = {self._children[number].connection: number for number in numbers}
        return [connections[connection] for connection in wait(list(connections))]  # type: ignore[index]

    def _started(self, number: int) -> "_Child":
        here, there = self._context.Pipe()
        job = replace(self._job, settings=of_process(self._job.settings, number))
        process = self._context.Process(target=_serve, args=(job, there), daemon=True)
        process.start()
        there.close()
        return _Child(process, here)

    def _restart(self, number: int, block: Block) -> None:
        process = self._children[number].process
        process.join()
        self._failures[block] += 1
        if self._failures[block] >= TRIES:
            code = process.exitcode or 0
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise ProcessesFailed(
                f"stage {block.stage}: a process {how} {TRIES} times while it computed the samples {block.start} to "
                f"{block.stop - 1}; if memory was short, take fewer workers; the same command resumes"
            )
        self._children[number] = self._started(number)


class _Child:
    """One process, and what is said to it and by it."""

    def __init__(self, process: Any, connection: Connection) -> None:
        self.process, self.connection = process, connection

    def give(self, block: Block) -> None:
        with suppress(OSError):  # of one that has ended; `answer` tells
            self.connection.send(block)

    def answer(self) -> Done | Failed | None:
        """What it says of its block; None where it has ended."""
        try:
            said: Done | Failed = self.connection.recv()
        except (EOFError, OSError):
            return None
        return said


def _serve(job: Job, connection: Connection) -> None:
    """Do the blocks that come, until no more can."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    try:
        while True:
            connection.send(attempt(job, connection.recv()))
    except (EOFError, OSError):  # the other end is gone
        pass


_filler: tuple[Job, Filler] | None = None
"""What this process has loaded."""


def attempt(job: Job, block: Block) -> Done | Failed:
    """Do a block, with the parts that the one before has loaded in this process."""
    global _filler
    try:
        if _filler is None or _filler[0] != job or not _filler[1].can(block):
            _filler = job, Filler(job)
        return _filler[1].fill(block)
    except ModalinkError as error:
        return Failed(str(error), error.exit_code)
    except torch.OutOfMemoryError:
        return Failed("the device is out of memory; take fewer workers, or a smaller stages.N.batch", 1)
    except OSError as error:
        return Failed(f"{error.filename or 'the cache'}: {error.strerror or error}", 1)
    except Exception as error:
        return Failed(f"{type(error).__name__}: {error}", None)


def checked(answer: Done | Failed) -> Done:
    """What came of a block.

    Raises:
        ProcessesFailed: It could not be done.
    """
    if isinstance(answer, Done):
        return answer
    if answer.exit_code is None:
        raise RuntimeError(answer.text)
    raise ProcessesFailed(answer.text, answer.exit_code)


def of_process(settings: RunSettings, number: int) -> RunSettings:
    """The settings of one of several processes: an accelerator of its own, where there are several."""
    device = torch.device(settings.device or "cpu")
    named: int | None = device.index
    if device.type == "cpu" or named is not None:
        return settings
    return settings.replace(device=f"{device.type}:{number % torch.accelerator.device_count()}")
