"""From a prediction file and an annotation file to a report: the score of a benchmark, with its rule and its error bar.

Predictions are read, graded and forgotten one by one, so that a file of any size fits.
"""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from modalink.errors import DataError
from modalink.scoring.benchmark import (
    Benchmark,
    BenchmarkOptions,
    GradedQuestion,
    QuestionBenchmark,
    SetBenchmark,
    Summary,
)
from modalink.scoring.bootstrap import Comparison, compare, interval
from modalink.scoring.features import EncoderLoader, no_encoder
from modalink.scoring.matching import grade_predictions
from modalink.scoring.registry import load, options_of


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """The result of a benchmark."""

    benchmark: str
    rule: str
    source: str
    unit: str
    score: float
    metrics: dict[str, float]
    count: int
    parse_failures: int
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the score."""
    notes: list[str]
    summary: Summary = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)
    comparison: Comparison | None = None

    def as_dict(self, per_item: bool = False) -> dict[str, Any]:
        """The report as JSON data."""
        names = (
            "benchmark",
            "rule",
            "source",
            "unit",
            "score",
            "metrics",
            "count",
            "parse_failures",
            "interval",
            "notes",
            "options",
        )
        data = {name: getattr(self, name) for name in names}
        if self.comparison is not None:
            data["against"] = {
                "difference": self.comparison.difference,
                "interval": self.comparison.interval,
                "p_value": self.comparison.p_value,
                "test": "paired: approximate randomisation for p, bootstrap for the 95 % interval",
            }
        if per_item:
            data["items"] = [_item(item) for item in self.summary.items]
        return data


def _item(item: GradedQuestion) -> dict[str, Any]:
    grade = item.grade
    return {"id": item.question.id, "score": grade.score, "answer": grade.answer, "parsed": grade.parsed}


def score(
    name: str,
    predictions: Path,
    annotations: Path | None = None,
    options: dict[str, Any] | None = None,
    against: Path | None = None,
    load_encoder: EncoderLoader = no_encoder,
) -> ScoreReport:
    """Score a prediction file.

    Args:
        name: The benchmark's name.
        predictions: What the model answered, in one of the benchmark's formats.
        annotations: The right answers; may be left out where the predictions carry them.
        options: The benchmark's options, by name.
        against: Another model's predictions, to test whether the two differ.
        load_encoder: Loads the encoder that the option `encoder` names, for benchmarks that compare media.

    Raises:
        DataError: A file cannot be read, or does not answer the questions; the message says which.
        OptionError: An option has a value that it cannot have.
        UnknownNameError: There is no such benchmark or option.
    """
    name, benchmark = load(name)
    checked = options_of(benchmark, options or {})
    summarise = partial(_summary, benchmark, annotations, checked, load_encoder)
    summary = summarise(predictions)
    comparison = None if against is None else _compare(summary, summarise(against), against)
    return ScoreReport(
        name,
        benchmark.rule_of(checked),
        benchmark.source,
        benchmark.unit,
        summary.score,
        summary.metrics,
        summary.count,
        sum(not item.grade.parsed for item in summary.items),
        interval(summary.sample, checked.replicates) if summary.sample is not None else None,
        summary.notes + (["no interval: the score is no mean over items"] if summary.sample is None else []),
        summary,
        json.loads(checked.model_dump_json(exclude_defaults=True)),
        comparison,
    )


def _compare(left: Summary, right: Summary, against: Path) -> Comparison:
    if left.sample is None or right.sample is None:
        raise DataError("this score is no mean over items, so that two files cannot be tested against each other")
    if [item.question.id for item in left.items] != [item.question.id for item in right.items]:
        raise DataError(f"{against}: found other questions answered; a paired test needed the same ones in both files")
    return compare(left.sample, right.sample)


def _summary(
    benchmark: Benchmark,
    annotations: Path | None,
    options: BenchmarkOptions,
    load_encoder: EncoderLoader,
    predictions: Path,
) -> Summary:
    if isinstance(benchmark, SetBenchmark):
        return benchmark.compare(predictions, annotations, options, load_encoder)
    assert isinstance(benchmark, QuestionBenchmark)
    if annotations is None and not benchmark.self_contained:
        raise DataError(f"{benchmark.title}: needed --annotations: {benchmark.annotations}")
    questions = list(benchmark.questions(annotations or predictions, options))
    # In one and the same file the rows belong together, even where two questions are worded alike.
    by_row = annotations is None or annotations.resolve() == predictions.resolve()
    grades, notes = grade_predictions(benchmark, questions, predictions, options, by_row)
    items = [
        GradedQuestion(question, grade)
        for question, grade in zip(questions, grades, strict=True)
        if grade and question.scored
    ]
    if not items:
        raise DataError(f"{predictions}: found no prediction for any question of {annotations or predictions}")
    summary = benchmark.summarise(items, options)
    summary.notes[:0] = notes
    return summary
