"""VSR: whether a statement about where things are is true of an image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modalink.errors import DataError
from modalink.scoring.annotations import field_of
from modalink.scoring.benchmark import (
    BenchmarkOptions,
    Grade,
    Question,
    QuestionBenchmark,
    Setup,
    mean_summary,
    plain_replies,
)
from modalink.scoring.predictions import Prediction, as_text, row_id
from modalink.scoring.rows import read_rows

IDS = ("question_id", "id", "index")
WORDS = {"true": 1, "yes": 1, "1": 1, "false": 0, "no": 0, "0": 0}
# Of a relation named twice the later family holds, as in the official script.
FAMILIES = {
    "Adjacency": "adjacent to, alongside, at the side of, at the right side of, at the left side of, attached to, "
    "at the back of, "
    "ahead of, against, at the edge of",
    "Directional": "off, past, toward, down, deep down, up, away from, along, around, from, into, to, across, "
    "across from, through, "
    "down from",
    "Orientation": "facing, facing away from, parallel to, perpendicular to",
    "Projective": "on top of, beneath, beside, behind, left of, right of, under, in front of, below, above, over, "
    "in the middle of",
    "Proximity": "by, close to, near, far from, far away from",
    "Topological": "connected to, detached from, has as a part, part of, contains, within, at, on, in, with, "
    "surrounding, among, "
    "consists of, out of, between, inside, outside, touching",
    "Unallocated": "beyond, next to, opposite to, after, among, enclosed by",
}
FAMILY_OF = {relation: family for family, relations in FAMILIES.items() for relation in relations.split(", ")}


def _questions(path: Path, options: BenchmarkOptions) -> Iterator[Question]:
    for number, row in enumerate(read_rows(path)):
        fields = row.fields
        label = field_of(fields, ("label", "answer"), row.where, "0 or 1")
        gold = WORDS.get(str(label).lower())
        if gold is None:
            raise DataError(f"{row.where}: found label {label!r:.40}, needed 0 or 1")
        relation, caption, image = (str(fields.get(name, "")) for name in ("relation", "caption", "image"))
        groups = [("relation", relation)] * bool(relation)
        groups += [("family", FAMILY_OF[relation])] if relation in FAMILY_OF else []
        # The official rows have no id; an image and a statement name one.
        key = row_id(row, IDS)
        keys = (f"{image}\n{caption}",) if image and caption else ()
        yield Question(key or str(number), gold, caption, image, groups=tuple(groups), keys=keys, numbered=not key)


def _replies(path: Path, options: BenchmarkOptions) -> Iterator[Prediction]:
    return plain_replies(
        path, options, IDS, ("prediction", "pred", "text", "response", "answer", "value"), ("image", "caption")
    )


def _grade(question: Question, reply: Any, where: str, options: BenchmarkOptions) -> Grade:
    choice = WORDS.get(as_text(reply, where).lower())
    return Grade(
        float(choice == question.gold), "" if choice is None else ("false", "true")[choice], choice is not None
    )


BENCHMARKS = {
    "vsr": QuestionBenchmark(
        title="VSR, visual spatial reasoning",
        rule="accuracy; the whole reply is true, yes, 1 or false, no, 0 in any case, any other is wrong",
        source="Liu et al. 2023; cambridgeltl/visual-spatial-reasoning, analysis_scripts; reply and prompt of "
        "Vision-CAIR/MiniGPT-4",
        unit="percent",
        annotations="rows {image, caption, label: 0 or 1, relation}; papers use the zero-shot test split",
        predictions="rows {image, caption, text} or {id: number of the row from 0, text}, or a .txt of 0 and 1 in the "
        "order of the statements",
        options=BenchmarkOptions,
        questions=_questions,
        replies=_replies,
        grade=_grade,
        summarise=lambda items, options: mean_summary(items),
        setup=Setup(files=("test.jsonl", "dev.jsonl")),
        prompt=lambda question: f"Based on the image, is this statement true or false? {question.text}",
    ),
}
