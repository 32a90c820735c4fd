"""Open questions with the answers of several annotators, scored by the VQA soft score."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from modalink.kinds import GivenPath
from modalink.scoring.annotations import annotators_answers, field_of, groups_of, text_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
    mean_summary,
)
from modalink.scoring.metrics.vqa import VARIANTS, vqa_score
from modalink.scoring.predictions import IDS, as_text, row_id
from modalink.scoring.prompts import short_prompt
from modalink.scoring.rows import read_rows

VariantName = Literal["official", "m4c", "vizwiz", "lmms", "vlmevalkit", "minigpt"]


class VqaOptions(BenchmarkOptions):
    """Options of the soft-score benchmarks."""

    variant: VariantName = "official"
    """Whose normaliser and comparison; they do not give the same number."""
    questions: GivenPath | None = None
    """File with the questions' texts, where the annotations have none; needed to ask a model, not to score."""


def rule_of(options: VqaOptions) -> str:
    """The rule with its variant."""
    return f"VQA soft score, {options.variant} normalisation"


def questions(path: Path, options: VqaOptions, answer: tuple[str, ...] = ("answer",)) -> Iterator[Question]:
    """The questions of a VQA annotation file."""
    texts = _texts(options.questions) if options.questions else {}
    for row in read_rows(path, ("annotations", "data", "questions")):
        key = row_id(row, IDS)
        groups = groups_of(row.fields, "answer_type", "question_type")
        media = text_of(row.fields, "image", "image_id")
        text = str(row.fields.get("question", texts.get(key, "")))
        yield Question(key, annotators_answers(row, answer), text, media, groups=groups)


def _texts(path: Path) -> dict[str, str]:
    rows = read_rows(path, ("questions",))
    return {row_id(r, IDS): str(field_of(r.fields, ("question",), r.where, "the words of a question")) for r in rows}


def grade(question: Question, reply: Any, where: str, options: VqaOptions) -> Grade:
    """The soft score of one reply."""
    return Grade(*vqa_score(as_text(reply, where), question.gold, VARIANTS[options.variant]))


def summarise(items: list[GradedQuestion], options: VqaOptions) -> Summary:
    """The mean in percent, rounded where the variant's implementation rounds."""
    return mean_summary(items, digits=VARIANTS[options.variant].digits)


class OkvqaOptions(VqaOptions):
    """Options of OK-VQA."""

    answer_field: Literal["answer", "raw_answer"] = "answer"
    """Release 1.0 stems `answer`, release 1.1 mended it; `raw_answer` was never stemmed."""


def _okvqa_questions(path: Path, options: OkvqaOptions) -> Iterator[Question]:
    return questions(path, options, (options.answer_field,))


def _okvqa_rule(options: OkvqaOptions) -> str:
    return f"{rule_of(options)}, annotators' {options.answer_field}"


BENCHMARKS = {
    "vqav2": QuestionBenchmark(
        title="VQAv2",
        rule=rule_of,
        source="Goyal et al. 2017; GT-Vision-Lab/VQA, vqaEval.py; prompt of haotian-liu/LLaVA",
        unit="percent",
        annotations="v2_mscoco_*_annotations.json: {annotations: [{question_id, answer_type, question_type, answers: "
        "[{answer}]}]}",
        predictions="[{question_id, answer}]",
        options=VqaOptions,
        questions=questions,
        grade=grade,
        summarise=summarise,
        setup=Setup(
            files=("v2_mscoco_*_annotations.json",), option_files={"questions": "v2_OpenEnded_mscoco_*_questions.json"}
        ),
        prompt=short_prompt,
    ),
    "okvqa": QuestionBenchmark(
        title="OK-VQA",
        rule=_okvqa_rule,
        source="Marino et al. 2019; GT-Vision-Lab/VQA, vqaEval.py; prompt of haotian-liu/LLaVA",
        unit="percent",
        annotations="mscoco_val2014_annotations.json: {annotations: [{question_id, answers: [{answer, raw_answer}]}]}; "
        "state its release",
        predictions="[{question_id, answer}]",
        aliases=("ok-vqa",),
        options=OkvqaOptions,
        questions=_okvqa_questions,
        grade=grade,
        summarise=summarise,
        setup=Setup(
            files=("mscoco_*_annotations.json",), option_files={"questions": "OpenEnded_mscoco_*_questions.json"}
        ),
        prompt=short_prompt,
    ),
}
