"""From a prediction file and an annotation file to a report: the score of a benchmark, with its rule and its error bar.

Predictions are read, graded and forgotten one by one, so that a file of any size fits.
"""

import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modalink.errors import DataError, OptionError, UnknownNameError
from modalink.evaluation.benchmarks._base import (
    Benchmark,
    Grade,
    Item,
    ItemBenchmark,
    Options,
    Question,
    SetBenchmark,
    Summary,
)
from modalink.evaluation.bootstrap import Comparison, compare, interval
from modalink.evaluation.predictions import Prediction
from modalink.kinds import kinds

ROOM = "modalink.evaluation.benchmarks"
SHOWN = 200
"""Characters of an answer that are kept for the list of items."""


@dataclass(frozen=True, slots=True)
class Report:
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
        found = {name: getattr(self, name) for name in names}
        if self.comparison is not None:
            found["against"] = {
                "difference": self.comparison.difference,
                "interval": self.comparison.interval,
                "p_value": self.comparison.p_value,
                "test": "paired: approximate randomisation for p, bootstrap for the 95 % interval",
            }
        if per_item:
            found["items"] = [_item(item) for item in self.summary.items]
        return found


def _item(item: Item) -> dict[str, Any]:
    grade = item.grade
    return {"id": item.question.id, "score": grade.score, "answer": grade.answer, "parsed": grade.parsed}


def names() -> list[str]:
    """The names of all benchmarks."""
    return sorted(kinds(ROOM))


def load(name: str) -> tuple[str, Benchmark]:
    """A benchmark by its name or an alias, whatever the case and the hyphens.

    Raises:
        UnknownNameError: There is none.
    """
    plain = _plain(name)
    by_name = {_plain(known): known for known in names()}
    if plain in by_name:
        return by_name[plain], _benchmark(by_name[plain])
    for known in names():
        found = _benchmark(known)
        if plain in map(_plain, found.aliases):
            return known, found
    raise UnknownNameError("benchmark", name, names())


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())


def _benchmark(name: str) -> Benchmark:
    module, _, attribute = kinds(ROOM)[name].partition(":")
    found: Benchmark = getattr(importlib.import_module(module), attribute or "benchmark")
    return found


def options_of(benchmark: Benchmark, given: dict[str, Any]) -> Options:
    """The options of a benchmark, checked.

    Raises:
        UnknownNameError: It has no option of a name.
        OptionError: An option has a value that it cannot have.
    """
    known = benchmark.options.model_fields
    for key in given:
        if key not in known:
            raise UnknownNameError(f"option of {benchmark.title}", key, known)
    try:
        return benchmark.options.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise OptionError(f"option {name}: found {first['input']!r:.60}; {first['msg']}") from error


