"""ModelNet40, zero-shot: which of 40 classes a shape is, by its embedding or in words."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

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
ASKED = "What is this?"
MESHES = "*_????.off"
"""Names of the shapes in the official folder."""
_NAMES = re.compile(r"\b(" + "|".join(sorted(CLASSES, key=len, reverse=True)) + r")\b")


def class_of(value: Any, where: str) -> str | None:
    """The one class that a value names, by its alphabetical index or by its name in a text; None if not one."""
    if (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdecimal()):
        # Text is compared as text: it may have more digits than a number can.
        index = str(value).lstrip("0") or "0"
        return next((name for number, name in enumerate(CLASSES) if str(number) == index), None)
    classes = set(_NAMES.findall(as_text(value, where).lower().replace("_", " ")))
    return classes.pop() if len(classes) == 1 else None


class ModelNetOptions(BenchmarkOptions):
    """Options of ModelNet40."""

    split: Literal["test", "train"] = "test"
    """Split of the official folder."""


def _questions(path: Path, options: ModelNetOptions) -> Iterator[Question]:
    if path.is_dir():
        yield from _shapes(path, options.split)
        return
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
            ASKED,
            text_of(row.fields, "object_id"),
            CLASSES,
            (("class", gold),),
        )


def _shapes(folder: Path, split: str) -> Iterator[Question]:
    """The shapes of the official folder, CLASS/test/CLASS_0627.off; what they are is said by their folder."""
    files = sorted(folder.glob(f"*/{split}/{MESHES}"))
    if not files:
        raise DataError(f"{folder}: found no shapes, needed CLASS/{split}/CLASS_0001.off of ModelNet40's classes in it")
    for file in files:
        of = file.parent.parent.name
        if (gold := of.replace("_", " ")) not in CLASSES:
            raise DataError(f"{file}: found the folder {shown(of)}, needed one of ModelNet40's classes")
        yield Question(file.stem, gold, ASKED, f"{of}/{split}/{file.name}", CLASSES, (("class", gold),))


def _replies(path: Path, options: ModelNetOptions) -> Iterator[Prediction]:
    yield from plain_replies(
        path,
        options,
        ("object_id", *IDS),
        ("prediction", "pred", "text", "model_output", "response", "answer", "value"),
    )


def _grade(question: Question, reply: Any, where: str, options: ModelNetOptions) -> Grade:
    choice = class_of(reply, where)
    return Grade(float(choice == question.gold), choice or "", choice is not None)


def _summarise(items: list[GradedQuestion], options: ModelNetOptions) -> Summary:
    summary = mean_summary(items)
    classes = {name[6:]: value for name, value in summary.metrics.items() if name.startswith("class/")}
    summary.metrics["class_mean_accuracy"] = sum(classes.values()) / len(classes)
    if absent := [name for name in CLASSES if name not in classes]:
        summary.notes.append(f"{len(absent)} of the {len(CLASSES)} classes have no shapes: {', '.join(absent)}")
    return summary


BENCHMARKS = {
    "modelnet40": QuestionBenchmark(
        title="ModelNet40, zero-shot",
        rule="accuracy over shapes; the index of a class, or a reply that names exactly one class, any other is wrong",
        source="Wu et al. 2015; zero-shot protocol of Xue et al. 2023 (ULIP) for embeddings, of Xu et al. 2023 "
        "(PointLLM) without its judge",
        unit="percent",
        annotations="folder of CLASS/test/CLASS_0627.off, or rows {object_id or id, label: class or index}; say how "
        "many points, and whether they had colour",
        predictions="rows {object_id or id, prediction: index, class or text}",
        options=ModelNetOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        summarise=_summarise,
        setup=Setup(files=(MESHES,), folder=True, depth=2, modality="points"),
    ),
}
