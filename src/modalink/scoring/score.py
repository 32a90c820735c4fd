"""From a prediction file and an annotation file to a report: the score of a benchmark, with its rule and its error bar.

Predictions are read, graded and forgotten one by one, so that a file of any size fits.
"""

import math
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from modalink import files
from modalink.errors import DataError, OptionError, brief
from modalink.scoring.benchmark import (
    Benchmark,
    BenchmarkOptions,
    GradedQuestion,
    MediaBenchmark,
    Question,
    QuestionBenchmark,
    ScoreOptions,
    SetBenchmark,
    Summary,
    scores_of,
)
from modalink.scoring.bootstrap import Comparison, compare, interval
from modalink.scoring.features import EncoderLoader, no_encoder
from modalink.scoring.judged import JudgeOptions
from modalink.scoring.matching import grade_predictions
from modalink.scoring.registry import load, options_of
from modalink.scoring.rows import shown_path

MOST_QUESTIONS = 3_000_000
"""Questions of one benchmark: all of them are held at once."""


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """The result of a benchmark."""

    benchmark: str
    rule: str
    source: str
    unit: str
    score: float
    metrics: dict[str, float]
    count: int | None
    parse_failures: int
    interval: tuple[float, float] | None
    """95 % bootstrap interval of the score."""
    notes: list[str]
    summary: Summary = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)
    comparison: Comparison | None = None
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap intervals of further metrics, by name."""
    both: tuple[Summary, Summary] | None = field(default=None, repr=False)
    """The summaries of two models that are compared, of what both answered."""
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    """The two models by further metrics, by name."""

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
        if self.intervals:
            data["intervals"] = self.intervals
        if self.comparison is not None:
            test = "paired: approximate randomisation for p, bootstrap for the 95 % interval"
            data["against"] = {**_compared(self.comparison), "test": test}
            if self.comparisons:
                data["against"]["metrics"] = {name: _compared(own) for name, own in self.comparisons.items()}
        if per_item:
            data["items"] = [_item(item) for item in self.summary.items]
        return data


def _compared(comparison: Comparison) -> dict[str, Any]:
    return {
        "difference": comparison.difference,
        "interval": comparison.interval,
        "p_value": comparison.p_value,
    }


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
    _check_judged_twice(checked, against)
    for path in (annotations, predictions, against, *dict(checked).values()):
        if isinstance(path, Path):
            files.named(path, DataError)
    with np.errstate(all="ignore"):  # what is not finite in the end is refused below
        summary, both = _summaries(benchmark, checked, annotations, predictions, against, load_encoder)
        comparison = None if both is None or against is None else _compare(*both, against)
        spread = None if summary.sample is None else _finite(interval(summary.sample, checked.replicates))
        intervals = {name: _finite(interval(of, checked.replicates)) for name, of in summary.samples.items()}
    _check_finite(predictions, summary)
    return ScoreReport(
        name,
        benchmark.rule_of(checked),
        benchmark.source,
        summary.unit or benchmark.unit,
        summary.score,
        summary.metrics,
        summary.count,
        sum(not item.grade.parsed for item in summary.items),
        spread,
        summary.notes + _notes(summary, spread, predictions, annotations, against),
        summary,
        checked.model_dump(mode="json", exclude_defaults=True),
        comparison,
        {name: between for name, between in intervals.items() if between is not None},
        both,
        {} if both is None else _by_metric(*both),
    )


def _summaries(
    benchmark: Benchmark,
    options: ScoreOptions,
    annotations: Path | None,
    predictions: Path,
    against: Path | None,
    load_encoder: EncoderLoader,
) -> tuple[Summary, tuple[Summary, Summary] | None]:
    """The summary of the predictions, and both models' of what is compared."""
    if isinstance(benchmark, QuestionBenchmark):
        summary, other = _of_questions(benchmark, options, annotations, predictions, against)
        return summary, None if other is None else (summary, other)
    if isinstance(benchmark, MediaBenchmark):
        summary = benchmark.compare(predictions, annotations, options, None)
        return summary, _media_in_common(benchmark, options, annotations, predictions, against, summary)
    assert isinstance(benchmark, SetBenchmark)
    summary, *others = (
        benchmark.compare(path, annotations, options, load_encoder) for path in (predictions, against) if path
    )
    return summary, (summary, others[0]) if others else None


def _of_questions(
    benchmark: QuestionBenchmark,
    options: ScoreOptions,
    annotations: Path | None,
    predictions: Path,
    against: Path | None,
) -> tuple[Summary, Summary | None]:
    """The summary of the predictions, and of those they are compared with."""
    assert isinstance(options, BenchmarkOptions)
    items, notes = _graded(benchmark, options, annotations, predictions)
    if against is None:
        return _summarised(benchmark, options, items, notes), None
    others, _ = _graded(benchmark, options, annotations, against)
    if options.missing == "skip":
        items, others, in_common = _in_common(items, others, against)
        notes = [*notes, *in_common]
    return _summarised(benchmark, options, items, notes), _summarised(benchmark, options, others, [])


