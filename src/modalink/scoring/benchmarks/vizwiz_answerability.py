"""VizWiz answerability: whether a photograph can answer its question at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from modalink.scoring.benchmarks import vizwiz
from modalink.scoring.benchmarks._base import (
    Asking,
    Grade,
    Item,
    ItemBenchmark,
    Options,
    Question,
    Summary,
    field_of,
    plain_replies,
)
from modalink.scoring.bootstrap import Ranking
from modalink.scoring.metrics.ranking import average_precision, f1
from modalink.scoring.predictions import Prediction, as_number, row_id
from modalink.scoring.rows import read_rows


def _questions(path: Path, options: Options) -> Iterator[Question]:
    for row in read_rows(path):
        gold = as_number(field_of(row.fields, ("answerable",), row.where, "0 or 1"), row.where)
        text, image = str(row.fields.get("question", "")), str(row.fields.get("image", ""))
        yield Question(row_id(row, vizwiz.IMAGE_FIRST), gold, text, image)


def _replies(path: Path, options: Options) -> Iterator[Prediction]:
    return plain_replies(path, options, vizwiz.IMAGE_FIRST, ("answerable", "prediction", "score", "value"))


def _grade(question: Question, reply: Any, where: str, options: Options) -> Grade:
    # The positive class is the unanswerable one, which files express by its complement.
    score = 1 - as_number(reply, where)
    return Grade(float((score > 0.5) == (question.gold == 0)), str(reply), detail=score)


def _summarise(items: list[Item], options: Options) -> Summary:
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


benchmark = ItemBenchmark(
    title="VizWiz answerability",
    rule="average precision of the unanswerable class from 1 - answerable; F1 at a score above 0.5",
    source="Gurari et al. 2018; VizWiz API, vqaEval.py, evaluate_unanswerability; average precision of scikit-learn",
    unit="percent",
    annotations="val.json: [{image, answerable: 0 or 1}]",
    predictions="[{image, answerable: score in [0, 1]}]",
    questions=_questions,
    replies=_replies,
    grade=_grade,
    summarise=_summarise,
    asking=Asking(
        instead="it takes the probability that a photograph can answer, and a reply in words is none; write rows "
        "{image, answerable}"
    ),
)
