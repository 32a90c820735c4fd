"""Samples in the order of a mixture, read and prepared ahead by threads that do not change the order."""

import hashlib
import json
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from modalink.data.mixture import Order
from modalink.data.prefix import begun
from modalink.data.source import Source, SourceConfig, Stream
from modalink.errors import DataError, MediumError, PromptError, SampleError
from modalink.model.prepared import IGNORED, Prepared

Finish = Callable[[Prepared], Prepared]
"""The last work on a sample before it is learned from: to load what must be loaded."""


@dataclass(frozen=True)
class Bad:
    """A sample that cannot be learned from, and why."""

    sample: str
    reason: str
    detail: str
    error: Exception | None = None

    @classmethod
    def of(cls, sample: str, error: DataError | PromptError) -> "Bad":
        """What an error says of a sample."""
        named = error.reason if isinstance(error, SampleError | MediumError) else None
        reason = named or ("prompt" if isinstance(error, PromptError) else "data")
        return cls(sample, reason, str(error).removeprefix(f"{sample}: "), error)


@dataclass(frozen=True)
class Making:
    """How a place of a source becomes a sample.

    Args:
        configs: Settings of the sources.
        sources: The sources, opened.
        prepare: Makes a conversation ready.
    """

    configs: Sequence[SourceConfig]
    sources: Sequence[Source | Stream]
    prepare: Callable[..., Prepared]

    def __call__(self, number: int, key: Any, finish: Finish, seed: int | None = None) -> Prepared | Bad:
        """The sample at a place, or why it cannot be learned from; many threads may ask.

        Args:
            number: Which source.
            key: The sample's index, or a stream's raw record.
            finish: The last work on it.
            seed: Decides what is drawn of its media; None: nothing is drawn.
        """
        source, config = self.sources[number], self.configs[number]
        try:
            conversation = source.conversation(key) if isinstance(source, Stream) else source[key]
        except DataError as error:
            return Bad.of(error.name if isinstance(error, SampleError | MediumError) else config.name, error)
        if config.prefix:
            conversation = begun(conversation, seed)
        settings = {"template": config.template, "seed": seed}
        try:
            own = {name: value for name, value in settings.items() if value is not None}
            prepared = finish(replace(self.prepare(conversation, **own), source=number))
        except (DataError, PromptError) as error:
            return Bad.of(conversation.id, error)
        except Exception as error:
            error.add_note(f"while preparing sample {conversation.id}")
            raise
        for side in prepared.sides:
            if side.asked is None and all(label == IGNORED for label in side.labels):
                of = "" if side is prepared else f" in one of its {len(prepared.sides)} replies"
                return Bad(conversation.id, "no_labels", f"no token carries loss{of}; {side.cut} text tokens were cut")
        return prepared


@dataclass(frozen=True)
class Draw:
    """One sample of the order: the number of its source, what became of it, and the cursor behind its round."""

    source: int
    result: Prepared | Bad
    cursor: dict[str, Any]


class Draws:
    """The endless order of samples, or one process's share of it: one sample of each round of as many as processes.

    The other processes' samples are read past: an index is not looked up, a stream's record is not prepared.

    Args:
        configs: Settings of the sources.
        sources: The sources, opened.
        order: Which sample comes next.
        prepare: Makes a conversation ready.
        workers: Threads that work ahead; 0 does all in place.
        ahead: How many samples are under way at a time.
        rank: Number of this process.
        world: How many processes share the order.
        seed: Decides what is drawn of each sample's media, anew each time that it comes; None: nothing is drawn.
    """

    def __init__(
        self,
        configs: Sequence[SourceConfig],
        sources: Sequence[Source | Stream],
        order: Order,
        prepare: Callable[..., Prepared],
        workers: int,
        ahead: int,
        rank: int = 0,
        world: int = 1,
        seed: int | None = None,
    ) -> None:
        self._making = Making(configs, sources, prepare)
        self._sources = sources
        self._streams = {str(i): source for i, source in enumerate(sources) if isinstance(source, Stream)}
        self._order = order
        self._workers = workers
        self._ahead = ahead if workers else 1
        self._rank = rank
        self._world = world
        self._seed = seed
        self._finish: Finish = Prepared.loaded

    @property
    def cursor(self) -> dict[str, Any]:
        """The place of the next draw, as JSON data."""
        streams = {number: stream.state_dict() for number, stream in self._streams.items()}
        return {"order": self._order.state_dict(), "streams": streams}

    def starting(self, cursor: dict[str, Any], finish: Finish = Prepared.loaded) -> Generator[Draw, None, None]:
        """Draws from a place on, each finished by the thread that prepared it; the threads end with the iterator."""
        self._finish = finish
        self._order.load_state_dict(cursor["order"])
        for number, state in cursor["streams"].items():
            self._streams[number].load_state_dict(state)
        pool = ThreadPoolExecutor(self._workers) if self._workers else None
        under_way: deque[tuple[int, Callable[[], Prepared | Bad], dict[str, Any]]] = deque()
        try:
            while True:
                while len(under_way) < self._ahead:
                    under_way.append(self._begun(pool))
                source, result, behind = under_way.popleft()
                yield Draw(source, result(), behind)
        finally:
            if pool:
                pool.shutdown(cancel_futures=True)

    def _begun(self, pool: ThreadPoolExecutor | None) -> tuple[int, Callable[[], Prepared | Bad], dict[str, Any]]:
        for _ in range(self._rank):
            self._drawn()
        number, key = self._drawn()
        # Of the place of this sample, not of the round, so that any number of processes draws what one would.
        seed = None if self._seed is None else _seed_of(self._seed, self.cursor)
        for _ in range(self._rank + 1, self._world):
            self._drawn()
        cursor = self.cursor
        if pool is None:
            return number, lambda: self._making(number, key, self._finish, seed), cursor
        future: Future[Prepared | Bad] = pool.submit(self._making, number, key, self._finish, seed)
        return number, future.result, cursor

    def _drawn(self) -> tuple[int, Any]:
        pick = next(self._order)
        source = self._sources[pick.source]
        return pick.source, next(source) if isinstance(source, Stream) else pick.index


def _seed_of(seed: int, cursor: dict[str, Any]) -> int:
    """A seed for one draw: the same where a run is resumed, another each time that a sample comes."""
    place = f"{seed}/{json.dumps(cursor, sort_keys=True)}"
    return int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "big") >> 1
