"""Data parallelism under `torchrun`: each process reads its share of every step's samples, gradients are added up.

Objectives divide by the count of the whole step before the backward, so a plain sum over processes is the gradient.
Sharding of weights (`fully_shard`) will take the place of `add_gradients`; no other room knows of several processes.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed, nn


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that `torchrun` started, for as long as the context lasts; nothing for a single process."""
    ours = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized()
    if ours:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        if ours:
            distributed.destroy_process_group()


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def positions(count: int) -> list[int]:
    """The places in the whole step of the first samples of this process's share."""
    return [number * world() + rank() for number in range(count)]


def barrier() -> None:
    """Wait for all processes."""
    if world() > 1:
        distributed.barrier()


def summed(values: list[float], device: torch.device) -> list[float]:
    """Each value's sum over the processes."""
    if world() == 1:
        return values
    total = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    found: list[float] = total.tolist()
    return found


def largest(value: int, device: torch.device) -> int:
    """The largest value of all processes."""
    if world() == 1:
        return value
    most = torch.tensor(value, device=device)
    distributed.all_reduce(most, distributed.ReduceOp.MAX)
    return int(most)


def gathered(value: list[Any]) -> list[Any]:
    """The lists of all processes, joined in the order of their ranks."""
    if world() == 1:
        return value
    parts: list[list[Any]] = [[] for _ in range(world())]
    distributed.all_gather_object(parts, value)
    return [item for part in parts for item in part]


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their sums over the processes; what no process has a gradient for keeps none."""
    if world() == 1:
        return
    parameters = list(parameters)
    if not parameters:
        return
    held = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
    distributed.all_reduce(held)
    for parameter, holders in zip(parameters, held.tolist(), strict=True):
        if holders:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            distributed.all_reduce(parameter.grad)
