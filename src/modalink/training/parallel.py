"""Data parallelism: each process reads its share of every step's samples, gradients are added up.

Objectives divide by the count of the whole step before the backward, so a plain sum over processes is the gradient.
Sharding of weights (`fully_shard`) will take the place of `add_gradients`; no other room knows of several processes.

Numbers of the host go from process to process by gloo, and wait as long as it takes: one process alone writes
checkpoints and answers benchmarks. Gradients go by the device's own backend.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn

from modalink.errors import TrainingError

_PATIENCE = timedelta(days=365)
_LET_OTHERS_SPEAK_S = 5.0
_host: distributed.ProcessGroup | None = None
"""All processes, for numbers of the host."""


class PeerLost(TrainingError):
    """Another process has ended; what happened to it, it has said itself."""


def backend(device: torch.device) -> str:
    """What gradients on a device go by, for example `nccl`."""
    return distributed.get_default_backend_for_device(device)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that were started together, for as long as the context lasts; nothing for a single process.

    Raises:
        PeerLost: Another process ended early.
    """
    global _host
    ours = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized()
    if ours:
        with _together():
            distributed.init_process_group(backend(device), device_id=None if device.type == "cpu" else device)
    if distributed.is_initialized():
        with _together():
            _host = cast(distributed.ProcessGroup, distributed.new_group(backend="gloo", timeout=_PATIENCE))
    try:
        yield
    except PeerLost:
        time.sleep(_LET_OTHERS_SPEAK_S)  # whoever watches takes the first to end for the one that failed
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group(None if ours else _host)
        _host = None


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
    summed([])


def summed(values: list[float]) -> list[float]:
    """Each value's sum over the processes."""
    return _reduced(values, distributed.ReduceOp.SUM)


def largest(values: list[float]) -> list[float]:
    """The largest of each value over the processes."""
    return _reduced(values, distributed.ReduceOp.MAX)


def gathered(value: list[Any]) -> list[Any]:
    """The lists of all processes, joined in the order of their ranks."""
    if world() == 1:
        return value
    parts: list[list[Any]] = [[] for _ in range(world())]
    with _together():
        distributed.all_gather_object(parts, value, group=_host)
    return [item for part in parts for item in part]


def tensors(own: Tensor) -> list[Tensor]:
    """The tensors of all processes, of one shape, by rank; no gradient goes there."""
    parts = [torch.empty_like(own) for _ in range(world())]
    with _together():
        distributed.all_gather(parts, own.contiguous())
    return parts


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their sums over the processes; what no process has a gradient for keeps none."""
    if world() == 1:
        return
    parameters = list(parameters)
    held = summed([float(p.grad is not None) for p in parameters])
    with _together():
        for parameter, holders in zip(parameters, held, strict=True):
            if holders:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                distributed.all_reduce(parameter.grad)


def _reduced(values: list[float], operation: Any) -> list[float]:
    if world() == 1:
        return values
    # One value more, so that there is something to wait for.
    together = torch.tensor([*values, 0.0], dtype=torch.float64)
    with _together():
        distributed.all_reduce(together, operation, group=_host)
    found: list[float] = together.tolist()
    return found[:-1]


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # gloo has no error of its own for a lost connection
        reason = str(error).strip().split("\n")[0]
        raise PeerLost(
            f"process {rank()} of {world()} lost the others; one of them has ended, and its own message says why "
            f"({reason:.200})"
        ) from error
