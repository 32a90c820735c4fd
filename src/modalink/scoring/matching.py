"""Which prediction answers which question: by id, by content, or by order, and what to do with the rest.

Predictions are read, graded and forgotten one by one, so that a file of any size fits.
"""

from dataclasses import dataclass, field
from pathlib import Path

from modalink.errors import DataError, brief
from modalink.scoring.benchmark import BenchmarkOptions, Grade, Question, QuestionBenchmark
from modalink.scoring.predictions import Prediction
from modalink.scoring.rows import shown_path

SHOWN = 200
"""Characters of an answer that are kept for the list of items."""
LONGEST_TEXT = 20_000
"""Characters of a reply that is kept whole."""
LONGEST_TEXTS = 1 << 24
"""Characters of all replies that are kept whole."""
MOST_UNMATCHED = 2_000_000
"""Predictions that `--partial` may leave out before the file is taken for another one."""
MOST_UNMATCHED_IN_ERROR = 100_000
"""Predictions that may fit no question before the rest is not read, where any is an error."""

_NOT_FOUND, _SHARED = -1, -2


def grade_predictions(
    benchmark: QuestionBenchmark,
    questions: list[Question],
    path: Path,
    options: BenchmarkOptions,
    by_row: bool,
    most_kept: int = LONGEST_TEXTS,
) -> tuple[list[Grade | None], list[str]]:
    """A grade for each question, None for those left out, and notes on what a reader of the score must know.

    Args:
        benchmark: What is asked.
        questions: Its questions.
        path: The predictions.
        options: What the user chose.
        by_row: Whether predictions and annotations are one file, whose rows belong together.
        most_kept: Characters that the replies may have together; a benchmark that compares whole texts holds them all.

    Raises:
        DataError: Predictions and questions do not fit together, and the options do not allow it.
    """
    most = MOST_UNMATCHED if options.missing == "skip" else MOST_UNMATCHED_IN_ERROR
    match, replies = _Match(questions, path, by_row, most), _Replies(most_kept)
    grades: list[Grade | None] = [None] * len(questions)
    for row, prediction in enumerate(benchmark.replies(path, options)):
        at = match.question_of(row, prediction)
        if at is not None:
            grades[at] = replies.graded(benchmark, questions[at], prediction, options)
    missing = [at for at, question in enumerate(questions) if grades[at] is None and question.scored]
    notes = match.notes(missing, options, benchmark.when_unmatched)
    if options.missing == "wrong":
        for at in missing:
            grades[at] = benchmark.when_missing(questions[at], options)
    return grades, notes + replies.notes("captions" if benchmark.setup.wordless else "replies")


@dataclass(slots=True)
class _Replies:
    """Replies as they are graded, and what is odd about them all."""

    most_kept: int
    characters: int = 0
    number: int = 0
    empty: int = 0
    repeated: int = 0

    def graded(
        self, benchmark: QuestionBenchmark, question: Question, prediction: Prediction, options: BenchmarkOptions
    ) -> Grade:
        reply = prediction.reply.strip() if isinstance(prediction.reply, str) else None
        self.number += 1
        self.empty += reply == ""
        self.repeated += bool(reply) and reply == question.text.strip()
        grade = benchmark.grade(question, prediction.reply, prediction.where, options)
        grade.answer_id = prediction.answer_id
        if not benchmark.keeps_text:
            grade.answer = grade.answer if len(grade.answer) <= SHOWN else f"{grade.answer[:SHOWN]}…"
        elif len(grade.answer) > LONGEST_TEXT:
            raise DataError(
                f"{prediction.where}: the reply has {len(grade.answer):,} characters, needed {LONGEST_TEXT:,} at most; "
                "is it an answer?"
            )
        self.characters += len(grade.answer)
        if self.characters > self.most_kept:
            raise DataError(
                f"{prediction.where}: the replies so far have more than {self.most_kept} characters; are they answers?"
            )
        return grade

    def notes(self, noun: str) -> list[str]:
        notes = [f"{self.empty} {noun} are empty"] if self.empty else []
        if self.repeated:
            notes.append(
                f"{self.repeated} of {self.number} {noun} repeat their question word for word; is it the file of "
                "questions?"
            )
        return notes


@dataclass(slots=True)
class _Unmatched:
    """Predictions of one kind that could not be used: how many, and the first of them."""

    most: int
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, prediction: Prediction, why: str) -> None:
        self.count += 1
        if len(self.first) < 3:
            self.first.append(f"{prediction.where} {why}")
        if self.count > self.most:
            raise DataError(
                f"{prediction.where}: more than {self.most:,} predictions fit no question, or one again "
                f"({self.first[0]}); is it the right file?"
            )


