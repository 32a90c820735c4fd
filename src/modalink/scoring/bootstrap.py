"""Error bars: what a score would have been with other questions of the same kind, and whether two models differ.

A sample holds what a score is computed from, one row for each thing that is resampled (a question, or the questions
of one image where a score needs them together). Everything is vectorised over the replicates.

Source: B. Efron, Bootstrap methods (1979), percentile interval; E. Noreen, Computer-intensive methods for testing
hypotheses (1989), approximate randomisation.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float

REPLICATES = 1000
PERMUTATIONS = 10_000
_BLOCK = 1 << 23  # numbers in one block of replicates: 64 MB

Finish = Callable[[Float[np.ndarray, "b k"]], Float[np.ndarray, " b"]]


@runtime_checkable
class Sample(Protocol):
    """What a score is computed from."""

    def value(self) -> float:
        """The score of the whole sample."""

    def paired(self, other: Self, rng: np.random.Generator, replicates: int) -> Float[np.ndarray, "2 b"]:
        """Scores of both samples over the same rows, resampled with replacement; NaN where a resample has none."""

    def exchanged(self, other: Self, rng: np.random.Generator, replicates: int) -> Float[np.ndarray, "2 b"]:
        """Scores of both samples after each row changed sides with probability one half."""


@dataclass(frozen=True, slots=True)
class Sums:
    """A score that is a function of column sums, as means, ratios, F1 and BLEU are."""

    columns: Float[np.ndarray, "n k"]
    finish: Finish
    """From column sums [b k] to scores [b]."""

    def value(self) -> float:
        return float(self.finish(self.columns.sum(0, keepdims=True))[0])

    def paired(self, other: Self, rng: np.random.Generator, replicates: int) -> Float[np.ndarray, "2 b"]:
        k = self.columns.shape[1]
        rows, counts = _distinct(np.concatenate([self.columns, other.columns], 1))
        drawn = np.concatenate([w @ rows for w in _draws(counts, rng, replicates)])
        return np.stack([self.finish(drawn[:, :k]), other.finish(drawn[:, k:])])

    def exchanged(self, other: Self, rng: np.random.Generator, replicates: int) -> Float[np.ndarray, "2 b"]:
        k = self.columns.shape[1]
        rows, counts = _distinct(np.concatenate([self.columns, other.columns], 1))
        gain = rows[:, k:] - rows[:, :k]
        moved = np.concatenate(
            [rng.binomial(counts, 0.5, (size, len(rows))) @ gain for size in _blocks(len(rows), replicates)]
        )
        return np.stack([self.finish(self.columns.sum(0) + moved), other.finish(other.columns.sum(0) - moved)])


@dataclass(frozen=True, slots=True)
class Ranking:
    """The area under the ROC curve (ties counted half) or the average precision of scores for a positive class."""

    positive: Float[np.ndarray, " n"]
    """1 or 0."""
    scores: Float[np.ndarray, " n"]
    curve: Literal["roc", "precision"] = "roc"
    scale: float = 1.0

    def value(self) -> float:
        return float(self._areas(np.ones((1, len(self.scores))))[0])

    def _areas(self, weights: Float[np.ndarray, "b n"]) -> Float[np.ndarray, " b"]:
        order = np.argsort(self.scores, kind="stable")
        starts = np.flatnonzero(np.diff(self.scores[order], prepend=np.nan) != 0)
        plus = np.add.reduceat((weights * self.positive)[:, order], starts, axis=1)
        minus = np.add.reduceat((weights * (1 - self.positive))[:, order], starts, axis=1)
        with np.errstate(invalid="ignore"):
            if self.curve == "roc":
                below = np.cumsum(minus, 1) - minus / 2
                return self.scale * (plus * below).sum(1) / (plus.sum(1) * minus.sum(1))
            hits, wrong = np.cumsum(plus[:, ::-1], 1), np.cumsum(minus[:, ::-1], 1)
            precision = np.divide(hits, hits + wrong, out=np.zeros_like(hits), where=hits > 0)
            return self.scale * (plus[:, ::-1] * precision).sum(1) / plus.sum(1)

    def paired(self, other: Self, rng: np.random.Generator, replicates: int) -> Float[np.ndarray, "2 b"]:
        blocks = _draws(np.ones(len(self.scores), int), rng, replicates)
        both = np.concatenate([np.stack([self._areas(w), other._areas(w)]) for w in blocks], 1)
        return both

    def exchanged(self, other: Self, rng: np.random.Generator, replicates: int) -> Float[np.ndarray, "2 b"]:
        pairs = []
        for _ in range(replicates):
            swap = rng.random(len(self.scores)) < 0.5
            left, right = np.where(swap, other.scores, self.scores), np.where(swap, self.scores, other.scores)
            pairs.append([replace(self, scores=left).value(), replace(self, scores=right).value()])
        return np.array(pairs).T


def means(scores: Float[np.ndarray, " n"], scale: float = 1.0) -> Sums:
    """The sample of a mean of item scores, times `scale`."""
    return Sums(np.stack([scores, np.ones_like(scores)], 1), lambda sums: scale * sums[:, 0] / sums[:, 1])


def means_by(scores: Float[np.ndarray, " n"], owners: Sequence[str], scale: float = 1.0) -> Sums:
    """The sample of a mean of scores of which several belong together and are drawn together, such as of one prompt."""
    _, owner = np.unique(np.asarray(owners), return_inverse=True)
    sums = np.stack([np.bincount(owner, scores), np.bincount(owner).astype(float)], 1)
    return Sums(sums, lambda drawn: scale * drawn[:, 0] / drawn[:, 1])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same questions."""

    difference: float
    """The first model's score minus the second's."""
    interval: tuple[float, float]
    """95 % of the paired bootstrap of the difference; NaN where no replicate has a score."""
    p_value: float
    """Two-sided, of the approximate randomisation test."""


