"""Puts a benchmark's questions to a system, writes the answers down as they are made, and scores them."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modalink import tensor_files
from modalink.errors import DataError, MediumError
from modalink.evaluation.answer_file import Answers
from modalink.evaluation.dataset import Task, open_task
from modalink.evaluation.question import Ask, Skipped
from modalink.evaluation.replies import replies
from modalink.model import System
from modalink.scoring.score import Report, score

OnProgress = Callable[[int, int], None]
"""Hears how many questions are answered, and of how many."""

_BATCH = 16


@dataclass(frozen=True)
class Outcome:
    """What came of putting a benchmark to a system.

    Args:
        predictions: The file of answers.
        report: The score; None where it needs a judge and none was given.
        skipped: Questions that were left out, and why.
        command: Command line that scores the answers again.
    """

    predictions: Path
    report: Report | None
    skipped: list[Skipped] = field(default_factory=list)
    command: str = ""


def evaluate(
    system: System,
    benchmark: str | Task,
    data: Path | None = None,
    *,
    out: Path,
    options: dict[str, Any] | None = None,
    limit: int | None = None,
    batch: int = _BATCH,
    max_new_tokens: int | None = None,
    partial: bool = False,
    on_progress: OnProgress = lambda done, number: None,
) -> Outcome:
    """Answer a benchmark's questions and score the answers; goes on where it was stopped.

    Args:
        system: The model and its processor.
        benchmark: The benchmark's name, or what `open_task` made of it.
        data: Its folder of data, for a name; see `open_task`.
        out: Folder for the answers.
        options: The benchmark's options, for a name.
        limit: Only the first questions.
        batch: Questions that are answered together.
        max_new_tokens: Longest answer; the benchmark's own by default.
        partial: Leave out questions whose media are missing or damaged, and say so, instead of stopping.
        on_progress: Hears how far it is.

    Raises:
        DataError: Files are missing or damaged, or `out` holds answers of another model or of other questions.
        OptionError: The benchmark asks no questions, or an option has a wrong value.
        UnknownNameError: There is no such benchmark or option.
    """
    task = benchmark if isinstance(benchmark, Task) else open_task(benchmark, data, options=options)
    asks, skipped = task.asks(tuple(system.spec.inputs), limit, partial)
    longest = max_new_tokens or task.benchmark.asking.max_new_tokens
    with Answers(out, facts(system, task, longest), task.benchmark.asking.reply_field) as answers:
        skipped += answer_all(
            system, asks, answers, batch=batch, max_new_tokens=longest, partial=partial, on_progress=on_progress
        )
    return _scored(task, answers.path, skipped, limit)


def answer_all(
    system: System,
    asks: Sequence[Ask],
    answers: Answers,
    *,
    batch: int = _BATCH,
    max_new_tokens: int = 128,
    partial: bool = False,
    on_progress: OnProgress = lambda done, number: None,
) -> list[Skipped]:
    """Answer the questions that are not answered yet, a batch at a time.

    Returns:
        Questions with a damaged medium; without `partial` they are an error.

    Raises:
        DataError: A medium cannot be read; the answers until then are kept.
    """
    waiting = [ask for ask in asks if ask.id not in answers.ids]
    skipped: list[Skipped] = []
    on_progress(len(asks) - len(waiting), len(asks))
    for start in range(0, len(waiting), batch):
        together = list(_readable(waiting[start : start + batch], skipped, partial))
        said = replies(system, [talk for _, talk in together], max_new_tokens=max_new_tokens, batch=batch)
        answers.add([(key, reply.text) for (key, _), reply in zip(together, said, strict=True)])
        on_progress(len(asks) - len(waiting) + min(start + batch, len(waiting)), len(asks))
    return skipped


def _readable(asks: Sequence[Ask], skipped: list[Skipped], partial: bool) -> Iterator[tuple[str, Any]]:
    for ask in asks:
        try:
            yield ask.id, ask.conversation()
        except MediumError as error:
            if not partial:
                raise DataError(
                    f"question {ask.id}: {error}; mend the file and start again, or leave it out with --partial"
                ) from error
            skipped.append(Skipped(ask.id, str(error)))


def facts(system: System, task: Task, max_new_tokens: int) -> dict[str, Any]:
    """What decides the answers: answers of other facts are not mixed with them."""
    processor = system.processor
    return {
        "benchmark": task.name,
        "questions": task.fingerprint,
        "max_new_tokens": max_new_tokens,
        "weights": weights_hash(system),
        "template": processor.chat_template,
        "preprocessing": {modality: reader.to_dict() for modality, reader in processor.readers.items()},
    }


def weights_hash(system: System) -> str:
    """SHA-256 of all weights that answer, frozen ones included, wherever they were loaded from."""
    return tensor_files.digest(system.model.state_dict())


def _scored(task: Task, predictions: Path, skipped: list[Skipped], limit: int | None) -> Outcome:
    given = dict(task.given)
    if limit is not None or skipped:
        given.setdefault("missing", "skip")
    command = _command(task, predictions, given)
    if task.benchmark.asking.judged and not (given.get("judge") or given.get("replies")):
        return Outcome(predictions, None, skipped, command)
    report = score(task.name, predictions, task.annotations, given)
    if task.prompt:
        report.notes.append(f"asked with the prompt {task.prompt!r}, not with the benchmark's own")
    return Outcome(predictions, report, skipped, command)


def _command(task: Task, predictions: Path, given: dict[str, Any]) -> str:
    words = ["modalink", "score", task.name, "--predictions", str(predictions)]
    words += ["--annotations", str(task.annotations)] if task.annotations else []
    for key, value in given.items():
        words += ["--partial"] if (key, value) == ("missing", "skip") else ["--option", f"{key}={value}"]
    return shlex.join(words)
