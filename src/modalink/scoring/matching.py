"""Which prediction answers which question: by id, by content, or by order, and what to do with the rest.

Predictions are read, graded and forgotten one by one, so that a file of any size fits.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modalink.errors import DataError
from modalink.scoring.benchmark import BenchmarkOptions, Grade, Question, QuestionBenchmark
from modalink.scoring.predictions import Prediction

SHOWN = 200
"""Characters of an answer that are kept for the list of items."""

_NOT_FOUND, _SHARED = -1, -2


def grade_predictions(
    benchmark: QuestionBenchmark,
    questions: list[Question],
    path: Path,
    options: BenchmarkOptions,
    by_row: bool,
    most_kept: int = 1 << 28,
) -> tuple[list[Grade | None], list[str]]:
    """A grade for each question, None for those left out, and notes on what was left out.

    Args:
        benchmark: What is asked.
        questions: Its questions.
        path: The predictions.
        options: What the user chose.
        by_row: Whether predictions and annotations are one file, whose rows belong together.
        most_kept: Characters that the replies may have together; a benchmark that compares whole texts holds them all.
    """
    index = _index(questions)
    grades: list[Grade | None] = [None] * len(questions)
    rows: dict[int, str] = {}
    mismatches = _Mismatches()
    characters = 0
    for row, prediction in enumerate(benchmark.replies(path, options)):
        at = next((index[key] for key in prediction.keys if key in index), _NOT_FOUND)
        if not prediction.keys or (at == _SHARED and by_row):
            at = row
        if at < 0 or at >= len(questions):
            why = (
                "several questions have its wording"
                if at == _SHARED
                else ", ".join(prediction.keys)[:60] or "a row too many"
            )
            mismatches.unknown.append(f"{prediction.where} ({why})")
        elif at in rows:
            mismatches.doubled.append(f"{prediction.where} answers {questions[at].id} again, after {rows[at]}")
        else:
            if not prediction.keys and not by_row:
                _check_wording(questions[at], prediction)
            rows[at] = prediction.where
            grade = grades[at] = _grade(benchmark, questions[at], prediction.reply, prediction.where, options)
            characters += len(grade.answer)
            if characters > most_kept:
                raise DataError(
                    f"{prediction.where}: the replies so far have more than {most_kept} characters; are they answers?"
                )
    for at, question in enumerate(questions):
        if grades[at] is None and question.scored:
            mismatches.missing.append(question.id)
            if options.missing == "wrong":
                grades[at] = _grade(benchmark, question, "", f"question {question.id} without a prediction", options)
    return grades, mismatches.notes(path, options, sum(question.scored for question in questions))


def _grade(
    benchmark: QuestionBenchmark, question: Question, reply: Any, where: str, options: BenchmarkOptions
) -> Grade:
    grade = benchmark.grade(question, reply, where, options)
    if not benchmark.keeps_text and len(grade.answer) > SHOWN:
        grade.answer = f"{grade.answer[:SHOWN]}…"
    return grade


def _index(questions: list[Question]) -> dict[str, int]:
    """Questions by every key; a key of content that several questions share tells none of them."""
    index: dict[str, int] = {}
    for at, question in enumerate(questions):
        if question.id and question.id in index:
            raise DataError(f"annotations: found question {question.id!r} twice, needed every id once")
        index[question.id] = at
    for at, question in enumerate(questions):
        for key in question.keys:
            if index.setdefault(key, at) != at:
                index[key] = _SHARED
    index.pop("", None)
    return index


def _check_wording(question: Question, prediction: Prediction) -> None:
    """Rows without ids are taken in order, but not where they repeat another question than the one at their place."""
    repeated, asked = (text.split("\n")[0].strip().lower() for text in (prediction.question, question.text))
    if repeated and asked and not repeated.startswith(asked) and not asked.startswith(repeated):
        raise DataError(
            f"{prediction.where}: found the question {repeated!r:.80} where the annotations have {asked!r:.80}; rows "
            f"without an id "
            "needed the order of the annotations"
        )


@dataclass(slots=True)
class _Mismatches:
    """Predictions and questions that do not fit together."""

    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def notes(self, path: Path, options: BenchmarkOptions, number: int) -> list[str]:
        """Notes on what was left out, where options allow it; else an error that tells all of it."""
        answered = number - len(self.missing)
        problems = [
            text
            for affected, text in (
                (self.missing, f"{len(self.missing)} of {number} questions have no prediction ({_few(self.missing)})"),
                (self.doubled, f"{len(self.doubled)} predictions are doubled ({_few(self.doubled)})"),
                (
                    self.unknown,
                    f"{len(self.unknown)} predictions answer no question of the annotations ({_few(self.unknown)})",
                ),
            )
            if affected
        ]
        if not problems or options.missing == "skip":
            return [f"partial: {text}; {answered} scored" for text in problems]
        if options.missing == "wrong" and not self.doubled and not self.unknown:
            return [f"{problems[0]}, which count as empty replies"]
        raise DataError(f"{path}: {'; '.join(problems)}; --partial scores the {answered} that fit")


def _few(entries: list[str]) -> str:
    return ", ".join(entries[:3]) + (", ..." if len(entries) > 3 else "")
