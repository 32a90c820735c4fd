"""The tiny world's held-out questions, made anew from a seed; what `modalink demo` reports about seeing."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from pydantic import Field, NonNegativeInt

from modalink.scoring.benchmark import BenchmarkOptions, Grade, Question, QuestionBenchmark, Setup, mean_summary
from modalink.scoring.predictions import as_text
from modalink.tiny_world.language import describe
from modalink.tiny_world.rendering import png_data_url, render
from modalink.tiny_world.scene_questions import normalise_answer, sample_scene_questions
from modalink.tiny_world.scenes import Scene


class TinyWorldOptions(BenchmarkOptions):
    """Options of the tiny world's questions."""

    split: Literal["validation", "test"] = "test"
    """Split of compositions."""
    count: int = Field(default=900, ge=1, le=100_000)
    """How many questions, all kinds in turn."""
    seed: NonNegativeInt = 0
    """Picks scenes and words."""
    shown: Literal["picture", "words"] = "picture"
    """Whether a scene is shown, or described in words above the question."""


def _questions(path: Path, options: TinyWorldOptions) -> Iterator[Question]:
    for number, sampled in enumerate(sample_scene_questions(options.split, options.count, options.seed)):
        question, key = sampled.question, f"{options.split}/{options.seed}/{number}"
        picture, text = "", f"{describe(sampled.scene)}\n{question.text}"
        if options.shown == "picture":
            picture, text = _picture(sampled.scene), question.text
        yield Question(key, question.answer, text, picture, groups=(("kind", question.kind),))


@lru_cache(maxsize=1024)  # an evaluation reads its questions twice, to ask and to grade; a comparison more often
def _picture(scene: Scene) -> str:
    return png_data_url(Image.fromarray(render(scene)))


def _grade(question: Question, reply: Any, where: str, options: TinyWorldOptions) -> Grade:
    text = as_text(reply, where)
    return Grade(float(normalise_answer(text) == normalise_answer(question.gold)), text)


BENCHMARKS = {
    "tiny_world": QuestionBenchmark(
        title="The tiny world's questions",
        rule="accuracy; the reply is the answer but for case, punctuation, articles and synonyms",
        source="modalink, tiny_world/scene_questions.py",
        unit="percent",
        annotations="none: split, count and seed make the questions",
        predictions="rows {question_id: SPLIT/SEED/NUMBER, answer}, or replies in the order of the questions",
        options=TinyWorldOptions,
        questions=_questions,
        grade=_grade,
        summarise=lambda items, options: mean_summary(items),
        setup=Setup(generated=True, mixed=True, max_new_tokens=16),
        self_contained=True,
    ),
}