class _Match:
    """Finds each prediction's question, and keeps account of what does not fit."""

    def __init__(self, questions: list[Question], path: Path, by_row: bool, most: int) -> None:
        self.questions, self.path, self.by_row = questions, path, by_row
        self.index = _index(questions)
        self.parts = {member for question in questions for _, member in question.groups}
        self.rows: dict[int, str] = {}
        self.doubled, self.unknown, self.elsewhere = (_Unmatched(most) for _ in range(3))
        self.ordered = 0
        self.first_keys: tuple[str, ...] = ()

    def question_of(self, row: int, prediction: Prediction) -> int | None:
        """The index of the question that a prediction answers; None where it is left out."""
        at = next((self.index[key] for key in prediction.keys if key in self.index), _NOT_FOUND)
        self.first_keys = self.first_keys or prediction.keys
        if not prediction.keys or (at == _SHARED and self.by_row):
            self.ordered += not prediction.keys
            at = row
        if at < 0 or at >= len(self.questions):
            self._leave_out(prediction, at)
        elif at in self.rows:
            self.doubled.add(prediction, f"answers {brief(self.questions[at].id)} again, after {self.rows[at]}")
        else:
            if not prediction.keys and not self.by_row:
                _check_wording(self.questions[at], prediction)
            self.rows[at] = prediction.where
            return at
        return None

    def _leave_out(self, prediction: Prediction, at: int) -> None:
        if prediction.part and prediction.part not in self.parts:
            self.elsewhere.add(prediction, f"({brief(prediction.part)})")
        elif at == _SHARED:
            self.unknown.add(prediction, "(several questions have its id or wording)")
        else:
            self.unknown.add(prediction, f"({brief(', '.join(prediction.keys)) or 'a row too many'})")

    def notes(self, missing: list[int], options: BenchmarkOptions, hint: str) -> list[str]:
        """Notes on how predictions were matched, and what was left out, where options allow it.

        Raises:
            DataError: They do not allow it; the message tells all of it.
        """
        number = sum(question.scored for question in self.questions)
        answered = number - len(missing)
        notes = self._order()
        if self.elsewhere.count:
            notes.append(f"{self.elsewhere.count} predictions of parts that are not annotated are left out")
        problems = self._problems(missing, number)
        if not problems:
            return notes
        if not answered:
            raise DataError(
                f"{shown_path(self.path)}: {'; '.join([self._nothing_in_common(), *problems])}{hint and f'; {hint}'}"
            )
        if options.missing == "skip":
            return notes + [f"partial: {text}; {answered} scored" for text in problems]
        if options.missing == "wrong" and not self.doubled.count and not self.unknown.count:
            return [*notes, f"{problems[0]}, which count as empty replies, and as wrong"]
        raise DataError(
            f"{shown_path(self.path)}: {'; '.join(problems)}; --partial scores the {answered} that fit"
            f"{hint and f'; {hint}'}"
        )

    def _problems(self, missing: list[int], number: int) -> list[str]:
        lost = [brief(self.questions[at].id) for at in missing[:3]]
        texts = {
            f"{len(missing)} of {number} questions have no prediction ({_few(lost, len(missing))})": len(missing),
            f"{self.doubled.count} predictions are doubled ({_few(self.doubled.first, self.doubled.count)})": (
                self.doubled.count
            ),
            f"{self.unknown.count} predictions answer no question of the annotations "
            f"({_few(self.unknown.first, self.unknown.count)})": self.unknown.count,
        }
        return [text for text, count in texts.items() if count]

    def _nothing_in_common(self) -> str:
        if not self.first_keys:
            return "found no prediction for any question of the annotations"
        asked = next((q for q in self.questions if q.scored), None)
        theirs = " or ".join(map(brief, self.first_keys))
        ours = " or ".join(brief(key) for key in (asked.id, *asked.keys) if key) if asked else ""
        return (
            f"found no prediction for any question of the annotations: the first prediction is for {theirs}, the first "
            f"question is {ours or 'without an id'}; another field may hold the id: --option id_field=NAME"
        )

    def _order(self) -> list[str]:
        """A note on predictions that were taken in order, where nothing else tells whose they are."""
        if not self.ordered or self.by_row:
            return []
        return [f"matched by order: {self.ordered} predictions have no id, and follow the order of the annotations"]


def _index(questions: list[Question]) -> dict[str, int]:
    """Questions by every key; a key of content that several questions share tells none of them."""
    index: dict[str, int] = {}
    for at, question in enumerate(questions):
        if question.id and question.id in index:
            raise DataError(f"annotations: found question '{brief(question.id)}' twice, needed every id once")
        index[question.id] = at
    for at, question in enumerate(questions):
        for key in question.keys:
            if index.setdefault(key, at) != at:
                index[key] = _SHARED
    index.pop("", None)
    return index


def _check_wording(question: Question, prediction: Prediction) -> None:
    """Rows without ids are taken in order, but not where they repeat another question than theirs."""
    repeated, asked = (text.split("\n")[0].strip().lower() for text in (prediction.question, question.text))
    if repeated and asked and not repeated.startswith(asked) and not asked.startswith(repeated):
        raise DataError(
            f"{prediction.where}: found the question {repeated!r:.80} where the annotations have {asked!r:.80}; rows "
            "without an id needed the order of the annotations"
        )


def _few(entries: list[str], count: int) -> str:
    return ", ".join(entries) + (", ..." if count > len(entries) else "")
