"""VizWiz: questions of blind people about their photographs: their answers, and whether there is one at all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modalink.errors import OptionError, brief
from modalink.kinds import GivenPath
from modalink.scoring.annotations import annotators_answers, field_of, groups_of, text_of, whole_number
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
from modalink.scoring.benchmarks import vqa
from modalink.scoring.bootstrap import Ranking
from modalink.scoring.metrics.ranking import average_precision, f1
from modalink.scoring.predictions import IDS, REPLIES, Prediction, as_probability, row_id
from modalink.scoring.prompts import SHORT
from modalink.scoring.rows import read_rows


class VizwizOptions(vqa.VqaOptions):
    """Options of VizWiz-VQA."""

    variant: vqa.VariantName = "vizwiz"
    questions: GivenPath | None = None
    """A file {question_id, image} such as LLaVA's llava_test.jsonl, where the ids of the predictions are its own."""


# The image names the question in the official files; other files number the rows.
IMAGE_FIRST = ("image", *(name for name in IDS if name != "image"))


def questions(path: Path, options: BenchmarkOptions) -> Iterator[Question]:
    """The questions, with the kind of answer they ask for."""
    for row in read_rows(path):
        text, image = text_of(row.fields, "question"), text_of(row.fields, "image")
        yield Question(
            row_id(row, IMAGE_FIRST), annotators_answers(row), text, image, groups=groups_of(row.fields, "answer_type")
        )


def _replies(path: Path, options: VizwizOptions) -> Iterator[Prediction]:
    """The replies; LLaVA's have the numbers of its own file of questions, which tells their images."""
    images = dict(_images(options.questions)) if options.questions else {}
    for prediction in plain_replies(path, options, IMAGE_FIRST, REPLIES):
        keys = tuple(images.get(key, key) for key in prediction.keys)
        yield replace(prediction, keys=keys)


def _images(path: Path) -> Iterator[tuple[str, str]]:
    for row in read_rows(path, ("questions",)):
        yield row_id(row, IDS), str(field_of(row.fields, ("image",), row.where, "the image of a question"))


def _prompt(question: Question) -> str:
    return f"{question.text}\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n{SHORT}"


def _answerability_questions(path: Path, options: BenchmarkOptions) -> Iterator[Question]:
    for row in read_rows(path):
        gold = whole_number(field_of(row.fields, ("answerable",), row.where, "0 or 1"), row.where, "label", range(2))
        text, image = text_of(row.fields, "question"), text_of(row.fields, "image")
        yield Question(row_id(row, IMAGE_FIRST), gold, text, image)


def _answerability_replies(path: Path, options: BenchmarkOptions) -> Iterator[Prediction]:
    return plain_replies(path, options, IMAGE_FIRST, ("answerable", "prediction", "score", "value"))


def _answerability_grade(question: Question, reply: Any, where: str, options: BenchmarkOptions) -> Grade:
    # The positive class is the unanswerable one, which files express by its complement.
    score = 1 - as_probability(reply, where)
    return Grade(float((score > 0.5) == (question.gold == 0)), str(reply), detail=score)


def _answerability_when_missing(question: Question, options: BenchmarkOptions) -> Grade:
    raise OptionError(
        f"option missing=wrong: {brief(question.id)} has no prediction, and a ranking has no place for it; give "
        "--partial"
    )


def _answerability_summarise(items: list[GradedQuestion], options: BenchmarkOptions) -> Summary:
    unanswerable = np.array([1.0 - item.question.gold for item in items])
    scores = np.array([item.grade.detail for item in items])
    precision = 100 * average_precision(unanswerable, scores)
    metrics = {
        "average_precision": round(precision, 2),
        "f1": round(100 * f1(unanswerable, scores > 0.5), 2),
        "average_precision_unrounded": precision,
    }
    sample = Ranking(unanswerable, scores, "precision", 100.0)
    return Summary(metrics["average_precision"], metrics, sample, items=items, count=len(items))


BENCHMARKS = {
    "vizwiz": QuestionBenchmark(
        title="VizWiz-VQA",
        rule=vqa.rule_of,
        source="Gurari et al. 2018; VizWiz API, vqaEval.py: reply normalised, answers raw; prompt of haotian-liu/LLaVA",
        unit="percent",
        annotations="val.json: [{image, question, answers: [{answer}], answer_type, answerable}]",
        predictions="[{image, answer}], or LLaVA's {question_id, text} with --option questions",
        options=VizwizOptions,
        questions=questions,
        replies=_replies,
        grade=vqa.grade,
        summarise=vqa.summarise,
        setup=Setup(files=("val.json", "train.json")),
        when_unmatched="answers with the ids of LLaVA's file of questions need it: --option questions=llava_test.jsonl",
        prompt=_prompt,
    ),
    "vizwiz_answerability": QuestionBenchmark(
        title="VizWiz answerability",
        rule="average precision of the unanswerable class from 1 - answerable; F1 at a score above 0.5",
        source="Gurari et al. 2018; VizWiz API, vqaEval.py, evaluate_unanswerability; scikit-learn's average precision",
        unit="percent",
        annotations="val.json: [{image, answerable: 0 or 1}]",
        predictions="[{image, answerable: score in [0, 1]}]",
        questions=_answerability_questions,
        replies=_answerability_replies,
        grade=_answerability_grade,
        when_missing=_answerability_when_missing,
        summarise=_answerability_summarise,
        setup=Setup(
            why_not_asked="it takes the probability that a photograph can answer, and a reply in words is none; write "
            "rows {image, answerable}"
        ),
    ),
}
