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
        OptionError: There is no such device.
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
    if found.type == "cpu" or index is not None:
        return found
    return torch.device(found.type, int(os.environ.get("LOCAL_RANK", "0")))
