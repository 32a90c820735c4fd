"""Which sample comes next: endless orders over several sources, a function of seed and place, taken up exactly."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt
from typing import Any, Literal, Protocol, runtime_checkable

from modalink.data.shuffle import Permutation
from modalink.errors import RecipeError

Rule = Literal["concatenate", "ratio", "sqrt"]


@dataclass(frozen=True, slots=True)
class Pick:
    """One place of the order: sample `index` of source `source`; a stream has no index."""

    source: int
    index: int | None


@runtime_checkable
class Order(Protocol):
    """An endless order of picks."""

    def __next__(self) -> Pick:
        """The next pick."""

    def state_dict(self) -> dict[str, Any]:
        """The place of the next pick, as JSON data."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a place."""


def mix(rule: Rule, sizes: Sequence[int | None], weights: Sequence[float | None], seed: int) -> Order:
    """The order that a rule makes of sources.

    Args:
        rule: `concatenate` shuffles all samples together, each once an epoch. `ratio` draws from the sources by their
            weights, `sqrt` by the square roots of their sizes; each source is gone through again and again.
        sizes: Samples of each source; None for a stream, whose own order is kept.
        weights: Weight of each source, for `ratio` alone.
        seed: Decides the order.

    Raises:
        RecipeError: Weights are missing, or given where they mean nothing; or a stream's size would be needed.
    """
    if rule == "ratio":
        if None in weights:
            raise RecipeError(f"found the weights {list(weights)}, the mixture 'ratio' needs one for each source")
        return Proportions(sizes, [weight for weight in weights if weight is not None], seed)
    if set(weights) != {None}:
        raise RecipeError(f"found the weights {list(weights)}, which the mixture {rule!r} would ignore; use 'ratio'")
    if len(sizes) == 1:  # one source is the same under every rule, and may be a stream
        return Proportions(sizes, [1.0], seed)
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise RecipeError(f"the mixture {rule!r} needs the size of each source, and a stream has none; use 'ratio'")
    return Proportions(sizes, [sqrt(size) for size in known], seed) if rule == "sqrt" else Concatenation(known, seed)


class Concatenation:
    """All samples of all sources in one shuffled order, another in each epoch."""

    def __init__(self, sizes: Sequence[int], seed: int) -> None:
        self._ends = list(accumulate(sizes))
        self._seed = seed
        self._place = 0
        self._shuffled: tuple[int, Permutation] | None = None

    def __next__(self) -> Pick:
        epoch, place = divmod(self._place, self._ends[-1])
        if self._shuffled is None or self._shuffled[0] != epoch:
            self._shuffled = epoch, Permutation(self._ends[-1], f"{self._seed}/{epoch}")
        number = self._shuffled[1][place]
        self._place += 1
        source = bisect_right(self._ends, number)
        return Pick(source, number - (self._ends[source - 1] if source else 0))

    def state_dict(self) -> dict[str, Any]:
        """How many picks were made."""
        return {"place": self._place}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a place."""
        self._place = state["place"]


class Proportions:
    """Sources in fixed proportion: each pick goes to the source that lags furthest behind its share.

    So every stretch of the order, not only the whole, holds the proportions to within a few samples. Within a source
    the order is shuffled, another in each of its epochs.
    """

    def __init__(self, sizes: Sequence[int | None], weights: Sequence[float], seed: int) -> None:
        self._sizes = sizes
        self._shares = [weight / sum(weights) for weight in weights]
        self._seed = seed
        self._taken = [0] * len(sizes)
        self._shuffled: dict[int, tuple[int, Permutation]] = {}

    def __next__(self) -> Pick:
        total = sum(self._taken) + 1
        lags = [total * share - taken for share, taken in zip(self._shares, self._taken, strict=True)]
        source = lags.index(max(lags))
        number = self._taken[source]
        self._taken[source] += 1
        return Pick(source, self._index(source, number))

    def _index(self, source: int, number: int) -> int | None:
        size = self._sizes[source]
        if size is None:
            return None
        epoch, place = divmod(number, size)
        if self._shuffled.get(source, (None,))[0] != epoch:
            self._shuffled[source] = epoch, Permutation(size, f"{self._seed}/{source}/{epoch}")
        return self._shuffled[source][1][place]

    def state_dict(self) -> dict[str, Any]:
        """How many picks each source gave."""
        return {"taken": list(self._taken)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a place."""
        self._taken = list(state["taken"])
