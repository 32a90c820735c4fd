"""MME: two questions on each image, one to be answered yes and one no."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modalink.errors import DataError, OptionError, shown
from modalink.scoring.annotations import field_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
    plain_replies,
)
from modalink.scoring.bootstrap import Sums
from modalink.scoring.metrics import yes_no
from modalink.scoring.predictions import Prediction, as_text
from modalink.scoring.rows import read_rows, shown_path

PERCEPTION = ("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR")
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")


class MmeOptions(BenchmarkOptions):
    """Options of MME."""


def _key(task: str, image: str, question: str) -> str:
    """A question by its content: files differ in the folder and suffix of images and in the line after the question."""
    text = question.split("\n")[0].replace("Please answer yes or no.", "")
    return f"{task}/{Path(image).stem}/{' '.join(text.split())}"


def _lines(path: Path, tasks: Sequence[str], columns: int) -> Iterator[tuple[str, str, list[str]]]:
    """(position, task, cells) of the tab separated text files of a folder, one file a task."""
    if not any((path / f"{task}.txt").is_file() for task in tasks):
        below = next((p.parent for task in tasks for p in sorted(path.glob(f"*/{task}.txt"))), None)
        hint = f"; is it {below}?" if below else ""
        raise DataError(f"{path}: found no {tasks[0]}.txt or another sub-task's file in it{hint}")
    for task in tasks:
        file = path / f"{task}.txt"
        if not file.is_file():
            continue
        # A reply may hold other line separators than \n, at which str.splitlines would cut.
        with file.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(_decoded(file, lines), 1):
                cells = line.rstrip("\r\n").split("\t")
                if len(cells) < columns:
                    raise DataError(
                        f"{shown_path(file)}, line {number}: found {len(cells)} tab separated cells, needed {columns}: "
                        "image, question, label, reply; a reply must hold no tab or line end"
                    )
                yield f"{shown_path(file)}, line {number}", task, cells


def _decoded(file: Path, lines: Iterator[str]) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise DataError(f"{shown_path(file)}: not UTF-8 text ({error.reason} near byte {error.start})") from error


def _questions(tasks: Sequence[str]) -> Callable[[Path, MmeOptions], Iterator[Question]]:
    def read(path: Path, options: MmeOptions) -> Iterator[Question]:
        rows = _lines(path, tasks, 3) if path.is_dir() else _table(path, tasks)
        numbers: Counter[str] = Counter()
        for where, task, (image, text, label, *_) in rows:
            if label.lower() not in ("yes", "no"):
                raise DataError(f"{where}: found label {shown(label)}, needed yes or no")
            key = _key(task, image, text)
            numbers[task] += 1
            yield Question(
                f"{task}/{numbers[task]}", label.lower(), text, f"{task}/{image}", groups=(("task", task),), keys=(key,)
            )

    return read


def _table(path: Path, tasks: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    for row in read_rows(path):
        task = str(field_of(row.fields, ("category", "task"), row.where, "the sub-task"))
        if task in tasks:
            image = str(field_of(row.fields, ("image", "question_id"), row.where, "the image"))
            label = str(field_of(row.fields, ("label", "answer"), row.where, "yes or no"))
            yield (
                row.where,
                task,
                [image, str(field_of(row.fields, ("question", "text"), row.where, "the question")), label],
            )


def _replies(tasks: Sequence[str]) -> Callable[[Path, MmeOptions], Iterator[Prediction]]:
    def read(path: Path, options: MmeOptions) -> Iterator[Prediction]:
        if path.is_dir():
            if options.id_field or options.reply_field:
                raise OptionError("options id_field and reply_field: the sub-tasks' text files have no named fields")
            for where, task, cells in _lines(path, tasks, 4):
                yield Prediction(where, (_key(task, cells[0], cells[1]),), "\t".join(cells[3:]), "reply", cells[1])
            return
        for prediction in plain_replies(path, options, ids=("question_id", "image", "id")):
            task, _, image = next(iter(prediction.keys), "").partition("/")
            if task in tasks or task not in (*PERCEPTION, *COGNITION):
                # A run's own files have the question's id, others' its image and words.
                keys = (*prediction.keys, _key(task, image, prediction.question))
                yield Prediction(prediction.where, keys, prediction.reply, prediction.field)

    return read


def _grade(question: Question, reply: Any, where: str, options: MmeOptions) -> Grade:
    choice = yes_no.mme(as_text(reply, where))
    return Grade(float(choice == question.gold), choice, choice != "other")


def _table_of(items: list[GradedQuestion], tasks: list[str], partial: bool) -> np.ndarray:
    """A row for each image, with columns (right answers, both right, images) of its task."""
    rows = []
    for at, task in enumerate(tasks):
        images: dict[int, list[GradedQuestion]] = {}
        for item in items:
            if item.question.groups[0][1] == task:
                images.setdefault(_image_of(item), []).append(item)
        pairs = [pair for pair in images.values() if len(pair) == 2]
        if not pairs or (len(pairs) < len(images) and not partial):
            raise DataError(
                f"MME {task}: found {sum(map(len, images.values()))} questions, needed pairs: two consecutive lines "
                "for each image"
            )
        for pair in pairs:
            right = sum(item.grade.score for item in pair)
            row = np.zeros(3 * len(tasks))
            row[3 * at : 3 * at + 3] = right, right == 2, 1
            rows.append(row)
    return np.array(rows)


def _image_of(item: GradedQuestion) -> int:
    """The number of a question's image in its sub-task, two questions each, as the official script counts."""
    return (int(item.question.id.rpartition("/")[2]) - 1) // 2


