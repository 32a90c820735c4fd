"""Questions about videos with one word as right answer, scored by equality."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from modalink.errors import DataError, brief, shown
from modalink.scoring.annotations import field_of, groups_of, rows_if_there, text_of
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
from modalink.scoring.metrics.match import caseless, exact
from modalink.scoring.predictions import IDS, as_text, row_id
from modalink.scoring.prompts import short_prompt
from modalink.scoring.rows import read_rows

XU_SETUP = Setup(files=("test_qa.json",), modality="video")
ACTIVITYNET_SETUP = Setup(files=("test_a.json",), beside="test_q.json", modality="video")


class VideoQaOptions(BenchmarkOptions):
    """Options of video questions scored by equality."""

    match: Literal["exact", "caseless"] = "exact"
    """Character by character, as the official scorers, or but for case and outer space."""


def questions(path: Path, options: BenchmarkOptions) -> Iterator[Question]:
    """The questions of an answer file, or of `test_a.json` in a folder beside `test_q.json`."""
    path = path / "test_a.json" if path.is_dir() else path
    beside = path.with_name(path.name.replace("_a.json", "_q.json"))
    texts = {row_id(r, IDS): r.fields for r in rows_if_there(beside)} if beside != path else {}
    for row in read_rows(path):
        key = row_id(row, IDS)
        fields = {**texts.get(key, {}), **row.fields}
        gold, text = str(field_of(fields, ("answer",), row.where, "the right answer")), text_of(fields, "question")
        kind = groups_of(fields, "type")
        word = (("question", text.split()[0].lower()),) if text.strip() and not kind else ()
        yield Question(key, gold, text, text_of(fields, "video_name", "video_id"), groups=(*kind, *word))


def _grade_exact(question: Question, reply: Any, where: str, options: VideoQaOptions) -> Grade:
    text = as_text(reply, where)
    return Grade(float((exact if options.match == "exact" else caseless)(text, question.gold)), text)


def video_qa(
    title: str,
    source: str,
    annotations: str,
    predictions: str = "rows {question_id or id, answer}",
    setup: Setup = XU_SETUP,
) -> QuestionBenchmark:
    """Questions about videos, scored by equality."""
    return QuestionBenchmark(
        title=title,
        rule=lambda o: (
            "accuracy, the reply equals the answer "
            + ("character by character" if o.match == "exact" else "but for case")
        ),
        source=source,
        unit="percent",
        annotations=annotations,
        predictions=predictions,
        options=VideoQaOptions,
        questions=questions,
        grade=_grade_exact,
        summarise=lambda items, options: mean_summary(items),
        setup=setup,
        prompt=short_prompt,
    )


def named(question: Question, name: str, *others: str) -> Question:
    """The question with the official name of its video's file; that of the annotations is tried last."""
    if question.media:
        question.media, question.other_names = name, (*others, question.media)
    return question


def msvd_questions(path: Path, options: BenchmarkOptions) -> Iterator[Question]:
    """The questions on MSVD's videos: vid1301, or YouTube's name by `youtube_mapping.txt` beside the file."""
    names = _msvd_names(path.with_name("youtube_mapping.txt"))
    for question in questions(path, options):
        number = f"vid{question.media}"
        yield named(question, number, *names.get(number, ()))


def _msvd_names(path: Path) -> dict[str, tuple[str]]:
    """The original names of MSVD's videos, of lines such as `mv89psg6zh4_33_46 vid1`."""
    names = {}
    for row in rows_if_there(path):
        words = str(row.fields["value"]).split()
        if len(words) != 2:
            raise DataError(f"{row.where}: found {shown(row.fields['value'])}, needed a name and a number: NAME vid1")
        names[words[1]] = (words[0],)
    return names


def msrvtt_questions(path: Path, options: BenchmarkOptions) -> Iterator[Question]:
    """The questions on MSR-VTT's videos: video7010."""
    for question in questions(path, options):
        yield named(question, f"video{question.media}")


ACTIVITYNET_TYPES = ("motion", "spatial", "temporal", "yes/no", "color", "object", "location", "number", "other")
FREE_TYPES = ACTIVITYNET_TYPES[3:]


def activitynet_questions(path: Path, options: BenchmarkOptions) -> Iterator[Question]:
    """The questions, with their kinds by name, on ActivityNet's videos: v_1QIUV7WYKXg."""
    for question in questions(path, options):
        kinds = [member for family, member in question.groups if family == "type"]
        if any(kind not in map(str, range(len(ACTIVITYNET_TYPES))) for kind in kinds):
            raise DataError(
                f"question {brief(question.id)}: found type {shown(kinds[0])}, needed 0 to {len(ACTIVITYNET_TYPES) - 1}"
            )
        question.groups = tuple(("type", ACTIVITYNET_TYPES[int(kind)]) for kind in kinds)
        yield named(question, f"v_{question.media}")


def _summarise_activitynet(items: list[GradedQuestion], options: VideoQaOptions) -> Summary:
    summary = mean_summary(items)
    right, counts = dict.fromkeys(ACTIVITYNET_TYPES, 0.0), dict[str, int]()
    for item in items:
        for _, kind in item.question.groups:
            counts[kind] = counts.get(kind, 0) + 1
            right[kind] += item.grade.score
    free = 100 * sum(right[kind] for kind in FREE_TYPES)
    if number := sum(counts.get(kind, 0) for kind in FREE_TYPES):
        summary.metrics["free"] = free / number
    # The official script divides by the counts of all but the three types that it met first, whichever they are.
    if number := sum(list(counts.values())[3:]):
        summary.metrics["free_as_printed"] = free / number
    return summary


ACTIVITYNET_FILES = "test_a.json: [{question_id, answer, type}], with test_q.json beside it"
XU_FILES = "test_qa.json: [{id, question, answer, video_id}]"


BENCHMARKS = {
    "activitynet_qa": replace(
        video_qa(
            "ActivityNet-QA",
            "Yu et al. 2019; MILVLG/activitynet-qa, evaluation/eval.py",
            ACTIVITYNET_FILES,
            "[{question_id, answer}]",
            ACTIVITYNET_SETUP,
        ),
        questions=activitynet_questions,
        summarise=_summarise_activitynet,
    ),
    "msrvtt_qa": replace(video_qa("MSRVTT-QA", "Xu et al. 2017", XU_FILES), questions=msrvtt_questions),
    "msvd_qa": replace(video_qa("MSVD-QA", "Xu et al. 2017", XU_FILES), questions=msvd_questions),
}
