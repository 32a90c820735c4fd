"""Networks built by the numbers of somebody's configuration, which are never walked beyond what any model has."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from modalink.errors import PartError
from modalink.hub.causes import foreign

_MOST = 2**16
"""Layers and parameters of one network, each counted once; models of 405 billion numbers have some 4,000."""


@contextmanager
def building(what: str) -> Iterator[None]:
    """Build a network of transformers, timm or diffusers.

    Whatever the numbers are called that ask for it, one that grows without end is stopped after a second or two.

    Args:
        what: What is built, the beginning of the message.

    Raises:
        PartError: Its class refuses its configuration, or it has more layers than any model.
    """
    counted = count(1)

    def bounded(*_: Any) -> None:
        if next(counted) > _MOST:
            raise PartError(f"{what}: it asks for more than {_MOST:,} layers and parameters, which no model has")

    hooks = [
        register(bounded)
        for register in (register_module_module_registration_hook, register_module_parameter_registration_hook)
    ]
    try:
        with foreign(PartError, what):
            yield
    finally:
        for hook in hooks:
            hook.remove()
