"""TextVQA: questions about text in images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modalink.errors import DataError
from modalink.scoring.annotations import annotators_answers, text_of
from modalink.scoring.benchmark import Grade, Question, QuestionBenchmark, Setup, plain_replies
from modalink.scoring.benchmarks import vqa
from modalink.scoring.predictions import IDS, Prediction, row_id
from modalink.scoring.prompts import short_prompt
from modalink.scoring.rows import read_rows


class TextvqaOptions(vqa.VqaOptions):
    """Options of TextVQA."""

    variant: vqa.VariantName = "m4c"


def _key(image: str, question: str) -> str:
    return f"{image}\n{question.lower()}"


def _questions(path: Path, options: TextvqaOptions) -> Iterator[Question]:
    for row in read_rows(path, ("data",)):
        text, image = text_of(row.fields, "question"), text_of(row.fields, "image_id")
        yield Question(
            row_id(row, IDS), annotators_answers(row), text, image, keys=(_key(image, text),) if image and text else ()
        )


def _replies(path: Path, options: TextvqaOptions) -> Iterator[Prediction]:
    """Replies; LLaVA's files put the image's id under `question_id` and the question into the prompt's lines."""
    for prediction in plain_replies(path, options):
        lines = [line for line in prediction.question.split("\n") if not line.startswith("Reference OCR token:")] or [
            ""
        ]
        keys = (_key(key, lines[0]) for key in prediction.keys) if lines[0] else ()
        yield Prediction(prediction.where, (*keys, *prediction.keys), prediction.reply, prediction.field, lines[0])


def _grade(question: Question, reply: Any, where: str, options: TextvqaOptions) -> Grade:
    if options.variant == "m4c" and len(question.gold) != 10:
        raise DataError(f"question {question.id}: found {len(question.gold)} answers, M4C's rule needed exactly ten")
    return vqa.grade(question, reply, where, options)


BENCHMARKS = {
    "textvqa": QuestionBenchmark(
        title="TextVQA",
        rule=vqa.rule_of,
        source="Singh et al. 2019; facebookresearch/mmf, M4C evaluator; prompt of haotian-liu/LLaVA without its "
        "OCR tokens",
        unit="percent",
        annotations="TextVQA_0.5.1_val.json: {data: [{question_id, image_id, question, answers: ten texts}]}",
        predictions="[{question_id, answer}], or LLaVA's {question_id: image id, prompt, text}; say whether prompts "
        "held OCR tokens",
        options=TextvqaOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        summarise=vqa.summarise,
        setup=Setup(files=("TextVQA_*_val.json", "TextVQA_*_train.json")),
        prompt=short_prompt,
    ),
}
