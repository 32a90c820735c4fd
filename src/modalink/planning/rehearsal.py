"""One real batch of a stage, forward and backward, without an update."""

import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import cast

import torch

from modalink.features.cache import FeatureCache
from modalink.model import Prepared, System
from modalink.model.groups import Groups
from modalink.recipe import Recipe, Stage
from modalink.runs.ledger import Ledger
from modalink.training.critic import critic_of
from modalink.training.freezing import freeze, needs_of
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.micro_batches import MicroBatch
from modalink.training.opening import make_learner, open_loader
from modalink.training.stages import StageConfig
from modalink.training.step import Learner


def rehearse(recipe: Recipe, stage: Stage, system: System, device: torch.device) -> Iterator[str]:
    """Do what the stage's first micro-batch will do, and say what came of it.

    Args:
        recipe: The recipe.
        stage: One of its stages.
        system: Its composed parts; their weights stay as they are.
        device: Where to compute.

    Raises:
        DataError: No batch can be made of the stage's data.
    """
    size = stage.micro_batch or stage.batch
    small = stage.with_batch(size)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = Run(folder, recipe, system, FeatureCache(), device, lambda event: None, StopRequest())
        policy = stage.of_policy()
        trained = freeze(
            system.model, system.model.trainable_groups(), policy.train, needs_of(policy), dropout=stage.dropout
        )
        loader = open_loader(run, small, folder, stack)
        samples = next(stack.enter_context(closing(cast(Generator[list[Prepared]], iter(loader)))))
        learner = make_learner(run, small, trained, steps=1)
        parts = learner.micro_batches(cast(StageConfig, stage).rehearsed(learner, samples, run))[:1]
        samples = [*parts[0].samples]
        tokens = sum(sample.size for sample in samples)
        yield f"{len(samples)} conversations, {tokens:,} tokens, in {learner.dtype} on {device}"
        yield from _learned(learner, parts)
        if (critic := critic_of(learner, small)) is not None:
            yield "a critic of its own:"
            with critic.in_place():
                yield from _learned(critic.learner, parts)
        system.model.zero_grad(set_to_none=True)
        for reason, number in Ledger(folder / "ledger.jsonl").summary().items():
            yield f"warning: ledger: {number} x {reason}"


def _learned(learner: Learner, parts: Sequence[MicroBatch]) -> Iterator[str]:
    """What a learner makes of micro-batches, and which parameters that teaches."""
    counts = learner.counts([part.batch for part in parts])
    losses, norms = learner.gradients(0, parts, counts)
    for name, count in counts.items():
        if count:
            yield f"objective {name}: {losses[name]:.4f} over {count}"
        else:
            yield f"warning: objective {name}: this batch holds nothing for it"
    yield from _gradients(learner.trained, norms)


def _gradients(trained: Groups, norms: Mapping[str, float]) -> Iterator[str]:
    for group, members in trained.items():
        reached = sum(parameter.grad is not None for _, parameter in members)
        mark = "" if norms[group] > 0 else "warning: "
        yield f"{mark}{group}: gradient norm {norms[group]:.3g}, in {reached} of {len(members)} tensors"
