"""The tiny world's held-out questions, made anew from a seed; what `modalink demo` reports about seeing."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import PositiveInt

from modalink.scoring.benchmarks._base import Asking, Grade, ItemBenchmark, Options, Question, mean_summary
from modalink.scoring.predictions import as_text
from modalink.tiny_world.rendering import render


class TinyWorldOptions(Options):
    """Options of the tiny world's questions."""

    split: Literal["validation", "test"] = "test"
    """Split of compositions."""
    count: PositiveInt = 900
    """How many questions, all kinds in turn."""
    seed: int = 0
    """Picks scenes and words."""


def _part(name: str) -> Any:
    # torch takes seconds to load, and other benchmarks do without it.
    return importlib.import_module(f"modalink.evaluation.tiny_world.{name}")


def _questions(path: Path, options: TinyWorldOptions) -> Iterator[Question]:
    for number, asked in enumerate(_part("questions").draw(options.split, options.count, options.seed)):
        found, key = asked.question, f"{options.split}/{options.seed}/{number}"
        picture = _part("examples").data_url(Image.fromarray(render(asked.scene)))
        yield Question(key, found.answer, found.text, picture, groups=(("kind", found.kind),))


def _grade(question: Question, reply: Any, where: str, options: TinyWorldOptions) -> Grade:
    same = _part("questions").normalise
    text = as_text(reply, where)
    return Grade(float(same(text) == same(question.gold)), text)


benchmark = ItemBenchmark(
    title="The tiny world's questions",
    rule="accuracy; the reply is the answer but for case, punctuation, articles and synonyms",
    source="modalink, zoo/world.py",
    unit="percent",
    annotations="none: split, count and seed make the questions",
    predictions="rows {question_id: SPLIT/SEED/NUMBER, answer}, or replies in the order of the questions",
    options=TinyWorldOptions,
    questions=_questions,
    grade=_grade,
    summarise=lambda items, options: mean_summary(items),
    asking=Asking(made=True, max_new_tokens=16),
    self_contained=True,
)
