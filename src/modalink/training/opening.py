"""What a stage opens before its first step: data, logs and the learner."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import nn

from modalink.data.loader import Loader
from modalink.data.source import SourceConfig
from modalink.errors import TrainingError
from modalink.features.cache import FeatureCache
from modalink.features.compute import Once, numerics
from modalink.features.disk import DiskFeatures
from modalink.model.groups import Groups
from modalink.model.precision import resolve
from modalink.recipe import Recipe, Stage
from modalink.runs import checkpoints
from modalink.runs.checkpoints import Checkpoint
from modalink.runs.ledger import Ledger
from modalink.runs.metrics import Metrics, rewind
from modalink.settings import RunSettings
from modalink.training import parallel
from modalink.training.changed_data import check_data
from modalink.training.critic import Critic, critic_of
from modalink.training.events import Warned
from modalink.training.freezing import freeze, needs_of
from modalink.training.frozen import FrozenEncoders, check_abilities, frozen_generators
from modalink.training.loop import Run
from modalink.training.objectives import OF_START
from modalink.training.optimization import load_optimizer_tensors
from modalink.training.preparing import preparing
from modalink.training.randomness import seed_of
from modalink.training.reference import Reference, Start
from modalink.training.step import Learner
from modalink.training.weights import load_checkpoint


def open_cache(recipe: Recipe, device: torch.device, settings: RunSettings) -> FeatureCache:
    """Where a run keeps what frozen parts give: in memory and, if the settings name one, in a folder."""
    chunk, disk = chunk_of(recipe, device), None
    if settings.cache is not None:
        disk = DiskFeatures(settings.cache, settings.cache_bytes, numerics(device, chunk))
    return FeatureCache(disk, chunk=chunk)


def chunk_of(recipe: Recipe, device: torch.device) -> int:
    """How many items frozen parts compute together, in all stages of a run."""
    # A chunk that is never full would be filled up in vain.
    return min([8 if device.type == "cpu" else 32, *(stage.batch for stage in recipe.stages)])


@dataclass(frozen=True)
class Begun:
    """A stage that is not finished.

    Args:
        folder: The stage's folder.
        trained: The groups that it trains, all others frozen; not those of a critic of its own.
        checkpoint: Where it was left, if it was; the trained groups are as they were then.
        start: What it trains as it was before the first step, where an objective measures by that.
    """

    folder: Path
    trained: Groups
    checkpoint: Checkpoint | None
    start: Start | None


def begin(run: Run, stage: Stage) -> Begun | None:
    """Bring a stage to where it stands: to its first step, or to its newest checkpoint; None when it is finished."""
    folder, model, needs = run.folder / stage.name, run.system.model, needs_of(stage.of_policy())
    trained = freeze(model, model.trainable_groups(), stage.of_policy().train, needs, dropout=stage.dropout)
    start = Start(trained) if stage.makes_samples or needs & OF_START else None
    checkpoint = checkpoints.latest(folder / "checkpoints", lambda text: run.emit(Warned(text)))
    if checkpoint is not None:
        load_checkpoint(trained, checkpoint)
        if checkpoint.progress.done:
            return None
    return Begun(folder, trained, checkpoint, start)


def resume(learner: Learner, loader: Loader, checkpoint: Checkpoint | None, critic: Critic | None = None) -> int:
    """Give a learner, a loader and a critic what a checkpoint holds of them; the step that comes next, from 0."""
    if checkpoint is None:
        return 0
    load_optimizer_tensors(learner.optimizer, checkpoint.optimizer())
    if learner.average is not None:
        learner.average.load(checkpoint.average())
    learner.watch.load_state_dict(checkpoint.progress.watch)
    learner.noted = dict(checkpoint.progress.noted)
    loader.load_state_dict(checkpoint.progress.cursor)
    if critic is not None:
        critic.load(checkpoint.critic(), checkpoint.progress.critic_watch)
    return checkpoint.progress.step


def open_loader(run: Run, stage: Stage, folder: Path, stack: ExitStack, *, draws: bool = True) -> Loader:
    """This process's share of the stage's samples; the first keeps the ledger and is given the others' lines.

    Args:
        run: The run.
        stage: The stage.
        folder: The stage's folder.
        stack: Closes what is opened.
        draws: Whether something may be drawn of media, as in training.

    Raises:
        TrainingError: The processes cannot share a batch evenly.
        CheckpointError: The data have changed since the run read them, and that shall end it.
    """
    check_share(stage, parallel.world())
    if parallel.rank():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    ledger = Ledger(folder / "ledger.jsonl")
    prepare = preparing(run.system, stage)
    seed = seed_of(run.recipe.seed, stage.name, "data")
    sources = cast(list[SourceConfig], stage.data)
    loader = Loader(
        sources,
        stage.mixture,
        seed,
        prepare,
        ledger,
        stage.on_bad_sample,
        stage.batch,
        workers=run.workers,
        rank=parallel.rank(),
        world=parallel.world(),
        draws=draws,
    )
    if parallel.rank() == 0:
        check_data(run, stage.name, loader.configs, loader.sources, folder)
    return loader


def check_share(stage: Stage, processes: int) -> None:
    """Demand a batch of which each process has as many samples as any other.

    Raises:
        TrainingError: The stage's is another.
    """
    if stage.batch % processes:
        raise TrainingError(
            f"stage {stage.name}: found batch {stage.batch} and {processes} processes, needed a batch that they "
            "can share evenly; change either of the two"
        )


def open_metrics(run: Run, folder: Path, checkpoint: Checkpoint | None, stack: ExitStack) -> Metrics | None:
    """The stage's metrics, cut back to the checkpoint; None for all processes but one."""
    if parallel.rank():
        return None
    first, size = (0, 0) if checkpoint is None else (checkpoint.progress.step, checkpoint.progress.metrics_bytes)
    rewind(folder / "metrics.jsonl", size)
    metrics = Metrics(folder, first, run.track)
    stack.callback(metrics.close)
    return metrics


