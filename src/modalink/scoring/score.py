"""From a prediction file and an annotation file to a report: the score of a benchmark, with its rule and its error bar.

Predictions are read, graded and forgotten one by one, so that a file of any size fits.
"""

import math
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from modalink import files
from modalink.errors import DataError, OptionError, brief
from modalink.scoring.against import compared, compared_by_metric, finite, media_in_common, questions_in_common
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
from modalink.scoring.bootstrap import interval
from modalink.scoring.features import EncoderLoader, no_encoder
from modalink.scoring.judged import JudgeOptions
from modalink.scoring.matching import grade_predictions
from modalink.scoring.registry import load, options_of
from modalink.scoring.report import ScoreReport
from modalink.scoring.rows import shown_path

__all__ = ["MOST_QUESTIONS", "ScoreReport", "score"]

MOST_QUESTIONS = 3_000_000
"""Questions of one benchmark: all of them are held at once."""


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
        comparison = None if both is None or against is None else compared(*both, against)
        spread = None if summary.sample is None else finite(interval(summary.sample, checked.replicates))
        intervals = {name: finite(interval(of, checked.replicates)) for name, of in summary.samples.items()}
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
        {} if both is None else compared_by_metric(*both),
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
        return summary, media_in_common(benchmark, options, annotations, predictions, against, summary)
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
        items, others, in_common = questions_in_common(items, others, against)
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
