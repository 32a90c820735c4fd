"""Puts a benchmark's questions to a system, writes the answers down as they are made, and scores them."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modalink import files, json_files, tensor_files
from modalink.errors import DataError, MediumError, brief
from modalink.evaluation import examples as example_data
from modalink.evaluation.answer_file import AnswerFile
from modalink.evaluation.dataset import Dataset, of_questions, open_dataset
from modalink.evaluation.question import PreparedQuestion, Skipped
from modalink.evaluation.replies import replies, surplus
from modalink.inference import Completion
from modalink.model import System
from modalink.scoring.score import ScoreReport, score

OnProgress = Callable[[int, int], None]
"""Hears how many questions are answered, and of how many."""

_BATCH = 16


@dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation.

    Args:
        predictions: The file of answers.
        report: The score; None where it needs a judge and none was given.
        skipped: Questions that were left out, and why.
        command: Command line that scores the answers again.
        examples: The first questions and their replies, as `evaluation.examples` makes them, where they were wanted.
    """

    predictions: Path
    report: ScoreReport | None
    skipped: list[Skipped] = field(default_factory=list)
    command: str = ""
    examples: list[dict[str, Any]] = field(default_factory=list, repr=False)


def evaluate(
    system: System,
    benchmark: str | Dataset,
    data: Path | None = None,
    *,
    out: Path,
    options: dict[str, Any] | None = None,
    limit: int | None = None,
    batch: int = _BATCH,
    max_new_tokens: int | None = None,
    partial: bool = False,
    examples: int = 0,
    against: Path | None = None,
    on_progress: OnProgress = lambda done, number: None,
) -> Evaluation:
    """Answer a benchmark's questions and score the answers; an interrupted evaluation is resumed.

    Args:
        system: The model and its processor.
        benchmark: The benchmark's name, or what `open_dataset` made of it.
        data: Its folder of data, for a name; see `open_dataset`.
        out: Folder for the answers.
        options: The benchmark's options, for a name.
        limit: Only the first questions.
        batch: Questions that are answered together.
        max_new_tokens: Longest answer; the benchmark's own by default.
        partial: Leave out questions whose media are missing or damaged, and say so, instead of stopping.
        examples: How many of the first questions are asked once more, the media of their replies made, for the report.
        against: The folder of another system's answers, to test whether the two differ.
        on_progress: Hears how far it is.

    Raises:
        DataError: Files are missing or damaged, or `out` holds answers of another model or of other questions.
        OptionError: The benchmark asks no questions, or an option has a wrong value.
        UnknownNameError: There is no such benchmark or option.
    """
    dataset = benchmark if isinstance(benchmark, Dataset) else open_dataset(benchmark, data, options=options)
    of_questions(dataset)
    prepared_questions, skipped = dataset.prepared_questions(tuple(system.spec.inputs), limit, partial)
    longest = max_new_tokens or dataset.benchmark.setup.max_new_tokens
    with AnswerFile(out, provenance(system, dataset, longest), dataset.benchmark.setup.reply_field) as answers:
        skipped += answer_all(
            system,
            prepared_questions,
            answers,
            batch=batch,
            max_new_tokens=longest,
            partial=partial,
            on_progress=on_progress,
        )
    together = [talk for _, talk in _readable(prepared_questions[:examples], [], partial)]
    shown = example_data.of_conversations(system, together, longest) if together else []
    evaluation = replace(_scored(dataset, answers.path, skipped, limit, against), examples=shown)
    if evaluation.report is not None and system.spec.outputs:
        evaluation.report.notes.append(_unasked(answers.path))
    return evaluation


def answer_all(
    system: System,
    prepared_questions: Sequence[PreparedQuestion],
    answers: AnswerFile,
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
    waiting = [prepared for prepared in prepared_questions if prepared.id not in answers.ids]
    skipped: list[Skipped] = []
    on_progress(len(prepared_questions) - len(waiting), len(prepared_questions))
    for start in range(0, len(waiting), batch):
        together = list(_readable(waiting[start : start + batch], skipped, partial))
        generated = replies(system, [talk for _, talk in together], max_new_tokens=max_new_tokens, batch=batch)
        answers.add_rows(
            _row(system, key, reply, answers.field) for (key, _), reply in zip(together, generated, strict=True)
        )
        on_progress(len(prepared_questions) - len(waiting) + min(start + batch, len(waiting)), len(prepared_questions))
    return skipped


def _row(system: System, key: str, reply: Completion, field: str) -> dict[str, str]:
    """The row of an answer; `media` are those that it asks for, which no question in words does."""
    beyond = surplus(system, "", reply)
    return {"question_id": key, field: reply.text} | ({"media": beyond} if beyond else {})


def _unasked(path: Path) -> str:
    """How many answers ask for media, in words."""
    rows = [json_files.parse(line, DataError, dict[str, str]) for line in files.whole_lines(path)]
    return f"{sum('media' in row for row in rows)} of {len(rows)} answers ask for a medium, which no question does"


def _readable(
    prepared_questions: Sequence[PreparedQuestion], skipped: list[Skipped], partial: bool
) -> Iterator[tuple[str, Any]]:
    for prepared in prepared_questions:
        try:
            yield prepared.id, prepared.conversation()
        except MediumError as error:
            if not partial:
                raise DataError(
                    f"question {brief(prepared.id)}: {error}; mend the file and start again, or leave it out with "
                    "--partial"
                ) from error
            skipped.append(Skipped(prepared.id, str(error)))


def provenance(system: System, dataset: Dataset, max_new_tokens: int) -> dict[str, Any]:
    """What decides the answers: answers of other facts are not mixed with them."""
    processor = system.processor
    return {
        "benchmark": dataset.name,
        "questions": dataset.fingerprint,
        "max_new_tokens": max_new_tokens,
        "weights": weights_hash(system),
        "template": processor.chat_template,
        "preprocessing": {modality: reader.to_dict() for modality, reader in processor.readers.items()},
    }


def weights_hash(system: System) -> str:
    """SHA-256 of all weights that answer, frozen ones included, wherever they were loaded from."""
    return tensor_files.digest(system.model.state_dict())


def _scored(
    dataset: Dataset, predictions: Path, skipped: list[Skipped], limit: int | None, against: Path | None
) -> Evaluation:
    given = dict(dataset.given)
    if limit is not None or skipped:
        given.setdefault("missing", "skip")
    again = command(dataset, predictions, given)
    if dataset.benchmark.setup.judged and not (given.get("judge") or given.get("replies")):
        return Evaluation(predictions, None, skipped, again)
    other = None if against is None else against / predictions.name
    report = score(dataset.name, predictions, dataset.annotations, given, other)
    if dataset.prompt:
        report.notes.append(f"asked with the prompt {dataset.prompt!r}, not with the benchmark's own")
    return Evaluation(predictions, report, skipped, again)


def command(dataset: Dataset, predictions: Path, given: dict[str, Any]) -> str:
    """The command line that scores predictions again."""
    words = ["modalink", "score", dataset.name, "--predictions", str(predictions)]
    words += ["--annotations", str(dataset.annotations)] if dataset.annotations else []
    for key, value in given.items():
        words += ["--partial"] if (key, value) == ("missing", "skip") else ["--option", f"{key}={value}"]
    return shlex.join(words)
