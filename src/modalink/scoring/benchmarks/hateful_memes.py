"""Hateful Memes: whether image and text together are hateful; ranked by score, or decided outright."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modalink.errors import DataError, OptionError, brief
from modalink.scoring.annotations import field_of, text_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
    scores_of,
    wrong,
)
from modalink.scoring.bootstrap import Ranking, means
from modalink.scoring.metrics.ranking import auroc
from modalink.scoring.predictions import IDS, Prediction, as_number, as_probability, as_text, names_of, row_id
from modalink.scoring.rows import Row, read_rows

SCORES = ("proba", "prob", "score", "probability")
LABELS = ("label", "prediction", "pred", "text", "answer", "response", "reply", "value")
WORDS = {"yes": 1, "1": 1, "hateful": 1, "no": 0, "0": 0, "not-hateful": 0}


class MemesOptions(BenchmarkOptions):
    """Options of Hateful Memes."""

    metric: Literal["auroc", "accuracy"] = "auroc"
    """The score: area under the ROC curve of the probabilities, or accuracy of the decisions."""


def _questions(path: Path, options: MemesOptions) -> Iterator[Question]:
    for row in read_rows(path):
        gold = as_number(field_of(row.fields, ("label",), row.where, "0 or 1"), row.where)
        if gold not in (0, 1):
            raise DataError(f"{row.where}: found label {gold}, needed 0 or 1")
        yield Question(row_id(row, IDS), int(gold), text_of(row.fields, "text"), text_of(row.fields, "img"))


def _replies(path: Path, options: MemesOptions) -> Iterator[Prediction]:
    """Each row's probability and decision, of which one may be missing."""
    for row in read_rows(path):
        scores, labels = _names(row, options)
        key = row_id(row, IDS, options.id_field)
        score, label = (next((row.fields[n] for n in names if n in row.fields), None) for names in (scores, labels))
        if score is None and label is None:
            wanted = brief(options.reply_field) or "proba, label or a reply"
            raise DataError(f"{row.where}: found fields {names_of(row.fields)}, needed {wanted}")
        yield Prediction(row.where, (key,) if key else (), (score, label), "proba" if score is not None else "label")


def _names(row: Row, options: MemesOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields that may hold a row's probability, and those that may hold its decision."""
    if not (named := options.reply_field):
        return SCORES, LABELS
    return ((), (named,)) if re.search("[A-Za-z]{2}", str(row.fields.get(named))) else ((named,), ())


def _grade(question: Question, reply: Any, where: str, options: MemesOptions) -> Grade:
    score, label = reply if isinstance(reply, tuple) else (None, reply)
    number = None if score is None else as_probability(score, where)
    if label is None and number is not None:
        decision: int | None = int(number >= 0.5)
    else:
        decision = WORDS.get(as_text(label, where).strip().removesuffix(".").lower())
    return Grade(
        float(decision == question.gold), "" if decision is None else str(decision), decision is not None, number
    )


def _when_missing(question: Question, options: MemesOptions) -> Grade:
    if options.metric == "auroc":
        raise OptionError(
            f"option missing=wrong: {brief(question.id)} has no prediction, and a ranking has no place for it; give "
            "--option metric=accuracy, or --partial"
        )
    return wrong(question, options)


def _summarise(items: list[GradedQuestion], options: MemesOptions) -> Summary:
    accuracy = 100 * float(scores_of(items).mean())
    metrics = {"accuracy": accuracy}
    if any(item.grade.detail is None for item in items):
        if options.metric == "auroc":
            raise DataError(
                "found predictions without a probability; the area under the ROC curve of bare decisions is "
                "another, lower number: "
                "give `proba`, or --option metric=accuracy"
            )
    else:
        positive = np.array([float(item.question.gold) for item in items])
        ranking = Ranking(positive, np.array([item.grade.detail for item in items]), scale=100.0)
        metrics["auroc"] = 100 * auroc(positive, ranking.scores)
    sample = ranking if options.metric == "auroc" else means(scores_of(items), 100.0)
    return Summary(metrics[options.metric], metrics, sample, items=items, count=len(items))


BENCHMARKS = {
    "hateful_memes": QuestionBenchmark(
        title="Hateful Memes",
        rule=lambda o: (
            "area under the ROC curve of the probability of hateful, ties counted half"
            if o.metric == "auroc"
            else "accuracy; the whole reply is yes or no, with or without a period, any other is wrong"
        ),
        source="Kiela et al. 2020 (challenge); scikit-learn's roc_auc_score; accuracy as in Vision-CAIR/MiniGPT-4",
        unit="percent",
        annotations="dev_seen.jsonl and the like: rows {id, img, text, label: 0 or 1}; say which split",
        predictions="challenge csv: id, proba, label; or rows {id, text: yes or no}",
        aliases=("hm",),
        options=MemesOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        when_missing=_when_missing,
        summarise=_summarise,
        setup=Setup(files=("dev_seen.jsonl", "dev_unseen.jsonl", "dev.jsonl"), options={"metric": "accuracy"}),
        prompt=lambda question: (
            f"This is an image with '{question.text}' written on it. Is this image hateful? Answer yes or no."
        ),
    ),
}