def _graded(
    benchmark: QuestionBenchmark, options: BenchmarkOptions, annotations: Path | None, predictions: Path
) -> tuple[list[GradedQuestion], list[str]]:
    """The graded questions of a prediction file, with notes on how predictions and questions fit together."""
    if annotations is None and not benchmark.self_contained:
        raise DataError(f"{benchmark.title}: needed --annotations: {benchmark.annotations}")
    source = annotations or predictions
    questions = list(islice(benchmark.questions(source, options), MOST_QUESTIONS + 1))
    if len(questions) > MOST_QUESTIONS:
        raise DataError(
            f"{shown_path(source)}: found more than {MOST_QUESTIONS:,} questions, needed fewer; score them in parts"
        )
    if not any(question.scored for question in questions):
        chosen = ", ".join(f"{name}={value}" for name, value in options.model_dump(exclude_defaults=True).items())
        raise DataError(
            f"{shown_path(source)}: found no question to score"
            + (f" with the options {brief(chosen, 200)}" if chosen else "")
        )
    # In one and the same file the rows belong together, even where two questions are worded alike.
    by_row = not benchmark.setup.generated and source.resolve() == predictions.resolve()
    grades, notes = grade_predictions(benchmark, questions, predictions, options, by_row)
    items = [
        GradedQuestion(question, grade)
        for question, grade in zip(questions, grades, strict=True)
        if grade and question.scored
    ]
    return items, notes if by_row else [*notes, *_numbered(questions, source)]


def _media_in_common(
    benchmark: MediaBenchmark,
    options: ScoreOptions,
    annotations: Path | None,
    predictions: Path,
    against: Path | None,
    summary: Summary,
) -> tuple[Summary, Summary] | None:
    """Both systems' summaries of the prompts that both made media of, with a note where that leaves some out."""
    if against is None:
        return None
    others = {item.question.id for item in benchmark.compare(against, annotations, options, None).items}
    ids = others & {item.question.id for item in summary.items}
    if not ids:
        raise DataError(f"{shown_path(against)}: found no media of the same prompts, so that nothing can be compared")
    if left_out := len(others) + len(summary.items) - 2 * len(ids):
        summary.notes.append(f"compared: {len(ids)} media that both systems made, {left_out} of one alone left out")
    left, right = (benchmark.compare(path, annotations, options, ids) for path in (predictions, against))
    return left, right


def _numbered(questions: list[Question], source: Path) -> list[str]:
    """A note on questions that are called by their rows' numbers."""
    if not (count := sum(question.numbered and question.scored for question in questions)):
        return []
    which = f"the {count}" if count == len(questions) else f"{count} of {len(questions)}"
    return [
        f"numbered by row: {which} questions of {shown_path(source)} have no id, and are called by the numbers of "
        "their rows, from 0; predictions name them so, or follow their order"
    ]


def _summarised(
    benchmark: QuestionBenchmark, options: BenchmarkOptions, items: list[GradedQuestion], notes: list[str]
) -> Summary:
    summary = benchmark.summarise(items, options)
    summary.notes[:0] = notes
    return summary


def _in_common(
    items: list[GradedQuestion], others: list[GradedQuestion], against: Path
) -> tuple[list[GradedQuestion], list[GradedQuestion], list[str]]:
    """The items of the questions that both files answer, and a note where that leaves some out."""
    ids = {item.question.id for item in items} & {item.question.id for item in others}
    if not ids:
        raise DataError(
            f"{shown_path(against)}: found no question that both files answer, so that there is nothing to compare"
        )
    common = [[item for item in those if item.question.id in ids] for those in (items, others)]
    left_out = len(items) + len(others) - 2 * len(ids)
    note = f"partial: {len(ids)} questions are answered in both files ({len(items)} and {len(others)}), and are scored"
    return common[0], common[1], [note] if left_out else []


def _compare(left: Summary, right: Summary, against: Path) -> Comparison:
    if left.sample is None or right.sample is None or not (left.items and right.items):
        raise DataError("this score is no mean over items, so that two files cannot be tested against each other")
    if [item.question.id for item in left.items] != [item.question.id for item in right.items]:
        raise DataError(
            f"{shown_path(against)}: found other questions answered; a paired test needed the same ones in both files; "
            "--partial compares those in common"
        )
    comparison = compare(left.sample, right.sample)
    if _finite(comparison.interval) is None:
        raise DataError(f"{shown_path(against)}: found {len(left.items)} questions in common, too few to resample")
    return comparison


def _by_metric(left: Summary, right: Summary) -> dict[str, Comparison]:
    """Two models by the further metrics that both have."""
    shared = {name: compare(own, right.samples[name]) for name, own in left.samples.items() if name in right.samples}
    return {name: own for name, own in shared.items() if _finite(own.interval)}


def _finite(interval: tuple[float, float]) -> tuple[float, float] | None:
    return interval if all(map(math.isfinite, interval)) else None


def _check_judged_twice(options: ScoreOptions, against: Path | None) -> None:
    """Recorded replies of a judge are about the answers of one model."""
    if against is not None and isinstance(options, JudgeOptions) and options.replies and not options.judge:
        raise OptionError(
            "--against: the recorded replies of a judge are about one model's answers; score both files, each with "
            "replies of its own, or give the judge's address instead of --option replies"
        )


def _check_finite(predictions: Path, summary: Summary) -> None:
    """What is no number must not be printed as one."""
    for name, value in {"score": summary.score, **summary.metrics}.items():
        if not math.isfinite(value):
            raise DataError(
                f"{shown_path(predictions)}: {name} is {value}: the numbers in the files are too large or too small"
            )
    for item, value in zip(summary.items, scores_of(summary.items), strict=True):
        if not math.isfinite(value):
            raise DataError(
                f"{shown_path(predictions)}: the score of {brief(item.question.id)} is {value}, needed a finite number"
            )


def _notes(
    summary: Summary,
    spread: tuple[float, float] | None,
    predictions: Path,
    annotations: Path | None,
    against: Path | None,
) -> list[str]:
    """Notes that hold for every benchmark."""
    notes = []
    if summary.sample is None:
        notes.append("no interval: the score is no mean over items")
    elif spread is None:
        notes.append("no interval: too few items to resample")
    for option, path in (("--annotations", annotations), ("--against", against)):
        if path is not None and path.resolve() == predictions.resolve():
            notes.append(f"{option} is the file of the predictions itself")
    return notes
