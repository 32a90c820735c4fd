"""From the machine's settings to a device."""

import os

import torch

from modalink.errors import OptionError
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
    if settings.device is None:
        found = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    else:
        try:
            found = torch.device(settings.device)
        except RuntimeError as error:
            raise OptionError(f"found the device {settings.device!r}, needed cpu, cuda, cuda:1 or the like") from error
    index: int | None = found.index
    if found.type == "cpu":
        return found
    _check_share(found, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return found if index is not None else torch.device(found.type, int(os.environ.get("LOCAL_RANK", "0")))


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