def score(
    name: str,
    predictions: Path,
    annotations: Path | None = None,
    options: dict[str, Any] | None = None,
    against: Path | None = None,
) -> Report:
    """Score a prediction file.

    Args:
        name: The benchmark's name.
        predictions: What the model answered, in one of the benchmark's formats.
        annotations: The right answers; may be left out where the predictions carry them.
        options: The benchmark's options, by name.
        against: Another model's predictions, to test whether the two differ.

    Raises:
        DataError: A file cannot be read, or does not answer the questions; the message says which.
        OptionError: An option has a value that it cannot have.
        UnknownNameError: There is no such benchmark or option.
    """
    name, benchmark = load(name)
    checked = options_of(benchmark, options or {})
    summary = _summary(benchmark, predictions, annotations, checked)
    comparison = None
    if against is not None:
        comparison = _compare(summary, _summary(benchmark, against, annotations, checked), against)
    return Report(
        name,
        benchmark.rule_of(checked) if isinstance(benchmark, ItemBenchmark) and benchmark.rule_of else benchmark.rule,
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


def _summary(benchmark: Benchmark, predictions: Path, annotations: Path | None, options: Options) -> Summary:
    if isinstance(benchmark, SetBenchmark):
        return benchmark.compare(predictions, annotations, options)
    assert isinstance(benchmark, ItemBenchmark)
    if annotations is None and not benchmark.self_contained:
        raise DataError(f"{benchmark.title}: needed --annotations: {benchmark.annotations}")
    questions = list(benchmark.questions(annotations or predictions, options))
    # In one and the same file the rows belong together, even where two questions are worded alike.
    by_row = annotations is None or annotations.resolve() == predictions.resolve()
    grades, notes = _graded(benchmark, questions, predictions, options, by_row)
    items = [
        Item(question, grade) for question, grade in zip(questions, grades, strict=True) if grade and question.scored
    ]
    if not items:
        raise DataError(f"{predictions}: found no prediction for any question of {annotations or predictions}")
    summary = benchmark.summarise(items, options)
    summary.notes[:0] = notes
    return summary


def _graded(
    benchmark: ItemBenchmark, questions: list[Question], path: Path, options: Options, by_row: bool
) -> tuple[list[Grade | None], list[str]]:
    """A grade for each question, None for those left out, and notes on what was left out."""
    index = _index(questions)
    grades: list[Grade | None] = [None] * len(questions)
    rows: dict[int, str] = {}
    trouble = _Trouble()
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
            trouble.unknown.append(f"{prediction.where} ({why})")
        elif at in rows:
            trouble.doubled.append(f"{prediction.where} answers {questions[at].id} again, after {rows[at]}")
        else:
            if not prediction.keys and not by_row:
                _check_wording(questions[at], prediction)
            rows[at] = prediction.where
            grades[at] = _grade(benchmark, questions[at], prediction.reply, prediction.where, options)
    for at, question in enumerate(questions):
        if grades[at] is None and question.scored:
            trouble.missing.append(question.id)
            if options.missing == "wrong":
                grades[at] = _grade(benchmark, question, "", f"question {question.id} without a prediction", options)
    return grades, trouble.settle(path, options, sum(question.scored for question in questions))


def _grade(benchmark: ItemBenchmark, question: Question, reply: Any, where: str, options: Options) -> Grade:
    grade = benchmark.grade(question, reply, where, options)
    if not benchmark.keeps_text and len(grade.answer) > SHOWN:
        grade.answer = f"{grade.answer[:SHOWN]}…"
    return grade


_NOT_FOUND, _SHARED = -1, -2


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
    said, asked = (text.split("\n")[0].strip().lower() for text in (prediction.question, question.text))
    if said and asked and not said.startswith(asked) and not asked.startswith(said):
        raise DataError(
            f"{prediction.where}: found the question {said!r:.80} where the annotations have {asked!r:.80}; rows "
            f"without an id "
            "needed the order of the annotations"
        )


@dataclass(slots=True)
class _Trouble:
    """Predictions and questions that do not fit together."""

    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def settle(self, path: Path, options: Options, number: int) -> list[str]:
        """Notes on what was left out, where options allow it; else an error that tells all of it."""
        answered = number - len(self.missing)
        said = [
            text
            for found, text in (
                (self.missing, f"{len(self.missing)} of {number} questions have no prediction ({_few(self.missing)})"),
                (self.doubled, f"{len(self.doubled)} predictions are doubled ({_few(self.doubled)})"),
                (
                    self.unknown,
                    f"{len(self.unknown)} predictions answer no question of the annotations ({_few(self.unknown)})",
                ),
            )
            if found
        ]
        if not said or options.missing == "skip":
            return [f"partial: {text}; {answered} scored" for text in said]
        if options.missing == "wrong" and not self.doubled and not self.unknown:
            return [f"{said[0]}, which count as empty replies"]
        raise DataError(f"{path}: {'; '.join(said)}; --partial scores the {answered} that fit")


def _few(entries: list[str]) -> str:
    return ", ".join(entries[:3]) + (", ..." if len(entries) > 3 else "")


def listing() -> Iterator[tuple[str, Benchmark]]:
    """All benchmarks by name."""
    for name in names():
        yield name, _benchmark(name)
