"""ChartQA: questions about charts, numbers right within five percent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modalink.scoring.annotations import field_of, text_of
from modalink.scoring.benchmark import BenchmarkOptions, Grade, Question, QuestionBenchmark, Setup, mean_summary
from modalink.scoring.metrics.match import relaxed
from modalink.scoring.predictions import as_text, row_id
from modalink.scoring.prompts import short_prompt
from modalink.scoring.rows import read_rows


def _questions(path: Path, options: BenchmarkOptions) -> Iterator[Question]:
    for number, row in enumerate(read_rows(path)):
        fields = row.fields
        gold = as_text(field_of(fields, ("label", "answer"), row.where, "the right answer"), row.where)
        text, image = (
            text_of(fields, "query", "question"),
            text_of(fields, "imgname", "image"),
        )
        groups = (("part", str(fields["type"])),) if "type" in fields else ()
        key = row_id(row, ("question_id", "id", "index"))
        yield Question(key or str(number), gold, text, image, groups=groups, numbered=not key)


def _grade(question: Question, reply: Any, where: str, options: BenchmarkOptions) -> Grade:
    text = as_text(reply, where).strip()
    return Grade(float(relaxed(text, question.gold)), text)


BENCHMARKS = {
    "chartqa": QuestionBenchmark(
        title="ChartQA",
        rule="relaxed accuracy: numbers within 5 %, texts equal but for case",
        source="Masry et al. 2022, section 5.1; prompt of haotian-liu/LLaVA",
        unit="percent",
        annotations="test_human.json or test_augmented.json: [{imgname, query, label}]; papers average the two",
        predictions="rows {id: number of the question from 0, answer}, or replies in the order of the questions",
        options=BenchmarkOptions,
        questions=_questions,
        grade=_grade,
        summarise=lambda items, options: mean_summary(items),
        setup=Setup(files=("test_*.json",)),
        prompt=short_prompt,
    ),
}
