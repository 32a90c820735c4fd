"""The machine that a recipe will be trained on: its devices, and whether processes can work together on it."""

import socket
from collections.abc import Iterator

import torch
from torch.distributed import HashStore, ProcessGroupGloo  # type: ignore[attr-defined]

from modalink.devices import multiplies_bfloat16
from modalink.errors import TrainingError
from modalink.recipe import Recipe
from modalink.training import parallel
from modalink.training.launch import cores
from modalink.training.opening import check_share


def machine(recipe: Recipe, device: torch.device, processes: int) -> Iterator[str]:
    """Look at devices, backend and ports.

    Args:
        recipe: What will be trained.
        device: Where this process computes.
        processes: How many processes of this machine will train.

    Raises:
        TrainingError: They cannot share the devices or a batch, or cannot reach each other.
    """
    yield from _devices(device)
    if processes == 1:
        yield "1 process; `modalink train --processes N` starts more"
        return
    yield f"{processes} processes, whose gradients go by {parallel.backend(device)}, all else by gloo"
    if device.type == "cpu":
        yield f"each takes {max(1, cores() // processes)} of {cores()} cores, if no number of threads is set"
    elif processes > (found := torch.accelerator.device_count()):
        raise TrainingError(f"found {found} {device.type} devices and {processes} processes, needed one for each")
    yield f"they meet at 127.0.0.1, at a port that is free: now {_free_port()}"
    for stage in recipe.stages:
        check_share(stage, processes)
        yield f"stage {stage.name}: {stage.batch // processes} of {stage.batch} conversations a step for each"


def _devices(device: torch.device) -> Iterator[str]:
    if device.type == "cuda":
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            yield f"cuda:{number}: {facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    elif device.type != "cpu":
        yield f"{torch.accelerator.device_count()} x {device.type}"
    word = "multiplied" if multiplies_bfloat16(device) else "emulated, so slow"
    yield f"computes on {device}, where bfloat16 is {word}; CPU: {cores()} cores, {torch.get_num_threads()} threads"


def _free_port() -> int:
    """A port that is free, after gloo has found a way to other processes."""
    try:
        ProcessGroupGloo(HashStore(), 0, 1)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port: int = server.getsockname()[1]
            return port
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise TrainingError(
            f"processes cannot reach each other here ({reason:.200}); needed a network interface for gloo, which "
            "GLOO_SOCKET_IFNAME=lo can name, and the right to open ports of 127.0.0.1"
        ) from error
