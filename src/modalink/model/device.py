"""From the machine's settings to a device."""

import os

import torch

from modalink.errors import OptionError, shown
from modalink.settings import RunSettings


def use(settings: RunSettings) -> torch.device:
    """Take as many threads as the settings say, and find their device.

    Returns:
        The device; of several accelerators of a kind this process's own, where the settings name none.

    Raises:
        OptionError: There is no such device, or not one for each process of this machine.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    here = torch.accelerator.current_accelerator(check_available=True)
    found = (here or torch.device("cpu")) if settings.device is None else _named(settings.device, here)
    index: int | None = found.index
    if found.type == "cpu":
        return found
    _check_share(found, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return found if index is not None else torch.device(found.type, int(os.environ.get("LOCAL_RANK", "0")))


def _named(name: str, here: torch.device | None) -> torch.device:
    """The device of a name, if this machine has it; `here` is its accelerator."""
    try:
        found = torch.device(name)
    except RuntimeError:
        raise OptionError(f"found the device {shown(name)}, needed cpu, cuda, cuda:1 or the like") from None
    if found.type == "cpu":
        return torch.device("cpu")
    count = torch.accelerator.device_count() if here is not None and here.type == found.type else 0
    if (found.index or 0) >= count:
        have = (
            "the CPU alone" if here is None else f"{here.type}:0 to {here.type}:{torch.accelerator.device_count() - 1}"
        )
        raise OptionError(f"found the device {name!r}, which this machine does not have; it has {have}")
    return found


def _check_share(device: torch.device, processes: int) -> None:
    """Demand a device for each of the processes of this machine."""
    if processes > 1 and device.index is not None:
        raise OptionError(
            f"found the device {device} for {processes} processes of this machine, needed one for each; "
            f"give the device {device.type}"
        )
    if processes > 1 and processes > torch.accelerator.device_count():
        found = f"{torch.accelerator.device_count()} {device.type} devices and {processes} processes on this machine"
        raise OptionError(f"found {found}, needed one for each; start fewer processes")
