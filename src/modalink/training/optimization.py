"""The optimizer with warm-up and decay; its state as plain tensors."""

import math
from typing import cast

import torch
from torch import Tensor

from modalink.model.groups import Groups
from modalink.recipe import Stage
from modalink.training.freezing import optimizer_groups
from modalink.training.optimizers import OptimizerConfig


def build_optimizer(stage: Stage, trained: Groups) -> torch.optim.Optimizer:
    """The stage's optimizer over the trained groups."""
    return cast(OptimizerConfig, stage.optimizer).build(optimizer_groups(trained, stage.train))


def lr_factor(stage: Stage, step: int, steps: int) -> float:
    """What a group's learning rate is multiplied with at a step.

    Args:
        stage: Its warm-up, schedule and lowest share.
        step: The step, from 0.
        steps: How many steps the stage has.
    """
    warmup = round(stage.warmup * steps) if stage.warmup < 1 else int(stage.warmup)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    falls = {"cosine": (1 + math.cos(math.pi * progress)) / 2, "linear": 1 - progress, "constant": 1.0}
    return stage.min_lr + (1 - stage.min_lr) * falls[stage.schedule]


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> dict[str, float]:
    """Give every group its learning rate for the step, and return the largest rate of each."""
    rates: dict[str, float] = {}
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
        rates[group["group"]] = max(group["lr"], rates.get(group["group"], 0.0))
    return rates


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by `PARAMETER/KEY`, for example `projector.weight/exp_avg`."""
    return {
        f"{name}/{key}": value
        for group in optimizer.param_groups
        for name, parameter in zip(group["param_names"], group["params"], strict=True)
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; a parameter that had no state (it saw no gradient yet) has none again."""
    by_name: dict[str, dict[str, Tensor]] = {}
    for full, tensor in tensors.items():
        name, _, key = full.rpartition("/")
        by_name.setdefault(name, {})[key] = tensor
    names = [name for group in optimizer.param_groups for name in group["param_names"]]
    state = optimizer.state_dict()
    state["state"] = {index: by_name[name] for index, name in enumerate(names) if name in by_name}
    optimizer.load_state_dict(state)
