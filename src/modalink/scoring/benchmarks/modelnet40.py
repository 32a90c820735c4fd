"""ModelNet40, zero-shot: which of 40 classes a shape is, by its embedding or in words."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modalink.errors import DataError, shown
from modalink.scoring.annotations import field_of, text_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
    mean_summary,
    plain_replies,
)
from modalink.scoring.predictions import IDS, Prediction, as_text, row_id
from modalink.scoring.rows import read_rows

CLASSES = (
    "airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone", "cup", "curtain",
    "desk", "door", "dresser", "flower pot", "glass box", "guitar", "keyboard", "lamp", "laptop", "mantel", "monitor",
    "night stand", "person", "piano", "plant", "radio", "range hood", "sink", "sofa", "stairs", "stool", "table",
    "tent", "toilet", "tv stand", "vase", "wardrobe", "xbox",
)  # fmt: skip
_NAMES = re.compile(r"\b(" + "|".join(sorted(CLASSES, key=len, reverse=True)) + r")\b")


def class_of(value: Any, where: str) -> str | None:
    """The one class that a value names, by its alphabetical index or by its name in a text; None if not one."""
    if (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdecimal()):
        # Text is compared as text: it may have more digits than a number can.
        index = str(value).lstrip("0") or "0"
        return next((name for number, name in enumerate(CLASSES) if str(number) == index), None)
    classes = set(_NAMES.findall(as_text(value, where).lower().replace("_", " ")))
    return classes.pop() if len(classes) == 1 else None


def _questions(path: Path, options: BenchmarkOptions) -> Iterator[Question]:
    for row in read_rows(path):
        label = field_of(row.fields, ("label", "class", "answer", "value"), row.where, "the class")
        gold = class_of(label, row.where)
        if gold is None:
            raise DataError(
                f"{row.where}: found {shown(label)}, needed one of ModelNet40's classes or an index from 0 to 39"
            )
        yield Question(
            row_id(row, ("object_id", *IDS)),
            gold,
            "What is this?",
            text_of(row.fields, "object_id"),
            CLASSES,
            (("class", gold),),
        )


def _replies(path: Path, options: BenchmarkOptions) -> Iterator[Prediction]:
    yield from plain_replies(
        path,
        options,
        ("object_id", *IDS),
        ("prediction", "pred", "text", "model_output", "response", "answer", "value"),
    )


def _grade(question: Question, reply: Any, where: str, options: BenchmarkOptions) -> Grade:
    choice = class_of(reply, where)
    return Grade(float(choice == question.gold), choice or "", choice is not None)


def _summarise(items: list[GradedQuestion], options: BenchmarkOptions) -> Summary:
    summary = mean_summary(items)
    classes = [value for name, value in summary.metrics.items() if name.startswith("class/")]
    summary.metrics["class_mean_accuracy"] = sum(classes) / len(classes)
    return summary


BENCHMARKS = {
    "modelnet40": QuestionBenchmark(
        title="ModelNet40, zero-shot",
        rule="accuracy over shapes; the index of a class, or a reply that names exactly one class, any other is wrong",
        source="Wu et al. 2015; zero-shot protocol of Xue et al. 2023 (ULIP) for embeddings, of Xu et al. 2023 "
        "(PointLLM) without its judge",
        unit="percent",
        annotations="rows {object_id or id, label: class or index}; say how many points, and whether they had colour",
        predictions="rows {object_id or id, prediction: index, class or text}",
        options=BenchmarkOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        summarise=_summarise,
        setup=Setup(modality="points"),
    ),
}
