"""Networks built by the numbers of somebody's configuration, which are never walked beyond what any model has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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


_asked: ContextVar[Callable[[], None] | None] = ContextVar("asked", default=None)


def _count(*_: Any) -> None:
    if (asked := _asked.get()) is not None:
        asked()


# For good, since torch walks over its hooks whenever a thread builds a network: they must not come and go meanwhile.
for _register in (register_module_module_registration_hook, register_module_parameter_registration_hook):
    _register(_count)


@contextmanager
def building(what: str) -> Iterator[None]:
    """Build a network of transformers, timm or diffusers.

    Whatever the numbers are called that ask for it, one that grows without end is stopped after a second or two.

    Args:
        what: What is built, the beginning of the message.

    Raises:
        PartError: Its class refuses its configuration, or it has more layers than any model.
    """
    counted, around = count(1), _asked.get()

    def bounded() -> None:
        if around is not None:
            around()
        if next(counted) > _MOST:
            raise PartError(f"{what}: it asks for more than {_MOST:,} layers and parameters, which no model has")

    token = _asked.set(bounded)
    try:
        with foreign(PartError, what):
            yield
    finally:
        _asked.reset(token)
