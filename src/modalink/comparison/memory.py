"""The most memory that something takes, above what the process held before."""

import ctypes
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # see proc(5)


@dataclass
class Peak:
    """What was measured."""

    bytes: int | None = None
    """The peak; None where the system tells none."""


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measure what runs inside: on an accelerator what torch allocates there, else this process's memory.

    Args:
        device: Where it computes.

    Yields:
        What holds the number when the context has ended without an error.
    """
    gc.collect()
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    with suppress(OSError, AttributeError):  # another C library keeps what was freed, and the number is smaller
        ctypes.CDLL("").malloc_trim(0)
    can_reset = _reset()
    held = _resident("VmRSS")
    yield peak
    highest = _resident("VmHWM")
    if can_reset and held is not None and highest is not None:
        peak.bytes = highest - held


def _reset() -> bool:
    try:
        _RESET.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    """A line of this process's state, in bytes."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
