"""SEED-Bench image: dimensions 1 to 9."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modalink.scoring.benchmarks import seedbench
from modalink.scoring.benchmarks._base import Question


def _questions(path: Path, options: seedbench.SeedOptions) -> Iterator[Question]:
    for question in seedbench.questions(path, options):
        question.scored = ("type", "image") in question.groups
        yield question


benchmark = replace(
    seedbench.benchmark,
    title="SEED-Bench, images",
    aliases=("seed_image", "seed_bench_image", "seed_i"),
    questions=_questions,
)
