"""Benchmarks whose replies a language model judges."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from modalink import files
from modalink.errors import DataError, OptionError, brief, shown
from modalink.scoring.benchmark import BenchmarkOptions, GradedQuestion
from modalink.scoring.judge_model import Endpoint, JudgeModel, Request, Verdict, read_verdicts
from modalink.scoring.rows import Row


class JudgeOptions(BenchmarkOptions):
    """Where a judge's replies come from."""

    judge: str = ""
    """Address of an OpenAI-compatible server, such as http://localhost:8000/v1; its key is read from OPENAI_API_KEY."""
    judge_model: str = ""
    """Name of the judging model; the score depends on it and must be reported with it."""
    replies: str = ""
    """File of recorded replies, read first and added to; several, one a run, separated by commas."""
    runs: int = Field(default=1, ge=1, le=100)
    """How often the judge is asked about everything; the score is the mean."""

    @property
    def judged(self) -> bool:
        """Whether there is a judge."""
        return bool(self.judge or self.replies)


def judge_of(options: JudgeOptions, official: Callable[[Row], Iterable[Verdict]] | None = None) -> JudgeModel | None:
    """The judge that the options name, with its recorded replies; None where they name none.

    Raises:
        DataError: An address without a model, or a record that is missing and has no judge to fill it.
    """
    if not options.judged:
        return None
    if options.judge and not options.judge_model:
        raise DataError(f"judge {options.judge}: needed the name of its model too: --option judge_model=NAME")
    paths = [Path(name) for name in options.replies.split(",") if name]
    if options.judge and paths and paths[0].suffix != ".jsonl":
        raise DataError(f"replies {paths[0]}: new replies are added to it, so it needed to be a .jsonl file")
    judge = JudgeModel(
        Endpoint(options.judge, options.judge_model) if options.judge else None, paths[0] if paths else None
    )
    for path in paths:
        files.named(path, DataError)
    _check_distinct(paths)
    for number, path in enumerate(paths):
        if path.exists() or not options.judge:
            judge.add(replace(r, run=r.run or number) for r in read_verdicts(path, official))
    return judge


def _check_distinct(paths: Sequence[Path]) -> None:
    """One file must not count as several runs."""
    seen: dict[str, Path] = {}
    for path in (path for path in paths if path.is_file()):
        if (first := seen.setdefault(files.sha256(path), path)) is not path:
            raise OptionError(f"option replies: {first} and {path} hold the same replies, needed a file of each run")


def needed_judge(options: JudgeOptions, official: Callable[[Row], Iterable[Verdict]] | None = None) -> JudgeModel:
    """The judge of a benchmark that has no score without one."""
    judge = judge_of(options, official)
    if judge is None:
        raise DataError(
            "this benchmark is scored by a judge, and none was given: --option judge=http://HOST/v1 --option "
            "judge_model=NAME, or --option replies=FILE with recorded replies"
        )
    return judge


def ask_runs(
    judge: JudgeModel,
    items: list[GradedQuestion],
    request: Callable[[GradedQuestion, int], Request],
    options: JudgeOptions,
) -> tuple[list[GradedQuestion], list[list[str | None]]]:
    """Ask the judge about every item that has an answer, once a run.

    Returns:
        The items that have a reply in every run (all, unless `--partial` lets some be missing), and the replies by run,
        None for an item without an answer.

    Raises:
        DataError: Some have none.
    """
    runs = max(options.runs, 1 + max((run for _, run, _ in judge.known), default=0))
    answered = [item for item in items if item.grade.parsed]
    flat = iter(judge.ask([request(item, run) for item in answered for run in range(runs)]))
    replies = {item.question.id: [next(flat) for _ in range(runs)] for item in answered}
    lost = {key: None for key, texts in replies.items() if None in texts}
    if lost and (options.missing != "skip" or len(lost) == len(answered)):
        raise DataError(
            f"{judge.origin}: found no judge's reply for {len(lost)} of {len(answered)} items "
            f"({', '.join(map(brief, islice(lost, 3)))}, ...) in {runs} runs; give --option judge=ADDRESS to ask for "
            "them, or --partial to leave them out"
        )
    judge.unjudged = len(lost)
    complete = [item for item in items if item.question.id not in lost]
    return complete, [replies.get(item.question.id, [None] * runs) for item in complete]


def answer_of(item: GradedQuestion) -> tuple[str, str]:
    """What is judged, for a `Request`: the answer, and what its file calls it."""
    return item.grade.answer, item.grade.answer_id


def check_readable(
    judge: JudgeModel, replies: Sequence[Sequence[str | None]], parsed: Sequence[Sequence[Any]], needed: str
) -> None:
    """Refuse a judge, or a file, of which nothing can be read: its score would be that of an empty model.

    Args:
        judge: Who gave the replies.
        replies: Its replies, by item and run.
        parsed: What was read out of each reply, None where nothing was.
        needed: The form of a reply.

    Raises:
        DataError: None of the replies can be read.
    """
    texts = [text for by_run in replies for text in by_run if text is not None]
    # One odd reply of a judge is its opinion; one in a file makes the file doubtful.
    few = 1 if judge.endpoint is None else 2
    if len(texts) >= few and all(verdict is None for by_run in parsed for verdict in by_run):
        raise DataError(
            f"{judge.origin}: could read none of {len(texts)} judge's replies, of which the first is "
            f"{shown(texts[0])}; needed {needed}"
        )


def judge_notes(judge: JudgeModel, runs: int, hint: str) -> list[str]:
    """Notes on who judged, and whether it is known what was judged."""
    notes = [f"judge: {judge.name}, {runs} run{'s' * (runs > 1)}; {hint}"]
    if judge.unjudged:
        notes.append(f"partial: {judge.unjudged} answers have no judge's reply and are left out")
    if judge.unattributed:
        notes.append(
            f"{judge.unattributed} of the judge's replies do not tell whose answers they are about; check that it is "
            "these"
        )
    return notes
