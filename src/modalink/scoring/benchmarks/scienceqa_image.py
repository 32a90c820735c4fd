"""ScienceQA-IMG: the ScienceQA questions that have an image."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modalink.scoring.benchmarks import scienceqa
from modalink.scoring.benchmarks._base import Question


def _questions(path: Path, options: scienceqa.ScienceqaOptions) -> Iterator[Question]:
    for question in scienceqa.questions(path, options):
        question.scored = ("context", "IMG") in question.groups
        yield question


benchmark = replace(
    scienceqa.benchmark,
    title="ScienceQA, questions with an image",
    aliases=("sqa_image", "scienceqa_img", "sqa_i"),
    questions=_questions,
)
