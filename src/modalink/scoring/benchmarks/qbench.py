"""Q-Bench A1 (LLVisionQA): questions about image quality with two to four options."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from modalink.errors import DataError, shown
from modalink.scoring.annotations import field_of, list_of, text_of, whole_number
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    Question,
    QuestionBenchmark,
    Setup,
    mean_summary,
    plain_replies,
)
from modalink.scoring.metrics.choice import LETTERS, choose
from modalink.scoring.predictions import Prediction, as_text, row_id
from modalink.scoring.prompts import letter_prompt
from modalink.scoring.rows import read_rows

TYPES = ("yes-no", "what", "how")
CONCERNS = ("distortion", "other", "in-context distortion", "in-context other")
IDS = ("img_path", "question_id", "id", "image", "index")


class QbenchOptions(BenchmarkOptions):
    """Options of Q-Bench A1."""

    parse: Literal["matching", "exact"] = "matching"
    """How a reply chooses: VLMEvalKit's option matching, or only as a letter or an option's text by itself."""


def _questions(path: Path, options: QbenchOptions) -> Iterator[Question]:
    for row in read_rows(path):
        fields = row.fields
        field_of(fields, ("candidates",), row.where, "the options")
        choices = tuple(map(str, list_of(fields, "candidates", row.where)))
        gold = str(
            field_of(
                fields,
                ("correct_ans",),
                row.where,
                "the right option; the test file has none, it is scored by its server",
            )
        )
        if gold not in choices:
            raise DataError(f"{row.where}: found right option {shown(gold)}, needed one of {shown(choices)}")
        groups = [
            (name, names[whole_number(fields[name], row.where, name, range(len(names)))])
            for name, names in (("type", TYPES), ("concern", CONCERNS))
            if fields.get(name) is not None
        ]
        image = text_of(fields, "img_path")
        yield Question(
            row_id(row, IDS),
            LETTERS[choices.index(gold)],
            text_of(fields, "question"),
            image,
            choices,
            tuple(groups),
        )


def _replies(path: Path, options: QbenchOptions) -> Iterator[Prediction]:
    yield from plain_replies(
        path, options, IDS, ("prediction", "response", "pred_ans", "text", "answer", "reply", "output", "value")
    )


def _grade(question: Question, reply: Any, where: str, options: QbenchOptions) -> Grade:
    text, choices = as_text(reply, where), dict(zip(LETTERS, question.choices, strict=False))
    bare = text.strip().rstrip(".").lower()
    chosen: str | None = next(
        (letter for letter, choice in choices.items() if bare in (letter.lower(), choice.rstrip(".").lower())), None
    )
    if chosen is None and options.parse == "matching":
        chosen = choose(text, choices)
    return Grade(float(chosen == question.gold), chosen or "", chosen is not None)


BENCHMARKS = {
    "qbench": QuestionBenchmark(
        title="Q-Bench A1",
        rule=lambda o: (
            "accuracy; a letter or option text alone, "
            + (
                "else VLMEvalKit's option matching, an undecided reply is wrong"
                if o.parse == "matching"
                else "any other reply is wrong"
            )
        ),
        source="Wu et al. 2024, Q-Future/Q-Bench; open-compass/VLMEvalKit, matching_util.py; prompt of "
        "haotian-liu/LLaVA",
        unit="percent",
        annotations="llvisionqa_dev.json: [{img_path, question, candidates, correct_ans, type, concern}]",
        predictions="rows {img_path, response}",
        aliases=("q-bench", "llvisionqa"),
        options=QbenchOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        summarise=lambda items, options: mean_summary(items),
        setup=Setup(files=("llvisionqa_dev.json",)),
        prompt=letter_prompt,
    ),
}
