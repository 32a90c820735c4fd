"""Which arithmetic `precision: auto` means: a step of the stage itself is timed in each, and the faster one is kept.

On one CPU bfloat16 is faster, on the next float32, and it differs from stage to stage. A resumed stage must not choose
anew, or its numbers would change: the choice stays in the stage's folder.
"""

import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn

from modalink import json_files
from modalink.data.loader import Loader
from modalink.devices import multiplies_bfloat16
from modalink.errors import CheckpointError
from modalink.model import System
from modalink.model.groups import Groups
from modalink.model.precision import resolve
from modalink.model.prepared import Prepared
from modalink.recipe import Stage
from modalink.runs.folder import write_text
from modalink.training import parallel
from modalink.training.events import PrecisionChosen, Warned
from modalink.training.loop import Run
from modalink.training.opening import make_learner
from modalink.training.step import Learner

CHOICE = "precision.json"
_TIMED = 3


@dataclass(frozen=True)
class _Choice:
    """What a stage's file of that name says."""

    precision: Literal["float32", "bfloat16"]


def choose_precision(run: Run, stage: Stage, trained: Groups, loader: Loader, *, fresh: bool) -> torch.dtype:
    """The type of a stage's matrix products: given, kept by the run, or measured.

    Measured where the CPU multiplies bfloat16 at all; an accelerator that does is faster with it.

    Args:
        run: The run; weights, optimizer, random states and ledger are afterwards as they were.
        stage: One of its stages.
        trained: The groups that it trains.
        loader: Its data; the place in them stays.
        fresh: Whether no step of the stage is done.

    Raises:
        CheckpointError: The choice cannot be kept.
    """
    dtype = resolve(stage.precision, run.device)
    path = run.folder / stage.name / CHOICE
    if stage.precision != "auto":
        return dtype
    if path.exists():
        kept = json_files.read(path, CheckpointError, _Choice, remedy="restore it, or choose another run folder")
        if kept.precision == "bfloat16" and not multiplies_bfloat16(run.device):
            text = f"stage {stage.name} goes on in bfloat16, in which it began; here that is emulated, and slower"
            run.emit(Warned(text))
        return cast(torch.dtype, getattr(torch, kept.precision))
    seconds: dict[str, float] = {}
    if fresh and run.device.type == "cpu" and dtype is torch.bfloat16:
        seconds = measure(run, stage, trained, first_samples(loader))
        dtype = cast(torch.dtype, getattr(torch, min(seconds, key=lambda name: seconds[name])))
    name, threads = str(dtype).removeprefix("torch."), torch.get_num_threads()
    if parallel.rank() == 0:
        content = {"precision": name, "threads": threads, "seconds_per_step": seconds}
        write_text(path, json.dumps(content, indent=2) + "\n")
    if seconds:
        run.emit(PrecisionChosen(stage.name, name, seconds, threads))
    return dtype


def measure(
    run: Run,
    stage: Stage,
    trained: Groups,
    samples: Sequence[Prepared],
) -> dict[str, float]:
    """Seconds of one step's forward and backward passes by arithmetic, summed over the processes.

    Args:
        run: The run; its weights are afterwards as they were.
        stage: One of its stages.
        trained: The groups that it trains.
        samples: The samples of a step.
    """
    seconds = {}
    with _unchanged(run.system), torch.random.fork_rng(devices=[]):
        for dtype in (torch.bfloat16, torch.float32):  # in this order: a learner in float32 makes the weights so too
            learner = make_learner(run, stage, trained, steps=1, dtype=dtype)
            shortest = seconds_per_step(learner, samples)
            seconds[str(dtype).removeprefix("torch.")] = parallel.summed([shortest])[0]
    return seconds


def first_samples(loader: Loader) -> list[Prepared]:
    """The samples of the loader's next step; the loader stays where it is."""
    place = loader.state_dict()
    with closing(cast(Generator[list[Prepared]], iter(loader))) as batches:
        samples = next(batches)
    loader.load_state_dict(place)
    return samples


def seconds_per_step(
    learner: Learner, samples: Sequence[Prepared], clock: Callable[[], float] = time.perf_counter
) -> float:
    """The shortest of some steps after a first, which fills caches; no weight is updated.

    Args:
        learner: Does the steps.
        samples: What they hold.
        clock: Tells seconds.
    """
    parts = learner.micro_batches(samples)
    counts = learner.counts([part.batch for part in parts])
    found = []
    for _ in range(1 + _TIMED):
        began = clock()
        learner.gradients(0, parts, counts)
        found.append(clock() - began)
    learner.optimizer.zero_grad()
    return min(found[1:])


@contextmanager
def _unchanged(system: System) -> Iterator[None]:
    """Give weights and buffers back as they are now."""
    modules = [m for root in (system.model, *system.generators.values()) for m in cast(nn.Module, root).modules()]
    weights = [(parameter, parameter.data) for module in modules for parameter in module.parameters(recurse=False)]
    buffers = [
        (module, name, values, values.clone())
        for module in modules
        for name, values in module.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        for parameter, data in weights:
            parameter.data = data
        for module, name, values, content in buffers:
            module._buffers[name] = values.copy_(content)
