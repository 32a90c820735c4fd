"""SEED-Bench: questions with four options on images (dimensions 1 to 9) and videos (10 to 12)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from modalink.errors import DataError, shown
from modalink.scoring.annotations import field_of, list_of, text_of, whole_number
from modalink.scoring.benchmark import BenchmarkOptions, Grade, Question, QuestionBenchmark, Setup, mean_summary
from modalink.scoring.metrics.choice import choose
from modalink.scoring.predictions import IDS, as_number, as_text, row_id
from modalink.scoring.prompts import letter_prompt
from modalink.scoring.rows import Row, read_rows

IMAGE = range(1, 10)
BREAKFAST, BREAKFAST_FPS = 12, 15
"""The dimension whose videos are Breakfast's, and their frames a second."""
LETTERS = "ABCD"
DIMENSIONS = {
    1: "Scene Understanding", 2: "Instance Identity", 3: "Instance Attributes", 4: "Instance Location",
    5: "Instances Counting", 6: "Spatial Relation", 7: "Instance Interaction", 8: "Visual Reasoning",
    9: "Text Understanding", 10: "Action Recognition", 11: "Action Prediction", 12: "Procedure Understanding",
}  # fmt: skip


class SeedOptions(BenchmarkOptions):
    """Options of SEED-Bench."""

    parse: Literal["exact", "first", "matching"] = "exact"
    """A reply's letter: the whole reply (LLaVA), its first character (lmms-eval), or VLMEvalKit's option matching."""


def questions(path: Path, options: SeedOptions) -> Iterator[Question]:
    """All questions of SEED-Bench.json."""
    for row in read_rows(path, ("questions",)):
        fields = row.fields
        dimension = field_of(fields, ("question_type_id",), row.where, "the dimension, 1 to 12")
        dimension = whole_number(dimension, row.where, "dimension")
        choices = tuple(str(fields.get(f"choice_{letter}", "")) for letter in "abcd")
        kind = "image" if dimension in IMAGE else "video"
        groups = (("type", kind), ("dimension", DIMENSIONS.get(dimension, str(dimension))))
        gold = as_text(field_of(fields, ("answer",), row.where, "the right letter"), row.where)
        yield Question(
            row_id(row, IDS), gold, text_of(fields, "question"), text_of(fields, "data_id"), choices,
            groups, modality=kind, span_s=_span_s(row, dimension),
        )  # fmt: skip


def _span_s(row: Row, dimension: int) -> tuple[float, float] | None:
    """The `segment` of its video in seconds; Breakfast's are numbers of frames, of which a second has 15."""
    ends = list_of(row.fields, "segment", row.where)
    if not ends:
        return None
    start, end = (as_number(value, row.where) for value in ends) if len(ends) == 2 else (0.0, 0.0)
    if not 0 <= start < end:
        raise DataError(f"{row.where}: found the segment {shown(ends)}, needed where it begins and where it ends")
    rate = BREAKFAST_FPS if dimension == BREAKFAST else 1
    return start / rate, end / rate


def _grade(question: Question, reply: Any, where: str, options: SeedOptions) -> Grade:
    text = as_text(reply, where)
    if options.parse == "matching":
        choice = choose(text, dict(zip(LETTERS, question.choices, strict=True))) or ""
    else:
        choice = text if options.parse == "exact" else text.strip()[:1]
    return Grade(float(choice == question.gold), choice, choice in LETTERS and choice != "")


def _image_questions(path: Path, options: SeedOptions) -> Iterator[Question]:
    for question in questions(path, options):
        question.scored = ("type", "image") in question.groups
        yield question


_ALL = QuestionBenchmark(
    title="SEED-Bench, images and videos",
    rule=lambda options: {
        "exact": "accuracy over questions; the whole reply must be the letter",
        "first": "accuracy over questions; the reply's first character is its letter",
        "matching": "accuracy over questions; VLMEvalKit's option matching",
    }[options.parse],
    source="Li et al. 2023; haotian-liu/LLaVA, convert_seed_for_submission.py and prompt",
    unit="percent",
    annotations="SEED-Bench.json: {questions: [{question_id, question_type_id, answer, choice_a to choice_d, data_id, "
    "segment}]}",
    predictions="rows {question_id, prediction} or {question_id, text}",
    aliases=("seed", "seed_bench"),
    options=SeedOptions,
    questions=questions,
    grade=_grade,
    summarise=lambda items, options: mean_summary(items),
    setup=Setup(files=("SEED-Bench.json",)),
    prompt=letter_prompt,
)


BENCHMARKS = {
    "seedbench": _ALL,
    "seedbench_image": replace(
        _ALL,
        title="SEED-Bench, images",
        aliases=("seed_image", "seed_bench_image", "seed_i"),
        questions=_image_questions,
    ),
}