def interval(sample: Sample, replicates: int = REPLICATES, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a score; NaN where no replicate has a score."""
    return _middle(sample.paired(sample, np.random.default_rng(seed), replicates)[0])


def _middle(values: Float[np.ndarray, " b"]) -> tuple[float, float]:
    """Where the middle 95 % of the replicates lie, of those that have a score."""
    values = values[np.isfinite(values)]
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def compare(left: Sample, right: Sample, replicates: int = REPLICATES, seed: int = 0) -> Comparison:
    """Whether two models differ, by a paired bootstrap and an approximate randomisation test."""
    rng = np.random.default_rng(seed)
    difference = left.value() - right.value()
    a, b = left.paired(right, rng, replicates)
    spread = _middle(a - b)
    permutations = PERMUTATIONS if isinstance(left, Sums) else replicates
    a, b = left.exchanged(right, rng, permutations)
    # The tolerance lets rearrangements that give the same sum count as equal, whatever the order of addition.
    extreme = int((np.abs(a - b) >= abs(difference) - 1e-12).sum())
    return Comparison(difference, spread, (1 + extreme) / (1 + permutations))


def _distinct(rows: Float[np.ndarray, "n k"]) -> tuple[Float[np.ndarray, "u k"], np.ndarray]:
    """Rows without repetition, and how often each occurs: drawing n of n rows is a multinomial draw of these."""
    values, counts = np.unique(rows, axis=0, return_counts=True)
    return values, counts


def _blocks(width: int, replicates: int) -> Iterator[int]:
    size = max(1, _BLOCK // max(1, width))
    for start in range(0, replicates, size):
        yield min(size, replicates - start)


def _draws(counts: np.ndarray, rng: np.random.Generator, replicates: int) -> Iterator[Float[np.ndarray, "b u"]]:
    """How often each distinct row is drawn, for blocks of replicates."""
    total = int(counts.sum())
    for size in _blocks(len(counts), replicates):
        if len(counts) < total / 8:
            yield rng.multinomial(total, counts / total, size).astype(float)
        else:  # a binomial draw a row costs more than counting the rows that fell
            owner = np.repeat(np.arange(len(counts)), counts)
            fallen = (owner[rng.integers(0, total, total)] for _ in range(size))
            yield np.stack([np.bincount(rows, minlength=len(counts)) for rows in fallen]).astype(float)
