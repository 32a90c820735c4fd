"""What a comparison came to: a row for each design, and for each pair whether the two differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import mean
from typing import Any

import numpy as np
from jaxtyping import Float

from modalink.comparison.design import Comparison
from modalink.comparison.measuring import Measured
from modalink.errors import DataError
from modalink.scoring.paired import Difference, difference, holm, interval


@dataclass(frozen=True)
class Reached:
    """What a design reached on one benchmark; shares from 0 to 1."""

    value: float
    """The mean over seeds and questions."""
    interval: tuple[float, float]
    """95 % of what other seeds and other questions would give."""
    by_seed: tuple[float, ...]
    """The mean of each seed."""
    questions: int
    """How many were asked of each seed."""


@dataclass(frozen=True)
class Row:
    """A design.

    Args:
        name: Its name.
        recipe: Its recipe.
        changes: What of the recipe it changes itself: overrides, and `data` where it learns from others.
        notes: What the comparison changed of it.
        reached: Heading of a benchmark -> what it reached.
        tokens_per_item: Prompt tokens of one medium.
        trainable_parameters: Parameters that learned.
        trainable_share: Their part of all parameters.
        steps: Steps of each stage.
        samples: Conversations that a seed learned from, repetitions counted.
        training_seconds: Time of all steps, the mean over seeds.
        evaluation_seconds: Time of all answers, the mean over seeds.
        memory_bytes: The most memory that training took, over seeds; None where it is not known.
    """

    name: str
    recipe: str
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    reached: dict[str, Reached]
    tokens_per_item: float
    trainable_parameters: int
    trainable_share: float
    steps: list[int]
    samples: int
    training_seconds: float
    evaluation_seconds: float
    memory_bytes: int | None


@dataclass(frozen=True)
class Pair:
    """Two designs on the same questions of one benchmark."""

    benchmark: str
    left: str
    right: str
    difference: Difference
    """Left minus right."""
    corrected_p: float
    """The p-value corrected by Holm for all pairs of the benchmark."""


@dataclass(frozen=True)
class Results:
    """All of a comparison."""

    comparison: Comparison
    rows: list[Row]
    pairs: list[Pair]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "comparison": self.comparison.model_dump(mode="json"),
            "designs": [asdict(row) for row in self.rows],
            "pairs": [asdict(pair) for pair in self.pairs],
        }


def results(
    comparison: Comparison, measured: Mapping[str, Sequence[Measured]], notes: Mapping[str, tuple[str, ...]]
) -> Results:
    """Weigh what the runs came to.

    Args:
        comparison: What was compared.
        measured: Design -> its runs, in the order of the seeds.
        notes: Design -> what the comparison changed of it.

    Raises:
        DataError: Two runs answered other questions.
    """
    rows = []
    for design in comparison.designs:
        runs = measured[design.name]
        changes = (*design.overrides, *(() if design.data is None else ("data",)))
        first = runs[0]
        rows.append(
            Row(
                design.name,
                design.recipe,
                changes,
                notes[design.name],
                {heading: _reached(scores_of(runs, heading)) for heading in comparison.benchmarks},
                first.tokens_per_item,
                first.trainable_parameters,
                first.trainable_parameters / max(1, first.parameters),
                first.steps,
                first.samples,
                mean(run.training_seconds for run in runs),
                mean(run.evaluation_seconds for run in runs),
                max((run.memory_bytes for run in runs if run.memory_bytes is not None), default=None),
            )
        )
    return Results(comparison, rows, [pair for heading in comparison.benchmarks for pair in _pairs(heading, measured)])


def scores_of(runs: Sequence[Measured], benchmark: str) -> Float[np.ndarray, "s n"]:
    """The scores of a design's runs, a row for each seed."""
    return np.stack([run.score(benchmark) for run in runs])


def _reached(scores: Float[np.ndarray, "s n"]) -> Reached:
    return Reached(float(scores.mean()), interval(scores), tuple(scores.mean(axis=1).tolist()), scores.shape[1])


def _pairs(benchmark: str, measured: Mapping[str, Sequence[Measured]]) -> Iterator[Pair]:
    _check_same_questions(benchmark, measured)
    scores = {name: scores_of(runs, benchmark) for name, runs in measured.items()}
    found = [(left, right, difference(scores[left], scores[right])) for left, right in combinations(scores, 2)]
    corrected = holm([between.p_value for _, _, between in found])
    for (left, right, between), p_value in zip(found, corrected, strict=True):
        yield Pair(benchmark, left, right, between, p_value)


def _check_same_questions(benchmark: str, measured: Mapping[str, Sequence[Measured]]) -> None:
    """A paired test is about the same questions; what a run left out would shift all that follow."""
    first_name, first = next((name, runs[0].questions[benchmark]) for name, runs in measured.items())
    for name, runs in measured.items():
        if any(run.questions[benchmark] != first for run in runs):
            raise DataError(
                f"benchmark {benchmark}: {name} answered other questions than {first_name}; delete its runs and start "
                "again"
            )
