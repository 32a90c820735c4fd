"""The loop: for each step: learn, log, evaluate, save."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from modalink.data.loader import Loader
from modalink.features.cache import FeatureCache
from modalink.model import System
from modalink.model.prepared import Prepared
from modalink.recipe import Recipe
from modalink.runs import checkpoints
from modalink.runs.checkpoints import Progress
from modalink.runs.ledger import Ledger
from modalink.runs.metrics import Metrics, length
from modalink.training import parallel
from modalink.training.critic import Critic
from modalink.training.earlier import EarlierStages
from modalink.training.events import CheckpointSaved, OnEvent, StepDone, Warned
from modalink.training.gradient_check import PATIENCE
from modalink.training.interrupts import Interrupted, StopRequest
from modalink.training.optimization import optimizer_tensors
from modalink.training.step import Learner


@dataclass(frozen=True)
class Run:
    """What all stages of a run share."""

    folder: Path
    recipe: Recipe
    system: System
    cache: FeatureCache
    device: torch.device
    emit: OnEvent
    stop: StopRequest
    workers: int = 0
    """Threads that prepare data ahead, see `Loader`."""
    track: tuple[str, ...] | None = None
    """Trackers of the metrics, see `runs.trackers`."""
    on_changed_data: Literal["warn", "fail"] = "warn"
    """What data do that are not those which the run has read before, see `RunSettings`."""
    check_folder: Callable[[], None] = lambda: None
    """Raises `CheckpointError` when the run folder is gone."""
    earlier: EarlierStages | None = None
    """The states in which earlier stages have ended; None where none is trained."""


Learn = Callable[[int, list[Prepared]], dict[str, Any]]
"""Does a step with its samples and gives its record."""


def train_steps(
    run: Run,
    learner: Learner,
    loader: Loader,
    first: int,
    metrics: Metrics | None,
    evaluate: Callable[[int], None] = lambda done: None,
    learn: Learn | None = None,
    critic: Critic | None = None,
) -> None:
    """Learn from the loader's batches, from step `first` to the stage's last.

    Args:
        run: The run.
        learner: The stage's learner.
        loader: Its data.
        first: The first step, from 0.
        metrics: Where the steps' records go; None for all processes but one.
        evaluate: Hears how many steps are done.
        learn: What a step does with its samples; by default the learner learns from them.
        critic: The stage's critic, where that is a model of its own.

    Raises:
        TrainingError: A step must not go on, or something that should learn did not.
        Interrupted: A stop was asked for; the step it fell on is finished and saved.
        CheckpointError: The run folder cannot be written.
    """
    stage = learner.stage
    for step, samples, waited in numbered(loader.batches(learner.ready), first, learner.steps):
        began = time.perf_counter()
        record = (learn or learner.learn)(step, samples)
        seconds = waited + time.perf_counter() - began
        record |= {"seconds": seconds, "data_seconds": waited, "tokens_per_s": record["tokens"] / seconds}
        if metrics is not None:
            metrics.write(record)
        done = step + 1
        run.emit(StepDone(stage.name, done, learner.steps, record))

        if done == min(PATIENCE, learner.steps):
            warn_unused(run, learner, done)
        if done == learner.steps:
            learner.watch.finish()
            if critic is not None:
                critic.finish()
        evaluate(done)  # before `save`: the checkpoint covers the line that it writes
        stopped = parallel.summed([float(run.stop.requested)])[0] > 0
        if done % stage.checkpoint_every == 0 or done == learner.steps or stopped:
            path = save(run, learner, loader, done, critic)
            if stopped:
                raise Interrupted(
                    f"stopped as asked after step {done} of {learner.steps} of stage {stage.name}; all is saved in "
                    f"{path}, and the same command goes on from there"
                )
    if learner.average is not None:
        learner.average.settle()


def numbered(
    batches: Generator[list[Prepared]], first: int, steps: int
) -> Generator[tuple[int, list[Prepared], float]]:
    """Each step's number from `first` on, its samples, and the seconds they took to arrive."""
    with closing(batches):
        for step in range(first, steps):
            began = time.perf_counter()
            samples = next(batches)
            yield step, samples, time.perf_counter() - began


def save(run: Run, learner: Learner, loader: Loader, done: int, critic: Critic | None = None) -> Path:
    """Write a checkpoint after `done` steps; one process writes for all, and all wait."""
    folder = run.folder / learner.stage.name
    path = folder / "checkpoints"
    place = loader.state_dict()
    place["cursors"] = parallel.gathered(place["cursors"])
    merge_ledgers(loader.ledger)
    if parallel.rank() == 0:
        run.check_folder()
        size = length(folder / "metrics.jsonl")
        progress = Progress(done, learner.steps, place, learner.watch.state_dict(), size, learner.noted)
        average, beside = None if learner.average is None else learner.average.tensors, None
        if critic is not None:
            beside, watched = critic.tensors(), critic.learner.watch.state_dict()
            progress = replace(progress, critic_watch=watched)
        path = checkpoints.save(path, progress, learner.weights, optimizer_tensors(learner.optimizer), average, beside)
        run.emit(CheckpointSaved(path))
    parallel.barrier()
    return path


def merge_ledgers(ledger: Ledger) -> None:
    """Bring the lines of all processes into the ledger of the first."""
    lines = parallel.gathered(list(ledger) if parallel.rank() else [])
    if parallel.rank() == 0:
        ledger.merge(lines)
    else:
        ledger.truncate(0)


def warn_unused(run: Run, learner: Learner, done: int) -> None:
    """Say early what has not learned although it should, and may yet."""
    for group, names in learner.watch.unused().items():
        some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        run.emit(Warned(f"{group}: {len(names)} tensors received no gradient in the first {done} steps: {some}"))
