"""VizWiz-VQA: questions of blind people about their photographs; `unanswerable` is an answer like any other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from modalink.scoring.benchmarks import _vqa
from modalink.scoring.benchmarks._base import Asking, ItemBenchmark, Options, Question, plain_replies
from modalink.scoring.predictions import IDS, REPLIES, Prediction, row_id
from modalink.scoring.rows import read_rows


class VizwizOptions(_vqa.VqaOptions):
    """Options of VizWiz-VQA."""

    variant: Literal["official", "m4c", "vizwiz", "lmms", "vlmevalkit", "minigpt"] = "vizwiz"


# The image names the question in the official files; other files number the rows.
IMAGE_FIRST = ("image", *(name for name in IDS if name != "image"))


def questions(path: Path, options: Options) -> Iterator[Question]:
    """The questions, with the kind of answer they ask for."""
    for row in read_rows(path):
        groups = (("answer_type", str(row.fields["answer_type"])),) if "answer_type" in row.fields else ()
        text, image = str(row.fields.get("question", "")), str(row.fields.get("image", ""))
        yield Question(row_id(row, IMAGE_FIRST), _vqa.answers_of(row), text, image, groups=groups)


def _replies(path: Path, options: Options) -> Iterator[Prediction]:
    return plain_replies(path, options, IMAGE_FIRST, REPLIES)


def _prompt(question: Question) -> str:
    return f"{question.text}\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n{_vqa.SHORT}"


benchmark = ItemBenchmark(
    title="VizWiz-VQA",
    rule=_vqa.rule_of,
    source="Gurari et al. 2018; VizWiz API, vqaEval.py: reply normalised, answers raw; prompt of haotian-liu/LLaVA",
    unit="percent",
    annotations="val.json: [{image, question, answers: [{answer}], answer_type, answerable}]",
    predictions="[{image, answer}]",
    options=VizwizOptions,
    questions=questions,
    replies=_replies,
    grade=_vqa.grade,
    summarise=_vqa.summarise,
    asking=Asking(files=("val.json", "train.json")),
    prompt=_prompt,
)
