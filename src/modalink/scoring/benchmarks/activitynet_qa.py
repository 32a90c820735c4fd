"""ActivityNet-QA: short answers about long videos, by kind of question."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modalink.errors import DataError
from modalink.scoring.benchmarks import _video_qa
from modalink.scoring.benchmarks._base import Item, Options, Question, Summary, mean_summary

TYPES = ("motion", "spatial", "temporal", "yes/no", "color", "object", "location", "number", "other")
FREE = TYPES[3:]


def questions(path: Path, options: Options) -> Iterator[Question]:
    """The questions, with their kinds by name."""
    for question in _video_qa.questions(path, options):
        kinds = [member for family, member in question.groups if family == "type"]
        if any(kind not in map(str, range(len(TYPES))) for kind in kinds):
            raise DataError(f"question {question.id}: found type {kinds[0]!r}, needed 0 to {len(TYPES) - 1}")
        question.groups = tuple(("type", TYPES[int(kind)]) for kind in kinds)
        yield question


def _summarise(items: list[Item], options: _video_qa.VideoQaOptions) -> Summary:
    summary = mean_summary(items)
    right, counts = dict.fromkeys(TYPES, 0.0), dict[str, int]()
    for item in items:
        for _, kind in item.question.groups:
            counts[kind] = counts.get(kind, 0) + 1
            right[kind] += item.grade.score
    free = 100 * sum(right[kind] for kind in FREE)
    if number := sum(counts.get(kind, 0) for kind in FREE):
        summary.metrics["free"] = free / number
    # The official script divides by the counts of all but the three types that it met first, whichever they are.
    if number := sum(list(counts.values())[3:]):
        summary.metrics["free_as_printed"] = free / number
    return summary


benchmark = replace(
    _video_qa.video_qa(
        "ActivityNet-QA",
        "Yu et al. 2019; MILVLG/activitynet-qa, evaluation/eval.py",
        "test_a.json: [{question_id, answer, type}], with test_q.json beside it",
        "[{question_id, answer}]",
        ("test_a.json",),
    ),
    questions=questions,
    summarise=_summarise,
)
