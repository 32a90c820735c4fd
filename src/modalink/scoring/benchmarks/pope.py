"""POPE: whether a model sees objects that are not there. The score is F1 of `yes`, averaged over the splits given."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modalink.errors import DataError
from modalink.kinds import GivenPath
from modalink.scoring.annotations import field_of, text_of
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
from modalink.scoring.bootstrap import Sums
from modalink.scoring.metrics import yes_no
from modalink.scoring.predictions import IDS, Prediction, as_text, row_id
from modalink.scoring.prompts import SHORT
from modalink.scoring.rows import read_rows

SPLITS = ("random", "popular", "adversarial")
REPLIES = ("prediction", "pred", "response", "reply", "output", "answer", "text", "value")


class PopeOptions(BenchmarkOptions):
    """Options of POPE."""

    questions: GivenPath | None = None
    """A file {question_id, image, text, category} such as LLaVA's llava_pope_test.jsonl, where the ids of the
    predictions are its own and not those of the annotation files."""


def _split(path: Path) -> str:
    return next((split for split in SPLITS if split in path.stem), path.stem)


def _files(path: Path) -> list[Path]:
    """The files of a folder in the order of the splits, or the one file."""
    if not path.is_dir():
        return [path]
    files = [
        p for split in SPLITS for p in sorted(path.iterdir()) if _split(p) == split and p.suffix in (".json", ".jsonl")
    ]
    if not files:
        raise DataError(
            f"{path}: found no file named after a split, needed *random*.json, *popular*.json, *adversarial*.json"
        )
    return files


def _content(image: str, question: str, split: str) -> str:
    # The first release spelled "in the imange" in some questions; answers carry a line of instructions after it.
    return f"{split}\n{image}\n{question.splitlines()[0].replace('imange', 'image')}" if question and image else ""


def _questions(path: Path, options: PopeOptions) -> Iterator[Question]:
    for file in _files(path):
        split = _split(file)
        for row in read_rows(file):
            label = field_of(row.fields, ("label",), row.where, "yes or no")
            if label not in ("yes", "no"):
                raise DataError(f"{row.where}: found label {label!r:.40}, needed 'yes' or 'no'")
            text, image = text_of(row.fields, "text", "question"), text_of(row.fields, "image")
            key = row_id(row, IDS)
            content = _content(image, text, split)
            yield Question(
                f"{split}/{key}",
                label,
                text,
                image,
                groups=(("split", split),),
                keys=(key, content) if content else (key,),
            )


def _replies(path: Path, options: PopeOptions) -> Iterator[Prediction]:
    contents = dict(_contents(options.questions)) if options.questions else {}
    for file in _files(path):
        split = _split(file) if path.is_dir() else ""
        for prediction in plain_replies(file, options, replies=REPLIES):
            keys: tuple[str, ...]
            if contents:
                content = next((contents[key] for key in prediction.keys if key in contents), "")
                keys = (content,) if content else (f"{''.join(prediction.keys)}, not in the file of questions",)
                yield replace(prediction, keys=keys, part=content.partition("\n")[0])
            else:
                keys = tuple(f"{split}/{key}" if split else key for key in prediction.keys)
                yield replace(prediction, keys=keys, part=split)


def _contents(path: Path) -> Iterator[tuple[str, str]]:
    for row in read_rows(path):
        image, text, split = (
            str(field_of(row.fields, (name,), row.where, "what LLaVA's file of questions has"))
            for name in ("image", "text", "category")
        )
        yield row_id(row, IDS), _content(image, text, split)


def _grade(question: Question, reply: Any, where: str, options: PopeOptions) -> Grade:
    yes = yes_no.pope(as_text(reply, where))
    return Grade(float(yes == (question.gold == "yes")), "yes" if yes else "no", detail=yes)


def _when_missing(question: Question, options: PopeOptions) -> Grade:
    # An empty reply says yes by the rule, which would be right half of the time.
    return Grade(0.0, parsed=False, detail=question.gold == "no")


def _ratios(sums: np.ndarray) -> dict[str, np.ndarray]:
    """The measures of columns TP, FP, TN, FN; a ratio of nothing is 0."""
    tp, fp, tn, fn = sums.T

    def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

    precision, recall = ratio(tp, tp + fp), ratio(tp, tp + fn)
    return {
        "accuracy": ratio(tp + tn, tp + fp + tn + fn),
        "precision": precision,
        "recall": recall,
        "f1": ratio(2 * precision * recall, precision + recall),
        "yes_ratio": ratio(tp + fp, tp + fp + tn + fn),
    }


def _summarise(items: list[GradedQuestion], options: PopeOptions) -> Summary:
    splits = list(dict.fromkeys(item.question.groups[0][1] for item in items))
    columns = np.zeros((len(items), 4 * len(splits)))
    for i, item in enumerate(items):
        right, yes = item.grade.score == 1, item.grade.detail
        columns[i, 4 * splits.index(item.question.groups[0][1]) + (0 if right else 1) + (0 if yes else 2)] = 1
    sums = columns.sum(0).reshape(len(splits), 4)
    parts = _ratios(sums)
    metrics = {name: float(values.mean()) for name, values in parts.items()}
    metrics |= dict(zip(("TP", "FP", "TN", "FN"), sums.sum(0).tolist(), strict=True))
    if len(splits) > 1:
        metrics |= {
            f"{split}/{name}": float(values[i]) for i, split in enumerate(splits) for name, values in parts.items()
        }
    sample = Sums(columns, lambda drawn: _ratios(drawn.reshape(-1, 4))["f1"].reshape(len(drawn), -1).mean(1))
    notes = [] if sums[:, :2].sum(1).all() else ["no reply says yes: precision and F1 are counted as 0"]
    notes += [f"one split of three ({splits[0]}); the published POPE number is the mean F1 of three"] * (
        len(splits) == 1
    )
    return Summary(metrics["f1"], metrics, sample, notes, items, len(items))


BENCHMARKS = {
    "pope": QuestionBenchmark(
        title="POPE",
        rule="mean over splits of the F1 of yes; a first sentence with the word No, no or not says no, any other "
        "says yes",
        source="Li et al. 2023; AoiDragon/POPE, evaluate.py; mean of splits and prompt of haotian-liu/LLaVA",
        unit="fraction",
        annotations="coco_pope_{random,popular,adversarial}.json, one or a folder of them: rows {question_id, image, "
        "text, label}",
        predictions="rows {question_id, answer or text}, or {question, answer} in the order of the questions, or a "
        "folder by split",
        options=PopeOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        when_missing=_when_missing,
        summarise=_summarise,
        setup=Setup(files=("*pope_*.json",), folder=True),
        when_unmatched="answers to all splits in one file, as LLaVA's, need its file of questions: --option "
        "questions=llava_pope_test.jsonl",
        prompt=lambda question: f"{question.text}\n{SHORT}",
    ),
}
