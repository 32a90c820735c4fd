"""Open questions with the answers of several annotators, scored by the VQA soft score."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from modalink.errors import DataError
from modalink.scoring.benchmarks._base import Grade, Item, Options, Question, Summary, field_of, mean_summary
from modalink.scoring.metrics.vqa import VARIANTS, vqa_score
from modalink.scoring.predictions import IDS, as_text, row_id
from modalink.scoring.rows import Row, read_rows

SHORT = "Answer the question using a single word or phrase."
ANSWERS = ("answers", "gt_answers", "references")


class VqaOptions(Options):
    """Options of the soft-score benchmarks."""

    variant: Literal["official", "m4c", "vizwiz", "lmms", "vlmevalkit", "minigpt"] = "official"
    """Whose normaliser and comparison; they do not give the same number."""
    questions: Path | None = None
    """File with the questions' texts, where the annotations have none; needed to ask a model, not to score."""


def rule_of(options: VqaOptions) -> str:
    """The rule with its variant."""
    return f"VQA soft score, {options.variant} normalisation"


def answers_of(row: Row, names: tuple[str, ...] = ("answer",)) -> tuple[str, ...]:
    """The annotators' answers of a row: texts, or objects that hold each text."""
    entries = field_of(row.fields, ANSWERS, row.where, "the annotators' answers")
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{row.where}: found {entries!r:.60}, needed a list of the annotators' answers")
    texts = (field_of(e, names, row.where, "an answer") if isinstance(e, dict) else e for e in entries)
    return tuple(as_text(text, row.where) for text in texts)


def questions(path: Path, options: VqaOptions, answer: tuple[str, ...] = ("answer",)) -> Iterator[Question]:
    """The questions of a VQA annotation file."""
    texts = _texts(options.questions) if options.questions else {}
    for row in read_rows(path, ("annotations", "data", "questions")):
        key = row_id(row, IDS)
        families = ("answer_type", "question_type")
        groups = tuple((family, str(row.fields[family])) for family in families if row.fields.get(family) is not None)
        media = str(row.fields.get("image", row.fields.get("image_id", "")))
        text = str(row.fields.get("question", texts.get(key, "")))
        yield Question(key, answers_of(row, answer), text, media, groups=groups)


def _texts(path: Path) -> dict[str, str]:
    return {row_id(row, IDS): str(row.fields["question"]) for row in read_rows(path, ("questions",))}


def grade(question: Question, reply: Any, where: str, options: VqaOptions) -> Grade:
    """The soft score of one reply."""
    return Grade(*vqa_score(as_text(reply, where), question.gold, VARIANTS[options.variant]))


def summarise(items: list[Item], options: VqaOptions) -> Summary:
    """The mean in percent, rounded where the variant's implementation rounds."""
    return mean_summary(items, digits=VARIANTS[options.variant].digits)


def short_prompt(question: Question) -> str:
    """The question, and LLaVA's line that asks for a short answer."""
    return f"{question.text}\n{SHORT}"
