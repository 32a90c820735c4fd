"""OK-VQA: questions about COCO images that need outside knowledge; five annotators, each written twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from modalink.scoring.benchmarks import _vqa
from modalink.scoring.benchmarks._base import Asking, ItemBenchmark, Question


class OkvqaOptions(_vqa.VqaOptions):
    """Options of OK-VQA."""

    answer_field: Literal["answer", "raw_answer"] = "answer"
    """Release 1.0 stems `answer`, release 1.1 mended it; `raw_answer` was never stemmed."""


def _questions(path: Path, options: OkvqaOptions) -> Iterator[Question]:
    return _vqa.questions(path, options, (options.answer_field,))


def _rule(options: OkvqaOptions) -> str:
    return f"{_vqa.rule_of(options)}, annotators' {options.answer_field}"


benchmark = ItemBenchmark(
    title="OK-VQA",
    rule=_rule,
    source="Marino et al. 2019; GT-Vision-Lab/VQA, vqaEval.py; prompt of haotian-liu/LLaVA",
    unit="percent",
    annotations="mscoco_val2014_annotations.json: {annotations: [{question_id, answers: [{answer, raw_answer}]}]}; "
    "state its release",
    predictions="[{question_id, answer}]",
    aliases=("ok-vqa",),
    options=OkvqaOptions,
    questions=_questions,
    grade=_vqa.grade,
    summarise=_vqa.summarise,
    asking=Asking(files=("mscoco_*_annotations.json",), beside={"questions": "OpenEnded_mscoco_*_questions.json"}),
    prompt=_vqa.short_prompt,
)
