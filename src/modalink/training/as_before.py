"""What a resumed run keeps of the machine that it began on, because the last bits of its steps hang on it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from modalink.runs.facts import read_manifest
from modalink.runs.manifest import device_name
from modalink.settings import RunSettings
from modalink.training import parallel
from modalink.training.launch import cores


def as_before(run: Path, settings: RunSettings, device: torch.device) -> list[str]:
    """Take as many threads as the run had, if the settings name none.

    Args:
        run: The run folder.
        settings: The machine's settings of today.
        device: Where it computes today.

    Returns:
        What is not as it was, in words.

    Raises:
        CheckpointError: The run's manifest is damaged.
    """
    before = read_manifest(run / "manifest.json").get("environment", {})
    if settings.threads is None and "threads" in before:
        torch.set_num_threads(before["threads"])
    return list(_differences(before, device))


def _differences(before: Mapping[str, Any], device: torch.device) -> Iterator[str]:
    now = {"threads": torch.get_num_threads(), "processes": parallel.world(), "device": device_name(device)}
    for name, value in now.items():
        if before.get(name, value) != value:
            yield f"{name}: found {value}, and the run had {before[name]} until now: the last bits of steps will differ"
    threads = now["threads"]
    if device.type == "cpu" and threads == before.get("threads") and before["threads"] > cores():
        yield f"the run keeps its {threads} threads, for the same bits; on the {cores()} cores here that is slower"
