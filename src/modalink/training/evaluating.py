"""Evaluation inside a stage: a validation loss and benchmarks, which change nothing of what is learned."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modalink.data.loader import Loader
from modalink.data.prefetch import Finish
from modalink.errors import TrainingError
from modalink.evaluation.numbers import OpenedBenchmark, open_benchmark
from modalink.model.prepared import Prepared
from modalink.recipe import Evaluation
from modalink.runs import checkpoints
from modalink.runs.metrics import Metrics, best_of, read_records
from modalink.training import parallel
from modalink.training.events import Evaluated
from modalink.training.loop import Run, merge_ledgers
from modalink.training.opening import open_loader
from modalink.training.randomness import seed_everything
from modalink.training.step import Learner

_STEP = -1
"""The step that evaluations draw their noise for: no step of training, and the same each time."""


def open_evaluation(
    run: Run, learner: Learner, metrics: Metrics | None, folder: Path, stack: ExitStack
) -> Callable[[int], None]:
    """What a stage's `evaluate` asks for, to be called with the number of steps that are done.

    Args:
        run: The run.
        learner: The stage's learner.
        metrics: Where the numbers go; None for all processes but one.
        folder: The stage's folder.
        stack: Closes what is opened.

    Raises:
        DataError: The data of the loss or of a benchmark are missing or damaged.
        OptionError: A benchmark cannot be put to a system like this.
    """
    settings: Evaluation | None = learner.stage.evaluate
    if settings is None:
        return lambda done: None
    validation = open_validation(run, learner, settings, folder, stack) if settings.data else None
    reads = tuple(run.system.spec.inputs)
    benchmarks = [open_benchmark(chosen, reads) for chosen in settings.benchmarks] if metrics is not None else []
    past = [] if metrics is None else [line for line in read_records(metrics.path) if "evaluation" in line]
    return StageEvaluation(run, learner, settings, metrics, folder, validation, benchmarks, past)


@dataclass(frozen=True)
class Validation:
    """Samples whose loss is taken, read anew each time.

    Args:
        loader: Gives them, as many at a time as all processes take in one forward pass.
        count: How many there are.
    """

    loader: Loader
    count: int

    def batches(self, ready: Finish) -> Iterator[tuple[list[Prepared], list[int]]]:
        """This process's share of each batch, made `ready`, with the samples' places; the last may be empty."""
        start = self.loader.state_dict()
        place = 0
        with closing(self.loader.batches(ready)) as batches:
            while place < self.count:
                samples = next(batches)
                positions = [place + i for i in parallel.positions(len(samples))]
                own = [position for position in positions if position < self.count]
                yield samples[: len(own)], own
                place += len(samples) * parallel.world()
        self.loader.load_state_dict(start)
        merge_ledgers(self.loader.ledger)


def open_validation(run: Run, learner: Learner, settings: Evaluation, folder: Path, stack: ExitStack) -> Validation:
    """The validation samples of a stage; those that are left out stand in a ledger of their own."""
    stage = learner.stage
    size = stage.micro_batch or max(1, stage.batch // parallel.world())
    changes: dict[str, Any] = {"data": settings.data, "mixture": "concatenate", "evaluate": None}
    like = stage.replace(**changes, batch=size * parallel.world(), micro_batch=None, micro_tokens=None)
    loader = open_loader(run, like, folder / "evaluation", stack, draws=False)
    return Validation(loader, min(settings.samples, loader.epoch_samples or settings.samples))


@dataclass(frozen=True)
class StageEvaluation:
    """Evaluates a stage every so many steps, writes the numbers down, and keeps the best weights.

    Args:
        run: The run.
        learner: The stage's learner.
        settings: What is measured, and when.
        metrics: Where the numbers go; None for all processes but one.
        folder: The stage's folder.
        validation: Samples whose loss is taken.
        benchmarks: What the system answers.
        past: The lines of earlier evaluations.
    """

    run: Run
    learner: Learner
    settings: Evaluation
    metrics: Metrics | None
    folder: Path
    validation: Validation | None
    benchmarks: Sequence[OpenedBenchmark]
    past: list[dict[str, Any]]

    def __call__(self, done: int) -> None:
        """Evaluate if it is time for it.

        Raises:
            TrainingError: The samples hold nothing to take a loss of, or no number is what `keep_best` asks for.
            CheckpointError: The numbers or the weights cannot be written.
        """
        if done % self.settings.every and done != self.learner.steps:
            return
        began = time.perf_counter()
        with self.learner.averaged():
            numbers = self._measured()
            if self.metrics is not None:
                self._note(self.metrics, done, numbers, time.perf_counter() - began)

    def _measured(self) -> dict[str, float]:
        with undisturbed(self.run.system.model, self.run.device, self.learner.seed):
            numbers = {} if self.validation is None else validation_losses(self.learner, self.validation)
            for benchmark in self.benchmarks:
                found = benchmark.measure(self.run.system)
                numbers |= {f"{benchmark.name}.{name}": value for name, value in found.items()}
        return numbers

    def _note(self, metrics: Metrics, done: int, numbers: dict[str, float], seconds: float) -> None:
        stage = self.learner.stage
        record = {"stage": stage.name, "step": done, "evaluation": numbers, "evaluation_seconds": seconds}
        metrics.write(record)
        self.past.append(record)
        best = self._keep_if_best(done, numbers)
        self.run.emit(Evaluated(stage.name, done, self.learner.steps, numbers, seconds, best))

    def _keep_if_best(self, done: int, numbers: dict[str, float]) -> bool:
        chosen = self.settings.keep_best
        if chosen is None:
            return False
        if chosen.metric not in numbers:
            raise TrainingError(
                f"stage {self.learner.stage.name}: evaluate.keep_best.metric is {chosen.metric}, and the evaluation "
                f"gives {', '.join(numbers)}; choose one of these in a new run"
            )
        best = best_of(self.past, chosen.metric, chosen.mode)
        if best is None or best.step != done:
            return False
        checkpoints.save_best(self.folder / "checkpoints", done, chosen.metric, best.value, self.learner.weights)
        return True


def validation_losses(learner: Learner, validation: Validation) -> dict[str, float]:
    """The mean loss of each objective over the validation samples of all processes, and their weighted sum.

    Returns:
        `loss`, and `losses.NAME` of each objective that has units in the samples; of one about pairs `accuracy.NAME`,
        the share of pairs whose better reply wins, or of steps that are told right from wrong, and
        `accuracy_error.NAME`, its standard error.

    Raises:
        TrainingError: They hold nothing for any objective.
    """
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, float] = defaultdict(float)
    won: dict[str, list[float]] = {name: [] for name in learner.objectives}
    shares = validation.batches(learner.ready)
    ready = ((learner.division.matched(samples, places), places) for samples, places in shares)
    for part in (part for samples, places in ready for part in learner.division.cut(samples, places)):
        for name, objective in learner.objectives.items():
            counts[name] += objective.count(part.batch)
        output, found = learner.forward(_STEP, part)
        for name, value in found.items():
            sums[name] += float(value)
            won[name] += _listed(learner.objectives[name].won(output, part.batch))
    names = list(learner.objectives)
    totals = parallel.summed([found[name] for found in (sums, counts) for name in names])
    pairs = zip(names, totals[: len(names)], totals[len(names) :], strict=True)
    losses = {name: total / count for name, total, count in pairs if count}
    if not losses:
        raise TrainingError(
            f"stage {learner.stage.name}: the {validation.count} samples of evaluate.data hold nothing for its "
            f"objectives {', '.join(names)}; give it data like those that it learns from"
        )
    loss = sum(learner.objectives[name].weight * value for name, value in losses.items())
    numbers = {"loss": loss} | {f"losses.{name}": value for name, value in losses.items()}
    for name, own in won.items():
        numbers |= _accuracy(name, parallel.gathered(own))
    return numbers


def _accuracy(name: str, won: Sequence[float]) -> dict[str, float]:
    """The mean of what was won, and its standard error."""
    if not won:
        return {}
    mean = sum(won) / len(won)
    squares = sum((one - mean) ** 2 for one in won)
    error = (squares / max(1, len(won) - 1) / len(won)) ** 0.5
    return {f"accuracy.{name}": mean, f"accuracy_error.{name}": error}


def _listed(values: Tensor | None) -> list[float]:
    found: list[float] = [] if values is None else values.tolist()
    return found


@contextmanager
def undisturbed(model: nn.Module, device: torch.device, seed: int) -> Iterator[None]:
    """Evaluation mode and known random states inside; afterwards modes and random states are as they were."""
    python, arrays = random.getstate(), np.random.get_state()
    modes = [(module, module.training) for module in model.modules()]
    devices = [] if device.type == "cpu" else [device]
    kind = "cuda" if device.type == "cpu" else device.type
    try:
        with torch.random.fork_rng(devices, device_type=kind), torch.no_grad():
            seed_everything(seed, "evaluation")
            model.eval()
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        for module, mode in modes:
            module.training = mode
