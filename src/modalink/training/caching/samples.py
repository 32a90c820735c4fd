"""The samples that a stage will learn from, each once."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

from modalink.data.loader import size_of
from modalink.data.mixture import Order, mix
from modalink.data.prefetch import Making
from modalink.data.source import Source, SourceConfig, Stream
from modalink.model.prepared import Prepared
from modalink.training.caching.plan import StagePlan
from modalink.training.opening import count_steps
from modalink.training.randomness import seed_of


class StageSamples:
    """A stage's samples, in the order in which it first meets them; the sources are opened here.

    Args:
        plan: The stage, and what is asked of it.
        seed: The recipe's seed.

    Raises:
        DataError: A source cannot be read, or holds nothing.
    """

    def __init__(self, plan: StagePlan, seed: int) -> None:
        self.stage, self._limit, self._seed = plan.stage, plan.limit, seed
        self.configs = cast(list[SourceConfig], plan.stage.data)
        self._open()

    def _open(self) -> None:
        self._sources: list[Source | Stream] = [config.open() for config in self.configs]
        pairs = zip(self._sources, self.configs, strict=True)
        self._sizes = [size_of(source, config.name) for source, config in pairs]
        self._ahead, self._places = 0, self._met()

    def making(self, prepare: Callable[..., Prepared]) -> Making:
        """What makes a place's sample."""
        return Making(self.configs, self._sources, prepare)

    def count(self, more: int = 0) -> int:
        """How many of them the stage learns from.

        Args:
            more: How many are met in the place of bad ones.
        """
        known = [size for size in self._sizes if size is not None]
        epoch = sum(known) if len(known) == len(self._sizes) else None
        met = (count_steps(self.stage, epoch) * self.stage.batch if self._limit is None else self._limit) + more
        if epoch is None or met < epoch or self.stage.mixture != "concatenate":
            return sum(1 for _ in _each_once(self._order(), self._sizes, met))
        return epoch

    def places(self, start: int, stop: int) -> list[tuple[int, Any]]:
        """The numbers of the sources, and the indices or raw records in them, of the samples from `start` to `stop`."""
        if start < self._ahead:
            self._open()
        found = list(islice(self._places, start - self._ahead, stop - self._ahead))
        self._ahead = stop
        return found

    def _order(self) -> Order:
        stage = self.stage
        weights = [config.weight for config in self.configs]
        return mix(stage.mixture, self._sizes, weights, seed_of(self._seed, stage.name, "data"))

    def _met(self) -> Iterator[tuple[int, Any]]:
        for number, index in _each_once(self._order(), self._sizes):
            source = self._sources[number]
            yield number, next(source) if isinstance(source, Stream) else index


def _each_once(order: Order, sizes: Sequence[int | None], picks: int | None = None) -> Iterator[tuple[int, int | None]]:
    """Source and index of each sample among the first so many of an order; of a stream all are others."""
    met = [None if size is None else bytearray(size) for size in sizes]
    left = None if None in sizes else sum(size for size in sizes if size is not None)
    for pick in islice(iter(order.__next__, None), picks):
        marks = met[pick.source]
        if marks is not None and pick.index is not None:
            if marks[pick.index]:
                continue
            marks[pick.index] = 1
            left = None if left is None else left - 1
        yield pick.source, pick.index
        if left == 0:
            return
