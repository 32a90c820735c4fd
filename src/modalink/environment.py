"""The software and the machine: what a bug report and a run's manifest say of them."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "torch", "transformers", "diffusers", "peft", "accelerate", "safetensors", "tokenizers", "huggingface_hub", "numpy",
    "pillow",
)  # fmt: skip
"""Packages that decide results, or whether something loads."""
_CPU_NAMES = ("model name", "Model", "Processor")


def version_of(package: str) -> str | None:
    """The installed version of a package; it is not imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The installed versions of packages, of those that are there."""
    return {name: found for name in packages if (found := version_of(name)) is not None}


def cpu() -> str:
    """The CPU's name and the number of cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_cpu_name()}, {cores} cores"


def accelerators() -> list[str]:
    """The accelerators that torch finds, with their memory; imports torch."""
    import torch

    if torch.cuda.is_available():
        software = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
        facts = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
        return [f"{one.name}, {one.total_memory / 2**30:.0f} GiB, {software}" for one in facts]
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator()
        return [f"{kind.type if kind else 'unknown'}"] * torch.accelerator.device_count()
    return []


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    facts: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    named = (facts[name] for name in _CPU_NAMES if facts.get(name))
    return next(named, platform.processor() or platform.machine())