def make_learner(
    run: Run,
    stage: Stage,
    trained: Groups,
    steps: int,
    dtype: torch.dtype | None = None,
    start: Start | None = None,
) -> Learner:
    """The stage's learner, on the run's device and in the stage's precision; not that of a critic of its own.

    Args:
        run: The run.
        stage: The stage.
        trained: The groups that it trains.
        steps: How many steps it has.
        dtype: What matrix products are computed in, if not what the stage says.
        start: What it trained when it began, where an objective measures by that; by default what it trains is so now.
    """
    system, stage = run.system, stage.of_policy()
    dtype = dtype or resolve(stage.precision, run.device)
    modules: list[nn.Module] = [system.model, *system.generators.values()]
    for module in modules:
        module.to(run.device)
        if dtype is torch.float32:
            module.float()
    check_abilities(stage.objectives, system)
    once = Once(run.cache, dtype, run.device)
    encoders = FrozenEncoders(system, stage.train, once)
    if start is None and needs_of(stage) & OF_START:
        start = Start(trained)
    keeps = not stage.makes_samples
    reference = None if start is None else Reference(start, system, encoders, once, keeps=keeps)
    return Learner(
        system=system,
        stage=stage,
        steps=steps,
        seed=seed_of(run.recipe.seed, stage.name),
        trained=trained,
        encoders=encoders,
        generators=frozen_generators(system, once, trained, start),
        device=run.device,
        dtype=dtype,
        reference=reference,
    )


def open_critic(run: Run, stage: Stage, learner: Learner, *, fresh: bool) -> Critic | None:
    """The stage's critic, where that is a model of its own.

    Args:
        run: The run.
        stage: The stage.
        learner: What learns the rest of it.
        fresh: Whether it begins now, as the policy or as what it is lent.

    Raises:
        CheckpointError: What it starts from is not there, or does not fit.
    """
    critic = critic_of(learner, stage)
    lent = run.earlier.beginning_of_critic(stage) if fresh and run.earlier is not None else None
    if critic is not None and lent is not None:
        critic.begin(run.system.model, lent)
    return critic


def count_steps(stage: Stage, epoch_samples: int | None) -> int:
    """How many optimizer steps the stage has.

    Raises:
        TrainingError: Its length is given in epochs, and a stream of data has none.
    """
    if stage.steps is not None:
        return stage.steps
    if epoch_samples is None:
        raise TrainingError(
            f"stage {stage.name}: found epochs {stage.epochs} over data that stream without a known end; "
            "give steps instead"
        )
    return max(1, round((stage.epochs or 0) * epoch_samples / stage.batch))
