"""The first step of a recipe's only stage, outside of `train`, so that gradients and parts can be looked at after it."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from modalink.features.cache import FeatureCache
from modalink.model import System, compose
from modalink.recipe import Recipe
from modalink.training.freezing import freeze, needs_of
from modalink.training.interrupts import StopRequest
from modalink.training.loop import Run
from modalink.training.opening import make_learner, open_loader


def learned(recipe: Recipe, folder: Path) -> tuple[System, dict[str, Any]]:
    """A system after the first step of its stage, and that step's record; gradients are as the step left them."""
    system, stage = compose(recipe, seed=0), recipe.stages[0]
    run = Run(folder, recipe, system, FeatureCache(), torch.device("cpu"), lambda event: None, StopRequest())
    trained = freeze(system.model, system.model.trainable_groups(), stage.train, needs_of(stage), dropout=False)
    with ExitStack() as stack:
        batches = open_loader(run, stage, folder, stack).batches()
        samples = next(batches)
        batches.close()
    learner = make_learner(run, stage, trained, steps=10)
    return system, learner.learn(0, stage.rehearsed(learner, samples, run))
