"""GQA: compositional questions about scenes; plain equality, and how steady the answers are."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from modalink.errors import DataError, brief, shown
from modalink.kinds import GivenPath
from modalink.scoring.annotations import field_of, list_of, mapping_of, text_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    GradedQuestion,
    Question,
    QuestionBenchmark,
    Setup,
    Summary,
    mean_summary,
    plain_replies,
)
from modalink.scoring.predictions import IDS, Prediction, as_text, row_id
from modalink.scoring.prompts import short_prompt
from modalink.scoring.rows import read_rows


class GqaOptions(BenchmarkOptions):
    """Options of GQA."""

    postprocess: Literal["auto", "none", "llava"] = "auto"
    """How a reply becomes an answer: as it is, or lower-cased without final periods as LLaVA submits it. `auto`
    takes a `prediction` field for a finished submission and post-processes any other field."""
    choices: GivenPath | None = None
    """The official choices file, for validity and plausibility."""
    consistency: bool = False
    """Whether entailed questions are scored too; then the unbalanced questions need predictions as well."""


def _questions(path: Path, options: GqaOptions) -> Iterator[Question]:
    choices = {row.key: row.fields for row in read_rows(options.choices)} if options.choices else {}
    for row in read_rows(path):
        fields = row.fields
        key, text = row_id(row, IDS), text_of(fields, "question")
        types, groups = (mapping_of(fields, name, row.where) for name in ("types", "groups"))
        group = groups.get("global")
        gold = {
            "answer": str(field_of(fields, ("answer",), row.where, "the right answer")),
            "global": None if group is None else str(group),
            "entailed": tuple(str(other) for other in list_of(fields, "entailed", row.where) if other != key),
            "common": "Common" in str(types.get("detailed", "")),
            "choices": choices.get(key),
            "balanced": bool(fields.get("isBalanced", True)),
        }
        families = _groups(types, text, list_of(fields, "semantic", row.where), row.where)
        scored = bool(fields.get("isBalanced", True)) or options.consistency
        yield Question(key, gold, text, text_of(fields, "imageId"), groups=families, scored=scored)


def _groups(types: Mapping[str, Any], text: str, program: list[Any], where: str) -> tuple[tuple[str, str], ...]:
    families = [(family, str(types[family])) for family in ("structural", "semantic") if types.get(family)]
    if types.get("structural"):
        families.insert(0, ("kind", "open" if types["structural"] == "query" else "binary"))
    if program:
        if not all(isinstance(step, dict) for step in program):
            raise DataError(f"{where}: found {shown(program)} as semantic, needed a list of steps")
        steps = [f"{step.get('operation')}: {step.get('argument')}" for step in program]
        number = sum(not any(mark in step for mark in ("exist", "query: name", "choose name")) for step in steps)
        families += [("steps", str(number)), ("words", str(len(text.split())))]
    return tuple(families)


def _replies(path: Path, options: GqaOptions) -> Iterator[Prediction]:
    for prediction in plain_replies(path, options):
        finished = options.postprocess == "none" or (options.postprocess == "auto" and prediction.field == "prediction")
        text = as_text(prediction.reply, prediction.where)
        yield replace(prediction, reply=text if finished else text.rstrip(".").lower())


def _grade(question: Question, reply: Any, where: str, options: GqaOptions) -> Grade:
    return Grade(float(reply == question.gold["answer"]), reply)


def _summarise(items: list[GradedQuestion], options: GqaOptions) -> Summary:
    by_id = {item.question.id: item for item in items}
    items = [item for item in items if item.question.gold["balanced"]]
    summary = mean_summary(items)
    metrics = summary.metrics
    for name in ("binary", "open"):
        if f"kind/{name}" in metrics:
            metrics[name] = metrics.pop(f"kind/{name}")
    for name, key in (("validity", "valid"), ("plausibility", "plausible")) if options.choices else ():
        metrics[name] = 100 * sum(_belongs(item, key) for item in items) / len(items)
    if options.consistency:
        metrics["consistency"] = _consistency(items, by_id)
    if any(item.question.gold["global"] for item in items):
        metrics["distribution"] = _distribution(items)
    return summary


def _consistency(items: list[GradedQuestion], by_id: dict[str, GradedQuestion]) -> float:
    """The mean accuracy over the questions that a rightly answered one entails."""
    right = [item for item in items if item.grade.score == 1]
    entailed = [
        [by_id[other].grade.score for other in item.question.gold["entailed"] if other in by_id] for item in right
    ]
    means = [sum(scores) / len(scores) for scores in entailed if scores]
    return 100 * sum(means) / len(means) if means else 0.0


def _belongs(item: GradedQuestion, name: str) -> bool:
    gold, where = item.question.gold, f"choices of {brief(item.question.id)}"
    if gold["common"]:
        return item.grade.answer in ("color", "material", "shape")
    if name not in (gold["choices"] or ()):
        raise DataError(f"{where}: found nothing under {name!r}; is the option choices the official file of choices?")
    return item.grade.answer in list_of(gold["choices"], name, where)


def _distribution(items: list[GradedQuestion]) -> float:
    """Chi-square of the predicted against the right answers of each global group, over 100; lower is better."""
    right: dict[str, Counter[str]] = defaultdict(Counter)
    answered: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        if (group := item.question.gold["global"]) is not None:
            right[group][item.question.gold["answer"]] += 1
            answered[group][item.grade.answer] += 1
    total = weight = 0.0
    for group, answers in right.items():
        number = answers.total()
        total += number * sum((answered[group][answer] - count) ** 2 / count for answer, count in answers.items())
        weight += number
    return total / weight / 100


BENCHMARKS = {
    "gqa": QuestionBenchmark(
        title="GQA",
        rule="accuracy over balanced questions, the reply equals the answer; replies that are no submission lose their "
        "final period and case",
        source="Hudson and Manning 2019, eval.py; MILVLG/openvqa, gqa_eval.py; haotian-liu/LLaVA, "
        "convert_gqa_for_eval.py and prompt",
        unit="percent",
        annotations="testdev_balanced_questions.json and the like: {id: {question, answer, isBalanced, types, groups, "
        "entailed, semantic}}",
        predictions="[{questionId, prediction}], or rows {question_id, text}",
        options=GqaOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        summarise=_summarise,
        setup=Setup(files=("testdev_balanced_questions.json", "val_balanced_questions.json")),
        prompt=short_prompt,
    ),
}