def _task_scores(sums: np.ndarray) -> np.ndarray:
    """From column sums [b 3·tasks] to scores [b tasks]: 100 · accuracy + 100 · accuracy of whole images."""
    right, both, images = np.moveaxis(sums.reshape(len(sums), -1, 3), -1, 0)
    safe = np.maximum(images, 1)
    return 100 * right / (2 * safe) + 100 * both / safe


def _summariser(tasks: Sequence[str]) -> Callable[[list[GradedQuestion], MmeOptions], Summary]:
    def summarise(items: list[GradedQuestion], options: MmeOptions) -> Summary:
        there = [task for task in tasks if any(item.question.groups[0][1] == task for item in items)]
        if (absent := [task for task in tasks if task not in there]) and options.missing == "error":
            raise DataError(
                f"MME: found no questions of {', '.join(absent)}; --partial sums the {len(there)} sub-tasks that are "
                f"there"
            )
        columns = _table_of(items, there, options.missing == "skip")
        scores = dict(zip(there, _task_scores(columns.sum(0, keepdims=True))[0].tolist(), strict=True))
        parts = {"perception": PERCEPTION, "cognition": COGNITION}
        metrics = {
            part: sum(scores[t] for t in names if t in scores)
            for part, names in parts.items()
            if set(names) & set(there)
        }
        total = sum(scores.values())
        sample = Sums(columns, lambda sums: _task_scores(sums).sum(1))
        notes = [f"without the sub-tasks {', '.join(absent)}"] if absent else []
        if alone := len(items) - 2 * len(columns):
            notes.append(f"partial: {alone} questions whose image has no other one answered are left out of the score")
        return Summary(total, {**metrics, **scores}, sample, notes, items, len(items))

    return summarise


def mme(title: str, tasks: Sequence[str], aliases: tuple[str, ...] = ()) -> QuestionBenchmark:
    """MME over some of its sub-tasks."""
    return replace(
        _TEMPLATE,
        title=title,
        aliases=aliases,
        questions=_questions(tasks),
        replies=_replies(tasks),
        summarise=_summariser(tasks),
        setup=Setup(files=(f"{tasks[0]}.txt",), folder=True, max_new_tokens=16),
    )


_TEMPLATE = QuestionBenchmark(
    title="MME",
    rule="sum over sub-tasks of 100 · accuracy + 100 · accuracy+ (both questions of an image); yes or no in the "
    "first four characters",
    source="Fu et al. 2023; MME eval_tool, calculation.py; prompt of haotian-liu/LLaVA",
    unit="points",
    annotations="folder of <sub-task>.txt, tab separated: image, question, label; or rows {category, image, "
    "question, answer}",
    predictions="folder of <sub-task>.txt, tab separated: image, question, label, reply; or rows {question_id: "
    "sub-task/image, prompt, text}",
    options=MmeOptions,
    questions=_questions((*PERCEPTION, *COGNITION)),
    replies=_replies((*PERCEPTION, *COGNITION)),
    grade=_grade,
    summarise=_summariser((*PERCEPTION, *COGNITION)),
    prompt=lambda question: (
        question.text.replace("Please answer yes or no.", "").strip()
        + "\nAnswer the question using a single word or phrase."
    ),
    self_contained=True,
)


BENCHMARKS = {
    "mme": mme("MME, perception and cognition", (*PERCEPTION, *COGNITION)),
    "mme_cognition": mme("MME cognition", COGNITION),
    "mme_perception": mme("MME perception", PERCEPTION),
}
