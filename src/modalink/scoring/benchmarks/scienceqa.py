"""ScienceQA: school science questions with options, about half with an image."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from modalink.errors import DataError
from modalink.scoring.annotations import field_of, letter_of, list_of, text_of, whole_number
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
    mean_summary,
)
from modalink.scoring.metrics.choice import LETTERS, science_qa
from modalink.scoring.predictions import IDS, as_text, row_id
from modalink.scoring.prompts import LETTER, lettered
from modalink.scoring.rows import Row, read_rows

SUBJECTS = {"natural science": "NAT", "social science": "SOC", "language science": "LAN"}


class ScienceqaOptions(BenchmarkOptions):
    """Options of ScienceQA."""

    split: Literal["train", "val", "test", "minitrain", "minival", "minitest"] = "test"
    """Split of problems.json that is scored."""


def questions(path: Path, options: ScienceqaOptions) -> Iterator[Question]:
    """The problems of a split, from `problems.json`, its folder, or a file of labels with one row a question."""
    path = path / "problems.json" if path.is_dir() else path
    for row in read_rows(path):
        fields = row.fields
        if fields.get("split", options.split) != options.split:
            continue
        answer = letter_of(field_of(fields, ("answer", "label"), row.where, "the right answer"), row.where)
        choices = tuple(map(str, list_of(fields, "choices", row.where)))
        number = len(choices) or whole_number(fields.get("num_choices", 5), row.where, "number of choices", range(27))
        if LETTERS.index(answer) >= number:
            raise DataError(f"{row.where}: found answer {answer} of {number} choices")
        hint, text = str(fields.get("hint") or ""), text_of(fields, "question")
        text = f"Context: {hint}\n{text}" if hint else text
        key, image = row_id(row, ("pid", *IDS)), str(fields.get("image") or "")
        # In problems.json every image is called image.png, in a folder of its problem.
        media = f"{options.split}/{key}/{image}" if image and row.key else image
        yield Question(key, (answer, number), text, media, choices=choices, groups=_groups(row))


def _groups(row: Row) -> tuple[tuple[str, str], ...]:
    """The official breakdown; TXT means that there is a hint, NO that there is neither hint nor image."""
    fields = row.fields
    image = bool(fields["has_image"] if "has_image" in fields else fields.get("image"))
    hint = bool(fields.get("hint"))
    groups = [("context", "IMG")] * image + [("context", "TXT")] * hint
    groups += [("context", "NO")] * ("hint" in fields and not image and not hint)
    if (subject := text_of(fields, "subject")) in SUBJECTS:
        groups.append(("subject", SUBJECTS[subject]))
    if grade := text_of(fields, "grade").removeprefix("grade"):
        groups.append(("grade", "G1-6" if whole_number(grade, row.where, "grade") <= 6 else "G7-12"))
    if topic := fields.get("topic"):
        groups.append(("topic", str(topic)))
    return tuple(groups)


def grade(question: Question, reply: Any, where: str, options: ScienceqaOptions) -> Grade:
    """1 where the reply's choice is right; a whole number in the file is an index, as in the official result files."""
    answer, number = question.gold
    is_index = isinstance(reply, int) and not isinstance(reply, bool)
    choice = LETTERS[reply] if is_index and 0 <= reply < number else science_qa(as_text(reply, where))
    valid = choice is not None and LETTERS.index(choice) < number
    return Grade(float(valid and choice == answer), choice or "", valid)


def summarise(items: list[GradedQuestion], options: ScienceqaOptions) -> Summary:
    """The accuracy over all questions, and over those with an image."""
    summary = mean_summary(items)
    if (image := summary.metrics.get("context/IMG")) is not None:
        summary.metrics["image_accuracy"] = image
    return summary


def prompt(question: Question) -> str:
    """LLaVA's CQM-A prompt."""
    return f"{question.text}\n{lettered(question.choices)}\n{LETTER}"


def _image_questions(path: Path, options: ScienceqaOptions) -> Iterator[Question]:
    for question in questions(path, options):
        question.scored = ("context", "IMG") in question.groups
        yield question


_ALL = QuestionBenchmark(
    title="ScienceQA, all questions",
    rule="accuracy; LLaVA's choice parser, a reply without a choice is wrong",
    source="Lu et al. 2022; haotian-liu/LLaVA, eval_science_qa.py; groups of lupantech/ScienceQA, evaluate_acc.py",
    unit="percent",
    annotations="problems.json or its folder, or rows {pid, answer: letter or index, num_choices, has_image}",
    predictions="rows {question_id or pid, text}, or {results: {pid: index}}",
    aliases=("sqa",),
    options=ScienceqaOptions,
    questions=questions,
    grade=grade,
    summarise=summarise,
    setup=Setup(files=("problems.json",), mixed=True),
    prompt=prompt,
)


BENCHMARKS = {
    "scienceqa": _ALL,
    "scienceqa_image": replace(
        _ALL,
        title="ScienceQA, questions with an image",
        aliases=("sqa_image", "scienceqa_img", "sqa_i"),
        questions=_image_questions,
    ),
}
