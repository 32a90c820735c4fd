"""One run of a comparison: trained, asked, and what it came to, kept in its folder."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from modalink import json_files
from modalink.comparison.memory import peak_memory
from modalink.conversation import Conversation
from modalink.errors import CheckpointError, OptionError
from modalink.evaluation.dataset import Dataset
from modalink.evaluation.runner import evaluate
from modalink.inference import load
from modalink.model import System
from modalink.model.device import use
from modalink.recipe import BenchmarkChoice, Recipe
from modalink.runs.facts import read_run
from modalink.runs.folder import MODEL, write_json
from modalink.runs.results import FOLDER, write_results
from modalink.scoring.benchmark import scores_of
from modalink.settings import RunSettings
from modalink.training.events import OnEvent
from modalink.training.train import train

MEASURED = "measured.json"
_MEMORY = "memory.json"
_PACED, _SKIPPED = 9, 3
_LOOKED_AT = 8


@dataclass(frozen=True)
class Measured:
    """What one run came to.

    Args:
        scores: Heading of a benchmark -> the score of each of its questions, 0 to 1.
        questions: Heading of a benchmark -> the ids of these questions.
        tokens_per_item: Prompt tokens of one medium, the mean over the first questions.
        steps: Steps of each stage.
        samples: Conversations that it learned from, repetitions counted.
        trainable_parameters: Parameters that learned in at least one stage.
        parameters: All parameters.
        training_seconds: Time of all steps.
        evaluation_seconds: Time of all answers.
        memory_bytes: The most memory that training took; None where it is not known.
    """

    scores: dict[str, list[float]]
    questions: dict[str, list[str]]
    tokens_per_item: float
    steps: list[int]
    samples: int
    trainable_parameters: int
    parameters: int
    training_seconds: float
    evaluation_seconds: float
    memory_bytes: int | None

    def score(self, benchmark: str) -> Float[np.ndarray, " n"]:
        """The questions' scores of a benchmark."""
        return np.array(self.scores[benchmark])


@dataclass(frozen=True)
class _Memory:
    """What the file of that name says."""

    memory_bytes: int | None


def measure(
    recipe: Recipe,
    run: Path,
    benchmarks: Mapping[str, tuple[BenchmarkChoice, Dataset]],
    settings: RunSettings,
    on_event: OnEvent | None = None,
) -> Measured:
    """Train a recipe and ask it; what is done already is read from the folder.

    Args:
        recipe: The recipe.
        run: The run folder.
        benchmarks: Heading -> what is asked.
        settings: The machine.
        on_event: Hears what training does.

    Raises:
        CheckpointError: The folder holds another run, or cannot be written.
        TrainingError: A step must not go on, or training was interrupted.
        OptionError: A benchmark's score is no mean over its questions.
    """
    _train(recipe, run, settings, on_event)
    if (run / MEASURED).is_file():
        found: Measured = json_files.read(
            run / MEASURED, CheckpointError, Measured, remedy="delete it, and start again"
        )
        return found
    system = load(run, device=settings.device, threads=settings.threads).system
    scores: dict[str, list[float]] = {}
    questions: dict[str, list[str]] = {}
    began = time.perf_counter()
    for heading, (choice, dataset) in benchmarks.items():
        scores[heading], questions[heading] = _ask(system, run, heading, choice, dataset)
    seconds = time.perf_counter() - began
    facts = read_run(run)
    memory = json_files.read(run / _MEMORY, CheckpointError, _Memory) if (run / _MEMORY).is_file() else _Memory(None)
    measured = Measured(
        scores,
        questions,
        _tokens_per_item(system, [dataset for _, dataset in benchmarks.values()]),
        [stage.steps or 0 for stage in recipe.stages],
        sum(stage.samples for stage in facts.stages),
        facts.trainable_parameters,
        facts.parameters,
        facts.training_seconds,
        seconds,
        memory.memory_bytes,
    )
    write_json(run / MEASURED, asdict(measured))
    return measured


def pace(recipe: Recipe, run: Path, settings: RunSettings, on_event: OnEvent | None = None) -> list[float]:
    """Seconds of a step in each stage of a recipe: the median of some, after the first ones.

    Args:
        recipe: The recipe, of any length.
        run: Folder of a run that is made for it.
        settings: The machine.
        on_event: Hears what training does.
    """
    short = recipe.replace(stages=[stage.replace(steps=_PACED) for stage in recipe.stages])
    train(short, run, settings=settings, on_event=on_event)
    return [
        statistics.median(record["seconds"] for record in stage.records[_SKIPPED:]) for stage in read_run(run).stages
    ]


def _train(recipe: Recipe, run: Path, settings: RunSettings, on_event: OnEvent | None) -> None:
    fresh = not (run / MODEL).exists()
    with peak_memory(use(settings)) as peak:
        train(recipe, run, settings=settings, on_event=on_event)
    if fresh:
        write_json(run / _MEMORY, {"memory_bytes": peak.bytes})


def _ask(
    system: System, run: Path, heading: str, choice: BenchmarkChoice, dataset: Dataset
) -> tuple[list[float], list[str]]:
    """The scores of a benchmark's questions, and their ids."""
    evaluation = evaluate(system, dataset, out=run / FOLDER / heading, limit=choice.limit)
    report = evaluation.report
    if report is None:
        raise OptionError(f"benchmark {heading}: a judge scores it, and none was given; name one in its options")
    scores = scores_of(report.summary.items)
    mean = float(scores.mean()) if len(scores) else float("nan")
    if not any(abs(scale * mean - report.score) <= 0.01 * scale for scale in (1, 100)):
        raise OptionError(
            f"benchmark {heading}: its score is no mean over questions ({report.rule}), and designs are compared "
            "question by question; choose another"
        )
    write_results(run, heading, report.as_dict())
    return scores.tolist(), [item.question.id for item in report.summary.items]


def _tokens_per_item(system: System, datasets: Sequence[Dataset]) -> float:
    """Prompt tokens of one medium of each data set's first questions; some sets ask in words alone."""
    prepared = [d.prepared_questions(tuple(system.spec.inputs), limit=_LOOKED_AT)[0] for d in datasets]
    counts = [count for questions in prepared for q in questions for count in _tokens(system, q.conversation())]
    return statistics.fmean(counts) if counts else 0.0


def _tokens(system: System, conversation: Conversation) -> Iterator[int]:
    """How many prompt tokens are made of each medium of a conversation, whether or not they stand in the text."""
    spec = system.spec
    for modality, items in system.processor.prepare(conversation, reply=True).media.items():
        for item in items:
            yield spec.projector(modality).layout(spec.encoder(modality).layout(item.layout)).tokens
