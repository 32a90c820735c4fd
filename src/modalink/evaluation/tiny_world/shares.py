"""Shares of things that came out right, with their error bars."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Float

from modalink.scoring import bootstrap
from modalink.scoring.bootstrap import Sums

_Z = 1.96


@dataclass(frozen=True)
class Share:
    """How many of some things were right.

    Args:
        right: How many were right.
        of: How many there were.
        trials: How many independent trials they came from (questions, pictures): several objects of one picture are
            right or wrong together, so they do not count as independent.
    """

    right: int
    of: int
    trials: int

    @classmethod
    def total(cls, parts: Iterable[tuple[int, int]]) -> "Share":
        """The share over independent trials, each with (right, of)."""
        rows = [(right, of) for right, of in parts if of]
        return cls(sum(right for right, _ in rows), sum(of for _, of in rows), len(rows))

    @property
    def value(self) -> float:
        """The share, 0 to 1; 0 of nothing is 0."""
        return self.right / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson score interval.

        Unlike a bootstrap interval it stays honest at 0 and 1, where all replicates are the same.
        """
        if not self.trials:
            return 0.0, 1.0
        n, p = self.trials, self.value
        center, spread = p + _Z**2 / (2 * n), _Z * sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n))
        scale = 1 + _Z**2 / n
        return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


@dataclass(frozen=True)
class Ratio:
    """A share as a part of another one, both from the same trials.

    Args:
        value: The ratio; 0 where the other share is 0.
        interval: 95 % interval of the paired bootstrap; of no width where both have all trials alike.
        trials: How many trials there were.
    """

    value: float
    interval: tuple[float, float]
    trials: int

    @classmethod
    def paired(cls, right: Sequence[bool], reference: Sequence[bool]) -> "Ratio":
        """The share of `right` divided by that of `reference`, trial by trial the same things."""
        sample = Sums(np.array([right, reference], float).T, _quotient)
        return cls(sample.value(), bootstrap.interval(sample), len(right))


def _quotient(sums: Float[np.ndarray, "b 2"]) -> Float[np.ndarray, " b"]:
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)


Number = Share | Ratio


def nested(shares: Mapping[str, Number]) -> dict[str, Any]:
    """Numbers by dotted path as nested plain data: the values, and below `intervals` and `counts` the tree again."""
    tree: dict[str, Any] = {}
    for path, share in shares.items():
        low, high = share.interval
        _put(tree, path, round(share.value, 4))
        _put(tree, f"intervals.{path}", [round(low, 4), round(high, 4)])
        _put(tree, f"counts.{path}", share.trials)
    return tree


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, leaf = path.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[leaf] = value
