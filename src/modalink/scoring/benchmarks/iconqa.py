"""IconQA, called IconVQA too: questions about icon images; vision-language papers mostly mean its `choose_txt` part."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from modalink.errors import DataError
from modalink.scoring.annotations import field_of, list_of, rows_if_there, text_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    Question,
    QuestionBenchmark,
    Setup,
    mean_summary,
    plain_replies,
)
from modalink.scoring.metrics.choice import LETTERS
from modalink.scoring.predictions import IDS, Prediction, as_text, row_id
from modalink.scoring.prompts import letter_prompt
from modalink.scoring.rows import read_rows

TASKS = ("choose_img", "choose_txt", "fill_in_blank")


class IconqaOptions(BenchmarkOptions):
    """Options of IconQA."""

    part: Literal["all", "choose_img", "choose_txt", "fill_in_blank"] = "all"
    """Which of the three tasks is scored."""
    split: Literal["", "train", "val", "test", "minitrain", "minival", "minitest"] = ""
    """Split by the file pid_splits.json beside the problems, or by their own `split`; all when empty."""


def _questions(path: Path, options: IconqaOptions) -> Iterator[Question]:
    path = path / "problems.json" if path.is_dir() else path
    skills = _beside(path.with_name("pid2skills.json"))
    members = set(map(str, _beside(path.with_name("pid_splits.json")).get(options.split, ())))
    for row in read_rows(path):
        fields, key = row.fields, row_id(row, ("pid", *IDS))
        if options.split and key not in members and (members or fields.get("split") != options.split):
            continue
        task = text_of(fields, "ques_type")
        groups = [("task", task)] * bool(task) + [
            ("skill", str(skill)) for skill in skills.get(key, list_of(fields, "skills", row.where))
        ]
        gold = str(field_of(fields, ("answer", "label"), row.where, "the right answer"))
        choices, text = tuple(map(str, list_of(fields, "choices", row.where))), text_of(fields, "question")
        image = str(fields.get("image", "image.png" if row.key else ""))
        # In problems.json every image has the same name, in a folder of its problem.
        media, *shown = (f"{task}/{key}/{name}" if row.key else name for name in (image, *_pictures(task, choices)))
        yield Question(
            key, gold, text, media, shown=tuple(shown), choices=choices, groups=tuple(groups),
            scored=options.part in ("all", task),
        )  # fmt: skip


def _pictures(task: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    return choices if task == "choose_img" else ()


def _beside(path: Path) -> dict[str, list[Any]]:
    return {str(row.key): list_of(row.fields, "value", row.where) for row in rows_if_there(path)}


def _replies(path: Path, options: IconqaOptions) -> Iterator[Prediction]:
    """The replies of a file, or of the official three, one a task, in a folder."""
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: found no .json file of results")
    for file in files:
        yield from plain_replies(file, options, ("pid", *IDS))


def _grade(question: Question, reply: Any, where: str, options: IconqaOptions) -> Grade:
    """Equality as text; where options are asked for, a letter stands for its index."""
    text = as_text(reply, where)
    letter = text.strip().removesuffix(".")
    if question.choices and len(letter) == 1 and letter in LETTERS:
        text = str(LETTERS.index(letter))
    return Grade(float(text == question.gold), text, not question.choices or text.isdecimal())


def _prompt(question: Question) -> str:
    if question.shown:
        # The options are pictures, shown after the first.
        pictures = tuple(f"picture {number}" for number in range(2, 2 + len(question.shown)))
        return letter_prompt(replace(question, choices=pictures))
    return (
        letter_prompt(question)
        if question.choices
        else f"{question.text}\nAnswer the question using a single word or phrase."
    )


def _rule(options: IconqaOptions) -> str:
    part = "" if options.part == "all" else f" of {options.part}"
    return f"accuracy over questions{part}, str(reply) = str(answer); a letter stands for its option's index"


BENCHMARKS = {
    "iconqa": QuestionBenchmark(
        title="IconQA",
        rule=_rule,
        source="Lu et al. 2021; lupantech/IconQA, tools/sub_acc.py",
        unit="percent",
        annotations="problems.json: {pid: {question, choices, answer, ques_type}}, with pid2skills.json and "
        "pid_splits.json beside it",
        predictions="the official {results: {pid: index or text}}, one file or a folder of them, or rows {pid, answer}",
        aliases=("iconvqa",),
        options=IconqaOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        summarise=lambda items, options: mean_summary(items),
        setup=Setup(files=("problems.json",)),
        prompt=_prompt,
    ),
}
